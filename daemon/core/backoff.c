#include "daemon/core/backoff.h"

#define PART_OF_WHAT_IS_LEFT 8

int64_t backoff_delay(const struct backoff *backoff, int earlier, double random)
{
    int64_t whole = backoff->base_ms;
    for (; earlier > 0 && whole > 0 && whole < backoff->max_ms; earlier--)
        whole = whole > backoff->max_ms / 2 ? backoff->max_ms : 2 * whole;
    if (whole > backoff->max_ms)
        whole = backoff->max_ms;
    int64_t half = whole / 2;
    return half + (int64_t)((double)(whole - half) * random);
}

int64_t backoff_within(int64_t delay, int64_t left, int64_t least)
{
    int64_t most = left / PART_OF_WHAT_IS_LEFT;
    if (most < least)
        most = least;
    return delay < most ? delay : most;
}
