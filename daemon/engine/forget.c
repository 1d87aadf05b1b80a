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
    struct job *job;
    bool files;
    engine_done_fn *done;
    void *arg;
};

static void remove_files(const struct forgetting *forgetting)
{
    const char *root = forgetting->engine->config.output_directory;
    size_t length = strlen(root);
    for (size_t i = 0; i < forgetting->job->file_count; i++) {
        const char *path = forgetting->job->files[i].path;
        if (strncmp(path, root, length) != 0 || path[length] != '/')
            continue; /* output_directory was another one then */
        int status = sink_remove(root, path + length + 1);
        if (status < 0 && status != -ENOENT)
            log_warning("fetch", "%s: cannot remove %s: %s", forgetting->job->id, path,
                        strerror(-status));
    }
}

static void on_forgotten(struct store_write *write)
{
    struct forgetting *forgetting = write->context;
    if (write->status < 0) {
        struct error error = engine_store_error(write->status);
        forgetting->done(forgetting->arg, NULL, &error);
    } else {
        struct task *task = engine_task(forgetting->engine, forgetting->job->id);
        if (task && !task->changes)
            task_drop(task);
        if (forgetting->files)
            remove_files(forgetting);
        forgetting->engine->stats.states[forgetting->job->state]--;
        forgetting->done(forgetting->arg, forgetting->job, NULL);
    }
    job_free(forgetting->job);
    free(forgetting);
}

void engine_forget(struct engine *engine, struct job *job, bool files, engine_done_fn *done,
                   void *arg)
{
    struct error error;
    struct task *task = engine_task(engine, job->id);
    bool at_rest = !task || task->job->state == JOB_UNCERTAIN ||
                   (job_state_flags(task->job->state) & JOB_ENDED) != 0;
    if (!at_rest || (task && (task->changes || task->busy))) {
        error_set(&error, ERROR_CONFLICT, NULL,
                  "a job that is %s can't be forgotten: it must have ended, or be uncertain",
                  job_state_name(task->job->state));
        job_free(job);
        done(arg, NULL, &error);
        return;
    }
    struct forgetting *forgetting = mem_alloc(sizeof(*forgetting));
    *forgetting =
        (struct forgetting){.engine = engine, .job = job, .files = files, .done = done, .arg = arg};
    forgetting->write = (struct store_write){
        .kind = STORE_FORGET,
        .jobs = &forgetting->job,
        .count = 1,
        .done = on_forgotten,
        .context = forgetting,
    };
    store_write(engine->store, &forgetting->write);
}
