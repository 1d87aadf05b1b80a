/* Waiting for jobs to end, however often the daemon restarts meanwhile. */
#ifndef VEO_CTL_WAIT_H
#define VEO_CTL_WAIT_H

#include "proto/ctl/call.h"

struct wait {
    char *const *ids; /* full ones; borrowed */
    size_t count;
    int64_t timeout_ms;   /* below 0: none */
    int64_t reconnect_ms; /* how long a daemon that went away is waited for */
};

/* Reads to WAIT's OK, which `ret` is then: EXIT_ALL_DONE or EXIT_TIMED_OUT with an answer, else
 * `ret->word` is not REPLY_OK and everything was said. Ctrl-C says how to come back, and dies. */
int wait_for_jobs(struct ctl *ctl, struct connection *connection, const struct wait *wait,
                  struct answer *ret);

/* The exit status for such an answer. */
int wait_exit_status(const struct answer *ok);

/* Says on standard error which jobs are held, and why. */
void wait_explain_held(struct ctl *ctl, const struct answer *ok);

#endif
