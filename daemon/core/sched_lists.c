#include "daemon/core/sched_lists.h"

#include <search.h>
#include <stdlib.h>
#include <string.h>

#include "proto/mem.h"

struct sched_entry *sched_entry_of(struct heap_node *node)
{
    return heap_entry(node, struct sched_entry, node);
}

static const struct sched_entry *entry_in(const struct heap_node *node)
{
    return sched_entry_of((struct heap_node *)(uintptr_t)node);
}

bool sched_goes_first(const struct sched_entry *a, const struct sched_entry *b)
{
    if (a->priority != b->priority)
        return a->priority > b->priority;
    return strcmp(a->id, b->id) < 0;
}

static bool less_ready(const struct heap_node *a, const struct heap_node *b)
{
    return sched_goes_first(entry_in(a), entry_in(b));
}

static int compare_queues(const void *a, const void *b)
{
    const struct sched_queue *left = a, *right = b;
    if (left->providers != right->providers)
        return left->providers < right->providers ? -1 : 1;
    return strcmp(left->model, right->model);
}

static int compare_pairs(const void *a, const void *b)
{
    const struct sched_pair *left = a, *right = b;
    if (left->provider != right->provider)
        return left->provider < right->provider ? -1 : 1;
    return strcmp(left->model, right->model);
}

static void free_pair(struct sched *sched, struct sched_pair *pair)
{
    tdelete(pair, &sched->pair_tree, compare_pairs);
    struct sched_pair *last = sched->pairs[--sched->pair_count];
    sched->pairs[pair->index] = last;
    last->index = pair->index;
    free(pair->model);
    free(pair->reason);
    free(pair);
}

/* Models are the clients' words, and there is no end of them. */
static void forget_unused_pairs(struct sched *sched)
{
    for (size_t i = sched->pair_count; i-- > 0;) {
        struct sched_pair *pair = sched->pairs[i];
        if (pair->queues == 0 && pair->pace.in_flight == 0 && pair->pace.unanswered == 0)
            free_pair(sched, pair);
    }
    sched->forget_at =
        2 * sched->pair_count > SCHED_PAIRS_MAX ? 2 * sched->pair_count : SCHED_PAIRS_MAX;
}

struct sched_pair *sched_find_pair(const struct sched *sched, size_t provider, const char *model)
{
    const struct sched_pair key = {.model = (char *)(uintptr_t)model, .provider = provider};
    void *found = tfind(&key, &sched->pair_tree, compare_pairs);
    return found ? *(struct sched_pair **)found : NULL;
}

struct sched_pair *sched_get_pair(struct sched *sched, size_t provider, const char *model)
{
    struct sched_pair *pair = sched_find_pair(sched, provider, model);
    if (pair)
        return pair;
    if (sched->pair_count >= sched->forget_at)
        forget_unused_pairs(sched);
    if (sched->pair_count == sched->pair_capacity) {
        sched->pair_capacity = sched->pair_capacity ? 2 * sched->pair_capacity : 8;
        sched->pairs = mem_resize(sched->pairs, sched->pair_capacity, sizeof(struct sched_pair *));
    }
    pair = mem_alloc(sizeof(*pair));
    pair->model = mem_strdup(model);
    pair->provider = provider;
    pair->index = sched->pair_count;
    pace_init(&pair->pace, &sched->providers[provider].limits);
    sched->pairs[sched->pair_count++] = pair;
    tsearch(pair, &sched->pair_tree, compare_pairs);
    return pair;
}

static struct sched_queue *new_queue(struct sched *sched, const struct sched_entry *entry)
{
    size_t count = (size_t)__builtin_popcountll(entry->providers);
    struct sched_queue *queue = mem_alloc(sizeof(*queue) + count * sizeof(struct sched_pair *));
    queue->model = mem_strdup(entry->model);
    queue->providers = entry->providers;
    heap_init(&queue->ready, less_ready);
    for (size_t i = 0; i < sched->provider_count; i++)
        if (entry->providers & (UINT64_C(1) << i)) {
            struct sched_pair *pair = sched_get_pair(sched, i, entry->model);
            pair->queues++;
            queue->pairs[queue->pair_count++] = pair;
        }
    if (sched->queue_count == sched->queue_capacity) {
        sched->queue_capacity = sched->queue_capacity ? 2 * sched->queue_capacity : 8;
        sched->queues =
            mem_resize(sched->queues, sched->queue_capacity, sizeof(struct sched_queue *));
    }
    queue->index = sched->queue_count;
    sched->queues[sched->queue_count++] = queue;
    tsearch(queue, &sched->queue_tree, compare_queues);
    return queue;
}

static void free_queue(struct sched *sched, struct sched_queue *queue)
{
    tdelete(queue, &sched->queue_tree, compare_queues);
    struct sched_queue *last = sched->queues[--sched->queue_count];
    sched->queues[queue->index] = last;
    last->index = queue->index;
    for (size_t i = 0; i < queue->pair_count; i++)
        queue->pairs[i]->queues--;
    heap_free(&queue->ready);
    free(queue->model);
    free(queue);
}

void sched_join_queue(struct sched *sched, struct sched_entry *entry)
{
    const struct sched_queue key = {.model = (char *)(uintptr_t)entry->model,
                                    .providers = entry->providers};
    void *found = tfind(&key, &sched->queue_tree, compare_queues);
    entry->queue = found ? *(struct sched_queue **)found : new_queue(sched, entry);
    heap_add(&entry->queue->ready, &entry->node);
}

void sched_leave_queue(struct sched *sched, struct sched_entry *entry)
{
    struct sched_queue *queue = entry->queue;
    heap_remove(&queue->ready, &entry->node);
    entry->queue = NULL;
    if (queue->ready.count == 0)
        free_queue(sched, queue);
}

void sched_free_lists(struct sched *sched)
{
    while (sched->queue_count > 0)
        free_queue(sched, sched->queues[0]);
    while (sched->pair_count > 0)
        free_pair(sched, sched->pairs[0]);
    free(sched->queues);
    free(sched->pairs);
}
