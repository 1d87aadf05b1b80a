#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/mem.h"
#include "tests/sim/chat_sign.h"
#include "tests/sim/content.h"
#include "tests/sim/reply.h"
#include "tests/sim/sim.h"

#define TYPE_EVENTS "text/event-stream"

struct answer {
    const struct chat_talk *talk;
    const struct chat_thought *thought;
    struct chat_mint mint;
    bool malformed; /* its calls can't be written */
};

/* Here arguments are no text, but an object. */
static bool is_object(const char *text)
{
    struct json *doc = json_parse(text, strlen(text), (struct json_limits){0}, NULL);
    bool object = doc && json_type(json_root(doc)) == JSON_OBJECT;
    json_free(doc);
    return object;
}

static void write_call(struct jsonw *w, const struct answer *answer, size_t index)
{
    const struct chat_call *call = &answer->thought->calls[index];
    const char *nonce = answer->mint.nonce;
    char *id = call->id ? mem_strdup(call->id) : mem_format("%.8s%zu", nonce, index);
    jsonw_object(w);
    jsonw_name(w, "functionCall");
    jsonw_object(w);
    jsonw_member_string(w, "id", id);
    jsonw_member_string(w, "name", call->name);
    jsonw_name(w, "args");
    jsonw_raw(w, call->arguments, strlen(call->arguments));
    jsonw_object_end(w);
    if (index == 0) {
        char *signature = chat_sign(nonce, answer->talk->model, call->name);
        jsonw_member_string(w, "thoughtSignature", signature);
        free(signature);
    }
    jsonw_object_end(w);
    free(id);
}

static void write_parts(struct jsonw *w, const struct answer *answer)
{
    const struct chat_thought *thought = answer->thought;
    jsonw_name(w, "parts");
    jsonw_array(w);
    if (thought->text) {
        jsonw_object(w);
        jsonw_member_string(w, "text", thought->text);
        jsonw_object_end(w);
    }
    for (size_t i = 0; i < thought->call_count; i++) {
        write_call(w, answer, i);
    }
    jsonw_array_end(w);
}

static const char *finish_of(const struct answer *answer)
{
    static const struct {
        const char *word;
        const char *reason;
    } reasons[] = {{"stop", "STOP"},
                   {"tool_calls", "STOP"},
                   {"length", "MAX_TOKENS"},
                   {"content_filter", "SAFETY"}};
    const char *finish = answer->thought->finish ? answer->thought->finish : "stop";
    for (size_t i = 0; i < sizeof(reasons) / sizeof(*reasons); i++) {
        if (strcmp(reasons[i].word, finish) == 0) {
            finish = reasons[i].reason;
        }
    }
    return answer->malformed ? "MALFORMED_FUNCTION_CALL" : finish;
}

static void write_candidate(struct jsonw *w, const struct answer *answer, bool words, bool end)
{
    bool speaks = words && answer->thought->kind == CHAT_SAY && !answer->malformed;
    jsonw_name(w, "candidates");
    jsonw_array(w);
    jsonw_object(w);
    jsonw_name(w, "content");
    jsonw_object(w);
    if (speaks) {
        write_parts(w, answer);
    }
    jsonw_member_string(w, "role", "model");
    jsonw_object_end(w);
    if (end) {
        jsonw_member_string(w, "finishReason", finish_of(answer));
    }
    if (end && answer->malformed) {
        jsonw_member_string(w, "finishMessage", answer->thought->calls[0].arguments);
    }
    jsonw_member_int(w, "index", 0);
    jsonw_object_end(w);
    jsonw_array_end(w);
}

static void write_feedback(struct jsonw *w)
{
    jsonw_name(w, "promptFeedback");
    jsonw_object(w);
    jsonw_member_string(w, "blockReason", "PROHIBITED_CONTENT");
    jsonw_object_end(w);
}

static void write_usage(struct jsonw *w, const struct chat_mint *mint)
{
    jsonw_name(w, "usageMetadata");
    jsonw_object(w);
    jsonw_member_int(w, "promptTokenCount", mint->prompt_tokens);
    jsonw_member_int(w, "candidatesTokenCount", mint->answer_tokens);
    jsonw_member_int(w, "totalTokenCount", mint->prompt_tokens + mint->answer_tokens);
    jsonw_object_end(w);
}

static void write_object(struct jsonw *w, const struct answer *answer, bool words, bool end)
{
    char id[32];
    snprintf(id, sizeof(id), "%.22s", answer->mint.nonce + 20);
    jsonw_object(w);
    if (answer->thought->kind == CHAT_REFUSE) {
        write_feedback(w);
    } else {
        write_candidate(w, answer, words, end);
    }
    write_usage(w, &answer->mint);
    jsonw_member_string(w, "modelVersion", answer->talk->model);
    jsonw_member_string(w, "responseId", id);
    jsonw_object_end(w);
}

/* All that is said, and then that it is all. */
static void write_stream(struct jsonw *w, const struct answer *answer, bool events)
{
    for (int i = 0; i < 2; i++) {
        buf_add_text(w->out, events ? "data: " : i == 0 ? "[" : ",\r\n");
        w->needs_comma = false;
        write_object(w, answer, i == 0, i == 1);
        buf_add_text(w->out, events ? "\r\n\r\n" : "");
    }
    buf_add_text(w->out, events ? "" : "]");
}

void content_write(struct exchange *exchange, const struct chat_talk *talk,
                   const struct chat_thought *thought)
{
    const char *alt = exchange_argument(exchange, "alt");
    bool events = talk->stream && alt && strcmp(alt, "sse") == 0;
    struct answer answer = {
        .talk = talk, .thought = thought, .mint = chat_mint(exchange, talk, thought)};
    for (size_t i = 0; i < thought->call_count; i++) {
        answer.malformed = answer.malformed || !is_object(thought->calls[i].arguments);
    }
    struct buf json;
    struct jsonw w;
    buf_init(&json, REPLY_BYTES_MAX * 8);
    jsonw_init(&w, &json);
    if (talk->stream) {
        write_stream(&w, &answer, events);
    } else {
        write_object(&w, &answer, true, true);
    }
    reply_json(&exchange->reply, 200, &json);
    if (events) {
        exchange->reply.content_type = TYPE_EVENTS;
    }
}
