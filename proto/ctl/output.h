/* What veoctl shows, in one of two renderings: text for people and for cut(1), or the protocol's
 * own JSON objects, one a line. */
#ifndef VEO_CTL_OUTPUT_H
#define VEO_CTL_OUTPUT_H

#include "proto/ctl/connection.h"
#include "proto/ctl/ctl.h"
#include "proto/ctl/table.h"

struct output {
    void (*accepted)(struct ctl *ctl, const struct answer *job);
    void (*dry_run)(struct ctl *ctl, const struct answer *ok);
    void (*blob)(struct ctl *ctl, const char *blob, const char *path);
    void (*job)(struct ctl *ctl, const struct answer *job);
    void (*job_row)(struct ctl *ctl, struct table *table, const struct answer *job);
    void (*waited)(struct ctl *ctl, const struct answer *ok);  /* WAIT's OK */
    void (*changed)(struct ctl *ctl, const struct answer *ok); /* CANCEL, RETRY, … */
    void (*event)(struct ctl *ctl, const struct answer *event);
    void (*why)(struct ctl *ctl, const struct answer *ok);
    void (*details)(struct ctl *ctl, const struct answer *ok); /* whatever it holds */
    void (*reloaded)(struct ctl *ctl, const struct answer *ok);
    void (*pong)(struct ctl *ctl, const struct answer *ok, int64_t round_trip_us);
    void (*refused)(struct ctl *ctl, const struct answer *err);
};

extern const struct output output_text;
extern const struct output output_json;

/* The columns that job_row fills. To be made once it is known what standard output is: --plain. */
struct table *output_job_table(struct ctl *ctl);

/* The colour of a state, as an escape sequence; "" for a plain one. */
const char *output_state_colour(const char *state);
#define COLOUR_OFF "\033[0m"

#endif
