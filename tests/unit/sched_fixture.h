/* A scheduler, entries for it, and what happens to them. */
#ifndef VEO_SCHED_FIXTURE_H
#define VEO_SCHED_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "daemon/core/sched.h"

#define BIT(n) (UINT64_C(1) << (n))

static const struct pace_limits wide = {
    .unanswered_max = 1000,
    .backoff = {.base_ms = 1000, .max_ms = 8000},
};

static inline struct sched *make(const unsigned *weights, size_t count, unsigned in_flight_max)
{
    struct sched_provider providers[SCHED_PROVIDERS_MAX];
    for (size_t i = 0; i < count; i++)
        providers[i] = (struct sched_provider){.weight = weights[i], .limits = wide};
    return sched_new(providers, count, in_flight_max);
}

static const unsigned even[] = {1, 1, 1, 1};

static inline struct sched_entry entry(const char *id, int priority, int64_t not_before,
                                       size_t provider)
{
    return (struct sched_entry){.id = id,
                                .model = "m",
                                .providers = BIT(provider),
                                .priority = priority,
                                .not_before = not_before};
}

/* Picked, and accepted at once. */
static inline struct sched_entry *pick(struct sched *sched, int64_t now, size_t *ret_provider)
{
    size_t provider;
    struct sched_entry *picked = sched_pick(sched, now, ret_provider ? ret_provider : &provider);
    if (picked)
        sched_accepted(sched, picked, now);
    return picked;
}

static inline void assert_pick(struct sched *sched, int64_t now, const char *id)
{
    const struct sched_entry *picked = pick(sched, now, NULL);
    if (!id)
        assert_null(picked);
    else if (!picked)
        fail_msg("nothing picked instead of %s", id);
    else
        assert_string_equal(picked->id, id);
}

static inline bool turn_away(struct sched *sched, struct sched_entry *picked, int64_t now,
                             int64_t delay, bool is_everywhere)
{
    const struct sched_refusal refusal = {
        .delay = delay, .is_everywhere = is_everywhere, .reason = "enough"};
    return sched_turned_away(sched, picked, now, &refusal);
}

/* Shuts a provider's model, or all of it, by an entry of its own. */
static inline void shut(struct sched *sched, size_t provider, const char *model, int64_t now,
                        int64_t delay, bool is_everywhere)
{
    struct sched_entry first = entry("", 1000, 0, provider);
    size_t picked;
    first.model = model;
    sched_add(sched, &first);
    assert_ptr_equal(sched_pick(sched, now, &picked), &first);
    assert_int_equal(picked, provider);
    assert_true(turn_away(sched, &first, now, delay, is_everywhere));
    sched_landed(sched, &first);
}

#endif
