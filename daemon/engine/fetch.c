#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/engine/task.h"
#include "daemon/io/fault.h"
#include "daemon/io/log.h"
#include "daemon/io/sink.h"
#include "proto/mem.h"
#include "proto/units.h"

#define HOPS_MAX    5
#define STRIKES_MAX 3                       /* answers that say the result is gone or no video */
#define KEPT_MS     (48 * 60 * 60 * 1000LL) /* ai.google.dev, Veo: results are kept two days */
#define URGENT_PART 8                       /* a wait is at most that part of the time left */

/*   ask ─ (not ready: rest) ─ open ─ load ─ (redirect: load) ─ finish ─ next file, or done
 *    └──────────── any of them, on trouble: rest, and again from ask ─────────────┘ */
enum fetch_step { FETCH_REST, FETCH_ASK, FETCH_OPEN, FETCH_LOAD, FETCH_FINISH };

struct fetch {
    enum fetch_step step;
    size_t index; /* of the result */
    size_t count;
    struct job_file *files; /* those that are in place */
    struct sink *sink;
    struct sink **given; /* inline results, complete; NULL: they are at uris */
    char *url;
    int hops;
    bool begun; /* the first bytes of the answer were looked at */
    bool paused;
    bool too_large;
    size_t skip;      /* bytes of the pieces that come again, which were taken already */
    int64_t expected; /* bytes; -1: not known */
};

static void ask(struct task *task);
static void open_sink(struct task *task);
static void load(struct task *task);
static void next_file(struct task *task);

char *fetch_name(const struct job *job, size_t index)
{
    const char *output = job->request->output;
    if (!output && index == 0)
        return mem_format("%u/%s.mp4", (unsigned)job->owner, job->id);
    if (!output)
        return mem_format("%u/%s-%zu.mp4", (unsigned)job->owner, job->id, index);
    if (index == 0)
        return mem_format("%u/%s", (unsigned)job->owner, output);
    const char *dot = strrchr(output, '.');
    int stem = dot && !strchr(dot, '/') ? (int)(dot - output) : (int)strlen(output);
    return mem_format("%u/%.*s-%zu%s", (unsigned)job->owner, stem, output, index, output + stem);
}

/* ---- a place among those that may download at once ---- */

/* The operation may have ended any time since it began. */
int64_t fetch_vanishes_at(const struct job *job)
{
    return (job->running_at ? job->running_at : job->noticed_at) + KEPT_MS;
}

static bool vanishes_first(const struct heap_node *a, const struct heap_node *b)
{
    return fetch_vanishes_at(heap_entry((void *)(uintptr_t)a, const struct task, fetch_turn)->job) <
           fetch_vanishes_at(heap_entry((void *)(uintptr_t)b, const struct task, fetch_turn)->job);
}

void fetch_init(struct engine *engine)
{
    heap_init(&engine->fetch_queue, vanishes_first);
}

static void let_next_in(struct engine *engine)
{
    struct heap_node *first;
    while (engine->fetching < engine->config.fetch_at_once &&
           (first = heap_first(&engine->fetch_queue))) {
        struct task *task = heap_entry(first, struct task, fetch_turn);
        heap_remove(&engine->fetch_queue, first);
        task->may_fetch = true;
        engine->fetching++;
        next_file(task);
    }
}

static void leave(struct task *task)
{
    struct engine *engine = task->engine;
    heap_remove(&engine->fetch_queue, &task->fetch_turn);
    if (!task->may_fetch)
        return;
    task->may_fetch = false;
    engine->fetching--;
    if (!engine->stopping)
        let_next_in(engine);
}

static void enter(struct task *task)
{
    heap_add(&task->engine->fetch_queue, &task->fetch_turn);
    let_next_in(task->engine);
}

/* ---- trouble ---- */

static void close_sink(struct fetch *fetch, bool remove)
{
    sink_close(fetch->sink, remove);
    fetch->sink = NULL;
}

static bool was_never_made(const struct task *task, const char *code)
{
    return task->provider && task->provider->provider.dialect->may_boast &&
           (strcmp(code, "not-a-video") == 0 || strcmp(code, "result-failed") == 0);
}

static void fail_for_good(struct task *task, const char *code)
{
    struct job_event event = {
        .type = JOB_FETCH_FAILED,
        .unmade = was_never_made(task, code),
        .error = {.code = (char *)(uintptr_t)code, .message = task->trouble, .retryable = true},
    };
    if (task->fetch) {
        task->fetch->step = FETCH_REST;
        close_sink(task->fetch, true);
    }
    leave(task);
    task_event(task, &event, false, NULL, NULL);
}

static void rest(struct task *task, int64_t wait_ms)
{
    task->fetch->step = FETCH_REST;
    close_sink(task->fetch, false);
    task_wake_at(task, engine_steady_ms() + wait_ms);
    leave(task);
}

/* True if there is no token: then it is gone on with when there is one. */
static bool has_to_wait(struct task *task)
{
    if (access_given(task)) {
        task->token_generation = token_generation(task->provider->token);
        return false;
    }
    task->busy = false;
    rest(task, KEPT_MS);
    return true;
}

static bool is_too_late(const struct task *task)
{
    return task->job->noticed_at && engine_wall_ms() - task->job->noticed_at > KEPT_MS;
}

static void try_later(struct task *task)
{
    if (is_too_late(task)) {
        fail_for_good(task, "fetch-failed");
        return;
    }
    log_debug("fetch", "%s: %s", task->job->id, task->trouble);
    /* However long the back-off has become: it must not outlast the result. */
    int64_t wait = engine_backoff(task->engine, task->failures++);
    int64_t left = (fetch_vanishes_at(task->job) - engine_wall_ms()) / URGENT_PART;
    rest(task, left > task->engine->config.poll.min_ms && left < wait ? left : wait);
}

/* The answer says that there is no video to be had; some answers lie, so ask a few times. */
static void strike(struct task *task, const char *code)
{
    close_sink(task->fetch, true);
    if (++task->strikes >= STRIKES_MAX)
        fail_for_good(task, code);
    else
        try_later(task);
}

/* ---- ask whether the result is ready ---- */

static bool prepare_ask(struct http_transfer *transfer, struct http_request *request)
{
    struct task *task = heap_entry(transfer, struct task, transfer);
    const struct provider *provider = &task->provider->provider;
    struct wire_request wire;
    if (has_to_wait(task))
        return false;
    wire_request_init(&wire);
    provider->dialect->file(provider, task->job->uris[task->fetch->index], &wire);
    task_fill_request(task->engine, task->provider, &wire, request);
    return true;
}

static void on_asked(struct http_transfer *transfer, const struct http_reply *reply)
{
    struct task *task = heap_entry(transfer, struct task, transfer);
    struct wire_reply wire = task_wire_reply(reply);
    task->busy = false;
    if (reply->end != HTTP_ANSWERED) {
        task_set_trouble(task, "asking for the file's state: %s", reply->reason);
        try_later(task);
        return;
    }
    if (access_refused(task, reply)) {
        ask(task);
        return;
    }
    switch (task->provider->provider.dialect->filed(&wire)) {
    case FILE_PROCESSING:
        task_set_trouble(task, "the provider is still processing the file");
        rest(task, task->engine->config.poll.min_ms);
        break;
    case FILE_FAILED:
        task_set_trouble(task, "the provider says that the file's processing failed");
        strike(task, "result-failed");
        break;
    case FILE_READY:
    case FILE_UNKNOWN: /* the download itself will tell */
        open_sink(task);
        break;
    }
}

static void ask(struct task *task)
{
    const struct provider *provider = &task->provider->provider;
    struct wire_request wire;
    wire_request_init(&wire);
    bool needed = provider->dialect->file &&
                  provider->dialect->file(provider, task->job->uris[task->fetch->index], &wire);
    wire_request_free(&wire);
    if (!needed) {
        open_sink(task);
        return;
    }
    task->fetch->step = FETCH_ASK;
    task->busy = true;
    task->transfer =
        (struct http_transfer){.lane = HTTP_CALLS, .prepare = prepare_ask, .done = on_asked};
    http_start(task->engine->http, &task->transfer);
}

/* ---- the file ---- */

/* Symbolic links, or files where folders should be: the owner's own, and not a trouble that
 * passes. */
static bool is_names_fault(int status)
{
    return status == -ELOOP || status == -ENOTDIR || status == -EISDIR || status == -EXDEV ||
           status == -ENAMETOOLONG || status == -EINVAL;
}

static void on_opened(void *arg, int status, uint64_t offset)
{
    struct task *task = arg;
    (void)offset;
    if (is_names_fault(status)) {
        task_set_trouble(task, "the result can't have the name that was asked for: %s",
                         strerror(-status));
        fail_for_good(task, "bad-output");
    } else if (status < 0) {
        task_set_trouble(task, "cannot write the result: %s", strerror(-status));
        log_error("fetch", "%s: %s", task->job->id, task->trouble);
        try_later(task);
    } else if (task->fetch->step == FETCH_OPEN) {
        load(task);
    }
}

static void on_drained(void *arg)
{
    struct task *task = arg;
    if (!task->fetch->paused)
        return;
    task->fetch->paused = false;
    http_resume(task->engine->http, &task->transfer);
}

static void keep_file(struct task *task)
{
    struct fetch *fetch = task->fetch;
    struct job_file *file = &fetch->files[fetch->index];
    file->path = mem_strdup(sink_path(fetch->sink));
    file->bytes = sink_bytes(fetch->sink);
    snprintf(file->sha256, sizeof(file->sha256), "%s", sink_sha256(fetch->sink));
    file->mime_type = mem_strdup("video/mp4");
    task->engine->stats.fetched_bytes += file->bytes;
    close_sink(fetch, false);
    fetch->index++;
    task->strikes = 0;
    task->failures = 0;
    next_file(task);
}

static void on_finished(void *arg, int status)
{
    struct task *task = arg;
    char size[UNITS_TEXT];
    if (status == 0) {
        keep_file(task);
        return;
    }
    units_format_size(sink_bytes(task->fetch->sink), size);
    if (status == -EBADMSG) {
        task_set_trouble(task, "what arrived (%s) is no video: there is no \"ftyp\" at its start",
                         size);
        strike(task, "not-a-video");
    } else if (status == -EMSGSIZE) {
        task_set_trouble(task, "%s arrived, and the provider had announced another length", size);
        close_sink(task->fetch, true);
        try_later(task);
    } else if (status == -EEXIST) {
        task_set_trouble(task, "another file has the result's name: %s",
                         sink_path(task->fetch->sink));
        fail_for_good(task, "file-exists");
    } else {
        task_set_trouble(task, "cannot store the result: %s", strerror(-status));
        log_error("fetch", "%s: %s", task->job->id, task->trouble);
        try_later(task);
    }
}

static const struct sink_hooks hooks = {on_opened, on_drained, on_finished};

/* What the result's uri is loaded from. */
static char *address_of(const struct task *task)
{
    const struct provider *provider = &task->provider->provider;
    const char *uri = task->job->uris[task->fetch->index];
    if (!provider->dialect->download)
        return mem_strdup(uri);
    struct wire_request wire;
    wire_request_init(&wire);
    provider->dialect->download(provider, uri, &wire);
    char *url = buf_steal(&wire.url);
    wire_request_free(&wire);
    return url;
}

static void open_sink(struct task *task)
{
    struct fetch *fetch = task->fetch;
    char *name = fetch_name(task->job, fetch->index);
    char tag[24];
    snprintf(tag, sizeof(tag), "%d", task->job->attempt);
    fetch->step = FETCH_OPEN;
    fetch->hops = 0;
    free(fetch->url);
    fetch->url = address_of(task);
    fetch->sink = sink_open(task->engine->loop, task->engine->config.output_directory, name, tag,
                            true, &hooks, task);
    free(name);
}

/* ---- the download ---- */

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
    if (ours && has_to_wait(task))
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
        try_later(task);
    } else if (!may_go_to(task, reply->location)) {
        task_set_trouble(task, "redirected to an address that veod doesn't follow");
        strike(task, "bad-redirect");
    } else {
        free(fetch->url);
        fetch->url = mem_strdup(reply->location);
        load(task);
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
        strike(task, "result-failed");
    } else if (reply->status == 404 || reply->status == 410) {
        strike(task, "result-gone");
    } else if (reply->status == 416) {
        close_sink(task->fetch, true); /* what we have is longer than what there is */
        try_later(task);
    } else {
        try_later(task);
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
        try_later(task);
    } else if (reply->end == HTTP_STOPPED) {
        strike(task, fetch->too_large ? "result-too-large" : "not-a-video");
    } else if (reply->end != HTTP_ANSWERED) {
        task_set_trouble(task, "the download broke off: %s", reply->reason);
        try_later(task);
    } else if ((reply->status == 200 || reply->status == 206) && !fetch->begun) {
        /* What an earlier try left must not pass for the whole. */
        task_set_trouble(task, "the provider sent an empty answer instead of a video");
        strike(task, "not-a-video");
    } else if (reply->status == 200 || reply->status == 206) {
        fetch->step = FETCH_FINISH;
        sink_finish(fetch->sink, fetch->expected);
    } else if (is_ours(&task->provider->provider, fetch->url) && access_refused(task, reply)) {
        load(task);
    } else if (reply->location) {
        redirected(task, reply);
    } else {
        refused(task, reply);
    }
}

static void load(struct task *task)
{
    task->fetch->step = FETCH_LOAD;
    task->busy = true;
    task->transfer = (struct http_transfer){
        .lane = HTTP_TRANSFERS, .prepare = prepare_load, .body = on_body, .done = on_loaded};
    http_start(task->engine->http, &task->transfer);
}

/* ---- one file after the other ---- */

static void all_fetched(struct task *task)
{
    struct fetch *fetch = task->fetch;
    struct job_event event = {
        .type = JOB_FETCHED, .files = fetch->files, .file_count = fetch->count};
    (void)fault_point("engine.fetched");
    leave(task);
    task_event(task, &event, false, NULL, NULL);
}

static void next_file(struct task *task)
{
    struct fetch *fetch = task->fetch;
    if (task->engine->stopping)
        return;
    if (fetch->index == fetch->count) {
        all_fetched(task);
    } else if (fetch->given) {
        fetch->step = FETCH_FINISH;
        fetch->sink = fetch->given[fetch->index];
        fetch->given[fetch->index] = NULL;
        sink_finish(fetch->sink, -1);
    } else {
        ask(task);
    }
}

static struct fetch *fetch_new(size_t count)
{
    struct fetch *fetch = mem_alloc(sizeof(*fetch));
    fetch->count = count;
    fetch->files = mem_alloc(count * sizeof(*fetch->files));
    return fetch;
}

void fetch_take_inline(struct task *task, struct sink **sinks, size_t count)
{
    fetch_drop(task, true);
    task->fetch = fetch_new(count);
    task->fetch->given = mem_alloc(count * sizeof(struct sink *));
    for (size_t i = 0; i < count; i++) {
        task->fetch->given[i] = sinks[i];
        sink_rehook(sinks[i], &hooks, task);
    }
}

void fetch_start(struct task *task)
{
    if (task->engine->stopping || task->may_fetch || task->fetch_turn.place)
        return;
    if (!task->provider) {
        task_set_trouble(task, "its provider \"%s\" is no longer configured", task->job->provider);
        return;
    }
    if (!task->fetch && task->job->inline_result) {
        poll_start(task);
        return;
    }
    if (!task->fetch)
        task->fetch = fetch_new(task->job->uri_count);
    enter(task);
}

void fetch_wake(struct task *task)
{
    /* An inline result whose file could not be kept is asked for again. */
    if (task->fetch && task->fetch->given)
        fetch_drop(task, true);
    if (!task->fetch && is_too_late(task))
        fail_for_good(task, "fetch-failed");
    else
        fetch_start(task);
}

/* Nobody will know of a cancelled job's files, and they would be in a later attempt's way. */
static void remove_kept(const struct task *task)
{
    for (size_t i = 0; i < task->fetch->index; i++) {
        char *name = fetch_name(task->job, i);
        sink_remove(task->engine->config.output_directory, name);
        free(name);
    }
}

void fetch_drop(struct task *task, bool remove)
{
    struct fetch *fetch = task->fetch;
    leave(task);
    if (!fetch)
        return;
    if (remove && task->job->state == JOB_CANCELLED)
        remove_kept(task);
    task->fetch = NULL;
    for (size_t i = 0; i < fetch->count; i++) {
        if (fetch->given)
            sink_close(fetch->given[i], true);
        free(fetch->files[i].path);
        free(fetch->files[i].mime_type);
    }
    sink_close(fetch->sink, remove);
    free(fetch->given);
    free(fetch->files);
    free(fetch->url);
    free(fetch);
}
