/* One result on its way from the provider to its file. */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "daemon/engine/fetch.h"
#include "daemon/io/log.h"
#include "proto/mem.h"

#define HOPS_MAX 5

/* May the credential go there? */
static bool is_ours(const struct provider *provider, const char *url)
{
    return http_same_origin(url, provider->base_url) ||
           (provider->storage_url && http_same_origin(url, provider->storage_url));
}

static bool prepare_load(struct http_transfer *transfer, struct http_request *request)
{
    struct task *task = heap_entry(transfer, struct task, transfer);
    const struct engine *engine = task->engine;
    const struct engine_provider *provider = task->provider;
    bool ours = is_ours(&provider->provider, task->fetch->url);
    if (ours && fetch_has_to_wait(task))
        return false;
    *request = (struct http_request){
        .method = HTTP_GET,
        .url = mem_strdup(task->fetch->url),
        .secret_name = ours ? token_header(provider->token) : NULL,
        .secret_value = ours ? token_value(provider->token) : NULL,
        .header = ours ? provider->provider.dialect->header : NULL,
        .range_from = sink_bytes(task->fetch->sink),
        .allow_private = ours || engine->provider_private[engine_provider_index(engine, provider)],
        .connect_ms = engine->config.connect_ms,
        .stall_ms = engine->config.stall_ms,
        .max_body = engine->config.reply_bytes,
        .tally = engine_tally(engine, provider, METER_FETCH),
    };
    task->fetch->begun = false;
    task->fetch->paused = false;
    task->fetch->too_large = false;
    task->fetch->skip = 0;
    task->fetch->expected = -1;
    return true;
}

static bool says_text(const char *content_type)
{
    return content_type && (strncasecmp(content_type, "text/", 5) == 0 ||
                            strncasecmp(content_type, "application/json", 16) == 0);
}

/* No video begins so, whatever its content type says: LiteLLM calls everything video/mp4. */
static bool looks_like_text(const struct http_reply *head, const char *data, size_t length)
{
    return head->status != 206 && length > 0 && strchr("{[<", data[0]) && data[0];
}

static void say_what_came(struct task *task, const struct http_reply *head, const char *data,
                          size_t length)
{
    struct wire_reply wire = {
        .status = head->status, .body = data, .length = length, .retry_after_ms = -1};
    char *words = provider_excerpt(&wire);
    task_set_trouble(task, "the provider sent %s instead of a video: %s",
                     says_text(head->content_type) ? head->content_type : "text", words);
    free(words);
}

/* False: these bytes are not what was asked for. */
static bool begin_body(struct task *task, const struct http_reply *head, const char *data,
                       size_t length)
{
    struct fetch *fetch = task->fetch;
    fetch->begun = true;
    if (says_text(head->content_type) || looks_like_text(head, data, length)) {
        say_what_came(task, head, data, length);
        return false;
    }
    uint64_t have = sink_bytes(fetch->sink);
    if (head->status == 206 && head->range_start != (int64_t)have) {
        task_set_trouble(task, "the provider sent another range than was asked for");
        return false;
    }
    if (head->status != 206 && have > 0)
        sink_restart(fetch->sink);
    fetch->expected = head->status == 206 ? head->range_total : head->content_length;
    return true;
}

static enum http_flow on_body(struct http_transfer *transfer, const struct http_reply *head,
                              const char *data, size_t length)
{
    struct task *task = heap_entry(transfer, struct task, transfer);
    struct fetch *fetch = task->fetch;
    if (!fetch->begun && !begin_body(task, head, data, length))
        return HTTP_STOP;
    size_t known = fetch->skip < length ? fetch->skip : length;
    if (sink_bytes(fetch->sink) + length - known > task->engine->config.result_bytes) {
        task_set_trouble(task, "the result is larger than [limits] result_bytes");
        fetch->too_large = true;
        return HTTP_STOP;
    }
    if (sink_status(fetch->sink) < 0)
        return HTTP_STOP;
    size_t took = known + sink_write(fetch->sink, data + known, length - known);
    if (took < length) {
        fetch->skip = took;
        fetch->paused = true;
        return HTTP_PAUSE;
    }
    fetch->skip -= known;
    return HTTP_GO_ON;
}

static bool may_go_to(const struct task *task, const char *url)
{
    const char *base = task->provider->provider.base_url;
    return http_is_url(url) &&
           (strncmp(url, "https:", 6) == 0 || strncmp(url, base, strcspn(base, ":") + 1) == 0);
}

static void redirected(struct task *task, const struct http_reply *reply)
{
    struct fetch *fetch = task->fetch;
    if (++fetch->hops > HOPS_MAX) {
        task_set_trouble(task, "more than %d redirects", HOPS_MAX);
        fetch_try_later(task);
    } else if (!may_go_to(task, reply->location)) {
        task_set_trouble(task, "redirected to an address that veod doesn't follow");
        fetch_strike(task, "bad-redirect");
    } else {
        free(fetch->url);
        fetch->url = mem_strdup(reply->location);
        fetch_load(task);
    }
}

/* The generation has failed, and nobody said so before. */
static bool says_failed(const struct task *task, const struct wire_reply *wire)
{
    const struct dialect *dialect = task->provider->provider.dialect;
    return dialect->filed && dialect->filed(wire) == FILE_FAILED;
}

static void refused(struct task *task, const struct http_reply *reply)
{
    struct wire_reply wire = task_wire_reply(reply);
    struct outcome outcome;
    outcome_init(&outcome);
    provider_error(&wire, &outcome);
    task_set_trouble(task, "the download was answered with status %d%s%s", reply->status,
                     outcome.message ? ": " : "", outcome.message ? outcome.message : "");
    outcome_free(&outcome);
    if (says_failed(task, &wire)) {
        fetch_strike(task, "result-failed");
    } else if (reply->status == 404 || reply->status == 410) {
        fetch_strike(task, "result-gone");
    } else if (reply->status == 416) {
        fetch_close_sink(task->fetch, true); /* what we have is longer than what there is */
        fetch_try_later(task);
    } else {
        fetch_try_later(task);
    }
}

static void on_loaded(struct http_transfer *transfer, const struct http_reply *reply)
{
    struct task *task = heap_entry(transfer, struct task, transfer);
    struct fetch *fetch = task->fetch;
    task->busy = false;
    if (http_same_origin(fetch->url, task->provider->provider.base_url))
        task->engine->provider_private[engine_provider_index(task->engine, task->provider)] |=
            reply->peer_private;
    if (sink_status(fetch->sink) < 0) {
        task_set_trouble(task, "cannot write the result: %s", strerror(-sink_status(fetch->sink)));
        log_error("fetch", "%s: %s", task->job->id, task->trouble);
        fetch_try_later(task);
    } else if (reply->end == HTTP_STOPPED) {
        fetch_strike(task, fetch->too_large ? "result-too-large" : "not-a-video");
    } else if (reply->end != HTTP_ANSWERED) {
        task_set_trouble(task, "the download broke off: %s", reply->reason);
        fetch_try_later(task);
    } else if ((reply->status == 200 || reply->status == 206) && !fetch->begun) {
        /* What an earlier try left must not pass for the whole. */
        task_set_trouble(task, "the provider sent an empty answer instead of a video");
        fetch_strike(task, "not-a-video");
    } else if (reply->status == 200 || reply->status == 206) {
        fetch->step = FETCH_FINISH;
        sink_finish(fetch->sink, fetch->expected);
    } else if (is_ours(&task->provider->provider, fetch->url) && access_refused(task, reply)) {
        fetch_load(task);
    } else if (reply->location) {
        redirected(task, reply);
    } else {
        refused(task, reply);
    }
}

void fetch_load(struct task *task)
{
    task->fetch->step = FETCH_LOAD;
    task->busy = true;
    task->transfer = (struct http_transfer){
        .lane = HTTP_TRANSFERS, .prepare = prepare_load, .body = on_body, .done = on_loaded};
    http_start(task->engine->http, &task->transfer);
}
