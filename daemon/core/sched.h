/* Which job is submitted next, and to which provider.
 *
 * Jobs for the same model that may go to the same providers share a queue; in each the highest
 * priority goes first, ties by age, and the best of all heads that can go, goes. Among the
 * providers that are open for its model the turn is by weight; one of weight 0 stands in only when
 * no other is open. Each provider has a gate of its own, each model of it another, with a pace
 * (pace.h). The number in flight is capped for all together. Pure: times are the caller's steady
 * clock in ms. */
#ifndef VEO_SCHED_H
#define VEO_SCHED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/core/heap.h"
#include "daemon/core/pace.h"

#define SCHED_PROVIDERS_MAX 64

struct sched_queue;
struct sched_pair;

/* Embedded in whatever is scheduled. */
struct sched_entry {
    struct heap_node node;
    const char *id;     /* borrowed; decides ties */
    const char *model;  /* borrowed; the same as long as it is queued or in flight */
    uint64_t providers; /* bits of those that may have it; not 0 */
    int priority;
    int64_t not_before;

    /* The scheduler's: */
    struct sched_queue *queue; /* NULL: in none */
    bool delayed;              /* in the heap of those whose time hasn't come */
    struct sched_pair *pair;   /* where it is in flight; NULL: it isn't */
    struct pace_ticket ticket;
    bool is_unanswered;
};

struct sched_provider {
    unsigned weight;
    struct pace_limits limits; /* of each model of it */
};

struct sched;

/* `providers` is copied. */
struct sched *sched_new(const struct sched_provider *providers, size_t count,
                        unsigned in_flight_max);
/* Others for the same providers. Gates stay shut, and what was learned stays. */
void sched_set_limits(struct sched *sched, const struct sched_provider *providers,
                      unsigned in_flight_max);
void sched_free(struct sched *sched); /* takes NULL; no entry is touched */

void sched_add(struct sched *sched, struct sched_entry *entry);
void sched_remove(struct sched *sched, struct sched_entry *entry); /* harmless if not queued */

/* Takes out the next one that may start now, and says with whom; NULL if none may. It is in flight
 * until sched_landed(), and unanswered until one of those below. */
struct sched_entry *sched_pick(struct sched *sched, int64_t now, size_t *ret_provider);

/* It is in flight there since before a restart. Nothing if it is in flight already. */
void sched_took_off(struct sched *sched, struct sched_entry *entry, size_t provider);
/* It no longer is, and no longer unanswered. Harmless if it isn't in flight. */
void sched_landed(struct sched *sched, struct sched_entry *entry);

/* It was picked, and won't be sent after all: as if it had not been. It is in no queue. */
void sched_put_back(struct sched *sched, struct sched_entry *entry);

/* When sched_pick may have something though nothing else happens; INT64_MAX: not by time alone. */
int64_t sched_next(struct sched *sched, int64_t now);

/* ---- what providers answer; all harmless if the entry isn't unanswered ---- */

void sched_accepted(struct sched *sched, struct sched_entry *entry, int64_t now);
/* Neither accepted nor turned away, or never sent. */
void sched_answered(struct sched *sched, struct sched_entry *entry);

struct sched_refusal {
    int64_t delay;      /* as in gate_shut */
    bool slows;         /* as in pace_turned_away */
    bool is_everywhere; /* whatever the model */
    const char *reason; /* for people; NULL: none */
    double random;      /* in [0, 1) */
};
/* The provider is shut, for that model or for all. True if it was open until now: that is news. */
bool sched_turned_away(struct sched *sched, struct sched_entry *entry, int64_t now,
                       const struct sched_refusal *refusal);

/* While a provider isn't ready (it has no token) nothing is picked for it. All are at first. */
void sched_set_ready(struct sched *sched, size_t provider, bool ready);

/* ---- what there is to see ---- */

size_t sched_waiting(const struct sched *sched);
unsigned sched_in_flight(const struct sched *sched);
unsigned sched_in_flight_max(const struct sched *sched);

struct sched_view {
    size_t provider;
    const char *model;
    unsigned in_flight;
    unsigned in_flight_max; /* 0: none */
    unsigned unanswered;
    double per_minute;  /* what is submitted at most; 0: no bound is known */
    int64_t shut_until; /* not after now: open */
    int64_t opens;      /* as pace_opens, and with the provider's own gate */
    const char *reason; /* why it was shut last; NULL: never, or not said */
    bool is_ready;
};
/* False if nothing of that model was ever submitted to it, or it is forgotten. */
bool sched_look(const struct sched *sched, size_t provider, const char *model, int64_t now,
                struct sched_view *ret);
/* The pairs of a provider and a model that there are, by index; false: no more. */
bool sched_look_at(const struct sched *sched, size_t index, int64_t now, struct sched_view *ret);

#endif
