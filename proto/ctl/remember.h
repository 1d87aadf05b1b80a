/* What veoctl remembers of its user from one call to the next: small files in
 * ${XDG_STATE_HOME:-~/.local/state}/veoctl, which nobody else can read. */
#ifndef VEO_CTL_REMEMBER_H
#define VEO_CTL_REMEMBER_H

#include "proto/ctl/ctl.h"

#define SESSION_ID_MAX 64 /* bytes */

/* The path of such a file, in fresh memory, after making the folder; NULL with errno. */
char *remember_path(const char *name);

/* The session that was gone on with last, in fresh memory; NULL with errno. */
char *remember_session(void);

/* What can't be kept is only told. */
void remember_set_session(const struct ctl *ctl, const char *session);

/* True for what may be a session's id. */
bool remember_is_session(const char *text);

#endif
