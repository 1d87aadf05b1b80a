/* How far a file has got, as one line on a terminal that is drawn in place. */
#ifndef VEO_CTL_METER_H
#define VEO_CTL_METER_H

#include "proto/ctl/ctl.h"

struct meter {
    struct ctl *ctl;
    const char *what; /* shown in front; may be NULL; borrowed */
    int64_t due_at;   /* clock_ms of the next drawing; 0: at once */
    bool is_drawn;
};

void meter_show(struct meter *meter, uint64_t done, uint64_t total);

/* Takes the line away. */
void meter_end(struct meter *meter);

#endif
