#include "daemon/agent/prompt.h"

#include <stdlib.h>
#include <string.h>

#include "daemon/agent/system_prompt_txt.h"
#include "proto/buf.h"
#include "proto/mem.h"
#include "proto/units.h"

#define PROMPT_MAX (4 * 1024 * 1024) /* bytes */
#define DATE       10                /* characters of 2026-11-23 */
#define FINEST     100               /* micro-dollars: a price is shown with four decimals */

static void add_price(struct buf *out, int64_t amount)
{
    char text[UNITS_TEXT];
    units_format_dollars((amount + FINEST / 2) / FINEST * FINEST, text);
    buf_add_text(out, text);
}

static void add_words(struct buf *out, const struct model_words *words, const char *unit)
{
    for (size_t i = 0; i < words->count; i++)
        buf_addf(out, "%s%s", i ? ", " : "; ", words->words[i]);
    if (words->count)
        buf_add_text(out, unit);
}

/* The price for a resolution; -1: not known. */
static int64_t price_of(const struct model *model, const char *resolution)
{
    for (size_t i = 0; i < model->prices.count; i++)
        if (strcmp(model->prices.rows[i].name, resolution) == 0 ||
            strcmp(model->prices.rows[i].name, "*") == 0)
            return model->prices.rows[i].amount;
    return -1;
}

static void add_resolutions(struct buf *out, const struct model *model)
{
    for (size_t i = 0; i < model->resolutions.count; i++) {
        const char *word = model->resolutions.words[i];
        int64_t price = price_of(model, word);
        buf_addf(out, "%s%s", i ? ", " : "; ", word);
        if (model->default_resolution && strcmp(word, model->default_resolution) == 0)
            buf_add_text(out, " (default)");
        if (price >= 0) {
            buf_add_byte(out, ' ');
            add_price(out, price);
        }
    }
    if (model->resolutions.count == 0 && price_of(model, "*") >= 0) {
        buf_add_text(out, "; ");
        add_price(out, price_of(model, "*"));
    }
    if (model->prices.count)
        buf_add_text(out, " a second");
}

static bool has_word(const struct model_words *words, const char *word)
{
    for (size_t i = 0; i < words->count; i++)
        if (strcmp(words->words[i], word) == 0)
            return true;
    return false;
}

/* What a tool's call can't say, no rule about it helps with. */
static bool are_arguments(const struct model_term *terms, size_t count)
{
    for (size_t i = 0; i < count; i++)
        switch (terms[i].field) {
        case MODEL_ASPECT_RATIO:
        case MODEL_RESOLUTION:
        case MODEL_DURATION:
        case MODEL_IMAGE:
        case MODEL_NEGATIVE_PROMPT:
            break;
        default:
            return false;
        }
    return true;
}

static void add_rules(struct buf *out, const struct model *model)
{
    for (size_t i = 0; i < model->rule_count; i++) {
        const struct model_rule *rule = model->rules[i];
        if (are_arguments(rule->when, rule->when_count) &&
            are_arguments(rule->need, rule->need_count))
            buf_addf(out, "; %s", rule->text);
    }
}

static void add_model(struct buf *out, const struct model *model, const char *default_model)
{
    bool is_default = default_model && strcmp(model->glob, default_model) == 0;
    buf_addf(out, "- %s%s", model->glob, is_default ? " (default)" : "");
    add_words(out, &model->aspect_ratios, "");
    add_words(out, &model->durations, " s");
    if (model->default_duration)
        buf_addf(out, " (%s by default)", model->default_duration);
    add_resolutions(out, model);
    add_rules(out, model);
    if (model->inputs.given && !has_word(&model->inputs, "image"))
        buf_add_text(out, "; takes no image");
    if (model->accepts.given && !has_word(&model->accepts, "negative_prompt"))
        buf_add_text(out, "; takes no negative_prompt");
    buf_add_byte(out, '\n');
}

/* A pattern is no name that could be asked for. One that Google has shut down may live on behind
 * another provider: it is shown where it is the default. */
static bool is_shown(const struct prompt_facts *facts, const struct model *model)
{
    bool is_default = facts->default_model && strcmp(model->glob, facts->default_model) == 0;
    return strpbrk(model->glob, "*?[") == NULL &&
           model_table_find(facts->models, model->glob) == model &&
           (model->state != MODEL_SHUT_DOWN || is_default) &&
           facts->is_offered(facts->arg, model->glob);
}

static void add_models(struct buf *out, const struct prompt_facts *facts)
{
    size_t before = out->length;
    for (size_t i = 0; i < model_table_count(facts->models); i++) {
        const struct model *model = model_table_at(facts->models, i);
        if (is_shown(facts, model))
            add_model(out, model, facts->default_model);
    }
    if (out->length == before)
        buf_add_text(out, "(Nothing is known of them: leave out what you can.)");
    else
        out->length--;
}

static void add_default_model(struct buf *out, const struct prompt_facts *facts)
{
    buf_add_text(out, facts->default_model ? facts->default_model : "the server's default");
}

static void add_today(struct buf *out, const struct prompt_facts *facts)
{
    char time[UNITS_TEXT];
    units_format_time(facts->now, time);
    buf_add(out, time, DATE);
}

static const struct {
    const char *name;
    void (*add)(struct buf *out, const struct prompt_facts *facts);
} places[] = {
    {"{models}", add_models},
    {"{default_model}", add_default_model},
    {"{today}", add_today},
};

/* How many bytes of `text` stand for a fact, which is added; 0: none. */
static size_t add_fact(struct buf *out, const char *text, const struct prompt_facts *facts)
{
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        size_t length = strlen(places[i].name);
        if (strncmp(text, places[i].name, length) == 0) {
            places[i].add(out, facts);
            return length;
        }
    }
    return 0;
}

static char *fill(const char *text, const struct prompt_facts *facts)
{
    struct buf out;
    buf_init(&out, PROMPT_MAX);
    while (*text) {
        size_t length = strcspn(text, "{");
        buf_add(&out, text, length);
        text += length;
        length = *text ? add_fact(&out, text, facts) : 0;
        if (*text && length == 0) {
            buf_add_byte(&out, '{');
            length = 1;
        }
        text += length;
    }
    return buf_steal(&out);
}

char *prompt_fill(const char *text, const struct prompt_facts *facts)
{
    if (text)
        return fill(text, facts);
    char *shipped = mem_strndup((const char *)system_prompt_txt, sizeof(system_prompt_txt));
    char *filled = fill(shipped, facts);
    free(shipped);
    return filled;
}
