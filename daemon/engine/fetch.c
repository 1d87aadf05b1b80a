#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/engine/fetch.h"
#include "daemon/io/fault.h"
#include "daemon/io/log.h"
#include "daemon/io/sink.h"
#include "proto/mem.h"
#include "proto/units.h"

#define STRIKES_MAX 3 /* answers that say the result is gone or no video */

static void ask(struct task *task);
static void open_sink(struct task *task);

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

/* ---- trouble ---- */

void fetch_close_sink(struct fetch *fetch, bool remove)
{
    sink_close(fetch->sink, remove);
    fetch->sink = NULL;
}

static bool was_never_made(const struct task *task, const char *code)
{
    return task->provider && task->provider->provider.dialect->may_boast &&
           (strcmp(code, "not-a-video") == 0 || strcmp(code, "result-failed") == 0);
}

void fetch_fail(struct task *task, const char *code)
{
    struct job_event event = {
        .type = JOB_FETCH_FAILED,
        .unmade = was_never_made(task, code),
        .error = {.code = (char *)(uintptr_t)code, .message = task->trouble, .retryable = true},
    };
    if (task->fetch) {
        task->fetch->step = FETCH_REST;
        fetch_close_sink(task->fetch, true);
    }
    fetch_leave(task);
    task_event(task, &event, false, NULL, NULL);
}

void fetch_rest(struct task *task, int64_t wait_ms)
{
    task->fetch->step = FETCH_REST;
    fetch_close_sink(task->fetch, false);
    task_wake_at(task, engine_steady_ms() + wait_ms);
    fetch_leave(task);
}

static bool is_too_late(const struct task *task)
{
    return task->job->noticed_at && engine_wall_ms() - task->job->noticed_at > KEPT_MS;
}

bool fetch_has_to_wait(struct task *task)
{
    if (access_given(task)) {
        task->token_generation = token_generation(task->provider->token);
        return false;
    }
    task->busy = false;
    if (is_too_late(task))
        fetch_fail(task, "fetch-failed");
    else
        fetch_rest(task, KEPT_MS);
    return true;
}

void fetch_try_later(struct task *task)
{
    if (is_too_late(task)) {
        fetch_fail(task, "fetch-failed");
        return;
    }
    log_debug("fetch", "%s: %s", task->job->id, task->trouble);
    /* However long the back-off has become: it must not outlast the result. */
    int64_t wait = engine_backoff(task->engine, task->failures++);
    int64_t left = fetch_vanishes_at(task->job) - engine_wall_ms();
    if (left > 0)
        wait = backoff_within(wait, left, task->engine->config.poll.min_ms);
    fetch_rest(task, wait);
}

/* The answer says that there is no video to be had; some answers lie, so ask a few times. */
void fetch_strike(struct task *task, const char *code)
{
    fetch_close_sink(task->fetch, true);
    if (++task->strikes >= STRIKES_MAX)
        fetch_fail(task, code);
    else
        fetch_try_later(task);
}

/* ---- ask whether the result is ready ---- */

static bool prepare_ask(struct http_transfer *transfer, struct http_request *request)
{
    struct task *task = heap_entry(transfer, struct task, transfer);
    const struct provider *provider = &task->provider->provider;
    struct wire_request wire;
    if (fetch_has_to_wait(task))
        return false;
    wire_request_init(&wire);
    provider->dialect->file(provider, task->job->uris[task->fetch->index], &wire);
    task_fill_request(task->engine, task->provider, METER_OTHER, &wire, request);
    return true;
}

static void on_asked(struct http_transfer *transfer, const struct http_reply *reply)
{
    struct task *task = heap_entry(transfer, struct task, transfer);
    struct wire_reply wire = task_wire_reply(reply);
    task->busy = false;
    if (reply->end != HTTP_ANSWERED) {
        task_set_trouble(task, "asking for the file's state: %s", reply->reason);
        fetch_try_later(task);
        return;
    }
    if (access_refused(task, reply)) {
        ask(task);
        return;
    }
    switch (task->provider->provider.dialect->filed(&wire)) {
    case FILE_PROCESSING:
        task_set_trouble(task, "the provider is still processing the file");
        fetch_rest(task, task->engine->config.poll.min_ms);
        break;
    case FILE_FAILED:
        task_set_trouble(task, "the provider says that the file's processing failed");
        fetch_strike(task, "result-failed");
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
        fetch_fail(task, "bad-output");
    } else if (status < 0) {
        task_set_trouble(task, "cannot write the result: %s", strerror(-status));
        log_error("fetch", "%s: %s", task->job->id, task->trouble);
        fetch_try_later(task);
    } else if (task->fetch->step == FETCH_OPEN) {
        fetch_load(task);
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
    task->engine->stats.fetched_results++;
    task->engine->stats.fetched_bytes += file->bytes;
    fetch_close_sink(fetch, false);
    fetch->index++;
    task->strikes = 0;
    task->failures = 0;
    fetch_next_file(task);
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
        fetch_strike(task, "not-a-video");
    } else if (status == -EMSGSIZE) {
        task_set_trouble(task, "%s arrived, and the provider had announced another length", size);
        fetch_close_sink(task->fetch, true);
        fetch_try_later(task);
    } else if (status == -EEXIST) {
        task_set_trouble(task, "another file has the result's name: %s",
                         sink_path(task->fetch->sink));
        fetch_fail(task, "file-exists");
    } else {
        task_set_trouble(task, "cannot store the result: %s", strerror(-status));
        log_error("fetch", "%s: %s", task->job->id, task->trouble);
        fetch_try_later(task);
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

/* ---- one file after the other ---- */

static void all_fetched(struct task *task)
{
    struct fetch *fetch = task->fetch;
    struct job_event event = {
        .type = JOB_FETCHED, .files = fetch->files, .file_count = fetch->count};
    (void)fault_point("engine.fetched");
    fetch_leave(task);
    task_event(task, &event, false, NULL, NULL);
}

void fetch_next_file(struct task *task)
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
    fetch_enter(task);
}

void fetch_wake(struct task *task)
{
    /* An inline result whose file could not be kept is asked for again. */
    if (task->fetch && task->fetch->given)
        fetch_drop(task, true);
    if (!task->fetch && is_too_late(task))
        fetch_fail(task, "fetch-failed");
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
    fetch_leave(task);
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
