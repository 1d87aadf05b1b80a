/* Answers: OpenAI's chat.completion, and what Google's compatible endpoint and LiteLLM make of it.
 * Google hands some of its own finish reasons on, as they are or behind a word of its own
 * ("function_call_filter: MALFORMED_FUNCTION_CALL"). */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/agent/chat_internal.h"
#include "daemon/provider/provider.h"
#include "proto/mem.h"

#define LINE_MAX_BYTES 400
#define TOKENS_MAX     INT64_C(1000000000000)

enum finish { FINISH_PLAIN, FINISH_CALLS, FINISH_LENGTH, FINISH_FILTER, FINISH_BAD_CALL };

static const struct {
    const char *word; /* in any letter case; a colon and more may follow */
    enum finish finish;
} finishes[] = {
    {"tool_calls", FINISH_CALLS},
    {"function_call", FINISH_CALLS},
    {"length", FINISH_LENGTH},
    {"max_tokens", FINISH_LENGTH},
    {"content_filter", FINISH_FILTER},
    {"safety", FINISH_FILTER},
    {"recitation", FINISH_FILTER},
    {"blocklist", FINISH_FILTER},
    {"prohibited_content", FINISH_FILTER},
    {"spii", FINISH_FILTER},
    {"refusal", FINISH_FILTER},
    {"function_call_filter", FINISH_BAD_CALL},
    {"malformed_function_call", FINISH_BAD_CALL},
    {"unexpected_tool_call", FINISH_BAD_CALL},
    {"too_many_tool_calls", FINISH_BAD_CALL},
};

void chat_set_error(struct chat_reply *reply, enum chat_kind kind, const struct chat_answer *answer,
                    const char *format, ...)
{
    char status[32] = "";
    char *words = NULL;
    va_list list;
    va_start(list, format);
    if (vasprintf(&words, format, list) < 0)
        abort();
    va_end(list);
    if (answer->status)
        snprintf(status, sizeof(status), "HTTP %d%s", answer->status, *words ? ": " : "");
    char *line = mem_format("%s%s%s%s", answer->model ? answer->model : "",
                            answer->model ? ": " : "", status, words);
    reply->kind = kind;
    free(reply->error);
    reply->error = one_line(line, strlen(line), LINE_MAX_BYTES);
    free(line);
    free(words);
}

static enum finish read_finish(const char *word)
{
    for (size_t i = 0; word && i < sizeof(finishes) / sizeof(finishes[0]); i++) {
        size_t length = strlen(finishes[i].word);
        if (strncasecmp(word, finishes[i].word, length) == 0 &&
            (word[length] == '\0' || word[length] == ':'))
            return finishes[i].finish;
    }
    return FINISH_PLAIN;
}

static bool is_blank(const char *text)
{
    return !text[strspn(text, " \t\r\n")];
}

/* A part of `content`; thoughts and what else there may be are not for the user. */
static struct json_value part_text(struct json_value part, const char *member)
{
    struct json_value type = json_get(part, "type");
    bool fits = json_type(type) == JSON_NONE || json_equals(type, member) ||
                (strcmp(member, "text") == 0 && json_equals(type, "output_text"));
    return fits ? json_get(part, member) : (struct json_value){.doc = NULL, .token = -1};
}

/* The strings of a value that is one, or that has parts with such a `member`, in one. Fresh memory;
 * NULL if there is nothing to be seen in them. `ret_broken` is set where one holds U+0000. */
static char *read_words(struct json_value value, const char *member, bool *ret_broken)
{
    struct buf words;
    size_t most;
    bool bare = json_type(value) == JSON_STRING;
    json_raw(value, &most);
    buf_init(&words, most);
    struct json_iter it = json_iter(value);
    for (bool more = bare || json_next(&it); more; more = !bare && json_next(&it)) {
        struct json_value text = bare ? value : part_text(it.value, member);
        char *copy = json_strdup(text, NULL);
        *ret_broken |= !copy && json_type(text) == JSON_STRING;
        buf_add_text(&words, copy ? copy : "");
        free(copy);
    }
    char *all = buf_steal(&words);
    if (!is_blank(all))
        return all;
    free(all);
    return NULL;
}

static int64_t read_tokens(struct json_value usage)
{
    int64_t total = 0, prompt = 0, completion = 0;
    if (json_int(json_get(usage, "total_tokens"), 0, TOKENS_MAX, &total) == 0)
        return total;
    json_int(json_get(usage, "prompt_tokens"), 0, TOKENS_MAX, &prompt);
    json_int(json_get(usage, "completion_tokens"), 0, TOKENS_MAX, &completion);
    return prompt + completion;
}

static char *read_refusal(struct json_value message)
{
    bool broken = false;
    char *refusal = read_words(json_get(message, "refusal"), "refusal", &broken);
    if (!refusal && json_type(json_get(message, "content")) == JSON_ARRAY)
        refusal = read_words(json_get(message, "content"), "refusal", &broken);
    return refusal;
}

static bool is_refusal(struct json_value message, struct chat_reply *ret)
{
    char *refusal = read_refusal(message);
    if (!refusal)
        return false;
    ret->kind = CHAT_REFUSED;
    ret->error = one_line(refusal, strlen(refusal), LINE_MAX_BYTES);
    free(refusal);
    return true;
}

/* What a whole message comes to; its text is read. */
static void judge(const struct chat_answer *answer, struct json_value message, enum finish finish,
                  struct chat_reply *ret)
{
    char *wrong = NULL;
    if (chat_open_calls(message, &ret->calls, &ret->call_count, &wrong) < 0) {
        chat_set_error(ret, CHAT_MALFORMED, answer, "%s", wrong);
        free(wrong);
        return;
    }
    if (ret->call_count > 0) {
        ret->kind = CHAT_CALLS;
        return;
    }
    if (is_refusal(message, ret))
        return;
    if (finish == FINISH_CALLS || json_type(json_get(message, "function_call")) == JSON_OBJECT)
        chat_set_error(ret, CHAT_MALFORMED, answer,
                       "it wants to call a tool, and tool_calls is "
                       "empty");
    else
        ret->kind = ret->text ? CHAT_ANSWER : CHAT_EMPTY;
}

/* It goes back as it came, so it must be one that can. */
static void keep_message(const struct chat_answer *answer, struct json_value message,
                         struct chat_reply *ret)
{
    size_t length;
    const char *raw = json_raw(message, &length);
    bool worth = ret->kind == CHAT_CALLS || ret->text;
    if (ret->kind > CHAT_TRUNCATED || !worth)
        return;
    if (json_equals(json_get(message, "role"), "assistant")) {
        ret->message = mem_strndup(raw, length);
        return;
    }
    chat_calls_free(ret->calls, ret->call_count);
    ret->calls = NULL;
    ret->call_count = 0;
    chat_set_error(ret, CHAT_MALFORMED, answer, "a message whose role is not \"assistant\"");
}

static void read_message(const struct chat_answer *answer, struct json_value message,
                         enum finish finish, struct chat_reply *ret)
{
    bool broken = false;
    ret->text = read_words(json_get(message, "content"), "text", &broken);
    if (broken)
        chat_set_error(ret, CHAT_MALFORMED, answer, "a text with the character U+0000");
    else if (finish == FINISH_LENGTH)
        ret->kind = CHAT_TRUNCATED;
    else
        judge(answer, message, finish, ret);
    /* What was cut may have been cut within a call. */
    if (finish != FINISH_LENGTH || json_size(json_get(message, "tool_calls")) == 0)
        keep_message(answer, message, ret);
}

static void read_choice(const struct chat_answer *answer, struct json_value choice,
                        struct chat_reply *ret)
{
    struct json_value message = json_get(choice, "message");
    char *word = json_strdup(json_get(choice, "finish_reason"), NULL);
    enum finish finish = read_finish(word);
    if (finish == FINISH_FILTER) {
        bool broken = false;
        ret->text = read_words(json_get(message, "content"), "text", &broken);
        chat_set_error(ret, CHAT_REFUSED, answer, "a filter stopped the answer (%s)", word);
    } else if (finish == FINISH_BAD_CALL)
        chat_set_error(ret, CHAT_MALFORMED, answer, "the model garbled its call (%s)", word);
    else if (json_type(message) != JSON_OBJECT)
        chat_set_error(ret, CHAT_MALFORMED, answer, "a choice without a message");
    else
        read_message(answer, message, finish, ret);
    free(word);
}

/* Why the request was not even tried; in fresh memory, NULL if it doesn't say. */
static char *block_reason(struct json_value root)
{
    static const char *const paths[] = {
        "promptFeedback.blockReason",
        "prompt_feedback.block_reason",
        "prompt_feedback.blockReason",
    };
    char *reason = NULL;
    for (size_t i = 0; !reason && i < sizeof(paths) / sizeof(paths[0]); i++)
        reason = json_strdup(json_path(root, paths[i]), NULL);
    return reason;
}

/* An error behind a 2xx, as some gateways send it, is what its own number says. */
static void read_hidden_error(const struct chat_answer *answer, struct json_value root,
                              struct chat_reply *ret)
{
    struct json_value error =
        json_get(json_type(root) == JSON_ARRAY ? json_at(root, 0) : root, "error");
    struct chat_answer own = *answer;
    int64_t number = 0;
    char *digits = json_strdup(json_get(error, "code"), NULL);
    if (digits)
        number = strtol(digits, NULL, 10);
    free(digits);
    json_int(json_get(error, "code"), 400, 599, &number);
    if (number >= 400 && number <= 599) {
        own.status = (int)number;
        chat_read_error(&own, ret);
        return;
    }
    char *words = chat_error_words(answer);
    chat_set_error(ret, CHAT_MALFORMED, answer, "not a chat completion%s%s", *words ? ": " : "",
                   words);
    free(words);
}

static void read_completion(const struct chat_answer *answer, struct json_value root,
                            struct chat_reply *ret)
{
    struct json_value choices = json_get(root, "choices");
    char *reason = block_reason(root);
    ret->tokens = read_tokens(json_get(root, "usage"));
    if (json_type(json_at(choices, 0)) == JSON_OBJECT)
        read_choice(answer, json_at(choices, 0), ret);
    else if (reason)
        chat_set_error(ret, CHAT_REFUSED, answer, "a filter stopped the request (%s)", reason);
    else if (json_type(choices) == JSON_ARRAY)
        chat_set_error(ret, CHAT_MALFORMED, answer, "a chat completion without a choice");
    else
        read_hidden_error(answer, root, ret);
    free(reason);
}

static void read_success(const struct chat_answer *answer, struct chat_reply *ret)
{
    struct error error = {.code = ERROR_NONE};
    struct json *doc = json_parse(answer->body ? answer->body : "", answer->length,
                                  (struct json_limits){0}, &error);
    if (doc) {
        read_completion(answer, json_root(doc), ret);
        json_free(doc);
        return;
    }
    char *words = chat_error_words(answer);
    chat_set_error(ret, CHAT_MALFORMED, answer, "not JSON%s%s", *words ? ": " : ", but nothing",
                   words);
    free(words);
}

void chat_read(const struct chat_answer *answer, struct chat_reply *ret)
{
    *ret = (struct chat_reply){.kind = CHAT_FAILED};
    if (answer->status >= 200 && answer->status <= 299)
        read_success(answer, ret);
    else
        chat_read_error(answer, ret);
}
