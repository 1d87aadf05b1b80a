/* How veoctl ends: the exit status of everything that can happen, from two tables. */
#ifndef VEO_CTL_EXIT_H
#define VEO_CTL_EXIT_H

#include "proto/error.h"

enum exit_status {
    EXIT_ALL_DONE = 0,
    EXIT_JOB_FAILED = 1, /* or was filtered, or expired */
    EXIT_USAGE = 2,
    EXIT_NOT_FOUND = 3,
    EXIT_NO_DAEMON = 4,
    EXIT_TIMED_OUT = 5,
    EXIT_CANCELLED = 6,
    EXIT_UNCERTAIN = 7,
    EXIT_REFUSED = 8, /* permission, limit, budget; a held job */
    EXIT_PROTOCOL = 9,
};

/* Of an ERR; a code that is none of ours is EXIT_PROTOCOL. */
enum exit_status exit_of_error(enum error_code code);

/* Of a job in that state; a state that isn't an end is EXIT_TIMED_OUT, since it was waited for. */
enum exit_status exit_of_state(const char *state);

/* Of two jobs, the one that tells more: what a person has to look at first. */
enum exit_status exit_worse(enum exit_status a, enum exit_status b);

#endif
