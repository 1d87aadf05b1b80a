#include "proto/ctl/exit.h"

#include <string.h>

static const enum exit_status of_error[ERROR_CODES_END] = {
    [ERROR_BAD_REQUEST] = EXIT_PROTOCOL,   [ERROR_UNKNOWN_VERB] = EXIT_PROTOCOL,
    [ERROR_INVALID_ARGUMENT] = EXIT_USAGE, [ERROR_TOO_LONG] = EXIT_REFUSED,
    [ERROR_TOO_MANY] = EXIT_REFUSED,       [ERROR_NOT_FOUND] = EXIT_NOT_FOUND,
    [ERROR_FORBIDDEN] = EXIT_REFUSED,      [ERROR_CONFLICT] = EXIT_REFUSED,
    [ERROR_BUSY] = EXIT_REFUSED,           [ERROR_DRAINING] = EXIT_REFUSED,
    [ERROR_DISK_FULL] = EXIT_REFUSED,      [ERROR_BUDGET_EXCEEDED] = EXIT_REFUSED,
    [ERROR_UNAVAILABLE] = EXIT_REFUSED,    [ERROR_INTERNAL] = EXIT_PROTOCOL,
};

static const struct {
    const char *state;
    enum exit_status status;
} of_state[] = {
    {"done", EXIT_ALL_DONE},      {"failed", EXIT_JOB_FAILED},   {"filtered", EXIT_JOB_FAILED},
    {"expired", EXIT_JOB_FAILED}, {"cancelled", EXIT_CANCELLED}, {"uncertain", EXIT_UNCERTAIN},
    {"held", EXIT_REFUSED},
};

/* What costs money or needs a person comes first. */
static const enum exit_status by_weight[] = {
    EXIT_PROTOCOL,   EXIT_NO_DAEMON, EXIT_USAGE,     EXIT_NOT_FOUND, EXIT_UNCERTAIN,
    EXIT_JOB_FAILED, EXIT_REFUSED,   EXIT_CANCELLED, EXIT_TIMED_OUT, EXIT_ALL_DONE,
};

enum exit_status exit_of_error(enum error_code code)
{
    if (code <= ERROR_NONE || code >= ERROR_CODES_END)
        return EXIT_PROTOCOL;
    return of_error[code];
}

enum exit_status exit_of_state(const char *state)
{
    for (size_t i = 0; i < sizeof of_state / sizeof of_state[0]; i++) {
        if (strcmp(of_state[i].state, state) == 0)
            return of_state[i].status;
    }
    return EXIT_TIMED_OUT;
}

enum exit_status exit_worse(enum exit_status a, enum exit_status b)
{
    for (size_t i = 0; i < sizeof by_weight / sizeof by_weight[0]; i++) {
        if (by_weight[i] == a || by_weight[i] == b)
            return by_weight[i];
    }
    return EXIT_PROTOCOL;
}
