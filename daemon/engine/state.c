/* What a state asks for: one function, for a job that has just changed and for one that was found
 * at startup. */
#include "daemon/engine/task.h"

static void count_submitting(struct task *task)
{
    if (!task->is_submitting || task->job->state == JOB_SUBMITTING || task->sent)
        return;
    task->is_submitting = false;
    task->engine->submitting--;
}

static void count_in_flight(struct task *task)
{
    struct engine *engine = task->engine;
    if (!(job_state_flags(task->job->state) & JOB_IN_FLIGHT))
        sched_landed(engine->sched, &task->queue);
    else if (task->provider)
        sched_took_off(engine->sched, &task->queue, engine_provider_index(engine, task->provider));
}

void task_count(struct task *task)
{
    count_in_flight(task);
    count_submitting(task);
}

bool task_queue(struct task *task)
{
    struct engine *engine = task->engine;
    uint64_t takers = engine_takers(engine, task->job->request);
    uint64_t left = takers & ~task->tried & ~task->unaffordable;
    task->queue.priority = task->job->request->priority;
    task->queue.providers = left;
    sched_remove(engine->sched, &task->queue);
    if (left)
        sched_add(engine->sched, &task->queue);
    return left || !takers;
}

static void enqueue(struct task *task)
{
    int64_t wait = task->job->not_before - engine_wall_ms();
    int64_t left = task->job->deadline_at - engine_wall_ms();
    task->unaffordable = 0;
    task->queue.not_before = engine_steady_ms() + (wait > 0 ? wait + 1 : 0);
    if (!task_queue(task)) {
        task->tried = 0; /* a new round */
        task_queue(task);
    }
    task_wake_at(task, engine_steady_ms() + (left > 0 ? left : 0));
}

void task_stop_work(struct task *task, bool remove)
{
    task_sleep(task);
    /* A submission that is on its way is listened to, whatever its job has become. */
    if (!task->sent || task->job->state != JOB_CANCELLED || task->engine->over) {
        http_cancel(task->engine->http, &task->transfer);
        task->busy = false;
    }
    poll_drop(task);
    fetch_drop(task, remove);
}

void task_come_to_rest(struct task *task)
{
    bool cancelled = task->job->state == JOB_CANCELLED;
    if (!job_is_at_rest(task->job))
        return;
    task_stop_work(task, cancelled);
    if (cancelled && task->job->operation && !task->job->noticed_at)
        submit_tell_cancel(task->engine, task->job);
}

void task_go_on(struct task *task)
{
    sched_remove(task->engine->sched, &task->queue);
    task_count(task);
    if (task->engine->over)
        return;
    if (task_apply_changes(task))
        return;
    if (task->job->state != JOB_QUEUED && task->job->state != JOB_SUBMITTING)
        task->tried = 0;
    switch (task->job->state) {
    case JOB_QUEUED:
        task->failures = 0;
        enqueue(task);
        break;
    case JOB_SUBMITTING:
        task_sleep(task);
        submit_start(task);
        break;
    case JOB_RUNNING:
        task->failures = 0;
        task->strikes = 0;
        task->last_running_ms = 0;
        poll_arm(task, poll_next_wait(task));
        break;
    case JOB_FETCHING:
        task->failures = 0;
        task_sleep(task);
        fetch_start(task);
        break;
    case JOB_HELD:
    case JOB_UNCERTAIN:
        break;
    case JOB_DONE:
    case JOB_FILTERED:
    case JOB_FAILED:
    case JOB_EXPIRED:
    case JOB_CANCELLED:
        task_maybe_drop(task);
        break;
    case JOB_STATE_COUNT:
        break;
    }
}
