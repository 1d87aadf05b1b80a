#include <stdlib.h>
#include <string.h>

#include "proto/jsonw.h"
#include "tests/sim/reply.h"
#include "tests/sim/sim.h"

#define LIST_BYTES_MAX ((size_t)2 << 30)

static void write_keys(struct jsonw *w, const struct stats *stats)
{
    jsonw_name(w, "keys");
    jsonw_object(w);
    jsonw_member_uint(w, "header_ok", stats->key_header_ok);
    jsonw_member_uint(w, "in_url", stats->key_in_url);
    jsonw_member_uint(w, "missing", stats->key_missing);
    jsonw_member_uint(w, "wrong", stats->key_wrong);
    jsonw_member_uint(w, "foreign", stats->key_foreign);
    jsonw_object_end(w);
}

static void write_tokens(struct jsonw *w, const struct stats *stats)
{
    jsonw_name(w, "tokens");
    jsonw_object(w);
    jsonw_member_uint(w, "issued", stats->tokens_issued);
    jsonw_member_uint(w, "bearer_ok", stats->bearer_ok);
    jsonw_member_uint(w, "bearer_missing", stats->bearer_missing);
    jsonw_member_uint(w, "bearer_wrong", stats->bearer_wrong);
    jsonw_member_uint(w, "bearer_foreign", stats->bearer_foreign);
    jsonw_object_end(w);
}

static void write_counters(struct jsonw *w, const struct sim *sim)
{
    const struct stats *stats = &sim->stats;
    const struct {
        const char *name;
        uint64_t value;
    } counters[] = {
        {"submissions", stats->submissions},
        {"accepted", stats->accepted},
        {"refused", stats->refused},
        {"throttled", stats->throttled},
        {"duplicates", sim->operations.duplicates},
        {"polls", stats->polls},
        {"polls_after_end", stats->polls_after_end},
        {"files", stats->files},
        {"downloads", stats->downloads},
        {"downloads_complete", stats->downloads_complete},
        {"bytes_sent", stats->bytes_sent},
        {"cancels", stats->cancels},
        {"requests", stats->requests},
        {"foreign_requests", stats->foreign_requests},
        {"running", sim->operations.running},
        {"max_running", sim->operations.max_running},
        {"chat_requests", stats->chat_requests},
        {"chat_refused", stats->chat_refused},
        {"chat_altered", stats->chat_altered},
        {"chat_unsigned", stats->chat_unsigned},
        {"chat_now", stats->chat_now},
        {"chat_now_max", stats->chat_now_max},
        {"port", sim->options.port},
        {"foreign_port", sim->options.foreign_port},
    };
    for (size_t i = 0; i < sizeof(counters) / sizeof(*counters); i++) {
        jsonw_member_uint(w, counters[i].name, counters[i].value);
    }
}

static void write_files(struct jsonw *w, const struct operation *operation)
{
    jsonw_name(w, "files");
    jsonw_array(w);
    for (unsigned i = 0; i < operation->samples; i++) {
        jsonw_string(w, operation->files[i].id);
    }
    jsonw_array_end(w);
}

static void write_operation(struct jsonw *w, const struct operation *operation)
{
    static const char *const dialects[] = {"interactions", "predict", "vertex", "videos"};
    jsonw_object(w);
    jsonw_member_string(w, "name", operation->name);
    jsonw_member_string(w, "prompt", operation->prompt);
    jsonw_member_string(w, "model", operation->model);
    jsonw_member_string(w, "dialect", dialects[operation->dialect]);
    jsonw_member_string(w, "path", operation->path);
    if (operation->body) {
        jsonw_name(w, "body");
        jsonw_raw(w, operation->body, operation->body_length);
    }
    jsonw_member_uint(w, "body_bytes", operation->body_bytes);
    jsonw_name(w, "inputs");
    inputs_write(w, operation->inputs.list, operation->inputs.count);
    jsonw_member_int(w, "submitted_at", operation->submitted_at);
    if (operation->ended) {
        jsonw_member_int(w, "finished_at", operation->finished_at);
    }
    jsonw_member_uint(w, "polls", operation->polls);
    if (operation->first_poll_at) {
        jsonw_member_int(w, "first_poll_after_ms",
                         operation->first_poll_at - operation->submitted_at);
    }
    jsonw_member_uint(w, "downloads", operation->downloads);
    jsonw_member_bool(w, "cancelled", operation->cancelled);
    jsonw_member_bool(w, "deleted", operation->deleted);
    write_files(w, operation);
    jsonw_object_end(w);
}

void stats_serve(struct exchange *exchange)
{
    const struct sim *sim = exchange->sim;
    struct buf json;
    struct jsonw w;
    buf_init(&json, REPLY_BYTES_MAX);
    jsonw_init(&w, &json);
    jsonw_object(&w);
    jsonw_member_string(&w, "simulator", SIM_NAME);
    write_counters(&w, sim);
    jsonw_name(&w, "connections");
    jsonw_object(&w);
    jsonw_member_uint(&w, "total", sim->stats.connections);
    jsonw_member_uint(&w, "now", sim->stats.connections_now);
    jsonw_object_end(&w);
    write_keys(&w, &sim->stats);
    write_tokens(&w, &sim->stats);
    jsonw_object_end(&w);
    reply_json(&exchange->reply, 200, &json);
}

void stats_serve_operations(struct exchange *exchange)
{
    const struct operations *operations = &exchange->sim->operations;
    const char *prompt = exchange_argument(exchange, "prompt");
    const char *limit = exchange_argument(exchange, "limit");
    size_t left = limit ? strtoul(limit, NULL, 10) : SIZE_MAX;
    struct buf json;
    struct jsonw w;
    buf_init(&json, LIST_BYTES_MAX);
    jsonw_init(&w, &json);
    jsonw_array(&w);
    for (size_t i = 0; i < operations->count && left > 0; i++) {
        if (!prompt || strstr(operations->all[i]->prompt, prompt)) {
            write_operation(&w, operations->all[i]);
            left--;
        }
    }
    jsonw_array_end(&w);
    if (json.failed) {
        buf_free(&json);
        reply_error(exchange, 500, NULL, "veosim: too much to show; give a limit");
        return;
    }
    reply_json(&exchange->reply, 200, &json);
}

void stats_serve_reset(struct exchange *exchange)
{
    struct sim *sim = exchange->sim;
    uint64_t now = sim->stats.connections_now;
    uint64_t chats = sim->stats.chat_now;
    operations_reset(&sim->operations);
    quotas_clear(&sim->quotas);
    chat_log_clear(&sim->chats);
    sim->stats = (struct stats){
        .connections = now, .connections_now = now, .chat_now = chats, .chat_now_max = chats};
    reply_text(&exchange->reply, 200, "application/json; charset=UTF-8", "{}\n");
}
