/* The steps of a turn, as they come: on standard error, one line each, and on a terminal below them
 * what goes on, drawn anew in place; with --json the events as they were sent. */
#ifndef VEO_CTL_ASK_SHOW_H
#define VEO_CTL_ASK_SHOW_H

#include "proto/buf.h"
#include "proto/ctl/connection.h"
#include "proto/ctl/ctl.h"

struct ask_show;

/* `picks_up`: the words were said elsewhere, and are shown as well. */
struct ask_show *ask_show_new(struct ctl *ctl, bool picks_up);
void ask_show_free(struct ask_show *show); /* takes NULL; leaves the terminal clean */

/* Takes an EVENT of ASK. */
void ask_show_step(struct ask_show *show, const struct answer *event);

/* Takes a whole job, which tells how long it may last. */
void ask_show_job(struct ask_show *show, struct json_value job);

/* Draws anew, if this is a terminal; to be called every PROGRESS_TICK_MS. */
void ask_show_draw(struct ask_show *show);
bool ask_show_is_drawn(const struct ask_show *show);

/* Takes away what is drawn in place, so that something else can be said. */
void ask_show_clear(struct ask_show *show);

#endif
