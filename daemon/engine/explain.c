#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "daemon/engine/task.h"
#include "proto/mem.h"
#include "proto/units.h"

void task_set_trouble(struct task *task, const char *format, ...)
{
    char text[600];
    free(task->trouble);
    task->trouble = NULL;
    if (!format)
        return;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    task->trouble = mem_strdup(text);
}

static void add_duration(struct buf *ret, int64_t ms)
{
    char text[UNITS_TEXT];
    units_format_duration(ms > 0 ? ms : 0, text);
    buf_add_text(ret, text);
}

static void explain_queued(const struct engine *engine, const struct task *task, struct buf *ret)
{
    int64_t now = engine_steady_ms();
    if (engine->store_failing) {
        buf_add_text(ret, " The store can't take changes now (is the disk full?), so nothing is "
                          "submitted until it can.");
        return;
    }
    if (!task->provider) {
        buf_addf(ret, " No configured provider takes the model %s.", task->job->request->model);
        return;
    }
    const struct token *token = task->provider->token;
    if (!token_is_there(token))
        buf_addf(ret, " Provider %s waits for a token: %s.", task->provider->provider.name,
                 token_why(token));
    int64_t shut = sched_shut_until(engine->sched, task->queue.lane);
    if (task->queue.not_before > now) {
        buf_add_text(ret, " It may be submitted in ");
        add_duration(ret, task->queue.not_before - now);
        buf_add_text(ret, ".");
    }
    if (shut > now) {
        buf_addf(ret, " Provider %s turned veod away; nothing is sent to it for another ",
                 task->provider->provider.name);
        add_duration(ret, shut - now);
        buf_add_text(ret, ".");
    }
    if (sched_in_flight(engine->sched) >= sched_in_flight_max(engine->sched))
        buf_addf(ret, " %u jobs are in flight, which is [limits] in_flight: one must end first.",
                 sched_in_flight(engine->sched));
    buf_addf(ret, " %zu jobs are queued; a higher priority goes first, then the older.",
             sched_waiting(engine->sched));
}

static void explain_running(const struct engine *engine, const struct task *task, struct buf *ret)
{
    int64_t elapsed, expected;
    if (engine_progress(engine, task->job, &elapsed, &expected)) {
        buf_addf(ret, " Generations of %s take about ", task->job->request->model);
        add_duration(ret, expected);
        buf_add_text(ret, "; this one has run for ");
        add_duration(ret, elapsed);
        buf_add_text(ret, ".");
    }
    if (!task->provider) {
        buf_addf(ret, " Its provider %s is no longer configured, so nobody can be asked.",
                 task->job->provider);
    } else if (task->timer.place) {
        buf_addf(ret, " It was polled %u times and is polled again in ", task->job->polls);
        add_duration(ret, task->due - engine_steady_ms());
        buf_add_text(ret, ".");
    }
}

static void explain_live(const struct engine *engine, const struct task *task, struct buf *ret)
{
    switch (task->job->state) {
    case JOB_QUEUED:
        explain_queued(engine, task, ret);
        break;
    case JOB_SUBMITTING:
        buf_addf(ret, " The request is on its way to %s.", task->job->provider);
        break;
    case JOB_RUNNING:
        explain_running(engine, task, ret);
        break;
    case JOB_FETCHING:
        buf_add_text(ret, task->fetch_turn.place ? " The video waits for its turn to be downloaded."
                                                : " The video is being downloaded.");
        break;
    case JOB_HELD:
        buf_add_text(ret, " It goes on with RELEASE.");
        break;
    case JOB_UNCERTAIN:
        buf_add_text(ret, " Nobody knows whether the provider took it and charges for it. RETRY "
                          "submits it again, CANCEL gives it up.");
        break;
    default:
        break;
    }
    if (task->trouble)
        buf_addf(ret, " The last try said: %s", task->trouble);
}

void engine_explain(const struct engine *engine, const struct job *job, struct buf *ret)
{
    buf_addf(ret, "Job %s has been %s for ", job->id, job_state_name(job->state));
    add_duration(ret, engine_wall_ms() - job->updated_at);
    buf_add_text(ret, ".");
    if (job->error.message)
        buf_addf(ret, " %s%s: %s", job->error.provider ? job->error.provider : "veod",
                 job->error.provider ? " said" : "", job->error.message);
    if (job->error.message && ret->length && ret->data[ret->length - 1] != '.')
        buf_add_text(ret, ".");
    const struct task *task = engine_task(engine, job->id);
    if (task)
        explain_live(engine, task, ret);
    else if (job->error.retryable)
        buf_add_text(ret, " RETRY tries again.");
}
