#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "proto/mem.h"
#include "proto/units.h"
#include "tests/sim/rules.h"

struct word {
    const char *name;
    unsigned value;
};

static const struct word event_words[] = {
    {"submit", EVENT_SUBMIT},
    {"poll", EVENT_POLL},
    {"file", EVENT_FILE},
    {"download", EVENT_DOWNLOAD},
    {"cancel", EVENT_CANCEL},
    {"token", EVENT_TOKEN},
    {"chat", EVENT_CHAT},
    {"any", EVENT_SUBMIT | EVENT_POLL | EVENT_FILE | EVENT_DOWNLOAD | EVENT_CANCEL | EVENT_OTHER |
                EVENT_TOKEN | EVENT_CHAT},
    {NULL, 0},
};

static const struct word action_words[] = {
    {"status", ACTION_STATUS},
    {"reset-before", ACTION_RESET_BEFORE},
    {"reset-after", ACTION_RESET_AFTER},
    {"stall", ACTION_STALL},
    {"slow", ACTION_SLOW},
    {"truncate", ACTION_TRUNCATE},
    {"garbage", ACTION_GARBAGE},
    {"empty", ACTION_EMPTY},
    {"huge", ACTION_HUGE},
    {"wrong-type", ACTION_WRONG_TYPE},
    {"no-name", ACTION_NO_NAME},
    {"redirect", ACTION_REDIRECT},
    {"content-type", ACTION_CONTENT_TYPE},
    {"not-a-video", ACTION_NOT_A_VIDEO},
    {"no-range", ACTION_NO_RANGE},
    {"expired", ACTION_EXPIRED},
    {"directive", ACTION_DIRECTIVE},
    {NULL, 0},
};

static const struct word quota_words[] = {
    {"minute", QUOTA_MINUTE},
    {"day", QUOTA_DAY},
    {"spend", QUOTA_SPEND},
    {NULL, 0},
};

static const struct word shape_words[] = {
    {"google", SHAPE_GOOGLE}, {"interactions", SHAPE_INTERACTIONS},
    {"openai", SHAPE_OPENAI}, {"oauth", SHAPE_OAUTH},
    {"array", SHAPE_ARRAY},   {"html", SHAPE_HTML},
    {"empty", SHAPE_EMPTY},   {NULL, 0},
};

enum member_kind { MEMBER_TEXT, MEMBER_COUNT, MEMBER_DURATION };

static const struct member {
    const char *name;
    enum member_kind kind;
    size_t offset;
} members[] = {
    {"match", MEMBER_TEXT, offsetof(struct rule, match)},
    {"message", MEMBER_TEXT, offsetof(struct rule, message)},
    {"code", MEMBER_TEXT, offsetof(struct rule, code)},
    {"reason", MEMBER_TEXT, offsetof(struct rule, reason)},
    {"quota_id", MEMBER_TEXT, offsetof(struct rule, quota_id)},
    {"retry_info", MEMBER_TEXT, offsetof(struct rule, retry_info)},
    {"retry_after", MEMBER_TEXT, offsetof(struct rule, retry_after)},
    {"location", MEMBER_TEXT, offsetof(struct rule, location)},
    {"type", MEMBER_TEXT, offsetof(struct rule, type)},
    {"directive", MEMBER_TEXT, offsetof(struct rule, directive)},
    {"status", MEMBER_COUNT, offsetof(struct rule, status)},
    {"skip", MEMBER_COUNT, offsetof(struct rule, skip)},
    {"times", MEMBER_COUNT, offsetof(struct rule, times)},
    {"bytes", MEMBER_COUNT, offsetof(struct rule, bytes)},
    {"after", MEMBER_COUNT, offsetof(struct rule, after)},
    {"seconds", MEMBER_DURATION, offsetof(struct rule, seconds_ms)},
    {"interval", MEMBER_DURATION, offsetof(struct rule, interval_ms)},
};

static int read_word(const struct word *words, struct json_value value, unsigned *ret)
{
    for (; words->name; words++) {
        if (json_equals(value, words->name)) {
            *ret = words->value;
            return 0;
        }
    }
    return -1;
}

int rule_read_text(struct json_value value, char **ret)
{
    free(*ret);
    *ret = NULL;
    if (json_type(value) == JSON_STRING) {
        *ret = json_strdup(value, NULL);
    } else if (json_type(value) == JSON_NUMBER) {
        size_t length;
        const char *raw = json_raw(value, &length);
        *ret = mem_strndup(raw, length);
    }
    return *ret ? 0 : -1;
}

int rule_read_duration(struct json_value value, int64_t *ret_ms)
{
    char *text = NULL;
    int result = rule_read_text(value, &text) < 0 ? -1 : units_parse_duration(text, ret_ms);
    free(text);
    return result;
}

static int read_member(struct rule *rule, const struct member *member, struct json_value value)
{
    void *field = (char *)rule + member->offset;
    switch (member->kind) {
    case MEMBER_TEXT:
        return rule_read_text(value, field);
    case MEMBER_COUNT:
        return json_int(value, 0, INT64_MAX, field);
    case MEMBER_DURATION:
        break;
    }
    return rule_read_duration(value, field);
}

static int read_special(struct rule *rule, struct json_value name, struct json_value value)
{
    unsigned word = 0;
    if (json_equals(name, "on")) {
        return read_word(event_words, value, &rule->events);
    }
    if (json_equals(name, "chance")) {
        return json_double(value, 0, 1, &rule->chance);
    }
    if (json_equals(name, "accept")) {
        bool accept;
        int result = json_bool(value, &accept);
        rule->refuses = result == 0 && !accept;
        return result;
    }
    if (json_equals(name, "shape")) {
        int result = read_word(shape_words, value, &word);
        rule->shape = (enum reply_shape)word;
        return result;
    }
    if (json_equals(name, "quota")) {
        int result = read_word(quota_words, value, &word);
        rule->quota = (enum quota_kind)word;
        return result;
    }
    return json_equals(name, "do") ? 0 : -1;
}

static int read_any(struct rule *rule, struct json_value name, struct json_value value)
{
    for (size_t i = 0; i < sizeof(members) / sizeof(*members); i++) {
        if (json_equals(name, members[i].name)) {
            return read_member(rule, &members[i], value);
        }
    }
    return read_special(rule, name, value);
}

/* Fails with the member's name. */
static int bad_member(struct json_value name, struct error *error)
{
    char *text = json_strdup(name, NULL);
    error_set(error, ERROR_INVALID_ARGUMENT, text, "veosim: unknown or bad member \"%s\"",
              text ? text : "?");
    free(text);
    return -1;
}

static bool refuses_by_default(enum action action)
{
    return action == ACTION_STATUS || action == ACTION_RESET_BEFORE || action == ACTION_REDIRECT ||
           action == ACTION_EXPIRED;
}

static int read_action(struct rule *rule, struct json_value object, struct error *error)
{
    unsigned action = 0;
    if (read_word(action_words, json_get(object, "do"), &action) < 0) {
        return error_set(error, ERROR_INVALID_ARGUMENT, "do", "veosim: \"do\" is not known");
    }
    rule->action = (enum action)action;
    rule->refuses = refuses_by_default(rule->action);
    return 0;
}

static int read_rule(struct rule *rule, struct json_value object, struct error *error)
{
    if (read_action(rule, object, error) < 0) {
        return -1;
    }
    for (struct json_iter it = json_iter(object); json_next(&it);) {
        if (read_any(rule, it.name, it.value) < 0) {
            return bad_member(it.name, error);
        }
    }
    if (rule->events == 0) {
        return error_set(error, ERROR_INVALID_ARGUMENT, "on", "veosim: \"on\" is missing");
    }
    if (rule->status != 0 && (rule->status < 200 || rule->status > 599)) {
        return error_set(error, ERROR_INVALID_ARGUMENT, "status", "veosim: status is 200 to 599");
    }
    struct directives unused;
    directives_init(&unused);
    const char *list = rule->directive ? rule->directive : "";
    return directives_parse_list(&unused, list, strlen(list), error);
}

struct rule *rule_parse(struct json_value object, struct error *error)
{
    struct rule *rule = mem_alloc(sizeof(*rule));
    rule->references = 1;
    rule->times = -1;
    rule->bytes = -1;
    rule->after = -1;
    rule->chance = 1;
    if (read_rule(rule, object, error) < 0) {
        rule_unref(rule);
        return NULL;
    }
    return rule;
}

const char *rule_action_name(enum action action)
{
    return action_words[action].name;
}

void rule_unref(struct rule *rule)
{
    if (!rule || --rule->references > 0) {
        return;
    }
    for (size_t i = 0; i < sizeof(members) / sizeof(*members); i++) {
        if (members[i].kind == MEMBER_TEXT) {
            free(*(char **)((char *)rule + members[i].offset));
        }
    }
    free(rule);
}
