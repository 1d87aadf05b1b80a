/* What all parts of veoctl share: the options, what it prints on, and how it complains. */
#ifndef VEO_CTL_CTL_H
#define VEO_CTL_CTL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "proto/ctl/exit.h"

#define REPLY_TIMEOUT_MS     30000 /* for verbs that answer at once */
#define RESEND_FOR_MS        30000 /* how long a broken submission is tried again */
#define RECONNECT_DEFAULT_MS 60000

struct output;

struct stream {
    FILE *file;
    bool is_terminal;
    bool can_redraw; /* a terminal that knows how to move the cursor */
    bool has_colour;
};

struct ctl {
    const char *command; /* NULL until it is known */
    const char *socket_path;
    const struct output *output;
    bool json;
    int64_t timeout_ms;   /* below 0: not given */
    const char *farewell; /* said when a signal ends it; may be NULL */
    bool is_prompt;       /* Ctrl-C ends what is being done, not the program */
    struct stream out;
    struct stream err;
};

/* Everything but `socket_path`. */
void ctl_init(struct ctl *ctl);

/* How long to wait for an answer that comes at once. */
int64_t ctl_reply_timeout(const struct ctl *ctl);

/* Takes --timeout for the jobs instead: the daemon's answers have their usual time again. */
int64_t ctl_take_timeout(struct ctl *ctl);

/* Columns of standard output or standard error; 80 if it doesn't say. */
size_t ctl_columns(const struct stream *stream);

/* One line on standard error: "veoctl: COMMAND: …", cleaned. */
void ctl_complain(const struct ctl *ctl, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* ctl_complain and a hint at --help; returns EXIT_USAGE. */
int ctl_usage(const struct ctl *ctl, const char *format, ...) __attribute__((format(printf, 2, 3)));

int64_t clock_ms(void);      /* monotonic */
int64_t clock_unix_ms(void); /* by the calendar */

#define CLOCK_NEVER INT64_MAX
/* A time `ms` from now; CLOCK_NEVER if ms is below 0. */
int64_t clock_after(int64_t ms);
/* Milliseconds until then, not below 0. */
int64_t clock_left(int64_t deadline);

#endif
