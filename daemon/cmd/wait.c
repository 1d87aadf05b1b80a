/* WAIT: answers when the named jobs have come to rest, or at a time-out. */
#include <stdlib.h>
#include <string.h>

#include "daemon/cmd/call.h"
#include "daemon/cmd/seek.h"
#include "proto/mem.h"

#define TIMEOUT_MAX_SECONDS (30 * 86400.0)

struct waited {
    struct engine_observer observer;
    struct call *call;
    struct job *job; /* as it was when last heard of */
};

struct waiting {
    struct waited *jobs;
    size_t count;
    size_t left;
    uv_timer_t *timer; /* its memory outlives the call until it is closed */
    bool events;
};

static void on_timer_closed(uv_handle_t *handle)
{
    free(handle);
}

static void stop(struct call *call)
{
    struct waiting *waiting = call->state;
    for (size_t i = 0; i < waiting->count; i++)
        engine_unobserve(call->commands->engine, &waiting->jobs[i].observer);
    if (waiting->timer)
        uv_close((uv_handle_t *)waiting->timer, on_timer_closed);
    waiting->timer = NULL;
}

static void free_waiting(struct call *call)
{
    struct waiting *waiting = call->state;
    stop(call);
    for (size_t i = 0; i < waiting->count; i++)
        job_free(waiting->jobs[i].job);
    free(waiting->jobs);
    free(waiting);
}

static void write_one(struct call *call, const struct waited *waited, bool brief, struct jsonw *w)
{
    jsonw_object(w);
    if (brief) {
        jsonw_member_string(w, "id", waited->job->id);
        jsonw_member_string(w, "state", job_state_name(waited->job->state));
    } else {
        write_job(call, waited->job, w);
    }
    jsonw_object_end(w);
}

/* Whole jobs as long as they fit into a line; else their ids and states. */
static void write_answer(struct call *call, bool timed_out, bool brief)
{
    struct waiting *waiting = call->state;
    struct jsonw *w = call_reply(call, REPLY_OK);
    jsonw_name(w, "jobs");
    jsonw_array(w);
    for (size_t i = 0; i < waiting->count; i++)
        write_one(call, &waiting->jobs[i], brief, w);
    jsonw_array_end(w);
    jsonw_member_bool(w, "timed_out", timed_out);
}

static void answer(struct call *call, bool timed_out)
{
    stop(call);
    write_answer(call, timed_out, false);
    if (call->commands->line.failed)
        write_answer(call, timed_out, true);
    call_send(call);
    call_end(call);
}

static void on_timeout(uv_timer_t *timer)
{
    answer(timer->data, true);
}

static void on_changed(struct engine_observer *observer, const struct job *job, int64_t event,
                       const char *detail)
{
    struct waited *waited = (struct waited *)observer;
    struct call *call = waited->call;
    struct waiting *waiting = call->state;
    job_free(waited->job);
    waited->job = job_copy(job);
    if (waiting->events) {
        write_event(call_reply(call, REPLY_EVENT), event, job->id, job->state, job->updated_at,
                    detail);
        call_send(call);
    }
    if (!job_is_at_rest(job))
        return;
    engine_unobserve(call->commands->engine, observer);
    if (--waiting->left == 0)
        answer(call, false);
}

static void start_timer(struct call *call, struct waiting *waiting)
{
    double seconds = 0;
    if (json_double(json_get(call->args, "timeout_seconds"), 0, TIMEOUT_MAX_SECONDS, &seconds) < 0)
        return;
    waiting->timer = mem_alloc(sizeof(*waiting->timer));
    uv_timer_init(call->commands->loop, waiting->timer);
    waiting->timer->data = call;
    uv_timer_start(waiting->timer, on_timeout, (uint64_t)(seconds * 1000), 0);
}

static void begin(struct call *call, struct job **jobs, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (!seek_is_stale(call->commands, jobs[i]))
            continue;
        free_jobs(jobs, count);
        call_resolve(call, begin);
        return;
    }
    struct waiting *waiting = mem_alloc(sizeof(*waiting));
    waiting->jobs = mem_alloc(count * sizeof(*waiting->jobs));
    waiting->count = count;
    (void)json_bool(json_get(call->args, "events"), &waiting->events);
    call->state = waiting;
    call->free_state = free_waiting;
    call->abandoned = stop;
    for (size_t i = 0; i < count; i++) {
        struct waited *waited = &waiting->jobs[i];
        const struct job *live = engine_job(call->commands->engine, jobs[i]->id);
        waited->call = call;
        waited->job = live ? job_copy(live) : jobs[i];
        if (live)
            job_free(jobs[i]);
        if (job_is_at_rest(waited->job))
            continue;
        memcpy(waited->observer.id, waited->job->id, JOB_ID_SIZE);
        waited->observer.changed = on_changed;
        engine_observe(call->commands->engine, &waited->observer);
        waiting->left++;
    }
    free(jobs);
    if (waiting->left == 0)
        answer(call, false);
    else
        start_timer(call, waiting);
}

void cmd_wait(struct call *call)
{
    static const char *const members[] = {"id", "ids", "timeout_seconds", "events", NULL};
    bool events;
    double seconds;
    if (call_check_members(call, members) == 0 && call_flag(call, "events", &events) == 0 &&
        call_double(call, "timeout_seconds", 0, TIMEOUT_MAX_SECONDS, &seconds) == 0)
        call_resolve(call, begin);
}
