/* Messages: whose they are, and what they call. */
#include "daemon/agent/chat.h"

#include <stdlib.h>
#include <string.h>

#include "daemon/agent/chat_internal.h"
#include "proto/mem.h"

static char *raw_text(struct json_value value)
{
    size_t length;
    const char *raw = json_raw(value, &length);
    return mem_strndup(raw, length);
}

/* Some servers give an object instead of a string that holds one. A string that can't be one of
 * C's is given as it stands: no object either, and the model is told so. */
static char *read_arguments(struct json_value arguments)
{
    enum json_type type = json_type(arguments);
    if (type == JSON_NONE || type == JSON_NULL)
        return mem_strdup("{}");
    char *text = json_strdup(arguments, NULL);
    return text ? text : raw_text(arguments);
}

/* NULL, or what is wrong. */
static const char *read_call(struct json_value value, struct chat_call *ret)
{
    struct json_value id = json_get(value, "id"), type = json_get(value, "type");
    struct json_value function = json_get(value, "function");
    if (json_type(id) != JSON_STRING)
        return "a call without an id";
    if (json_type(type) != JSON_NONE && json_type(type) != JSON_NULL &&
        !json_equals(type, "function"))
        return "a call of something else than a function";
    if (json_type(function) != JSON_OBJECT)
        return "a call that doesn't say of which function";
    char *name = json_strdup(json_get(function, "name"), NULL);
    *ret = (struct chat_call){
        .id = raw_text(id),
        .name = name ? name : mem_strdup(""),
        .arguments = read_arguments(json_get(function, "arguments")),
    };
    return NULL;
}

/* The same characters, however they are escaped. */
static bool is_same_string(struct json_value a, struct json_value b)
{
    char *text = json_strdup(a, NULL);
    size_t a_length, b_length;
    const char *a_raw = json_raw(a, &a_length), *b_raw = json_raw(b, &b_length);
    bool same =
        text ? json_equals(b, text) : a_length == b_length && memcmp(a_raw, b_raw, a_length) == 0;
    free(text);
    return same;
}

static bool has_id_before(struct json_value calls, struct json_value id, size_t count)
{
    struct json_iter it = json_iter(calls);
    for (size_t i = 0; i < count && json_next(&it); i++)
        if (is_same_string(id, json_get(it.value, "id")))
            return true;
    return false;
}

static const char *read_each(struct json_value calls, struct chat_call *ret, size_t *ret_count)
{
    for (struct json_iter it = json_iter(calls); json_next(&it);) {
        const char *wrong = read_call(it.value, &ret[*ret_count]);
        if (wrong)
            return wrong;
        ++*ret_count;
        if (has_id_before(calls, json_get(it.value, "id"), *ret_count - 1))
            return "two calls with the same id";
    }
    return NULL;
}

int chat_open_calls(struct json_value message, struct chat_call **ret, size_t *ret_count,
                    char **ret_error)
{
    struct json_value calls = json_get(message, "tool_calls");
    enum json_type type = json_type(calls);
    size_t count = json_size(calls);
    *ret = NULL;
    *ret_count = 0;
    if (type != JSON_NONE && type != JSON_NULL && type != JSON_ARRAY) {
        *ret_error = mem_format("tool_calls is no array");
        return -1;
    }
    if (count > CHAT_CALLS_MAX) {
        *ret_error = mem_format("%zu calls at once, at most %d are made", count, CHAT_CALLS_MAX);
        return -1;
    }
    if (count == 0)
        return 0;
    *ret = mem_alloc(count * sizeof(**ret));
    const char *wrong = read_each(calls, *ret, ret_count);
    if (!wrong)
        return 0;
    *ret_error = mem_strdup(wrong);
    chat_calls_free(*ret, *ret_count);
    *ret = NULL;
    *ret_count = 0;
    return -1;
}

size_t chat_read_calls(const char *message, struct chat_call **ret)
{
    size_t count;
    char *error = NULL;
    struct json *doc = json_parse(message, strlen(message), (struct json_limits){0}, NULL);
    chat_open_calls(json_root(doc), ret, &count, &error);
    free(error);
    json_free(doc);
    return count;
}

void chat_calls_free(struct chat_call *calls, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        free(calls[i].id);
        free(calls[i].name);
        free(calls[i].arguments);
    }
    free(calls);
}

const char *chat_role(const char *message)
{
    static const char *const roles[] = {"user", "assistant", "tool"};
    const char *found = "";
    struct json *doc = json_parse(message, strlen(message), (struct json_limits){0}, NULL);
    for (size_t i = 0; i < sizeof(roles) / sizeof(roles[0]); i++)
        if (json_equals(json_get(json_root(doc), "role"), roles[i]))
            found = roles[i];
    json_free(doc);
    return found;
}

void chat_reply_free(struct chat_reply *reply)
{
    free(reply->message);
    free(reply->text);
    chat_calls_free(reply->calls, reply->call_count);
    free(reply->error);
    *reply = (struct chat_reply){.kind = CHAT_FAILED};
}
