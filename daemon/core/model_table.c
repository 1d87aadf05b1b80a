#include "daemon/core/model_table.h"

#include <fnmatch.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "proto/mem.h"
#include "proto/units.h"

#define PRICE_MAX 1000000000000LL /* a million dollars */

struct model_table {
    struct model *models[MODEL_TABLE_MAX];
    size_t count;
    size_t own_count; /* users' sections, which come first */
};

static const char *const state_names[] = {
    [MODEL_UNKNOWN] = NULL,
    [MODEL_CURRENT] = "current",
    [MODEL_PREVIEW] = "preview",
    [MODEL_SHUT_DOWN] = "shut-down",
};

const char *model_state_name(enum model_state state)
{
    return state_names[state];
}

/* ---- values: each of these replaces what was there ---- */

/* 0, or -1 with what is expected in `expected`. */
typedef int set_fn(struct model *model, void *member, const char *value, const char **expected);

static void clear_words(struct model_words *words)
{
    for (size_t i = 0; i < words->count; i++)
        free(words->words[i]);
    *words = (struct model_words){0};
}

static void clear_prices(struct model_prices *prices)
{
    for (size_t i = 0; i < prices->count; i++)
        free(prices->rows[i].name);
    *prices = (struct model_prices){0};
}

static int set_text(struct model *model, void *member, const char *value, const char **expected)
{
    char **text = member;
    (void)model;
    (void)expected;
    free(*text);
    *text = *value ? mem_strdup(value) : NULL;
    return 0;
}

static int set_words(struct model *model, void *member, const char *value, const char **expected)
{
    struct model_words *words = member;
    (void)model;
    clear_words(words);
    words->given = *value != '\0';
    if (strcmp(value, "none") == 0)
        return 0;
    char *copy = mem_strdup(value), *position = NULL;
    char *word = strtok_r(copy, " ,\t", &position);
    for (; word && words->count < MODEL_WORDS_MAX; word = strtok_r(NULL, " ,\t", &position))
        words->words[words->count++] = mem_strdup(word);
    free(copy);
    if (word)
        *expected = "at most 16 words";
    return word ? -1 : 0;
}

static bool is_seconds(const char *text, char end)
{
    char *rest = NULL;
    double seconds = strtod(text, &rest);
    return rest != text && *rest == end && seconds > 0 && seconds <= 3600;
}

static bool is_range(const char *text)
{
    const char *dash = strchr(text, '-');
    return dash && is_seconds(text, '-') && is_seconds(dash + 1, '\0') &&
           strtod(text, NULL) <= strtod(dash + 1, NULL);
}

static int set_durations(struct model *model, void *member, const char *value,
                         const char **expected)
{
    struct model_words *words = member;
    int status = set_words(model, member, value, expected);
    for (size_t i = 0; i < words->count; i++)
        if (!is_seconds(words->words[i], '\0') && (words->count > 1 || !is_range(words->words[i])))
            status = -1;
    *expected = "seconds such as \"4 6 8\", or a range such as \"3-10\"";
    return status;
}

static int set_duration(struct model *model, void *member, const char *value, const char **expected)
{
    *expected = "a number of seconds";
    return *value && !is_seconds(value, '\0') ? -1 : set_text(model, member, value, expected);
}

static int set_fields(struct model *model, void *member, const char *value, enum model_field first,
                      enum model_field last, const char **expected)
{
    struct model_words *words = member;
    if (set_words(model, member, value, expected) < 0)
        return -1;
    for (size_t i = 0; i < words->count; i++) {
        enum model_field field = model_field_named(words->words[i]);
        if (field < first || field > last)
            return -1;
    }
    return 0;
}

static int set_inputs(struct model *model, void *member, const char *value, const char **expected)
{
    *expected = "\"none\", or some of: image last_frame reference_images video";
    return set_fields(model, member, value, MODEL_IMAGE, MODEL_VIDEO, expected);
}

static int set_accepts(struct model *model, void *member, const char *value, const char **expected)
{
    *expected = "\"none\", or some of: negative_prompt seed generate_audio enhance_prompt "
                "person_generation";
    return set_fields(model, member, value, MODEL_NEGATIVE_PROMPT, MODEL_PERSON_GENERATION,
                      expected);
}

static int set_count(struct model *model, void *member, const char *value, const char **expected)
{
    char *end = NULL;
    long count = strtol(value, &end, 10);
    (void)model;
    *expected = "a number from 1 to 100";
    if (*value && (end == value || *end || count < 1 || count > 100))
        return -1;
    *(int *)member = *value ? (int)count : 0;
    return 0;
}

static int set_state(struct model *model, void *member, const char *value, const char **expected)
{
    enum model_state *state = member;
    (void)model;
    *state = MODEL_UNKNOWN;
    for (int i = MODEL_CURRENT; i <= MODEL_SHUT_DOWN; i++)
        if (strcmp(value, state_names[i]) == 0)
            *state = (enum model_state)i;
    *expected = "current, preview or shut-down";
    return *value && *state == MODEL_UNKNOWN ? -1 : 0;
}

static int add_price(struct model_prices *prices, char *word)
{
    char *colon = strrchr(word, ':');
    int64_t amount;
    if (!colon || colon == word || prices->count == MODEL_WORDS_MAX)
        return -1;
    if (units_parse_dollars(colon + 1, &amount) < 0 || amount > PRICE_MAX)
        return -1;
    prices->rows[prices->count].name = mem_strndup(word, (size_t)(colon - word));
    prices->rows[prices->count++].amount = amount;
    return 0;
}

static int set_prices(struct model *model, void *member, const char *value, const char **expected)
{
    char *copy = mem_strdup(value), *position = NULL;
    int status = 0;
    (void)model;
    clear_prices(member);
    for (char *word = strtok_r(copy, " ,\t", &position); word;
         word = strtok_r(NULL, " ,\t", &position))
        if (add_price(member, word) < 0)
            status = -1;
    free(copy);
    *expected = "dollars a second such as \"720p:0.10 1080p:0.12\", or \"*:0.10\"";
    return status;
}

static int set_token_prices(struct model *model, void *member, const char *value,
                            const char **expected)
{
    const struct model_prices *prices = member;
    int status = set_prices(model, member, value, expected);
    for (size_t i = 0; i < prices->count; i++)
        if (strcmp(prices->rows[i].name, "input") != 0 &&
            strcmp(prices->rows[i].name, "video") != 0 &&
            strcmp(prices->rows[i].name, "other") != 0)
            status = -1;
    *expected = "dollars a million tokens such as \"input:1.50 video:17.50 other:9\"";
    return status;
}

/* ---- rules ---- */

static void clear_rules(struct model *model)
{
    while (model->rule_count > 0)
        model_rule_free(model->rules[--model->rule_count]);
}

static int add_rule(struct model *model, void *member, const char *value, const char **expected)
{
    (void)member;
    *expected = "\"when FIELD[=A|B]… need FIELD[=A|B]…\", with \"!FIELD\" for one that is absent";
    if (!*value) {
        clear_rules(model);
        return 0;
    }
    struct model_rule *rule = model->rule_count < MODEL_RULES_MAX ? model_rule_parse(value) : NULL;
    if (!rule)
        return -1;
    model->rules[model->rule_count++] = rule;
    return 0;
}

/* ---- the table ---- */

enum key_kind { KEY_TEXT, KEY_WORDS, KEY_COUNT, KEY_STATE, KEY_PRICES, KEY_RULE };

static const struct {
    const char *name;
    enum key_kind kind;
    size_t offset;
    set_fn *set;
} keys[] = {
    {"state", KEY_STATE, offsetof(struct model, state), set_state},
    {"since", KEY_TEXT, offsetof(struct model, since), set_text},
    {"replaced_by", KEY_TEXT, offsetof(struct model, replaced_by), set_text},
    {"note", KEY_TEXT, offsetof(struct model, note), set_text},
    {"aspect_ratios", KEY_WORDS, offsetof(struct model, aspect_ratios), set_words},
    {"resolutions", KEY_WORDS, offsetof(struct model, resolutions), set_words},
    {"durations", KEY_WORDS, offsetof(struct model, durations), set_durations},
    {"samples", KEY_COUNT, offsetof(struct model, samples), set_count},
    {"inputs", KEY_WORDS, offsetof(struct model, inputs), set_inputs},
    {"reference_images", KEY_COUNT, offsetof(struct model, reference_images), set_count},
    {"accepts", KEY_WORDS, offsetof(struct model, accepts), set_accepts},
    {"default_resolution", KEY_TEXT, offsetof(struct model, default_resolution), set_text},
    {"default_duration", KEY_TEXT, offsetof(struct model, default_duration), set_duration},
    {"prices", KEY_PRICES, offsetof(struct model, prices), set_prices},
    {"silent_prices", KEY_PRICES, offsetof(struct model, silent_prices), set_prices},
    {"token_prices", KEY_PRICES, offsetof(struct model, token_prices), set_token_prices},
    {"rule", KEY_RULE, 0, add_rule},
};
#define KEYS (sizeof(keys) / sizeof(keys[0]))

struct model_table *model_table_new(void)
{
    return mem_alloc(sizeof(struct model_table));
}

static void free_model(struct model *model)
{
    for (size_t i = 0; i < KEYS; i++) {
        void *member = (char *)model + keys[i].offset;
        if (keys[i].kind == KEY_TEXT)
            free(*(char **)member);
        else if (keys[i].kind == KEY_WORDS)
            clear_words(member);
        else if (keys[i].kind == KEY_PRICES)
            clear_prices(member);
    }
    clear_rules(model);
    free(model->glob);
    free(model);
}

void model_table_free(struct model_table *table)
{
    if (!table)
        return;
    for (size_t i = 0; i < table->count; i++)
        free_model(table->models[i]);
    free(table);
}

static struct model *find_or_add(struct model_table *table, bool shipped, const char *glob,
                                 struct error *error)
{
    for (size_t i = 0; i < table->count; i++)
        if (strcmp(table->models[i]->glob, glob) == 0)
            return table->models[i];
    if (!*glob || table->count == MODEL_TABLE_MAX) {
        error_set(error, ERROR_INVALID_ARGUMENT, NULL,
                  *glob ? "more than %d sections [model …]" : "[model …] must name a model",
                  MODEL_TABLE_MAX);
        return NULL;
    }
    size_t at = shipped ? table->count : table->own_count++;
    memmove(&table->models[at + 1], &table->models[at],
            (table->count - at) * sizeof(table->models[0]));
    struct model *model = mem_alloc(sizeof(*model));
    model->glob = mem_strdup(glob);
    model->is_shipped = shipped;
    table->models[at] = model;
    table->count++;
    return model;
}

int model_table_set(struct model_table *table, bool shipped, const char *glob, const char *key,
                    const char *value, struct error *error)
{
    size_t i = 0;
    const char *expected = NULL;
    while (i < KEYS && strcmp(keys[i].name, key) != 0)
        i++;
    if (i == KEYS)
        return error_set(error, ERROR_INVALID_ARGUMENT, key, "unknown key \"%s\" in [model %s]",
                         key, glob);
    struct model *model = find_or_add(table, shipped, glob, error);
    if (!model)
        return -1;
    if (keys[i].kind == KEY_RULE && model->is_shipped && !shipped && !model->has_own_rules) {
        clear_rules(model);
        model->has_own_rules = true;
    }
    if (keys[i].set(model, (char *)model + keys[i].offset, value, &expected) == 0)
        return 0;
    return error_set(error, ERROR_INVALID_ARGUMENT, key, "[model %s] %s must be %s, not \"%s\"",
                     glob, key, expected, value);
}

int model_table_check(const struct model_table *table, struct error *error)
{
    for (size_t i = 0; i < table->count; i++) {
        const struct model *model = table->models[i];
        if (model->silent_prices.count && !model->prices.count)
            return error_set(error, ERROR_INVALID_ARGUMENT, "silent_prices",
                             "[model %s] silent_prices need prices", model->glob);
    }
    return 0;
}

static const struct model *find_exactly(const struct model_table *table, const char *model)
{
    for (size_t i = 0; i < table->count; i++)
        if (fnmatch(table->models[i]->glob, model, 0) == 0)
            return table->models[i];
    return NULL;
}

const struct model *model_table_find(const struct model_table *table, const char *model)
{
    if (!table)
        return NULL;
    const struct model *found = find_exactly(table, model);
    const char *slash = strrchr(model, '/');
    return found || !slash ? found : find_exactly(table, slash + 1);
}

size_t model_table_count(const struct model_table *table)
{
    return table ? table->count : 0;
}

const struct model *model_table_at(const struct model_table *table, size_t index)
{
    return table->models[index];
}

/* ---- printing ---- */

static void print_words(const char *key, const struct model_words *words, FILE *to)
{
    if (!words->given)
        return;
    fprintf(to, "%s =%s", key, words->count ? "" : " none");
    for (size_t i = 0; i < words->count; i++)
        fprintf(to, " %s", words->words[i]);
    fputc('\n', to);
}

static void print_prices(const char *key, const struct model_prices *prices, FILE *to)
{
    if (prices->count == 0)
        return;
    fprintf(to, "%s =", key);
    for (size_t i = 0; i < prices->count; i++)
        fprintf(to, " %s:%lld.%06lld", prices->rows[i].name,
                (long long)(prices->rows[i].amount / 1000000),
                (long long)(prices->rows[i].amount % 1000000));
    fputc('\n', to);
}

static void print_rules(const struct model *model, FILE *to)
{
    if (model->has_own_rules && model->rule_count == 0)
        fputs("rule =\n", to);
    for (size_t i = 0; i < model->rule_count; i++)
        fprintf(to, "rule = %s\n", model->rules[i]->text);
}

static void print_key(const struct model *model, size_t key, FILE *to)
{
    const void *member = (const char *)model + keys[key].offset;
    const char *text = NULL;
    switch (keys[key].kind) {
    case KEY_TEXT:
        text = *(char *const *)member;
        break;
    case KEY_STATE:
        text = model_state_name(model->state);
        break;
    case KEY_WORDS:
        print_words(keys[key].name, member, to);
        break;
    case KEY_PRICES:
        print_prices(keys[key].name, member, to);
        break;
    case KEY_COUNT:
        if (*(const int *)member)
            fprintf(to, "%s = %d\n", keys[key].name, *(const int *)member);
        break;
    case KEY_RULE:
        print_rules(model, to);
        break;
    }
    if (text)
        fprintf(to, "%s = %s\n", keys[key].name, text);
}

void model_table_print(const struct model_table *table, FILE *to)
{
    for (size_t i = 0; i < table->count; i++) {
        fprintf(to, "\n[model %s]\n", table->models[i]->glob);
        for (size_t key = 0; key < KEYS; key++)
            print_key(table->models[i], key, to);
    }
}
