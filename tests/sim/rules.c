#include "tests/sim/rules.h"

#include <stdlib.h>
#include <string.h>

#include "proto/mem.h"
#include "tests/sim/misbehave.h"
#include "tests/sim/sim.h"

#define RULES_MAX 1000

static bool applies(const struct rule *rule, const struct exchange *exchange, const char *prompt)
{
    if (!(rule->events & exchange->event) || (rule->times >= 0 && rule->hits >= rule->times)) {
        return false;
    }
    return !rule->match || strstr(exchange->path, rule->match) ||
           (prompt && strstr(prompt, rule->match));
}

static bool by_chance(struct exchange *exchange, const struct rule *rule)
{
    const int64_t parts = 1000000;
    int64_t drawn = operations_random(&exchange->sim->operations, 0, parts - 1);
    return (double)drawn < rule->chance * (double)parts;
}

static void take(struct exchange *exchange, struct rule *rule)
{
    rule->hits++;
    rule->references++;
    exchange->rule = rule;
}

static int read_rules(struct rules *rules, struct json_value array, struct error *error)
{
    if (json_type(array) != JSON_ARRAY || json_size(array) > RULES_MAX) {
        return error_set(error, ERROR_INVALID_ARGUMENT, NULL,
                         "veosim: rules are an array of at most %d", RULES_MAX);
    }
    rules->list = mem_alloc((json_size(array) + 1) * sizeof(*rules->list));
    for (struct json_iter it = json_iter(array); json_next(&it);) {
        struct rule *rule = rule_parse(it.value, error);
        if (!rule) {
            return -1;
        }
        rules->list[rules->count++] = rule;
    }
    return 0;
}

static void reply_count(struct exchange *exchange)
{
    struct buf json;
    buf_init(&json, REPLY_BYTES_MAX);
    buf_addf(&json, "{\"rules\":%zu}", exchange->sim->rules.count);
    reply_json(&exchange->reply, 200, &json);
}

void rules_clear(struct rules *rules)
{
    for (size_t i = 0; i < rules->count; i++) {
        rule_unref(rules->list[i]);
    }
    free(rules->list);
    *rules = (struct rules){0};
}

void rules_serve_set(struct exchange *exchange)
{
    struct error error = {0};
    struct rules rules = {0};
    struct buf *text = &exchange->intake.text;
    struct json *doc = json_parse(buf_text(text), text->length, (struct json_limits){0}, &error);
    if (!doc || read_rules(&rules, json_root(doc), &error) < 0) {
        rules_clear(&rules);
        reply_error(exchange, 400, NULL, "%s", error.message);
    } else {
        rules_clear(&exchange->sim->rules);
        exchange->sim->rules = rules;
        reply_count(exchange);
    }
    json_free(doc);
}

void rules_serve_show(struct exchange *exchange)
{
    struct rules *rules = &exchange->sim->rules;
    struct buf json;
    struct jsonw w;
    buf_init(&json, REPLY_BYTES_MAX);
    jsonw_init(&w, &json);
    jsonw_array(&w);
    for (size_t i = 0; i < rules->count; i++) {
        jsonw_object(&w);
        jsonw_member_string(&w, "do", rule_action_name(rules->list[i]->action));
        jsonw_member_string(&w, "match", rules->list[i]->match);
        jsonw_member_int(&w, "skipped", rules->list[i]->skipped);
        jsonw_member_int(&w, "hits", rules->list[i]->hits);
        jsonw_object_end(&w);
    }
    jsonw_array_end(&w);
    reply_json(&exchange->reply, 200, &json);
}

void rules_serve_clear(struct exchange *exchange)
{
    rules_clear(&exchange->sim->rules);
    reply_count(exchange);
}

bool rules_reset_early(struct exchange *exchange)
{
    struct rules *rules = &exchange->sim->rules;
    for (size_t i = 0; i < rules->count; i++) {
        struct rule *rule = rules->list[i];
        if (!applies(rule, exchange, NULL)) {
            continue;
        }
        bool now =
            rule->action == ACTION_RESET_BEFORE && rule->skipped >= rule->skip && rule->chance >= 1;
        rule->hits += now;
        return now;
    }
    return false;
}

bool rules_intercept(struct exchange *exchange, const char *prompt)
{
    struct rules *rules = &exchange->sim->rules;
    for (size_t i = 0; i < rules->count; i++) {
        struct rule *rule = rules->list[i];
        if (!applies(rule, exchange, prompt)) {
            continue;
        }
        if (rule->skipped < rule->skip) {
            rule->skipped++;
        } else if (by_chance(exchange, rule)) {
            take(exchange, rule);
            return rule->refuses;
        }
    }
    return false;
}

int64_t rule_apply(struct exchange *exchange)
{
    return exchange->rule ? misbehave(exchange, exchange->rule) : 0;
}
