#include "daemon/core/model.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "proto/buf.h"

#define LIST_MAX   200         /* bytes of a list in a message */
#define TOKENS_MAX 10000000000 /* beyond this a provider talks nonsense */

/* ---- a request's fields as text ---- */

struct value {
    bool given;
    char text[48]; /* empty: it has none that can be compared, or there is no default */
};

static struct value text_value(const char *given, const char *otherwise)
{
    struct value value = {.given = given != NULL};
    snprintf(value.text, sizeof(value.text), "%s", given ? given : otherwise ? otherwise : "");
    return value;
}

static struct value number_value(double given, const char *otherwise)
{
    char text[32];
    snprintf(text, sizeof(text), "%.15g", given);
    return text_value(given > 0 ? text : NULL, otherwise);
}

static struct value flag_value(int given)
{
    return text_value(given < 0 ? NULL : given ? "true" : "false", NULL);
}

static struct value value_of(const struct model *model, const struct request *request,
                             enum model_field field)
{
    switch (field) {
    case MODEL_ASPECT_RATIO:
        return text_value(request->aspect_ratio,
                          model->aspect_ratios.count ? model->aspect_ratios.words[0] : NULL);
    case MODEL_RESOLUTION:
        return text_value(request->resolution, model->default_resolution);
    case MODEL_DURATION:
        return number_value(request->duration_seconds, model->default_duration);
    case MODEL_SAMPLES:
        return number_value(request->sample_count, "1");
    case MODEL_GENERATE_AUDIO:
        return flag_value(request->generate_audio);
    case MODEL_ENHANCE_PROMPT:
        return flag_value(request->enhance_prompt);
    case MODEL_PERSON_GENERATION:
        return text_value(request->person_generation, NULL);
    case MODEL_IMAGE:
        return (struct value){.given = request->image != NULL};
    case MODEL_LAST_FRAME:
        return (struct value){.given = request->last_frame != NULL};
    case MODEL_REFERENCES:
        return (struct value){.given = request->reference_count > 0};
    case MODEL_VIDEO:
        return (struct value){.given = request->video != NULL};
    case MODEL_NEGATIVE_PROMPT:
        return (struct value){.given = request->negative_prompt != NULL};
    case MODEL_SEED:
        return (struct value){.given = request->seed >= 0};
    case MODEL_FIELD_COUNT:
        break;
    }
    return (struct value){0};
}

/* Words in any letter case, and numbers however they are written. */
static bool same(const char *a, size_t length, const char *b)
{
    char *end_a, *end_b;
    double x = strtod(a, &end_a), y = strtod(b, &end_b);
    if (end_a == a + length && length > 0 && end_b != b && !*end_b)
        return fabs(x - y) < 1e-9;
    return strlen(b) == length && strncasecmp(a, b, length) == 0;
}

static bool is_one_of(const char *values, const char *text)
{
    for (const char *at = values; at; at = strchr(at, '|')) {
        at += *at == '|';
        if (same(at, strcspn(at, "|"), text))
            return true;
    }
    return false;
}

/* What isn't known is `unknown`: no reason to apply a rule, and none to call it broken. */
static bool holds(const struct model *model, const struct request *request,
                  const struct model_term *term, bool unknown)
{
    struct value value = value_of(model, request, term->field);
    if (term->absent)
        return !value.given;
    if (!term->values)
        return value.given;
    return value.text[0] ? is_one_of(term->values, value.text) : unknown;
}

/* ---- messages ---- */

static void list_words(const char *const *words, size_t count, struct buf *ret)
{
    buf_init(ret, LIST_MAX);
    for (size_t i = 0; i < count; i++)
        buf_addf(ret, "%s%s", i == 0 ? "" : i + 1 == count ? " or " : ", ", words[i]);
}

static int refuse_value(const struct request *request, enum model_field field,
                        const struct model_words *known, const char *given, struct error *error)
{
    struct buf words;
    const char *name = model_field_name(field);
    const char *dash = known->count == 1 ? strchr(known->words[0], '-') : NULL;
    list_words((const char *const *)known->words, known->count, &words);
    if (dash) {
        buf_reset(&words);
        buf_addf(&words, "from %.*s to %s", (int)(dash - known->words[0]), known->words[0],
                 dash + 1);
    }
    if (known->count == 0)
        error_set(error, ERROR_INVALID_ARGUMENT, name, "%s takes no %s; leave it out, or force it",
                  request->model, name);
    else
        error_set(error, ERROR_INVALID_ARGUMENT, name, "%s of %s must be %s, not %s", name,
                  request->model, buf_text(&words), given);
    buf_free(&words);
    return -1;
}

static void describe_term(const struct model_term *term, struct buf *ret)
{
    const char *name = model_field_name(term->field);
    if (term->absent)
        buf_addf(ret, "no %s", name);
    else
        buf_addf(ret, "%s%s", name, term->values ? " " : "");
    for (const char *c = term->values; c && *c; c++)
        buf_addf(ret, *c == '|' ? " or " : "%c", *c);
}

static void describe_given(const struct model *model, const struct request *request,
                           const struct model_term *term, struct buf *ret)
{
    struct value value = value_of(model, request, term->field);
    buf_addf(ret, "%s%s%s", model_field_name(term->field), term->values ? " " : "",
             term->values ? value.text : "");
}

/* What would do instead: to go without that which wants it. */
static void describe_way_out(const struct model *model, const struct request *request,
                             const struct model_rule *rule, struct buf *ret)
{
    for (size_t i = 0; i < rule->when_count; i++) {
        const struct model_term *term = &rule->when[i];
        const char *name = model_field_name(term->field);
        if (term->absent || !value_of(model, request, term->field).given)
            continue;
        if (term->field == MODEL_RESOLUTION && model->default_resolution)
            buf_addf(ret, "; or leave %s at %s", name, model->default_resolution);
        else
            buf_addf(ret, "; or leave %s out", name);
        return;
    }
}

static int refuse_rule(const struct model *model, const struct request *request,
                       const struct model_rule *rule, const struct model_term *broken,
                       struct error *error)
{
    struct buf text;
    struct value value = value_of(model, request, broken->field);
    buf_init(&text, LIST_MAX);
    for (size_t i = 0; i < rule->when_count; i++) {
        buf_add_text(&text, i ? " and " : "");
        describe_given(model, request, &rule->when[i], &text);
    }
    buf_addf(&text, " of %s needs ", request->model);
    describe_term(broken, &text);
    if (broken->values && value.text[0])
        buf_addf(&text, ", not %s", value.text);
    describe_way_out(model, request, rule, &text);
    error_set(error, ERROR_INVALID_ARGUMENT, model_field_name(broken->field), "%s",
              buf_text(&text));
    buf_free(&text);
    return -1;
}

/* ---- checks ---- */

static bool has_word(const struct model_words *words, const char *text)
{
    for (size_t i = 0; i < words->count; i++)
        if (same(words->words[i], strlen(words->words[i]), text))
            return true;
    return false;
}

static bool in_range(const char *range, const char *text)
{
    const char *dash = strchr(range, '-');
    double seconds = strtod(text, NULL);
    return dash && seconds >= strtod(range, NULL) && seconds <= strtod(dash + 1, NULL);
}

static int check_values(const struct model *model, const struct request *request,
                        struct error *error)
{
    const struct {
        enum model_field field;
        const struct model_words *known;
    } fields[] = {
        {MODEL_ASPECT_RATIO, &model->aspect_ratios},
        {MODEL_RESOLUTION, &model->resolutions},
        {MODEL_DURATION, &model->durations},
    };
    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
        struct value value = value_of(model, request, fields[i].field);
        const struct model_words *known = fields[i].known;
        if (!known->given || !value.given || has_word(known, value.text) ||
            (known->count == 1 && in_range(known->words[0], value.text)))
            continue;
        return refuse_value(request, fields[i].field, known, value.text, error);
    }
    return 0;
}

static int check_counts(const struct model *model, const struct request *request,
                        struct error *error)
{
    if (model->samples && request->sample_count > model->samples)
        return error_set(error, ERROR_INVALID_ARGUMENT, "sample_count",
                         "%s makes at most %d at once, not %d; submit several jobs", request->model,
                         model->samples, request->sample_count);
    if (model->reference_images && request->reference_count > (size_t)model->reference_images)
        return error_set(error, ERROR_INVALID_ARGUMENT, "reference_images",
                         "%s takes at most %d reference_images, not %zu", request->model,
                         model->reference_images, request->reference_count);
    return 0;
}

static int check_given(const struct model *model, const struct request *request,
                       const struct model_words *taken, enum model_field first,
                       enum model_field last, struct error *error)
{
    struct buf words;
    if (!taken->given)
        return 0;
    for (int field = (int)first; field <= (int)last; field++) {
        const char *name = model_field_name((enum model_field)field);
        if (!value_of(model, request, (enum model_field)field).given || has_word(taken, name))
            continue;
        list_words((const char *const *)taken->words, taken->count, &words);
        error_set(error, ERROR_INVALID_ARGUMENT, name,
                  "%s takes no %s%s%s; leave it out, or take another model", request->model, name,
                  taken->count ? ", only " : "", buf_text(&words));
        buf_free(&words);
        return -1;
    }
    return 0;
}

static int check_rule(const struct model *model, const struct request *request,
                      const struct model_rule *rule, struct error *error)
{
    for (size_t i = 0; i < rule->when_count; i++)
        if (!holds(model, request, &rule->when[i], false))
            return 0;
    for (size_t i = 0; i < rule->need_count; i++)
        if (!holds(model, request, &rule->need[i], true))
            return refuse_rule(model, request, rule, &rule->need[i], error);
    return 0;
}

int model_check(const struct model *model, const struct request *request, struct error *error)
{
    if (!model || request->force)
        return 0;
    if (check_values(model, request, error) < 0 || check_counts(model, request, error) < 0 ||
        check_given(model, request, &model->inputs, MODEL_IMAGE, MODEL_VIDEO, error) < 0 ||
        check_given(model, request, &model->accepts, MODEL_NEGATIVE_PROMPT, MODEL_PERSON_GENERATION,
                    error) < 0)
        return -1;
    for (size_t i = 0; i < model->rule_count; i++)
        if (check_rule(model, request, model->rules[i], error) < 0)
            return -1;
    return 0;
}

bool model_host_is_google(const char *base_url)
{
    static const char domain[] = "googleapis.com";
    const char *host = strstr(base_url, "://");
    host = host ? host + 3 : base_url;
    size_t length = strcspn(host, "/?#");
    const char *at = memrchr(host, '@', length);
    if (at) {
        length -= (size_t)(at + 1 - host);
        host = at + 1;
    }
    const char *colon = memchr(host, ':', length);
    if (colon)
        length = (size_t)(colon - host);
    size_t tail = sizeof(domain) - 1;
    return length >= tail && strncasecmp(host + length - tail, domain, tail) == 0 &&
           (length == tail || host[length - tail - 1] == '.');
}

int model_check_state(const struct model *model, const struct request *request,
                      const char *base_url, struct error *error)
{
    if (!model || request->force || model->state != MODEL_SHUT_DOWN ||
        !model_host_is_google(base_url))
        return 0;
    return error_set(error, ERROR_INVALID_ARGUMENT, "model",
                     "%s was shut down by Google%s%s%s%s; force sends it all the same",
                     request->model, model->since ? " on " : "", model->since ? model->since : "",
                     model->replaced_by ? "; use " : "",
                     model->replaced_by ? model->replaced_by : "");
}

/* ---- money ---- */

static int64_t price_of(const struct model_prices *prices, const char *name)
{
    for (size_t i = 0; i < prices->count; i++)
        if (strcasecmp(prices->rows[i].name, name) == 0)
            return prices->rows[i].amount;
    return -1;
}

/* The dearest if it has none of its own: what is forced must not pass by the budgets. */
static int64_t price_a_second(const struct model_prices *prices, const char *resolution)
{
    int64_t price = price_of(prices, resolution), dearest = -1;
    if (price < 0)
        price = price_of(prices, "*");
    for (size_t i = 0; i < prices->count; i++)
        if (prices->rows[i].amount > dearest)
            dearest = prices->rows[i].amount;
    return price < 0 ? dearest : price;
}

int64_t model_estimate(const struct model *model, const struct request *request)
{
    if (!model)
        return 0;
    const struct model_prices *prices = &model->prices;
    if (request->generate_audio == 0 && model->silent_prices.count)
        prices = &model->silent_prices;
    double seconds = strtod(value_of(model, request, MODEL_DURATION).text, NULL);
    int64_t price = price_a_second(prices, value_of(model, request, MODEL_RESOLUTION).text);
    if (price <= 0 || !(seconds > 0))
        return 0;
    int samples = request->sample_count > 0 ? request->sample_count : 1;
    return llround((double)price * seconds) * samples;
}

static int64_t token_charge(int64_t tokens, int64_t price)
{
    if (tokens <= 0 || price <= 0)
        return 0;
    return llround((double)tokens * (double)price / 1e6);
}

int64_t model_token_charge(const struct model *model, int64_t input, int64_t video, int64_t other)
{
    if (!model || model->token_prices.count == 0 || video <= 0 || input > TOKENS_MAX ||
        video > TOKENS_MAX || other > TOKENS_MAX)
        return -1;
    return token_charge(input, price_of(&model->token_prices, "input")) +
           token_charge(video, price_of(&model->token_prices, "video")) +
           token_charge(other, price_of(&model->token_prices, "other"));
}
