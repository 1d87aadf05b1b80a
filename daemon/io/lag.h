/* How long the loop is busy between two waits: whatever is due meanwhile waits that long. */
#ifndef VEO_LAG_H
#define VEO_LAG_H

#include <uv.h>

#include "daemon/core/histogram.h"

struct lag {
    uv_prepare_t turn;
    uint64_t last_at;   /* ns */
    uint64_t last_idle; /* ns of the loop's life */
    struct histogram us;
    uint64_t us_max;
};

/* Begins. On a loop that has not run yet. It doesn't keep the loop alive. */
void lag_open(uv_loop_t *loop, struct lag *lag);
void lag_close(struct lag *lag); /* the memory is in use until the loop has run */

#endif
