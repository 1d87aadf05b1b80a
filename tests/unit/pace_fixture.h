/* A pace, and submissions one at a time. */
#ifndef VEO_PACE_FIXTURE_H
#define VEO_PACE_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "daemon/core/pace.h"

#define MINUTE   60000
#define ANSWERS  64 /* at once */
#define NO_DELAY (-1)

static const struct pace_limits free_limits = {
    .unanswered_max = ANSWERS,
    .backoff = {.base_ms = 5000, .max_ms = 300000},
};

static inline struct pace make(double per_minute, unsigned in_flight_max)
{
    struct pace pace;
    struct pace_limits limits = free_limits;
    limits.per_minute = per_minute;
    limits.in_flight_max = in_flight_max;
    pace_init(&pace, &limits);
    return pace;
}

static inline bool is_open(const struct pace *pace, int64_t now)
{
    return pace_opens(pace, now) <= now;
}

static inline void accept_one(struct pace *pace, int64_t now)
{
    assert_true(is_open(pace, now));
    pace_accepted(pace, pace_take(pace, now), now);
    pace_landed(pace);
}

static inline void refuse_one(struct pace *pace, int64_t now, int64_t delay, bool slows)
{
    assert_true(is_open(pace, now));
    pace_turned_away(pace, pace_take(pace, now), now, delay, slows, 0);
    pace_landed(pace);
}

#endif
