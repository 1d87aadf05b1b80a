/* STATS, HELLO, HELP, PING, QUIT: about veod itself. */
#include "daemon/cmd/call.h"
#include "daemon/io/blob.h"
#include "proto/limits.h"

#define PACES_MAX 64 /* shown */

static const char *const no_members[] = {NULL};

static void write_states(struct jsonw *w, const struct engine_stats *engine)
{
    jsonw_name(w, "states");
    jsonw_object(w);
    for (int i = 0; i < JOB_STATE_COUNT; i++)
        jsonw_member_uint(w, job_state_name((enum job_state)i), engine->states[i]);
    jsonw_object_end(w);
}

static void write_http(struct jsonw *w, const struct http_stats *http)
{
    jsonw_name(w, "http");
    jsonw_object(w);
    jsonw_member_uint(w, "calls", http->requests[HTTP_CALLS]);
    jsonw_member_uint(w, "calls_waiting", http->waiting[HTTP_CALLS]);
    jsonw_member_uint(w, "transfers", http->requests[HTTP_TRANSFERS]);
    jsonw_member_uint(w, "transfers_waiting", http->waiting[HTTP_TRANSFERS]);
    jsonw_member_uint(w, "uploads", http->requests[HTTP_UPLOADS]);
    jsonw_member_uint(w, "uploads_waiting", http->waiting[HTTP_UPLOADS]);
    jsonw_member_uint(w, "uploads_active", http->active[HTTP_UPLOADS]);
    jsonw_member_uint(w, "chats", http->requests[HTTP_CHATS]);
    jsonw_member_uint(w, "chats_waiting", http->waiting[HTTP_CHATS]);
    jsonw_member_uint(w, "chats_active", http->active[HTTP_CHATS]);
    jsonw_member_uint(w, "connections", http->connections);
    jsonw_object_end(w);
}

static void write_store(struct jsonw *w, const struct store_stats *store)
{
    jsonw_name(w, "store");
    jsonw_object(w);
    jsonw_member_uint(w, "commits", store->commits);
    jsonw_member_uint(w, "writes", store->writes);
    jsonw_member_uint(w, "failed_commits", store->failed_commits);
    jsonw_member_double(
        w, "commit_ms_mean",
        store->commits ? (double)store->commit_us_total / (double)store->commits / 1000 : 0);
    jsonw_member_double(w, "commit_ms_max", (double)store->commit_us_max / 1000);
    jsonw_object_end(w);
}

static void write_paces(struct jsonw *w, const struct engine *engine)
{
    struct engine_pace pace;
    jsonw_name(w, "providers");
    jsonw_array(w);
    for (size_t i = 0; i < PACES_MAX && engine_pace(engine, i, &pace); i++) {
        jsonw_object(w);
        jsonw_member_string(w, "name", pace.provider);
        jsonw_member_string(w, "model", pace.model);
        jsonw_member_uint(w, "in_flight", pace.in_flight);
        if (pace.per_minute > 0)
            jsonw_member_double(w, "rate_per_minute", pace.per_minute);
        jsonw_member_time(w, "shut_until", pace.shut_until);
        jsonw_object_end(w);
    }
    jsonw_array_end(w);
}

static void write_spend(struct jsonw *w, const struct budget *budget)
{
    struct budget_state all;
    budget_all(budget, &all);
    jsonw_name(w, "spend");
    jsonw_object(w);
    jsonw_member_usd(w, "today_usd", all.charged);
    jsonw_member_usd(w, "reserved_usd", all.reserved);
    jsonw_object_end(w);
}

/* Counts of everybody's jobs are no secret between users of one machine; their content is. */
void cmd_stats(struct call *call)
{
    struct commands *commands = call->commands;
    struct engine_stats engine;
    struct store_stats store;
    struct http_stats http;
    if (call_check_members(call, no_members) < 0)
        return;
    engine_stats(commands->engine, &engine);
    store_stats(commands->store, &store);
    http_stats(commands->http, &http);
    struct jsonw *w = call_reply(call, REPLY_OK);
    write_states(w, &engine);
    jsonw_member_uint(w, "in_flight", engine.in_flight);
    jsonw_member_uint(w, "submissions", engine.submissions);
    jsonw_member_uint(w, "polls", engine.polls);
    jsonw_member_uint(w, "poll_failures", engine.poll_failures);
    jsonw_member_uint(w, "fetched_bytes", engine.fetched_bytes);
    jsonw_member_bool(w, "store_failing", engine.store_failing);
    write_spend(w, engine_budget(commands->engine));
    write_paces(w, commands->engine);
    write_http(w, &http);
    write_store(w, &store);
    if (commands->config.ask_stats)
        commands->config.ask_stats(commands->config.ask_arg, w);
    jsonw_member_uint(w, "clients", clients_count(commands->clients));
    jsonw_member_uint(w, "commands", commands->served);
    jsonw_member_double(w, "uptime_seconds",
                        (double)(uv_now(commands->loop) - commands->started_at) / 1000);
    call_send(call);
    call_end(call);
}

void cmd_hello(struct call *call)
{
    const struct engine_config *config = engine_config(call->commands->engine);
    if (call_check_members(call, no_members) < 0)
        return;
    struct jsonw *w = call_reply(call, REPLY_OK);
    jsonw_member_string(w, "server", "veod");
    jsonw_member_string(w, "version", VEOD_VERSION);
    jsonw_member_int(w, "protocol", PROTOCOL_VERSION);
    jsonw_member_uint(w, "uid", call->uid);
    jsonw_member_bool(w, "admin", call->admin);
    jsonw_name(w, "limits");
    jsonw_object(w);
    jsonw_member_int(w, "line_bytes", LIMIT_LINE);
    jsonw_member_int(w, "reply_line_bytes", LIMIT_REPLY_LINE);
    jsonw_member_int(w, "prompt_bytes", LIMIT_PROMPT);
    jsonw_member_int(w, "batch", LIMIT_BATCH);
    jsonw_member_int(w, "ids", LIMIT_IDS);
    jsonw_member_uint(w, "commands", call->commands->config.client_commands);
    jsonw_member_uint(w, "jobs", config->jobs);
    jsonw_member_uint(w, "in_flight", config->in_flight);
    jsonw_member_uint(w, "blob_bytes", blobs_config(call->commands->config.blobs)->blob_bytes);
    jsonw_object_end(w);
    call_send(call);
    call_end(call);
}

void cmd_help(struct call *call)
{
    for (enum verb verb = VERB_NONE + 1; verb < VERB_END; verb++) {
        const struct verb_info *info = verb_info(verb);
        struct jsonw *w = call_reply(call, REPLY_ITEM);
        jsonw_member_string(w, "verb", info->name);
        jsonw_member_string(w, "usage", info->usage[0] ? info->usage : NULL);
        jsonw_member_string(w, "summary", info->summary);
        call_send(call);
    }
    jsonw_member_uint(call_reply(call, REPLY_OK), "count", VERB_END - 1);
    call_send(call);
    call_end(call);
}

void cmd_ping(struct call *call)
{
    size_t length;
    const char *text = json_raw(json_get(call->args, "text"), &length);
    struct jsonw *w = call_reply(call, REPLY_OK);
    jsonw_member_bool(w, "pong", true);
    if (text) {
        jsonw_name(w, "text");
        jsonw_raw(w, text, length);
    }
    call_send(call);
    call_end(call);
}

void cmd_quit(struct call *call)
{
    call_reply(call, REPLY_OK);
    call_send(call);
    call_close_client(call);
    call_end(call);
}
