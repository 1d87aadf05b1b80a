/* Jobs named on the command line. A prefix is the daemon's business; `last` is ours: the newest
 * job of whoever calls. */
#ifndef VEO_CTL_SELECT_H
#define VEO_CTL_SELECT_H

#include "proto/buf.h"
#include "proto/ctl/call.h"

#define ID_LENGTH 26

struct selection {
    char **ids; /* owned */
    size_t count;
};

/* Says so, and gives EXIT_USAGE, if that are no or too many jobs. */
int select_check(const struct ctl *ctl, size_t count);

/* `last` becomes an id. `count` was checked. EXIT_ALL_DONE, or the status to exit with. To be freed
 * either way. */
int select_words(struct ctl *ctl, struct connection *connection, char **words, size_t count,
                 struct selection *ret);

/* As select_words, and full ids in place of prefixes: they stay true when new jobs come. */
int select_full(struct ctl *ctl, struct connection *connection, char **words, size_t count,
                struct selection *ret);

void select_free(struct selection *selection);

#endif
