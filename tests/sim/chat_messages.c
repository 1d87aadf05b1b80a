#include <stdlib.h>
#include <string.h>

#include "proto/mem.h"
#include "tests/sim/chat.h"
#include "tests/sim/check.h"
#include "tests/sim/reply.h"
#include "tests/sim/sim.h"

struct pending {
    char *id;
    char *name;
    bool answered;
};

struct walk {
    struct exchange *exchange;
    struct chat_ask *ask;
    struct pending calls[CHAT_CALLS_MAX]; /* of the last assistant message */
    size_t call_count;
    size_t index; /* of the message */
    bool began;   /* there was a message besides the system's */
    bool spoke;   /* the last one is the model's */
};

#define REFUSE(walk, ...) reply_error((walk)->exchange, 400, NULL, __VA_ARGS__)

static void forget_calls(struct walk *walk)
{
    for (size_t i = 0; i < walk->call_count; i++) {
        free(walk->calls[i].id);
        free(walk->calls[i].name);
    }
    walk->call_count = 0;
}

/* Before anything but a tool's message: the calls must have their answers. */
static bool end_calls(struct walk *walk)
{
    for (size_t i = 0; i < walk->call_count; i++) {
        if (!walk->calls[i].answered) {
            return REFUSE(walk,
                          "Please ensure that the number of function response parts is equal to "
                          "the number of function call parts of the function call turn. "
                          "messages[%zu]: tool call \"%.200s\" has no response.",
                          walk->index, walk->calls[i].id);
        }
    }
    forget_calls(walk);
    return true;
}

static bool refuse_empty(struct walk *walk)
{
    return REFUSE(walk,
                  "* GenerateContentRequest.contents[%zu].parts: contents.parts must not be "
                  "empty.",
                  walk->index);
}

static bool take_system(struct walk *walk, struct json_value message)
{
    char *text = chat_text(json_get(message, "content"));
    bool has_text = text != NULL;
    free(text);
    if (walk->index > 0) {
        return REFUSE(walk, "messages[%zu]: the system message must be the first one.",
                      walk->index);
    }
    return has_text || refuse_empty(walk);
}

static bool take_user(struct walk *walk, struct json_value message)
{
    char *text = chat_text(json_get(message, "content"));
    if (!text || !*text) {
        free(text);
        return refuse_empty(walk);
    }
    chat_talk_user(&walk->ask->talk, text);
    return true;
}

/* Of Google: {"extra_content":{"google":{"thought_signature":…}}}; of LiteLLM: what the id ends
 * with. To be freed; NULL: none. */
static char *signature_of(const struct walk *walk, struct json_value call, const char *id)
{
    if (walk->ask->google) {
        return json_strdup(json_path(call, "extra_content.google.thought_signature"), NULL);
    }
    const char *at = strstr(id, CHAT_ID_SIGNATURE);
    return at ? mem_strdup(at + strlen(CHAT_ID_SIGNATURE)) : NULL;
}

static bool check_signature(struct walk *walk, struct json_value call,
                            const struct pending *pending, bool is_first)
{
    char *signature = signature_of(walk, call, pending->id);
    bool good = true;
    if (signature) {
        good = chat_check_signature(walk->exchange, &walk->ask->talk, signature, pending->name);
    } else if (is_first && chat_wants_signatures(&walk->ask->talk)) {
        good = chat_refuse_unsigned(walk->exchange, pending->name, walk->index);
    }
    free(signature);
    return good;
}

static bool is_known(const struct walk *walk, const char *id)
{
    for (size_t i = 0; i < walk->call_count; i++) {
        if (strcmp(walk->calls[i].id, id) == 0) {
            return true;
        }
    }
    return false;
}

static bool check_call(struct walk *walk, struct json_value call, const struct pending *pending)
{
    if (!json_equals(json_get(call, "type"), "function") || !pending->id || !*pending->id ||
        !pending->name || !*pending->name) {
        return REFUSE(walk, "messages[%zu].tool_calls[%zu]: id, type or function.name is missing.",
                      walk->index, walk->call_count);
    }
    if (json_type(json_path(call, "function.arguments")) != JSON_STRING) {
        return REFUSE(walk,
                      "Invalid value at 'messages[%zu].tool_calls[%zu].function.arguments' "
                      "(TYPE_STRING), %s",
                      walk->index, walk->call_count,
                      json_type_name(json_type(json_path(call, "function.arguments"))));
    }
    if (is_known(walk, pending->id)) {
        return REFUSE(walk, "messages[%zu]: the tool call id \"%.200s\" is there twice.",
                      walk->index, pending->id);
    }
    return check_signature(walk, call, pending, walk->call_count == 0);
}

static bool take_call(struct walk *walk, struct json_value call)
{
    struct pending pending = {.id = json_strdup(json_get(call, "id"), NULL),
                              .name = json_strdup(json_path(call, "function.name"), NULL)};
    if (walk->call_count < CHAT_CALLS_MAX && check_call(walk, call, &pending)) {
        walk->calls[walk->call_count++] = pending;
        return true;
    }
    free(pending.id);
    free(pending.name);
    return walk->call_count < CHAT_CALLS_MAX ? false : REFUSE(walk, "Too many tool calls.");
}

static bool take_model(struct walk *walk, struct json_value message)
{
    struct json_value calls = json_get(message, "tool_calls");
    char *text = chat_text(json_get(message, "content"));
    bool has_text = text && *text;
    free(text);
    if (!has_text && json_size(calls) == 0) {
        return refuse_empty(walk);
    }
    if (!walk->began) {
        return REFUSE(walk, "Please ensure that function call turn comes immediately after a user "
                            "turn or after a function response turn.");
    }
    for (struct json_iter it = json_iter(calls); json_next(&it);) {
        if (!take_call(walk, it.value)) {
            return false;
        }
    }
    walk->ask->note.altered += json_size(calls) > 0 && !chat_is_sealed(message);
    chat_talk_model(&walk->ask->talk);
    return true;
}

static struct pending *find_pending(struct walk *walk, struct json_value message)
{
    char *id = json_strdup(json_get(message, "tool_call_id"), NULL);
    struct pending *found = NULL;
    for (size_t i = 0; id && i < walk->call_count; i++) {
        struct pending *pending = &walk->calls[i];
        found = !pending->answered && strcmp(pending->id, id) == 0 ? pending : found;
    }
    free(id);
    return found;
}

static bool take_result(struct walk *walk, struct json_value message)
{
    if (walk->call_count == 0) {
        return REFUSE(walk,
                      "Please ensure that function response turn comes immediately after a "
                      "function call turn. messages[%zu] with role 'tool' must be a response to a "
                      "preceding message with 'tool_calls'.",
                      walk->index);
    }
    struct pending *pending = find_pending(walk, message);
    if (!pending) {
        return REFUSE(walk, "messages[%zu]: tool_call_id answers no pending tool call.",
                      walk->index);
    }
    char *text = chat_text(json_get(message, "content"));
    if (!text) {
        return refuse_empty(walk);
    }
    pending->answered = true;
    chat_talk_result(&walk->ask->talk, pending->name, text);
    return true;
}

static bool take_message(struct walk *walk, struct json_value message)
{
    struct json_value role = json_get(message, "role");
    bool tool = json_equals(role, "tool");
    walk->spoke = json_equals(role, "assistant");
    if (!tool && !end_calls(walk)) {
        return false;
    }
    if (json_equals(role, "system") || json_equals(role, "developer")) {
        return take_system(walk, message);
    }
    bool good = tool                        ? take_result(walk, message)
                : walk->spoke               ? take_model(walk, message)
                : json_equals(role, "user") ? take_user(walk, message)
                                            : REFUSE(walk,
                                                     "Please use a valid role: system, user, "
                                                     "assistant, tool. messages[%zu]",
                                                     walk->index);
    walk->began = true;
    return good;
}

static bool take_all(struct walk *walk, struct json_value messages)
{
    for (struct json_iter it = json_iter(messages); json_next(&it); walk->index++) {
        if (!take_message(walk, it.value)) {
            return false;
        }
    }
    if (!walk->began) {
        return REFUSE(walk, "* GenerateContentRequest.contents: contents is not specified");
    }
    if (walk->spoke) {
        return REFUSE(walk, "Please ensure that single turn requests end with a user role or the "
                            "role field is empty. Prefilling the model's turn is not supported.");
    }
    return end_calls(walk);
}

static const char *last_role(struct json_value messages)
{
    static const char *const roles[] = {"system", "developer", "user", "assistant", "tool", NULL};
    const char *role = NULL;
    size_t count = json_size(messages);
    if (count > 0) {
        check_one_of(json_get(json_at(messages, count - 1), "role"), roles, &role);
    }
    return role;
}

bool chat_check_messages(struct exchange *exchange, struct chat_ask *ask)
{
    struct walk walk = {.exchange = exchange, .ask = ask};
    ask->note.last_role = last_role(ask->note.messages);
    if (json_type(ask->note.messages) != JSON_ARRAY) {
        return REFUSE(&walk, "messages is not specified");
    }
    bool good = take_all(&walk, ask->note.messages);
    forget_calls(&walk);
    return good;
}
