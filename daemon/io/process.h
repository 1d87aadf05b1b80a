/* What the kernel knows of this process. */
#ifndef VEO_PROCESS_H
#define VEO_PROCESS_H

#include <stdint.h>

/* Below 0: not known. */
struct process {
    double cpu_seconds;
    int64_t resident_bytes;
    int64_t virtual_bytes;
    int64_t open_descriptors;
    int64_t max_descriptors;
};
/* Unix time in seconds, by the clock of now. */
double process_started_at(void);
void process_look(struct process *ret);

#endif
