/* The families of METRICS, which are described where they are written. */
#ifndef VEO_METRICS_H
#define VEO_METRICS_H

#include <stdbool.h>

#include "daemon/cmd/call.h"
#include "daemon/cmd/expose.h"

/* What is charged and what is left are for admins, as they are in COST. No family names an owner,
 * a job, or what was asked for. */
void metrics_write(const struct commands *commands, bool with_money, struct expose *expose);

/* The answers of a tally, as samples of the family that was begun; `labels` end with a place for
 * the class: its name, and NULL in place of the value. */
void metrics_write_answers(struct expose *expose, const char **labels,
                           const struct http_tally *tally);

#endif
