/* How jobs get on, while somebody waits: one line a job on a terminal, drawn anew in place; plain
 * lines, one a change, elsewhere. On standard error. */
#ifndef VEO_CTL_PROGRESS_H
#define VEO_CTL_PROGRESS_H

#include <stdbool.h>

#include "proto/ctl/ctl.h"
#include "proto/json.h"

#define PROGRESS_TICK_MS 500

struct progress;

struct progress *progress_new(struct ctl *ctl);
void progress_free(struct progress *progress); /* takes NULL; leaves the terminal clean */

/* Takes a job or an event of one. */
void progress_take(struct progress *progress, struct json_value job);

/* There is no more to say of that job. */
void progress_drop(struct progress *progress, const char *id);

/* Draws anew, if this is a terminal; to be called every PROGRESS_TICK_MS. */
void progress_draw(struct progress *progress);

/* Takes the lines away, so that something else can be said. */
void progress_clear(struct progress *progress);

/* True if drawing is of use at all. */
bool progress_is_drawn(const struct progress *progress);

/* "[#####-----] 50%" for a share of 0 to 1. */
#define PROGRESS_BAR 24 /* bytes */
void progress_bar(double share, char ret[PROGRESS_BAR]);

#endif
