/* A result's bytes, from the daemon into a file of the user's: whole and synced under the final
 * name, or not there at all. */
#ifndef VEO_CTL_FETCH_H
#define VEO_CTL_FETCH_H

#include "proto/ctl/call.h"

struct fetch {
    const char *id;
    size_t file;        /* the job's first is 0 */
    const char *target; /* a file, or "-": standard output */
    bool overwrite;
    int64_t reconnect_ms; /* how long a connection that broke is tried again */
};

/* Where a result goes: `output` as the user gave it (NULL: none), a folder taking ID.mp4; further
 * results get "-1", "-2", … before the suffix. Fresh memory. */
char *fetch_target(const char *output, const char *id, size_t file);

/* Says so, and gives EXIT_USAGE, if the target can't be written: to be asked before money is
 * spent. With `id` NULL only the folder of a target that is one is looked at. */
int fetch_check(struct ctl *ctl, const char *output, const char *id, size_t file, bool overwrite);

int fetch_file(struct ctl *ctl, struct connection *connection, const struct fetch *fetch);

#endif
