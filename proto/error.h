/* What went wrong, in the words of the protocol: a code from one table, the field that is to
 * blame, and one line for a person that says what was wrong, what was expected, what was given. */
#ifndef VEO_ERROR_H
#define VEO_ERROR_H

#include <stddef.h>

#define ERROR_CODES(X)                                                                          \
    X(BAD_REQUEST, "bad-request", "the line is not a command, or its JSON is broken")           \
    X(UNKNOWN_VERB, "unknown-verb", "no such verb; HELP lists them")                            \
    X(INVALID_ARGUMENT, "invalid-argument", "a member is unknown, missing, or has a bad value") \
    X(TOO_LONG, "too-long", "a line or a body is longer than its limit")                        \
    X(TOO_MANY, "too-many", "a limit on a number of things is reached")                         \
    X(NOT_FOUND, "not-found", "no such job or operation, or it belongs to somebody else")       \
    X(FORBIDDEN, "forbidden", "the verb is for operators")                                      \
    X(CONFLICT, "conflict", "the job's state, a key, or an existing file stands against it")    \
    X(BUSY, "busy", "too much is going on; try again")                                          \
    X(DRAINING, "draining", "the daemon takes no new jobs")                                     \
    X(DISK_FULL, "disk-full", "the change could not be made durable, and was not made")         \
    X(BUDGET_EXCEEDED, "budget-exceeded", "the job costs more than the whole budget")           \
    X(UNAVAILABLE, "unavailable", "what is needed for it is not there now")                     \
    X(INTERNAL, "internal", "a defect in veod")

enum error_code {
    ERROR_NONE,
#define X(name, text, summary) ERROR_##name,
    ERROR_CODES(X)
#undef X
        ERROR_CODES_END
};

struct error {
    enum error_code code;
    char field[64];    /* empty: no member is to blame */
    char message[320]; /* UTF-8, one line */
};

/* Fills `error` and returns -1, so that a failing function ends in `return error_set(…)`. `field`
 * may be NULL. `error` may be NULL: then nothing is recorded. What doesn't fit is cut at a
 * character's boundary; control bytes become '?'. */
int error_set(struct error *error, enum error_code code, const char *field, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* "invalid-argument"; "none" for ERROR_NONE. */
const char *error_code_name(enum error_code code);

/* The code of a name, ERROR_NONE if it is none of ours. */
enum error_code error_code_from_name(const char *name, size_t length);

#endif
