#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/mem.h"
#include "tests/sim/chat.h"
#include "tests/sim/chat_sign.h"
#include "tests/sim/check.h"
#include "tests/sim/reply.h"
#include "tests/sim/sim.h"

#define TEMPERATURE_MAX 2
#define SIGNATURES_URL  "https://ai.google.dev/gemini-api/docs/thought-signatures"

/* A member; absent as well if it is null. */
static struct json_value get(struct json_value body, const char *name)
{
    struct json_value value = json_get(body, name);
    return json_type(value) == JSON_NULL ? (struct json_value){.token = -1} : value;
}

bool chat_refuse_member(struct exchange *exchange, struct json_value name, const char *place)
{
    char *text = json_strdup(name, NULL);
    reply_error(exchange, 400, NULL,
                "Invalid JSON payload received. Unknown name \"%s\"%s%s%s: Cannot find field.",
                text ? text : "", *place ? " at '" : "", place, *place ? "'" : "");
    free(text);
    return false;
}

static bool matches_one(const char *name, const char *const *globs)
{
    for (; *globs; globs++) {
        if (fnmatch(*globs, name, 0) == 0) {
            return true;
        }
    }
    return false;
}

bool chat_check_model(struct exchange *exchange, const char *name, struct chat_talk *talk)
{
    static const char *const known[] = {"gemini-*", "scripted*", NULL};
    static const char *const gone[] = {"gemini-1.*", "gemini-2.0-*", "gemini-pro", NULL};
    const char *slash = strrchr(name, '/');
    const char *id = slash ? slash + 1 : name;
    const char *more = exchange->sim->options.gone;
    talk->model = mem_strdup(id);
    if (fnmatch("gemini-omni-*", id, 0) == 0) {
        return reply_error(exchange, 400, NULL, "This model only supports Interactions API.");
    }
    if (!matches_one(id, known) || matches_one(id, gone) ||
        (more && fnmatch(more, id, FNM_EXTMATCH) == 0)) {
        return reply_error(exchange, 404, NULL,
                           "models/%s is not found for API version %s, or is not supported for "
                           "generateContent. Call ListModels to see the list of available models "
                           "and their supported methods.",
                           id, *exchange->version ? exchange->version : "v1beta");
    }
    return true;
}

bool chat_takes_sampling(const struct chat_talk *talk)
{
    return fnmatch("gemini-4*", talk->model, 0) != 0;
}

bool chat_wants_signatures(const struct chat_talk *talk)
{
    return fnmatch("gemini-2.5-*", talk->model, 0) != 0;
}

static bool is_function_name(const char *name)
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_";
    static const char others[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_0123456789.:-";
    size_t length = name ? strlen(name) : 0;
    return length > 0 && length <= CHAT_NAME_MAX && strchr(letters, *name) &&
           strspn(name, others) == length;
}

bool chat_check_tool(struct exchange *exchange, const struct chat_tool *tool, const char *place,
                     struct chat_talk *talk)
{
    char *name = json_strdup(tool->name, NULL);
    if (!is_function_name(name)) {
        free(name);
        return reply_error(exchange, 400, NULL,
                           "* GenerateContentRequest.%s.name: Invalid function name. Must start "
                           "with a letter or an underscore. Must be alphanumeric (a-z, A-Z, 0-9), "
                           "underscores (_), dots (.), colons (:), or dashes (-), with a maximum "
                           "length of %d.",
                           place, CHAT_NAME_MAX);
    }
    for (size_t i = 0; i < talk->tool_count; i++) {
        if (strcmp(talk->tools[i], name) == 0) {
            reply_error(exchange, 400, NULL, "Duplicate function declaration found: %s", name);
            free(name);
            return false;
        }
    }
    if (!chat_talk_offer(talk, name)) {
        return reply_error(exchange, 400, NULL, "At most %d function declarations are supported.",
                           CHAT_TOOLS_MAX);
    }
    struct json_value type = json_get(tool->schema, "type");
    if (json_type(tool->schema) != JSON_NONE &&
        !(json_equals(type, "object") || json_equals(type, "OBJECT"))) {
        return reply_error(exchange, 400, NULL,
                           "* GenerateContentRequest.%s.parameters: schema should be of type "
                           "OBJECT.",
                           place);
    }
    return true;
}

bool chat_check_signature(struct exchange *exchange, const struct chat_talk *talk,
                          const char *signature, const char *function)
{
    switch (chat_sign_check(signature, talk->model, function)) {
    case CHAT_SIGNATURE_SKIPPED:
        exchange->sim->stats.chat_unsigned++;
        return true;
    case CHAT_SIGNATURE_GOOD:
        return true;
    case CHAT_SIGNATURE_BAD:
        break;
    }
    return reply_error(exchange, 400, NULL,
                       "Thought signature is not valid. Corrupted thought "
                       "signature.");
}

bool chat_refuse_unsigned(struct exchange *exchange, const char *function, size_t position)
{
    return reply_error(exchange, 400, NULL,
                       "Function call is missing a thought_signature in functionCall parts. This "
                       "is required for tools to work correctly, and missing thought_signature may "
                       "lead to degraded model performance. Additional data, function call "
                       "`default_api:%s` , position %zu. Please refer to " SIGNATURES_URL
                       " for more details.",
                       function, position);
}

char *chat_text(struct json_value content)
{
    if (json_type(content) != JSON_ARRAY) {
        return json_strdup(content, NULL);
    }
    struct buf text;
    buf_init(&text, INTAKE_BYTES_MAX);
    for (struct json_iter it = json_iter(content); json_next(&it);) {
        char *part = json_strdup(json_get(it.value, "text"), NULL);
        if (part) {
            buf_addf(&text, "%s%s", text.length > 0 ? "\n" : "", part);
        }
        free(part);
    }
    return buf_steal(&text);
}

/* What Google's endpoint takes. */
static bool check_members(struct exchange *exchange, struct json_value body)
{
    static const char *const known[] = {
        "model",
        "messages",
        "tools",
        "tool_choice",
        "n",
        "stream",
        "stream_options",
        "max_tokens",
        "top_p",
        "temperature",
        "response_format",
        "max_completion_tokens",
        "stop",
        "reasoning_effort",
        "seed",
        "parallel_tool_calls",
        "user",
        "presence_penalty",
        "logprobs",
        "frequency_penalty",
        "audio",
        "modalities",
        "top_logprobs",
        "extra_body",
        NULL,
    };
    for (struct json_iter it = json_iter(body); json_next(&it);) {
        if (!check_one_of(it.name, known, NULL)) {
            return chat_refuse_member(exchange, it.name, "");
        }
    }
    return true;
}

static bool check_tools(struct exchange *exchange, struct json_value tools, struct chat_talk *talk)
{
    if (json_type(tools) == JSON_NONE) {
        return true;
    }
    if (json_type(tools) != JSON_ARRAY) {
        return reply_error(exchange, 400, NULL, "Invalid value at 'tools': expected an array.");
    }
    unsigned index = 0;
    for (struct json_iter it = json_iter(tools); json_next(&it); index++) {
        char place[64];
        struct json_value function = json_get(it.value, "function");
        snprintf(place, sizeof(place), "tools[0].function_declarations[%u]", index);
        if (!json_equals(json_get(it.value, "type"), "function")) {
            return reply_error(exchange, 400, NULL, "Invalid value at 'tools[%u].type'.", index);
        }
        if (!chat_check_tool(exchange,
                             &(struct chat_tool){.name = json_get(function, "name"),
                                                 .schema = json_get(function, "parameters")},
                             place, talk)) {
            return false;
        }
    }
    return true;
}

static bool check_sampling(struct exchange *exchange, struct chat_ask *ask)
{
    static const char *const names[] = {"temperature", "top_p", NULL};
    for (const char *const *name = names; *name; name++) {
        struct json_value value = get(ask->body, *name);
        double number;
        if (json_type(value) == JSON_NONE) {
            continue;
        }
        if (!chat_takes_sampling(&ask->talk)) {
            return reply_error(exchange, 400, NULL, "`%s` isn't supported by models/%s.", *name,
                               ask->talk.model);
        }
        if (json_double(value, 0, TEMPERATURE_MAX, &number) < 0) {
            return reply_error(exchange, 400, NULL,
                               "Invalid value at '%s': must be in the range "
                               "[0.0, 2.0].",
                               *name);
        }
    }
    return true;
}

static bool check_numbers(struct exchange *exchange, struct chat_ask *ask)
{
    int64_t number;
    struct json_value value = get(ask->body, "max_tokens");
    if (json_type(value) == JSON_NONE) {
        value = get(ask->body, "max_completion_tokens");
    }
    ask->note.max_tokens = value;
    ask->note.temperature = get(ask->body, "temperature");
    if (json_type(value) != JSON_NONE && json_int(value, 1, INT32_MAX, &number) < 0) {
        return reply_error(exchange, 400, NULL,
                           "Invalid value at 'max_tokens': must be a "
                           "positive integer.");
    }
    return check_sampling(exchange, ask);
}

static bool check_choice(struct exchange *exchange, struct chat_ask *ask)
{
    static const char *const words[] = {"none", "auto", "required", NULL};
    struct json_value choice = get(ask->body, "tool_choice");
    ask->talk.may_call = !json_equals(choice, "none");
    json_bool(get(ask->body, "stream"), &ask->talk.stream);
    json_bool(json_path(ask->body, "stream_options.include_usage"), &ask->talk.stream_usage);
    if (json_type(choice) != JSON_NONE && json_type(choice) != JSON_OBJECT &&
        !check_one_of(choice, words, NULL)) {
        return reply_error(exchange, 400, NULL, "Invalid value at 'tool_choice'.");
    }
    return true;
}

static bool check_model(struct exchange *exchange, struct chat_ask *ask)
{
    char *name = json_strdup(get(ask->body, "model"), NULL);
    bool good = name && *name ? chat_check_model(exchange, name, &ask->talk)
                              : reply_error(exchange, 400, NULL, "model is not specified");
    free(name);
    return good;
}

bool chat_check(struct exchange *exchange, struct chat_ask *ask)
{
    struct error error = {0};
    struct json_value messages = get(ask->body, "messages");
    ask->note.messages = messages;
    chat_talk_measure(&ask->talk, messages);
    if (!check_model(exchange, ask) || (ask->google && !check_members(exchange, ask->body)) ||
        !check_choice(exchange, ask) || !check_numbers(exchange, ask) ||
        !check_tools(exchange, get(ask->body, "tools"), &ask->talk) ||
        !chat_check_messages(exchange, ask)) {
        return false;
    }
    return chat_script_open(&ask->talk, &error) == 0 ||
           reply_error(exchange, 400, NULL, "%s", error.message);
}
