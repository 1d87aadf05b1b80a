/* From an event to a durable change of a job, or to the news that there was none. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/engine/task.h"
#include "daemon/io/log.h"
#include "proto/mem.h"

static struct change *copy_change(const struct job_event *event)
{
    struct change *change = mem_alloc(sizeof(*change));
    struct job_event *copy = &change->event;
    *copy = *event;
    copy->now = engine_wall_ms();
    copy->provider = mem_strdup(event->provider);
    copy->operation = mem_strdup(event->operation);
    char **uris = event->uri_count ? mem_alloc(event->uri_count * sizeof(*uris)) : NULL;
    for (size_t i = 0; i < event->uri_count; i++)
        uris[i] = mem_strdup(event->uris[i]);
    copy->uris = uris;
    struct job_file *files =
        event->file_count ? mem_alloc(event->file_count * sizeof(*files)) : NULL;
    for (size_t i = 0; i < event->file_count; i++) {
        files[i] = event->files[i];
        files[i].path = mem_strdup(files[i].path);
        files[i].mime_type = mem_strdup(files[i].mime_type);
    }
    copy->files = files;
    copy->error.code = mem_strdup(event->error.code);
    copy->error.message = mem_strdup(event->error.message);
    copy->error.provider = mem_strdup(event->error.provider);
    return change;
}

static void free_change(struct change *change)
{
    struct job_event *event = &change->event;
    free((void *)(uintptr_t)event->provider);
    free((void *)(uintptr_t)event->operation);
    for (size_t i = 0; i < event->uri_count; i++)
        free(event->uris[i]);
    free((void *)(uintptr_t)event->uris);
    for (size_t i = 0; i < event->file_count; i++) {
        free(event->files[i].path);
        free(event->files[i].mime_type);
    }
    free((void *)(uintptr_t)event->files);
    free(event->error.code);
    free(event->error.message);
    free(event->error.provider);
    free(change);
}

static void finish_change(struct task *task, const struct error *error)
{
    struct change *change = task->changes;
    task->changes = change->next;
    task->calling++;
    if (change->done)
        change->done(change->arg, error ? NULL : task->job, error);
    task->calling--;
    free_change(change);
}

struct error engine_store_error(int status)
{
    struct error error;
    if (status == -ENOENT) {
        error_set(&error, ERROR_NOT_FOUND, "id", "the job was forgotten meanwhile");
        return error;
    }
    error_set(&error, status == -ENOSPC ? ERROR_DISK_FULL : ERROR_INTERNAL, NULL,
              status == -ENOSPC ? "no space left to store the change: %s; nothing was changed"
                                : "the store failed: %s; nothing was changed",
              strerror(-status));
    if (status == -EIO || status == -EROFS)
        error.code = ERROR_DISK_FULL;
    return error;
}

void engine_store_failed(struct engine *engine, int status)
{
    if (!engine->store_failed)
        log_error("store", "a commit failed: %s; trying again every %d ms", strerror(-status),
                  STORE_RETRY_MS);
    engine->store_failed = true;
    engine->store_failing = true;
    engine->store_again_at = engine_steady_ms() + STORE_RETRY_MS;
    engine_arm(engine);
}

void engine_store_worked(struct engine *engine)
{
    if (engine->store_failed)
        log_info("store", "commits succeed again");
    engine->store_failed = false;
}

/* People don't wait for a disk that has no room: what they want is refused at once. */
static void refuse_undoable(struct task *task, const struct error *error)
{
    struct change **link = &task->changes->next;
    while (*link) {
        struct change *change = *link;
        if (!change->undo) {
            link = &change->next;
            continue;
        }
        *link = change->next;
        if (change->done)
            change->done(change->arg, NULL, error);
        free_change(change);
    }
}

static void on_commit_failed(struct task *task, int status)
{
    struct engine *engine = task->engine;
    struct error error = engine_store_error(status);
    bool forgotten = status == -ENOENT;
    if (!forgotten)
        engine_store_failed(engine, status);
    if (!task->changes->undo && !forgotten) {
        task->next_stuck = engine->stuck;
        engine->stuck = task;
        refuse_undoable(task, &error);
        return;
    }
    job_free(task->next);
    task->next = NULL;
    free(task->detail);
    task->detail = NULL;
    if (!forgotten) /* or what was given up with it would be taken back */
        money_note(task, task->job);
    finish_change(task, &error);
    task_count(task);
    if (task_apply_changes(task))
        return;
    if (forgotten)
        task_drop(task);
    else if (task->job->state == JOB_QUEUED || (task->job->state == JOB_SUBMITTING && !task->busy))
        task_go_on(task);
    else
        task_maybe_drop(task);
}

static void write_log(const struct job *job)
{
    char uid[16];
    snprintf(uid, sizeof(uid), "%u", (unsigned)job->owner);
    const struct log_field fields[] = {
        {"VEO_JOB", job->id},
        {"VEO_STATE", job_state_name(job->state)},
        {"VEO_PROVIDER", job->provider},
        {"VEO_OPERATION", job->operation},
        {"VEO_UID", uid},
        {"VEO_ERROR", job->error.code},
    };
    enum log_level level = LOG_LEVEL_INFO;
    if (job->state == JOB_FAILED || job->state == JOB_UNCERTAIN)
        level = LOG_LEVEL_WARNING;
    else if (job_state_flags(job->state) & JOB_LIVE)
        level = LOG_LEVEL_DEBUG;
    log_fields(level, "job", fields, sizeof(fields) / sizeof(fields[0]), "%s %s%s%s%s%s", job->id,
               job_state_name(job->state), job->error.code ? ": " : "",
               job->error.code ? job->error.code : "", job->error.message ? ": " : "",
               job->error.message ? job->error.message : "");
}

void task_tell(struct task *task, int64_t event, const char *detail)
{
    struct engine *engine = task->engine;
    write_log(task->job);
    for (struct engine_observer *o = engine->observers, *next; o; o = next) {
        next = o->next;
        o->changed(o, task->job, event, detail);
    }
    for (struct engine_observer *o = task->observers, *next; o; o = next) {
        next = o->next;
        o->changed(o, task->job, event, detail);
    }
}

static void on_committed(struct task *task)
{
    struct engine *engine = task->engine;
    struct job *before = task->job;
    engine_store_worked(engine);
    task->job = task->next;
    task->next = NULL;
    task->queue.id = task->job->id;
    bool asks_more = money_asks_more(before, task->job);
    money_note(task, task->job);
    engine->stats.states[before->state]--;
    engine->stats.states[task->job->state]++;
    meter_changed(engine->meter, before, task->job, engine_provider_place(engine, task->job));
    task->unwatched =
        task->job->state == JOB_RUNNING && !(job_state_flags(before->state) & JOB_LIVE);
    if (task->job->state != before->state)
        task_set_trouble(task, NULL);
    job_free(before);
    /* Before anybody hears of it: the next command for it may come from inside of telling. */
    task_come_to_rest(task);
    task_tell(task, task->write.event, task->detail);
    free(task->detail);
    task->detail = NULL;
    finish_change(task, NULL);
    if (asks_more)
        money_hold_if_over(task);
    task_go_on(task);
}

static void on_updated(struct store_write *write)
{
    struct task *task = write->context;
    struct engine *engine = task->engine;
    if (write->status < 0)
        on_commit_failed(task, write->status);
    else
        on_committed(task);
    money_review(engine);
    submit_schedule(engine);
    engine_maybe_stopped(engine);
}

static void write_update(struct task *task)
{
    task->detail = task_describe(task->next);
    task->write = (struct store_write){
        .kind = STORE_UPDATE,
        .jobs = &task->next,
        .count = 1,
        .detail = task->detail,
        .done = on_updated,
        .context = task,
    };
    store_write(task->engine->store, &task->write);
}

bool task_apply_changes(struct task *task)
{
    while (task->changes && !task->next) {
        struct change *change = task->changes;
        struct error error;
        if (change->event.type == JOB_CANCEL)
            change->event.counts = task->sent;
        task->next = job_copy(task->job);
        if (job_step(task->next, &change->event, &task->engine->config.policy, &error) == 0) {
            money_note(task, task->next);
            write_update(task);
            return true;
        }
        job_free(task->next);
        task->next = NULL;
        log_debug("job", "%s: %s", task->job->id, error.message);
        finish_change(task, &error);
    }
    return task->changes != NULL;
}

void task_event(struct task *task, const struct job_event *event, bool undo, engine_done_fn *done,
                void *arg)
{
    struct change *change = copy_change(event);
    change->undo = undo;
    change->done = done;
    change->arg = arg;
    struct change **link = &task->changes;
    while (*link)
        link = &(*link)->next;
    *link = change;
    if (task->changes == change && !task_apply_changes(task))
        task_maybe_drop(task);
}

void task_free_changes(struct task *task)
{
    struct error error;
    error_set(&error, ERROR_UNAVAILABLE, NULL, "veod stopped before this could be done");
    while (task->changes)
        finish_change(task, &error);
}
