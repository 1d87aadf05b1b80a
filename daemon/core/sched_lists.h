/* Inside the scheduler: what it consists of, and how queues and pairs come and go. */
#ifndef VEO_SCHED_LISTS_H
#define VEO_SCHED_LISTS_H

#include "daemon/core/sched.h"

#define SCHED_PAIRS_MAX 1024 /* beyond which unused ones are forgotten */

/* One model of one provider. */
struct sched_pair {
    char *model;
    size_t provider;
    struct pace pace;
    char *reason;
    int64_t turn;         /* of the smooth weighted round robin */
    int64_t last_news_at; /* the last submission or answer */
    size_t index;         /* in sched->pairs */
    unsigned queues;      /* that refer to it */
};

struct sched_queue {
    char *model;
    uint64_t providers;
    struct heap ready;
    size_t index; /* in sched->queues */
    size_t pair_count;
    struct sched_pair *pairs[];
};

struct provider_state {
    unsigned weight;
    struct pace_limits limits;
    struct gate gate;
    char *reason;
    bool unready;
};

struct sched {
    struct provider_state *providers;
    size_t provider_count;
    struct heap delayed;
    struct sched_queue **queues;
    size_t queue_count, queue_capacity;
    void *queue_tree; /* tsearch(3) by model and providers */
    struct sched_pair **pairs;
    size_t pair_count, pair_capacity;
    void *pair_tree; /* tsearch(3) by model and provider */
    size_t forget_at;
    size_t waiting;
    unsigned in_flight;
    unsigned in_flight_max;
};

struct sched_entry *sched_entry_of(struct heap_node *node);
/* The order of those that are ready. */
bool sched_goes_first(const struct sched_entry *a, const struct sched_entry *b);

struct sched_pair *sched_find_pair(const struct sched *sched, size_t provider, const char *model);
/* The same, made if there is none. */
struct sched_pair *sched_get_pair(struct sched *sched, size_t provider, const char *model);

/* To the queue of its model and providers and away from it: made for the first, freed after the
 * last. */
void sched_join_queue(struct sched *sched, struct sched_entry *entry);
void sched_leave_queue(struct sched *sched, struct sched_entry *entry);

void sched_free_lists(struct sched *sched);

#endif
