#include "daemon/core/sched.h"

#include <stdlib.h>
#include <string.h>

#include "proto/mem.h"

struct lane {
    struct heap ready;
    int64_t shut_until;
    int times_shut; /* in a row */
    bool unready;
};

struct sched {
    struct lane *lanes;
    size_t lane_count;
    struct heap delayed;
    unsigned in_flight;
    unsigned in_flight_max;
};

static const struct sched_entry *entry_of(const struct heap_node *node)
{
    return (const struct sched_entry *)(const void *)((const char *)node -
                                                      offsetof(struct sched_entry, node));
}

static bool goes_first(const struct sched_entry *a, const struct sched_entry *b)
{
    if (a->priority != b->priority)
        return a->priority > b->priority;
    return strcmp(a->id, b->id) < 0;
}

static bool less_ready(const struct heap_node *a, const struct heap_node *b)
{
    return goes_first(entry_of(a), entry_of(b));
}

static bool less_delayed(const struct heap_node *a, const struct heap_node *b)
{
    return entry_of(a)->not_before < entry_of(b)->not_before;
}

struct sched *sched_new(size_t lanes, unsigned in_flight_max)
{
    struct sched *sched = mem_alloc(sizeof(*sched));
    sched->lanes = mem_alloc((lanes + 1) * sizeof(*sched->lanes));
    sched->lane_count = lanes;
    sched->in_flight_max = in_flight_max;
    heap_init(&sched->delayed, less_delayed);
    for (size_t i = 0; i < lanes; i++)
        heap_init(&sched->lanes[i].ready, less_ready);
    return sched;
}

void sched_free(struct sched *sched)
{
    if (!sched)
        return;
    for (size_t i = 0; i < sched->lane_count; i++)
        heap_free(&sched->lanes[i].ready);
    heap_free(&sched->delayed);
    free(sched->lanes);
    free(sched);
}

void sched_add(struct sched *sched, struct sched_entry *entry)
{
    entry->delayed = true;
    heap_add(&sched->delayed, &entry->node);
}

void sched_remove(struct sched *sched, struct sched_entry *entry)
{
    heap_remove(entry->delayed ? &sched->delayed : &sched->lanes[entry->lane].ready, &entry->node);
}

static void ripen(struct sched *sched, int64_t now)
{
    for (struct heap_node *node; (node = heap_first(&sched->delayed));) {
        struct sched_entry *entry = heap_entry(node, struct sched_entry, node);
        if (entry->not_before > now)
            return;
        heap_remove(&sched->delayed, node);
        entry->delayed = false;
        heap_add(&sched->lanes[entry->lane].ready, node);
    }
}

static struct sched_entry *best(const struct sched *sched, int64_t now)
{
    struct sched_entry *first = NULL;
    for (size_t i = 0; i < sched->lane_count; i++) {
        struct heap_node *node = heap_first(&sched->lanes[i].ready);
        if (!node || sched->lanes[i].shut_until > now || sched->lanes[i].unready)
            continue;
        struct sched_entry *entry = heap_entry(node, struct sched_entry, node);
        if (!first || goes_first(entry, first))
            first = entry;
    }
    return first;
}

struct sched_entry *sched_pick(struct sched *sched, int64_t now)
{
    ripen(sched, now);
    if (sched->in_flight >= sched->in_flight_max)
        return NULL;
    struct sched_entry *entry = best(sched, now);
    if (!entry)
        return NULL;
    sched_remove(sched, entry);
    sched->in_flight++;
    return entry;
}

void sched_took_off(struct sched *sched)
{
    sched->in_flight++;
}

void sched_landed(struct sched *sched)
{
    sched->in_flight--;
}

int64_t sched_next(struct sched *sched, int64_t now)
{
    ripen(sched, now);
    if (sched->in_flight >= sched->in_flight_max)
        return INT64_MAX;
    int64_t next = INT64_MAX;
    const struct heap_node *node = heap_first(&sched->delayed);
    if (node)
        next = entry_of(node)->not_before;
    for (size_t i = 0; i < sched->lane_count; i++) {
        const struct lane *lane = &sched->lanes[i];
        if (lane->ready.count && !lane->unready && lane->shut_until < next)
            next = lane->shut_until;
    }
    return next;
}

void sched_shut(struct sched *sched, size_t lane_index, int64_t now, int64_t delay,
                const struct backoff *backoff, double random)
{
    struct lane *lane = &sched->lanes[lane_index];
    /* Those that were under way when it was shut come back with the same news. */
    if (delay < 0 && lane->shut_until > now)
        return;
    if (delay < 0)
        delay = backoff_delay(backoff, lane->times_shut++, random);
    if (now + delay > lane->shut_until)
        lane->shut_until = now + delay;
}

void sched_opened(struct sched *sched, size_t lane)
{
    sched->lanes[lane].times_shut = 0;
}

int64_t sched_shut_until(const struct sched *sched, size_t lane)
{
    return sched->lanes[lane].shut_until;
}

void sched_set_ready(struct sched *sched, size_t provider, bool ready)
{
    sched->lanes[provider].unready = !ready;
}

size_t sched_waiting(const struct sched *sched)
{
    size_t count = sched->delayed.count;
    for (size_t i = 0; i < sched->lane_count; i++)
        count += sched->lanes[i].ready.count;
    return count;
}

unsigned sched_in_flight(const struct sched *sched)
{
    return sched->in_flight;
}

unsigned sched_in_flight_max(const struct sched *sched)
{
    return sched->in_flight_max;
}

void sched_set_in_flight_max(struct sched *sched, unsigned max)
{
    sched->in_flight_max = max;
}
