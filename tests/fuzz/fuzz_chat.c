/* What holds of a chat model's answers, whatever bytes they are. The first byte chooses the status,
 * the second the wait that the server asks for. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/agent/chat.h"
#include "proto/line.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
    if (!holds)
        abort();
}

static void check_error(const struct chat_reply *reply)
{
    require((reply->error != NULL) == (reply->kind >= CHAT_REFUSED));
    if (!reply->error)
        return;
    size_t length = strlen(reply->error);
    require(length <= 400 && utf8_valid_prefix(reply->error, length) == length);
    for (const char *c = reply->error; *c; c++)
        require((unsigned char)*c >= 0x20 && *c != 0x7f);
}

static void check_members(const struct chat_reply *reply, int status)
{
    bool success = status >= 200 && status <= 299;
    require(reply->kind < CHAT_KINDS);
    require((reply->kind == CHAT_CALLS) == (reply->call_count > 0));
    require((reply->call_count > 0) == (reply->calls != NULL));
    require(reply->call_count <= CHAT_CALLS_MAX);
    require(reply->tokens >= 0 && reply->wait_ms >= 0);
    require(reply->wait_ms == 0 || reply->kind == CHAT_AGAIN);
    require(success || reply->kind == CHAT_AGAIN || reply->kind == CHAT_FAILED);
    require(reply->kind != CHAT_ANSWER || reply->text);
    require(reply->kind != CHAT_EMPTY || !reply->text);
    require(!reply->text || *reply->text);
    bool kept = reply->kind == CHAT_ANSWER || reply->kind == CHAT_CALLS;
    require(!kept || reply->message);
    require(!reply->message || kept || (reply->kind == CHAT_TRUNCATED && reply->text));
}

static void check_calls(const struct chat_reply *reply)
{
    struct chat_call *calls;
    size_t count = chat_read_calls(reply->message, &calls);
    require(count == reply->call_count);
    for (size_t i = 0; i < count; i++) {
        require(strcmp(calls[i].id, reply->calls[i].id) == 0);
        require(strcmp(calls[i].name, reply->calls[i].name) == 0);
        require(strcmp(calls[i].arguments, reply->calls[i].arguments) == 0);
    }
    chat_calls_free(calls, count);
}

static struct json *parse(const char *text, size_t length)
{
    /* The tools and the other messages need a few tokens more than the answer had. */
    struct json *doc = json_parse(text, length, (struct json_limits){.tokens = 1u << 20}, NULL);
    require(doc != NULL);
    return doc;
}

static void require_raw(struct json_value value, const char *text)
{
    size_t length;
    const char *raw = json_raw(value, &length);
    require(raw && length == strlen(text) && memcmp(raw, text, length) == 0);
}

/* The conversation goes on: the message stands in the next request as it came, and each of its
 * calls is answered under its id. */
static void check_request(const struct chat_reply *reply)
{
    char *messages[2 + CHAT_CALLS_MAX];
    size_t count = 0;
    messages[count++] = chat_user_message(reply->text ? reply->text : "");
    messages[count++] = reply->message;
    for (size_t i = 0; i < reply->call_count; i++)
        messages[count++] = chat_tool_message(&reply->calls[i], reply->calls[i].arguments);
    const struct chat_request request = {.model = "m",
                                         .system_prompt = "s",
                                         .temperature = "0.7",
                                         .messages = messages,
                                         .message_count = count};
    struct buf body;
    buf_init(&body, 1 << 24);
    chat_write_request(&request, &body);
    require(!body.failed);
    struct json *doc = parse(body.data, body.length);
    struct json_value written = json_get(json_root(doc), "messages");
    require(json_size(written) == count + 1);
    require_raw(json_at(written, 2), reply->message);
    for (size_t i = 0; i < reply->call_count; i++)
        require_raw(json_get(json_at(written, 3 + i), "tool_call_id"), reply->calls[i].id);
    json_free(doc);
    buf_free(&body);
    for (size_t i = 0; i < count; i++)
        if (messages[i] != reply->message)
            free(messages[i]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const int statuses[] = {200, 200, 200, 200, 200, 201, 0,   302,
                                   400, 404, 408, 429, 429, 500, 503, 999};
    if (size < 2)
        return 0;
    struct chat_answer answer = {
        .status = statuses[data[0] % 16],
        .body = (const char *)data + 2,
        .length = size - 2,
        .retry_after_ms = data[1] - 1,
        .reason = "no connection",
        .model = data[1] % 2 ? "m" : NULL,
    };
    struct chat_reply reply;
    chat_read(&answer, &reply);
    check_members(&reply, answer.status);
    check_error(&reply);
    if (reply.message) {
        require(strcmp(chat_role(reply.message), "assistant") == 0);
        check_calls(&reply);
        check_request(&reply);
    }
    chat_reply_free(&reply);
    return 0;
}
