#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "proto/mem.h"
#include "tests/sim/chat_mind.h"
#include "tests/sim/chat_talk.h"
#include "tests/sim/rules.h"

#define OPENING  "[model:"
#define ENDS_MAX 256

const char chat_help[] =
    "  {\"calls\":[{\"name\":…,\"arguments\":{…} or \"text\",\"id\":…}],\"text\":…}  calls tools\n"
    "  {\"say\":…}           a text; \"finish\":\"length\" cuts it\n"
    "  {\"say_results\":true} a text that quotes what the tools have said\n"
    "  {\"empty\":true}      neither text nor calls\n"
    "  {\"refuse\":…}        won't\n"
    "  {\"malformed\":…}     this text as the answer's body\n"
    "  {\"status\":429,\"retry_after\":1,\"retry_info\":\"2s\",\"message\":…}  an error\n"
    "  {\"reset\":true}      no answer\n"
    "With any of them: \"delay\":\"500ms\"; \"tokens\":N (usage); \"repeat\":true, this step for "
    "ever;\n"
    "\"errors\":[…], steps that come first, each as often as its \"times\" (1) says, without "
    "being\n"
    "counted as a step; of these, {\"stall\":2} keeps the step itself back for 2 s. Errors are\n"
    "counted by the text of all messages: let conversations differ.\n";

enum member_kind {
    MEMBER_TEXT,
    MEMBER_COUNT,
    MEMBER_DURATION,
    MEMBER_FLAG,
    MEMBER_KIND, /* a flag that tells what step it is */
    MEMBER_CALLS,
    MEMBER_ERRORS,
};

static const struct member {
    const char *name;
    enum member_kind kind;
    size_t offset;
    enum chat_kind means;
} members[] = {
    {"say", MEMBER_TEXT, offsetof(struct chat_thought, text), CHAT_SAY},
    {"text", MEMBER_TEXT, offsetof(struct chat_thought, text), CHAT_SAY},
    {"calls", MEMBER_CALLS, 0, CHAT_SAY},
    {"say_results", MEMBER_FLAG, offsetof(struct chat_thought, say_results), CHAT_SAY},
    {"empty", MEMBER_KIND, 0, CHAT_EMPTY},
    {"refuse", MEMBER_TEXT, offsetof(struct chat_thought, text), CHAT_REFUSE},
    {"malformed", MEMBER_TEXT, offsetof(struct chat_thought, text), CHAT_MALFORMED},
    {"status", MEMBER_COUNT, offsetof(struct chat_thought, status), CHAT_STATUS},
    {"message", MEMBER_TEXT, offsetof(struct chat_thought, text), CHAT_STATUS},
    {"reset", MEMBER_KIND, 0, CHAT_RESET},
    {"finish", MEMBER_TEXT, offsetof(struct chat_thought, finish), CHAT_SAY},
    {"retry_after", MEMBER_TEXT, offsetof(struct chat_thought, retry_after), CHAT_SAY},
    {"retry_info", MEMBER_TEXT, offsetof(struct chat_thought, retry_info), CHAT_SAY},
    {"tokens", MEMBER_COUNT, offsetof(struct chat_thought, tokens), CHAT_SAY},
    {"times", MEMBER_COUNT, offsetof(struct chat_thought, times), CHAT_SAY},
    {"delay", MEMBER_DURATION, offsetof(struct chat_thought, delay_ms), CHAT_SAY},
    {"stall", MEMBER_DURATION, offsetof(struct chat_thought, stall_ms), CHAT_SAY},
    {"repeat", MEMBER_FLAG, offsetof(struct chat_thought, repeat), CHAT_SAY},
    {"errors", MEMBER_ERRORS, 0, CHAT_SAY},
};

/* A string as it is, anything else as its JSON. */
static char *arguments_of(struct json_value value)
{
    if (json_type(value) == JSON_STRING) {
        return json_strdup(value, NULL);
    }
    size_t length = 0;
    const char *raw = json_raw(value, &length);
    return raw ? mem_strndup(raw, length) : mem_strdup("{}");
}

static int read_call(struct json_value value, struct chat_thought *thought)
{
    struct json_value id = json_get(value, "id");
    struct chat_call call = {
        .id = json_strdup(id, NULL),
        .name = json_strdup(json_get(value, "name"), NULL),
        .arguments = arguments_of(json_get(value, "arguments")),
    };
    thought->calls = mem_resize(thought->calls, thought->call_count + 1, sizeof(*thought->calls));
    thought->calls[thought->call_count++] = call;
    return call.name && call.arguments && (call.id || json_type(id) == JSON_NONE) ? 0 : -1;
}

static int read_calls(struct json_value array, struct chat_thought *thought)
{
    if (json_type(array) != JSON_ARRAY || json_size(array) == 0 ||
        json_size(array) > CHAT_CALLS_MAX) {
        return -1;
    }
    for (struct json_iter it = json_iter(array); json_next(&it);) {
        if (read_call(it.value, thought) < 0) {
            return -1;
        }
    }
    return 0;
}

static int read_errors(struct json_value array, struct error *error)
{
    for (struct json_iter it = json_iter(array); json_next(&it);) {
        struct chat_thought thought;
        if (chat_script_read(it.value, &thought, error) < 0) {
            return -1;
        }
        chat_thought_free(&thought);
    }
    return json_type(array) == JSON_ARRAY ? 0 : -1;
}

static int read_member(struct chat_thought *thought, const struct member *member,
                       struct json_value value, struct error *error)
{
    void *field = (char *)thought + member->offset;
    bool yes = true;
    if (member->means != CHAT_SAY) {
        thought->kind = member->means;
    }
    switch (member->kind) {
    case MEMBER_TEXT:
        return rule_read_text(value, field);
    case MEMBER_COUNT:
        return json_int(value, 0, INT32_MAX, field);
    case MEMBER_DURATION:
        return rule_read_duration(value, field);
    case MEMBER_FLAG:
        return json_bool(value, field);
    case MEMBER_KIND:
        return json_bool(value, &yes) < 0 || !yes ? -1 : 0;
    case MEMBER_CALLS:
        return read_calls(value, thought);
    case MEMBER_ERRORS:
        break;
    }
    return read_errors(value, error);
}

static const struct member *find_member(struct json_value name)
{
    for (size_t i = 0; i < sizeof(members) / sizeof(*members); i++) {
        if (json_equals(name, members[i].name)) {
            return &members[i];
        }
    }
    return NULL;
}

/* Fails with the member's name. */
static int bad_member(struct json_value name, struct error *error)
{
    char *text = json_strdup(name, NULL);
    error_set(error, ERROR_INVALID_ARGUMENT, NULL,
              "veosim: bad [model: …]: unknown or bad member \"%s\"", text ? text : "?");
    free(text);
    return -1;
}

static int check(const struct chat_thought *thought, struct error *error)
{
    if (thought->kind == CHAT_SAY && !thought->text && thought->call_count == 0 &&
        !thought->say_results && thought->stall_ms == 0) {
        return error_set(error, ERROR_INVALID_ARGUMENT, NULL,
                         "veosim: bad [model: …]: a step that does nothing");
    }
    if (thought->kind == CHAT_STATUS && (thought->status < 300 || thought->status > 599)) {
        return error_set(error, ERROR_INVALID_ARGUMENT, NULL,
                         "veosim: bad [model: …]: status is 300 to 599");
    }
    return 0;
}

int chat_script_read(struct json_value step, struct chat_thought *ret, struct error *error)
{
    *ret = (struct chat_thought){.times = 1};
    int result = json_type(step) == JSON_OBJECT
                     ? 0
                     : error_set(error, ERROR_INVALID_ARGUMENT, NULL,
                                 "veosim: bad [model: …]: a step is an object");
    for (struct json_iter it = json_iter(step); result == 0 && json_next(&it);) {
        const struct member *member = find_member(it.name);
        if (!member || read_member(ret, member, it.value, error) < 0) {
            result = bad_member(it.name, error);
        }
    }
    if (result == 0) {
        result = check(ret, error);
    }
    if (result < 0) {
        chat_thought_free(ret);
    }
    return result;
}

/* The longest text up to a ']' that is JSON. */
static struct json *parse_script(char *text, struct error *error)
{
    struct json *doc = NULL;
    size_t end = strlen(text);
    for (int tries = 0; !doc && tries < ENDS_MAX; tries++) {
        while (end > 0 && text[end - 1] != ']') {
            end--;
        }
        if (end == 0) {
            break;
        }
        doc = json_parse(text, --end, (struct json_limits){0}, error);
    }
    return doc;
}

static int check_script(struct json_value steps, struct error *error)
{
    if (json_type(steps) != JSON_ARRAY) {
        return error_set(error, ERROR_INVALID_ARGUMENT, NULL,
                         "veosim: bad [model: …]: not an array of steps");
    }
    return read_errors(steps, error);
}

int chat_script_open(struct chat_talk *talk, struct error *error)
{
    const char *opening = talk->user ? strstr(talk->user, OPENING) : NULL;
    if (!opening) {
        return 0;
    }
    struct error why = {0};
    talk->script_text = mem_strdup(opening + strlen(OPENING));
    talk->script = parse_script(talk->script_text, &why);
    if (!talk->script) {
        return error_set(error, ERROR_INVALID_ARGUMENT, NULL, "veosim: bad [model: …]: no JSON: %s",
                         why.message);
    }
    return check_script(json_root(talk->script), error);
}
