#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/mem.h"
#include "tests/sim/chat.h"
#include "tests/sim/chat_sign.h"
#include "tests/sim/reply.h"
#include "tests/sim/sim.h"

#define TYPE_EVENTS "text/event-stream"
#define SEAL_OPENS  "\"seal\":\""
#define SEAL_ENDS   "\"}}"

/* One answer under way. */
struct answer {
    struct exchange *exchange;
    const struct chat_talk *talk;
    const struct chat_thought *thought;
    struct chat_mint mint;
    bool google;
    int64_t created;
};

static void write_id(struct jsonw *w, const struct answer *answer, size_t index)
{
    const struct chat_call *call = &answer->thought->calls[index];
    const char *nonce = answer->mint.nonce;
    char *own = call->id         ? mem_strdup(call->id)
                : answer->google ? mem_format("function-call-%.16s%zu", nonce, index)
                                 : mem_format("call_%.20s%zu", nonce, index);
    if (answer->google || index > 0) {
        jsonw_member_string(w, "id", own);
    } else {
        char *signature = chat_sign(nonce, answer->talk->model, call->name);
        char *id = mem_format("%s" CHAT_ID_SIGNATURE "%s", own, signature);
        jsonw_member_string(w, "id", id);
        free(id);
        free(signature);
    }
    free(own);
}

static void write_extra(struct jsonw *w, const struct answer *answer, const char *function)
{
    char *signature = chat_sign(answer->mint.nonce, answer->talk->model, function);
    jsonw_name(w, "extra_content");
    jsonw_object(w);
    jsonw_name(w, "google");
    jsonw_object(w);
    jsonw_member_string(w, "thought_signature", signature);
    jsonw_object_end(w);
    jsonw_object_end(w);
    free(signature);
}

static void write_call(struct jsonw *w, const struct answer *answer, size_t index, bool in_delta)
{
    const struct chat_call *call = &answer->thought->calls[index];
    jsonw_object(w);
    if (in_delta) {
        jsonw_member_uint(w, "index", index);
    }
    write_id(w, answer, index);
    jsonw_member_string(w, "type", "function");
    if (answer->google && index == 0) {
        write_extra(w, answer, call->name);
    }
    jsonw_name(w, "function");
    jsonw_object(w);
    jsonw_member_string(w, "name", call->name);
    jsonw_member_string(w, "arguments", call->arguments);
    jsonw_object_end(w);
    jsonw_object_end(w);
}

static void write_null(struct jsonw *w, const char *name)
{
    jsonw_name(w, name);
    jsonw_raw(w, "null", 4);
}

/* The members of a message, or of a delta that has all of it. */
static void write_words(struct jsonw *w, const struct answer *answer, bool in_delta)
{
    const struct chat_thought *thought = answer->thought;
    jsonw_member_string(w, "role", "assistant");
    if (thought->kind == CHAT_SAY && thought->text) {
        jsonw_member_string(w, "content", thought->text);
    } else if (!answer->google || thought->kind == CHAT_REFUSE) {
        write_null(w, "content");
    }
    if (thought->kind == CHAT_REFUSE) {
        jsonw_member_string(w, "refusal", thought->text);
    }
    if (thought->call_count == 0) {
        return;
    }
    jsonw_name(w, "tool_calls");
    jsonw_array(w);
    for (size_t i = 0; i < thought->call_count; i++) {
        write_call(w, answer, i, in_delta);
    }
    jsonw_array_end(w);
}

/* Spelled so that whoever writes it anew is found out: members that nobody knows, white space, a
 * number that can be written otherwise. The seal is of all that comes before it. */
static void write_message(struct jsonw *w, const struct answer *answer)
{
    char seal[CHAT_SEAL + 1];
    jsonw_name(w, "message");
    size_t begin = w->out->length;
    jsonw_object(w);
    write_words(w, answer, false);
    buf_add_text(w->out,
                 " ,\"annotations\" : [ ],\n  \"x_sim\": {\"n\" :1.0e0,\"\\u006d\":-0," SEAL_OPENS);
    const char *text = buf_text(w->out);
    chat_seal(text + begin, w->out->length - begin, seal);
    buf_addf(w->out, "%s" SEAL_ENDS, seal);
    w->needs_comma = true;
}

bool chat_is_sealed(struct json_value message)
{
    const size_t end = CHAT_SEAL + sizeof(SEAL_ENDS) - 1;
    const size_t opens = sizeof(SEAL_OPENS) - 1;
    size_t length;
    char seal[CHAT_SEAL + 1];
    const char *raw = json_raw(message, &length);
    if (length < end + opens || memcmp(raw + length - end - opens, SEAL_OPENS, opens) != 0) {
        return false;
    }
    chat_seal(raw, length - end, seal);
    return memcmp(raw + length - end, seal, CHAT_SEAL) == 0;
}

static const char *finish_of(const struct chat_thought *thought)
{
    return thought->finish                ? thought->finish
           : thought->kind == CHAT_REFUSE ? "content_filter"
           : thought->call_count > 0      ? "tool_calls"
                                          : "stop";
}

static void write_head(struct jsonw *w, const struct answer *answer, bool is_chunk)
{
    char id[40];
    snprintf(id, sizeof(id), "chatcmpl-%.24s", answer->mint.nonce + 20);
    jsonw_object(w);
    jsonw_member_string(w, "id", id);
    jsonw_member_string(w, "object", is_chunk ? "chat.completion.chunk" : "chat.completion");
    jsonw_member_int(w, "created", answer->created);
    jsonw_member_string(w, "model", answer->talk->model);
    jsonw_name(w, "choices");
    jsonw_array(w);
}

static void write_usage(struct jsonw *w, const struct answer *answer)
{
    const struct chat_mint *mint = &answer->mint;
    jsonw_name(w, "usage");
    jsonw_object(w);
    jsonw_member_int(w, "prompt_tokens", mint->prompt_tokens);
    jsonw_member_int(w, "completion_tokens", mint->answer_tokens);
    jsonw_member_int(w, "total_tokens", mint->prompt_tokens + mint->answer_tokens);
    jsonw_object_end(w);
}

static void write_whole(struct jsonw *w, const struct answer *answer)
{
    write_head(w, answer, false);
    jsonw_object(w);
    jsonw_member_int(w, "index", 0);
    write_message(w, answer);
    jsonw_member_string(w, "finish_reason", finish_of(answer->thought));
    jsonw_object_end(w);
    jsonw_array_end(w);
    write_usage(w, answer);
    jsonw_object_end(w);
}

enum chunk { CHUNK_WORDS, CHUNK_END, CHUNK_USAGE };

static void write_chunk(struct jsonw *w, const struct answer *answer, enum chunk chunk)
{
    buf_add_text(w->out, "data: ");
    write_head(w, answer, true);
    if (chunk != CHUNK_USAGE) {
        jsonw_object(w);
        jsonw_member_int(w, "index", 0);
        jsonw_name(w, "delta");
        jsonw_object(w);
        if (chunk == CHUNK_WORDS) {
            write_words(w, answer, true);
        }
        jsonw_object_end(w);
        jsonw_name(w, "finish_reason");
        if (chunk == CHUNK_END) {
            jsonw_string(w, finish_of(answer->thought));
        } else {
            jsonw_raw(w, "null", 4);
        }
        jsonw_object_end(w);
    }
    jsonw_array_end(w);
    if (chunk == CHUNK_USAGE) {
        write_usage(w, answer);
    }
    jsonw_object_end(w);
    buf_add_text(w->out, "\n\n");
    w->needs_comma = false;
}

static void write_events(struct jsonw *w, const struct answer *answer)
{
    write_chunk(w, answer, CHUNK_WORDS);
    write_chunk(w, answer, CHUNK_END);
    if (answer->talk->stream_usage) {
        write_chunk(w, answer, CHUNK_USAGE);
    }
    buf_add_text(w->out, "data: [DONE]\n\n");
}

static void write_answer(struct exchange *exchange, const struct chat_talk *talk,
                         const struct chat_thought *thought, bool google)
{
    const struct answer answer = {
        .exchange = exchange,
        .talk = talk,
        .thought = thought,
        .mint = chat_mint(exchange, talk, thought),
        .google = google,
        .created = unix_now_ms() / 1000,
    };
    struct buf json;
    struct jsonw w;
    buf_init(&json, REPLY_BYTES_MAX * 8);
    jsonw_init(&w, &json);
    if (talk->stream) {
        write_events(&w, &answer);
    } else {
        write_whole(&w, &answer);
    }
    reply_json(&exchange->reply, 200, &json);
    if (talk->stream) {
        exchange->reply.content_type = TYPE_EVENTS;
    }
}

void chat_write_google(struct exchange *exchange, const struct chat_talk *talk,
                       const struct chat_thought *thought)
{
    write_answer(exchange, talk, thought, true);
}

void chat_write_litellm(struct exchange *exchange, const struct chat_talk *talk,
                        const struct chat_thought *thought)
{
    write_answer(exchange, talk, thought, false);
}
