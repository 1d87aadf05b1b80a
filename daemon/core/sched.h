/* Which job is submitted next. One lane a provider; in each the highest priority goes first, ties
 * by age. A lane may be shut for a while (its provider turned us away), and the number in flight is
 * capped for all together. Pure: times are the caller's steady clock in ms. */
#ifndef VEO_SCHED_H
#define VEO_SCHED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/core/backoff.h"
#include "daemon/core/heap.h"

/* Embedded in whatever is scheduled. */
struct sched_entry {
    struct heap_node node;
    const char *id; /* borrowed; decides ties */
    int priority;
    int64_t not_before;
    size_t lane;
    bool delayed; /* in the heap of those whose time hasn't come */
};

struct sched;

struct sched *sched_new(size_t lanes, unsigned in_flight_max);
void sched_free(struct sched *sched); /* takes NULL */

void sched_add(struct sched *sched, struct sched_entry *entry);
void sched_remove(struct sched *sched, struct sched_entry *entry); /* harmless if not in it */

/* Takes out the next one that may start now; NULL if none may. It counts as in flight until
 * sched_landed(). */
struct sched_entry *sched_pick(struct sched *sched, int64_t now);

/* One more in flight that was not picked (after a restart), one less. */
void sched_took_off(struct sched *sched);
void sched_landed(struct sched *sched);

/* When sched_pick may have something though nothing else happens; INT64_MAX: not by time alone. */
int64_t sched_next(struct sched *sched, int64_t now);

/* The provider of `lane` turned us away: nothing is picked from it until `now` + delay; with
 * delay < 0 that grows with each time in a row. */
void sched_shut(struct sched *sched, size_t lane, int64_t now, int64_t delay,
                const struct backoff *backoff, double random);
/* It took a submission. */
void sched_opened(struct sched *sched, size_t lane);
int64_t sched_shut_until(const struct sched *sched, size_t lane);
/* While a provider isn't ready (it has no token) nothing is picked for it. All are at first. */
void sched_set_ready(struct sched *sched, size_t provider, bool ready);

size_t sched_waiting(const struct sched *sched);
unsigned sched_in_flight(const struct sched *sched);
void sched_set_in_flight_max(struct sched *sched, unsigned max);
unsigned sched_in_flight_max(const struct sched *sched);

#endif
