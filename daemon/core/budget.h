/* The day's budgets: of all together, of each owner, of each provider. What was charged today and
 * what is reserved for jobs that have not ended must not exceed them. Days are in UTC. Pure: times
 * are Unix time in ms, given by the caller; amounts are micro-dollars; a limit below 0 is none.
 *
 * What doesn't fit is held here in the order in which it is to be released: the highest priority,
 * then the oldest. */
#ifndef VEO_BUDGET_H
#define VEO_BUDGET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "daemon/core/heap.h"

#define BUDGET_PROVIDERS_MAX 64
#define BUDGET_NOWHERE       SIZE_MAX /* at no provider */

struct budget;
struct budget_lane;

/* A job's part, embedded in whatever stands for it; zeroed at first. */
struct budget_entry {
    uid_t owner;
    int64_t reserved;
    size_t provider; /* where that is reserved as well, or BUDGET_NOWHERE */

    struct heap_node node; /* while it is held: */
    struct budget_lane *lane;
    const char *id; /* borrowed; decides ties */
    int priority;
    int64_t wants;
};

enum budget_scope { BUDGET_ALL, BUDGET_OWNER, BUDGET_PROVIDER };

struct budget_state {
    enum budget_scope scope;
    size_t provider; /* BUDGET_PROVIDER */
    int64_t limit;   /* -1: none */
    int64_t charged; /* today */
    int64_t reserved;
};

struct budget *budget_new(size_t providers);
void budget_free(struct budget *budget); /* takes NULL; the entries are their owners' */

void budget_set_limits(struct budget *budget, int64_t all, int64_t each_owner);
void budget_set_provider_limit(struct budget *budget, size_t provider, int64_t limit);

/* A new day: nothing was charged today. True if it is one. Called before anything else. */
bool budget_turn(struct budget *budget, int64_t now);
int64_t budget_day_begin(int64_t now);
int64_t budget_day_end(int64_t now);

/* Adds to what was charged at a time; of earlier days than today it counts nowhere. */
void budget_charge(struct budget *budget, uid_t owner, size_t provider, int64_t amount, int64_t at);

/* What is reserved for it is now this, there. */
void budget_reserve(struct budget *budget, struct budget_entry *entry, int64_t amount,
                    size_t provider);

/* Is there room for so much more of that owner's, and at one of the providers of the bit set?
 * Otherwise `ret`, which may be NULL, says which budget is in the way. Nothing always fits. */
bool budget_fits(struct budget *budget, uid_t owner, uint64_t providers, int64_t amount,
                 struct budget_state *ret);
bool budget_provider_fits(const struct budget *budget, size_t provider, int64_t amount);
/* The same of a whole day on which nothing else is done. */
bool budget_can_ever_fit(struct budget *budget, uint64_t providers, int64_t amount,
                         struct budget_state *ret);
/* More is charged and reserved than the budgets of all, of that owner, or of that provider (which
 * may be BUDGET_NOWHERE) allow. */
bool budget_is_over(struct budget *budget, uid_t owner, size_t provider, struct budget_state *ret);

/* Waits for room; `owner`, `id`, `priority` and `wants` are set. */
void budget_hold(struct budget *budget, struct budget_entry *entry, uint64_t providers);
void budget_unhold(struct budget *budget, struct budget_entry *entry); /* harmless if not held */
/* Takes out the next one that there is room for; `ret_provider` is the provider that has it. NULL:
 * none. Who is first and only lacks room in the budget of all keeps the others waiting. */
struct budget_entry *budget_next(struct budget *budget, size_t *ret_provider);
size_t budget_held(const struct budget *budget);

void budget_all(const struct budget *budget, struct budget_state *ret);
void budget_owner(struct budget *budget, uid_t owner, struct budget_state *ret);
void budget_provider(const struct budget *budget, size_t provider, struct budget_state *ret);

#endif
