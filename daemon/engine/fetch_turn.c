/* Whose turn it is to download. */
#include "daemon/engine/fetch.h"

/* The operation may have ended any time since it began. */
int64_t fetch_vanishes_at(const struct job *job)
{
    return (job->running_at ? job->running_at : job->noticed_at) + KEPT_MS;
}

static bool vanishes_first(const struct heap_node *a, const struct heap_node *b)
{
    return fetch_vanishes_at(heap_entry((void *)(uintptr_t)a, const struct task, fetch_turn)->job) <
           fetch_vanishes_at(heap_entry((void *)(uintptr_t)b, const struct task, fetch_turn)->job);
}

void fetch_init(struct engine *engine)
{
    heap_init(&engine->fetch_queue, vanishes_first);
}

static void let_next_in(struct engine *engine)
{
    struct heap_node *first;
    while (engine->fetching < engine->config.fetch_at_once &&
           (first = heap_first(&engine->fetch_queue))) {
        struct task *task = heap_entry(first, struct task, fetch_turn);
        heap_remove(&engine->fetch_queue, first);
        task->may_fetch = true;
        engine->fetching++;
        fetch_next_file(task);
    }
}

void fetch_leave(struct task *task)
{
    struct engine *engine = task->engine;
    heap_remove(&engine->fetch_queue, &task->fetch_turn);
    if (!task->may_fetch)
        return;
    task->may_fetch = false;
    engine->fetching--;
    if (!engine->stopping)
        let_next_in(engine);
}

void fetch_enter(struct task *task)
{
    heap_add(&task->engine->fetch_queue, &task->fetch_turn);
    let_next_in(task->engine);
}
