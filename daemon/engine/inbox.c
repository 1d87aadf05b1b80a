#include <stdlib.h>
#include <string.h>

#include "daemon/engine/task.h"
#include "daemon/io/sink.h"
#include "daemon/provider/inline.h"
#include "proto/mem.h"

#define RUNS_MAX 8 /* long base64 strings in one answer; more are dropped unread */

struct run {
    struct inbox *inbox;
    struct sink *sink;
    bool failed;
    bool intact;
};

struct inbox {
    struct task *task;
    struct buf document;
    struct inline_filter *filter;
    struct run runs[RUNS_MAX];
    size_t skip; /* bytes of the pieces that come again, which were taken already */
    bool paused;
};

static void go_on(struct inbox *inbox)
{
    if (!inbox->paused)
        return;
    inbox->paused = false;
    http_resume(inbox->task->engine->http, &inbox->task->transfer);
}

static void on_opened(void *arg, int status, uint64_t offset)
{
    struct run *run = arg;
    (void)offset;
    run->failed = run->failed || status < 0;
    go_on(run->inbox);
}

static void on_drained(void *arg)
{
    struct run *run = arg;
    go_on(run->inbox);
}

static void on_finished(void *arg, int status)
{
    (void)arg;
    (void)status;
}

static void begin(void *arg, unsigned index)
{
    static const struct sink_hooks hooks = {on_opened, on_drained, on_finished};
    struct inbox *inbox = arg;
    if (index >= RUNS_MAX)
        return;
    struct task *task = inbox->task;
    /* With one result asked for, whichever run turns out to be the video takes its name. */
    size_t result = task->job->request->sample_count > 1 ? index : 0;
    char *name = fetch_name(task->job, result);
    char tag[24];
    snprintf(tag, sizeof(tag), "inline%u", index);
    struct run *run = &inbox->runs[index];
    run->inbox = inbox;
    run->sink = sink_open(task->engine->loop, task->engine->config.output_directory, name, tag,
                          false, &hooks, run);
    free(name);
}

static size_t take_bytes(void *arg, unsigned index, const unsigned char *bytes, size_t length)
{
    struct inbox *inbox = arg;
    struct run *run = index < RUNS_MAX ? &inbox->runs[index] : NULL;
    if (!run || run->failed || !run->sink)
        return length;
    if (sink_bytes(run->sink) + length > inbox->task->engine->config.result_bytes) {
        run->failed = true;
        return length;
    }
    return sink_write(run->sink, bytes, length);
}

static void end(void *arg, unsigned index, bool intact)
{
    struct inbox *inbox = arg;
    if (index < RUNS_MAX)
        inbox->runs[index].intact = intact;
}

struct inbox *inbox_new(struct task *task)
{
    static const struct inline_hooks hooks = {begin, take_bytes, end};
    struct inbox *inbox = mem_alloc(sizeof(*inbox));
    inbox->task = task;
    buf_init(&inbox->document, task->engine->config.reply_bytes);
    inbox->filter = inline_new(&inbox->document, &hooks, inbox);
    return inbox;
}

void inbox_free(struct inbox *inbox, bool remove)
{
    if (!inbox)
        return;
    for (size_t i = 0; i < RUNS_MAX; i++)
        sink_close(inbox->runs[i].sink, remove);
    inline_free(inbox->filter);
    buf_free(&inbox->document);
    free(inbox);
}

enum http_flow inbox_take(struct inbox *inbox, const char *data, size_t length)
{
    size_t known = inbox->skip < length ? inbox->skip : length;
    size_t took = known + inline_feed(inbox->filter, data + known, length - known);
    if (inbox->document.failed)
        return HTTP_STOP;
    if (took < length) {
        inbox->skip = took;
        inbox->paused = true;
        return HTTP_PAUSE;
    }
    inbox->skip -= known;
    return HTTP_GO_ON;
}

struct buf *inbox_document(struct inbox *inbox)
{
    return &inbox->document;
}

bool inbox_is_empty(const struct inbox *inbox)
{
    return inbox->document.length == 0;
}

struct sink *inbox_claim(struct inbox *inbox, int index)
{
    if (index < 0 || index >= RUNS_MAX)
        return NULL;
    struct run *run = &inbox->runs[index];
    if (run->failed || !run->intact)
        return NULL;
    struct sink *sink = run->sink;
    run->sink = NULL;
    return sink;
}
