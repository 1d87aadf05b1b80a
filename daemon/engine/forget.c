#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/engine/task.h"
#include "daemon/io/log.h"
#include "daemon/io/sink.h"
#include "proto/mem.h"

struct forgetting {
    struct engine *engine;
    struct store_write write;
    uv_work_t removing;
    const char *root; /* of the results; the configuration is not the pool's to read */
    int *statuses;    /* of the files' removal */
    struct job *job;
    bool files;
    engine_done_fn *done;
    void *arg;
};

static void remove_files(uv_work_t *work)
{
    struct forgetting *forgetting = work->data;
    const char *root = forgetting->root;
    size_t length = strlen(root);
    for (size_t i = 0; i < forgetting->job->file_count; i++) {
        const char *path = forgetting->job->files[i].path;
        if (strncmp(path, root, length) == 0 && path[length] == '/')
            forgetting->statuses[i] = sink_remove(root, path + length + 1);
        /* else output_directory was another one then */
    }
}

static void finish(struct forgetting *forgetting)
{
    forgetting->done(forgetting->arg, forgetting->job, NULL);
    free(forgetting->statuses);
    job_free(forgetting->job);
    free(forgetting);
}

static void on_removed(uv_work_t *work, int status)
{
    struct forgetting *forgetting = work->data;
    (void)status;
    for (size_t i = 0; i < forgetting->job->file_count; i++)
        if (forgetting->statuses[i] < 0 && forgetting->statuses[i] != -ENOENT)
            log_warning("fetch", "%s: cannot remove %s: %s", forgetting->job->id,
                        forgetting->job->files[i].path, strerror(-forgetting->statuses[i]));
    finish(forgetting);
}

static void refuse(struct forgetting *forgetting, int status)
{
    struct error error = engine_store_error(status);
    forgetting->done(forgetting->arg, NULL, &error);
    job_free(forgetting->job);
    free(forgetting);
}

static void on_forgotten(struct store_write *write)
{
    struct forgetting *forgetting = write->context;
    struct engine *engine = forgetting->engine;
    if (write->status < 0) {
        refuse(forgetting, write->status);
        return;
    }
    struct task *task = engine_task(engine, forgetting->job->id);
    if (task) {
        meter_changed(engine->meter, task->job, forgetting->job,
                      engine_provider_place(engine, forgetting->job));
        money_note(task, forgetting->job);
    }
    if (task && !task->changes)
        task_drop(task);
    engine->stats.states[forgetting->job->state]--;
    if (!forgetting->files || forgetting->job->file_count == 0) {
        finish(forgetting);
        return;
    }
    forgetting->statuses = mem_alloc(forgetting->job->file_count * sizeof(int));
    forgetting->root = engine->config.output_directory;
    forgetting->removing.data = forgetting;
    uv_queue_work(engine->loop, &forgetting->removing, remove_files, on_removed);
}

/* What is still awaited of a job at rest may cost something, so it must be there to be charged. */
static void explain_refusal(const struct task *task, bool at_rest, struct error *error)
{
    const char *state = job_state_name(task->job->state);
    if (at_rest)
        error_set(error, ERROR_CONFLICT, NULL,
                  "the job is %s, but an answer about it is still awaited; try again in a moment",
                  state);
    else
        error_set(error, ERROR_CONFLICT, NULL,
                  "a job that is %s can't be forgotten: it must have ended, or be uncertain",
                  state);
}

void engine_forget(struct engine *engine, struct job *job, bool files, engine_done_fn *done,
                   void *arg)
{
    struct error error;
    struct task *task = engine_task(engine, job->id);
    bool at_rest = !task || task->job->state == JOB_UNCERTAIN ||
                   (job_state_flags(task->job->state) & JOB_ENDED) != 0;
    if (!at_rest || (task && (task->changes || task->busy))) {
        explain_refusal(task, at_rest, &error);
        job_free(job);
        done(arg, NULL, &error);
        return;
    }
    struct forgetting *forgetting = mem_alloc(sizeof(*forgetting));
    *forgetting =
        (struct forgetting){.engine = engine, .job = job, .files = files, .done = done, .arg = arg};
    job_give_up(job, engine_wall_ms());
    forgetting->write = (struct store_write){
        .kind = STORE_FORGET,
        .jobs = &forgetting->job,
        .count = 1,
        .done = on_forgotten,
        .context = forgetting,
    };
    store_write(engine->store, &forgetting->write);
}
