/* How long to wait before trying again. */
#ifndef VEO_BACKOFF_H
#define VEO_BACKOFF_H

#include <stdint.h>

struct backoff {
    int64_t base_ms;
    int64_t max_ms;
};

/* Exponential with jitter: half of it is certain, half is chance, so that what failed together does
 * not return together. `earlier` waits have gone before; `random` is in [0, 1). */
int64_t backoff_delay(const struct backoff *backoff, int earlier, double random);

/* The same delay, but at most an eighth of the time that is `left` until it is too late: however
 * long the waits have become, there is always another try. Never below `least`. */
int64_t backoff_within(int64_t delay, int64_t left, int64_t least);

#endif
