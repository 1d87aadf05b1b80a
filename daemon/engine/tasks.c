/* The live jobs' table and the one timer for all of them. */
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/engine/task.h"
#include "proto/mem.h"

static int compare_ids(const void *a, const void *b)
{
    const struct task *left = a, *right = b;
    return strcmp(left->job->id, right->job->id);
}

struct task *engine_task(const struct engine *engine, const char *id)
{
    struct job job;
    struct task key = {.job = &job};
    snprintf(job.id, sizeof(job.id), "%s", id);
    void *found = tfind(&key, &engine->tasks, compare_ids);
    return found ? *(struct task **)found : NULL;
}

struct engine_provider *engine_provider_named(const struct engine *engine, const char *name)
{
    for (size_t i = 0; name && i < engine->config.provider_count; i++)
        if (strcmp(engine->config.providers[i].provider.name, name) == 0)
            return &engine->config.providers[i];
    return NULL;
}

size_t engine_provider_index(const struct engine *engine, const struct engine_provider *provider)
{
    return (size_t)(provider - engine->config.providers);
}

size_t engine_provider_place(const struct engine *engine, const struct job *job)
{
    const struct engine_provider *provider = engine_provider_named(engine, job->provider);
    return provider ? engine_provider_index(engine, provider) : SIZE_MAX;
}

struct engine_provider *engine_provider_for(const struct engine *engine, const struct job *job)
{
    struct engine_provider *provider = engine_provider_named(engine, job->provider);
    if (provider || job->operation)
        return provider;
    const struct provider *chosen = engine_choose(engine, job->request, NULL);
    return chosen ? engine_provider_named(engine, chosen->name) : NULL;
}

/* Takes the job. */
struct task *task_add(struct engine *engine, struct job *job)
{
    struct task *task = mem_alloc(sizeof(*task));
    task->engine = engine;
    task->job = job;
    task->provider = engine_provider_for(engine, job);
    task->queue.id = job->id;
    task->queue.model = job->request->model;
    tsearch(task, &engine->tasks, compare_ids);
    engine->task_count++;
    money_open(task);
    return task;
}

static void detach_observers(struct task *task)
{
    while (task->observers)
        engine_unobserve(task->engine, task->observers);
}

void task_drop(struct task *task)
{
    struct engine *engine = task->engine;
    money_close(task);
    detach_observers(task); /* they are found by way of the table */
    tdelete(task, &engine->tasks, compare_ids);
    engine->task_count--;
    task_sleep(task);
    sched_remove(engine->sched, &task->queue);
    if (!engine->over) {
        http_cancel(engine->http, &task->transfer);
        poll_drop(task);
        fetch_drop(task, false);
    }
    sched_landed(engine->sched, &task->queue);
    if (task->is_submitting)
        engine->submitting--;
    free(task->trouble);
    job_free(task->job);
    free(task);
}

/* Ended, and nothing more to be done for it: the store knows it, memory needn't. */
void task_maybe_drop(struct task *task)
{
    if ((job_state_flags(task->job->state) & JOB_ENDED) && !task->changes && !task->busy &&
        !task->calling)
        task_drop(task);
}

/* tdestroy(3) and twalk(3) can't stand changes under way, so the tasks are listed first. */
static _Thread_local struct task **walk_at;
static void collect(const void *node, VISIT visit, int depth)
{
    (void)depth;
    if (visit == postorder || visit == leaf)
        *walk_at++ = *(struct task *const *)node;
}

struct task **engine_list_tasks(const struct engine *engine)
{
    struct task **list = mem_alloc((engine->task_count + 1) * sizeof(struct task *));
    walk_at = list;
    twalk(engine->tasks, collect);
    return list;
}

/* ---- the one timer ---- */

static bool less_due(const struct heap_node *a, const struct heap_node *b)
{
    return heap_entry((void *)(uintptr_t)a, struct task, timer)->due <
           heap_entry((void *)(uintptr_t)b, struct task, timer)->due;
}

static void on_timer(uv_timer_t *timer);

void engine_arm(struct engine *engine)
{
    if (engine->over)
        return;
    int64_t now = engine_steady_ms();
    int64_t next = INT64_MAX;
    const struct heap_node *first = heap_first(&engine->timers);
    if (first)
        next = heap_entry((void *)(uintptr_t)first, struct task, timer)->due;
    if (!engine->stopping && !engine->store_failing) {
        int64_t ready = sched_next(engine->sched, now);
        if (ready <= now)
            ready = INT64_MAX; /* something else than time is in the way */
        next = ready < next ? ready : next;
    }
    if (engine->store_failing && engine->store_again_at < next)
        next = engine->store_again_at;
    if (next == engine->armed_for)
        return;
    engine->armed_for = next;
    if (next == INT64_MAX)
        uv_timer_stop(&engine->timer);
    else
        uv_timer_start(&engine->timer, on_timer, next > now ? (uint64_t)(next - now) : 0, 0);
}

void task_wake_at(struct task *task, int64_t steady_ms)
{
    heap_remove(&task->engine->timers, &task->timer);
    task->due = steady_ms;
    heap_add(&task->engine->timers, &task->timer);
    engine_arm(task->engine);
}

void task_sleep(struct task *task)
{
    heap_remove(&task->engine->timers, &task->timer);
}

static int64_t until_deadline(const struct task *task)
{
    return task->job->deadline_at - engine_wall_ms();
}

static void expire(struct task *task)
{
    struct job_event event = {
        .type = JOB_DEADLINE,
        .error = {.code = "deadline-exceeded",
                  .message = task->job->operation
                                 ? "the deadline passed; the operation may still run and be charged"
                                 : "the deadline passed before it could be submitted",
                  .retryable = true},
    };
    task_event(task, &event, false, NULL, NULL);
}

static void on_due(struct task *task)
{
    enum job_state state = task->job->state;
    bool expires = (state == JOB_QUEUED || state == JOB_RUNNING) && until_deadline(task) <= 0;
    if (expires && task->changes)
        task_wake_at(task, engine_steady_ms() + STORE_RETRY_MS);
    else if (expires)
        expire(task);
    else if (state == JOB_QUEUED) /* the loop's clock was ahead of the wall's */
        task_wake_at(task, engine_steady_ms() + until_deadline(task));
    else if (state == JOB_RUNNING)
        poll_start(task);
    else if (state == JOB_FETCHING)
        fetch_wake(task);
}

static void retry_store(struct engine *engine)
{
    struct task *stuck = engine->stuck;
    engine->store_failing = false;
    engine->stuck = NULL;
    while (stuck) {
        struct task *task = stuck;
        stuck = task->next_stuck;
        store_write(engine->store, &task->write);
    }
}

static void on_timer(uv_timer_t *timer)
{
    struct engine *engine = timer->data;
    int64_t now = engine_steady_ms();
    engine->armed_for = INT64_MAX;
    if (engine->store_failing && engine->store_again_at <= now)
        retry_store(engine);
    for (struct heap_node *node; (node = heap_first(&engine->timers));) {
        struct task *task = heap_entry(node, struct task, timer);
        if (task->due > now)
            break;
        heap_remove(&engine->timers, node);
        on_due(task);
    }
    submit_schedule(engine);
}

void engine_init_timer(struct engine *engine)
{
    engine->armed_for = INT64_MAX;
    heap_init(&engine->timers, less_due);
    uv_timer_init(engine->loop, &engine->timer);
    engine->timer.data = engine;
}
