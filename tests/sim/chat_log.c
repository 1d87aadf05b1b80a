#include "tests/sim/chat_log.h"

#include <stdlib.h>
#include <string.h>

#include "proto/mem.h"
#include "tests/sim/chat_talk.h"
#include "tests/sim/reply.h"
#include "tests/sim/sim.h"

#define RECORDS_MAX   2000
#define RECORDS_BYTES ((size_t)64 << 20)
#define SERVED_MAX    20000
#define LIST_BYTES    ((size_t)256 << 20)

struct chat_record {
    struct chat_record *next;
    char *prompt; /* the last user message; NULL: none */
    char *json;   /* the object that is shown */
    size_t length;
};

struct chat_served {
    char digest[65];
    int64_t count;
};

static void free_record(struct chat_record *record)
{
    free(record->prompt);
    free(record->json);
    free(record);
}

static void drop_first(struct chats *chats)
{
    struct chat_record *first = chats->first;
    chats->first = first->next;
    chats->last = chats->first ? chats->last : NULL;
    chats->count--;
    chats->bytes -= first->length;
    free_record(first);
}

static void forget_served(struct chats *chats)
{
    index_free(&chats->by_digest);
    free(chats->served);
    chats->served = NULL;
    chats->served_count = 0;
}

void chat_log_clear(struct chats *chats)
{
    while (chats->first) {
        drop_first(chats);
    }
    forget_served(chats);
}

static void write_raw(struct jsonw *w, const char *name, struct json_value value)
{
    size_t length;
    const char *raw = json_raw(value, &length);
    if (raw) {
        jsonw_name(w, name);
        jsonw_raw(w, raw, length);
    }
}

static void write_tools(struct jsonw *w, const struct chat_talk *talk)
{
    jsonw_name(w, "tools");
    jsonw_array(w);
    for (size_t i = 0; i < talk->tool_count; i++) {
        jsonw_string(w, talk->tools[i]);
    }
    jsonw_array_end(w);
}

/* Absent if a rule or the script is to make the answer up. */
static void write_answer(struct jsonw *w, const struct reply *reply)
{
    if (reply->status > 0) {
        jsonw_member_uint(w, "status", reply->status);
    }
    if (reply->status >= 400 && stream_is_text(&reply->body)) {
        jsonw_name(w, "answer");
        jsonw_raw(w, reply->body.pieces[0].text, (size_t)reply->body.length);
    }
}

static void write_record(struct jsonw *w, const struct exchange *exchange,
                         const struct chat_note *note, const struct chat_talk *talk)
{
    jsonw_object(w);
    jsonw_member_string(w, "route", note->route);
    jsonw_member_string(w, "path", exchange->path);
    jsonw_member_string(w, "model", talk->model);
    write_raw(w, "temperature", note->temperature);
    write_raw(w, "max_tokens", note->max_tokens);
    jsonw_member_bool(w, "stream", talk->stream);
    jsonw_member_bool(w, "may_call", talk->may_call);
    jsonw_member_uint(w, "count", json_size(note->messages));
    jsonw_member_string(w, "last_role", note->last_role);
    jsonw_member_string(w, "prompt", talk->user);
    jsonw_member_uint(w, "step", talk->step);
    jsonw_member_uint(w, "altered", note->altered);
    write_tools(w, talk);
    write_answer(w, &exchange->reply);
    write_raw(w, "messages", note->messages);
    jsonw_object_end(w);
}

void chat_log_add(struct exchange *exchange, const struct chat_note *note,
                  const struct chat_talk *talk)
{
    struct chats *chats = &exchange->sim->chats;
    struct buf json;
    struct jsonw w;
    buf_init(&json, RECORDS_BYTES);
    jsonw_init(&w, &json);
    write_record(&w, exchange, note, talk);
    if (json.failed) {
        buf_free(&json);
        return;
    }
    struct chat_record *record = mem_alloc(sizeof(*record));
    record->prompt = mem_strdup(talk->user);
    record->length = json.length;
    record->json = buf_steal(&json);
    *(chats->last ? &chats->last->next : &chats->first) = record;
    chats->last = record;
    chats->count++;
    chats->bytes += record->length;
    while (chats->count > RECORDS_MAX || chats->bytes > RECORDS_BYTES) {
        drop_first(chats);
    }
}

int64_t *chat_log_served(struct chats *chats, const char *digest)
{
    struct chat_served *served = index_find(&chats->by_digest, digest);
    if (served) {
        return &served->count;
    }
    if (chats->served_count == SERVED_MAX) {
        forget_served(chats);
    }
    if (!chats->served) {
        chats->served = mem_alloc(SERVED_MAX * sizeof(*chats->served));
    }
    served = &chats->served[chats->served_count++];
    memcpy(served->digest, digest, sizeof(served->digest));
    index_add(&chats->by_digest, served->digest, served);
    return &served->count;
}

void chat_log_serve(struct exchange *exchange)
{
    const struct chats *chats = &exchange->sim->chats;
    const char *prompt = exchange_argument(exchange, "prompt");
    const char *limit = exchange_argument(exchange, "limit");
    size_t skip = limit ? strtoul(limit, NULL, 10) : SIZE_MAX;
    skip = skip < chats->count ? chats->count - skip : 0;
    struct buf json;
    struct jsonw w;
    buf_init(&json, LIST_BYTES);
    jsonw_init(&w, &json);
    jsonw_array(&w);
    for (const struct chat_record *record = chats->first; record; record = record->next) {
        bool wanted = !prompt || (record->prompt && strstr(record->prompt, prompt));
        if (skip > 0) {
            skip--;
        } else if (wanted) {
            jsonw_raw(&w, record->json, record->length);
        }
    }
    jsonw_array_end(&w);
    reply_json(&exchange->reply, 200, &json);
}
