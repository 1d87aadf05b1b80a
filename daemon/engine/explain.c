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
    if (ms >= 10000)
        ms -= ms % 1000;
    units_format_duration(ms > 0 ? ms : 0, text);
    buf_add_text(ret, text);
}

static void explain_pace(const struct task *task, const struct sched_view *view, int64_t now,
                         struct buf *ret)
{
    const char *name = task->engine->config.providers[view->provider].provider.name;
    bool is_capped = view->in_flight_max > 0 && view->in_flight >= view->in_flight_max;
    if (view->shut_until > now) {
        buf_addf(ret,
                 " Provider %s turned veod away (%s); nothing is submitted to it for %s for "
                 "another ",
                 name, view->reason ? view->reason : "unreachable", view->model);
        add_duration(ret, view->shut_until - now);
        buf_add_text(ret, ".");
    } else if (is_capped) {
        buf_addf(ret,
                 " %u jobs for %s are in flight at provider %s, which is its in_flight: one "
                 "must end first.",
                 view->in_flight, view->model, name);
    } else if (view->opens == INT64_MAX) {
        buf_addf(ret, " %u submissions to provider %s are between request and answer.",
                 view->unanswered, name);
    } else if (view->opens > now) {
        buf_addf(ret, " Provider %s takes the next in ", name);
        add_duration(ret, view->opens - now);
        buf_add_text(ret, ".");
    }
    if (view->per_minute > 0)
        buf_addf(ret, " At most %.*f a minute are submitted to %s for %s.",
                 view->per_minute < 10 ? 1 : 0, view->per_minute, name, view->model);
}

static void explain_providers(const struct engine *engine, const struct task *task, int64_t now,
                              struct buf *ret)
{
    uint64_t takers = engine_takers(engine, task->job->request);
    struct sched_view view;
    if (takers == 0)
        buf_addf(ret, " No configured provider takes the model %s.", task->job->request->model);
    for (size_t i = 0; i < engine->config.provider_count; i++) {
        uint64_t bit = UINT64_C(1) << i;
        const char *name = engine->config.providers[i].provider.name;
        if (!(takers & bit))
            continue;
        if (task->tried & bit)
            buf_addf(ret, " Provider %s was tried and won't have it.", name);
        else if (task->unaffordable & bit)
            buf_addf(ret, " The budget of provider %s has no room for it.", name);
        else if (!token_is_there(engine->config.providers[i].token))
            buf_addf(ret, " Provider %s waits for a token: %s.", name,
                     token_why(engine->config.providers[i].token));
        else if (sched_look(engine->sched, i, task->job->request->model, now, &view))
            explain_pace(task, &view, now, ret);
    }
}

static void explain_queued(const struct engine *engine, const struct task *task, struct buf *ret)
{
    int64_t now = engine_steady_ms();
    if (engine->store_failing) {
        buf_add_text(ret, " The store can't take changes now (is the disk full?), so nothing is "
                          "submitted until it can.");
        return;
    }
    if (task->queue.not_before > now) {
        buf_add_text(ret, " It may be submitted in ");
        add_duration(ret, task->queue.not_before - now);
        buf_add_text(ret, ".");
    }
    explain_providers(engine, task, now, ret);
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
