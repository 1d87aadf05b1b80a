/* Conversations with the agent, as statements on one of the store's connections. */
#ifndef VEO_STORE_SESSION_H
#define VEO_STORE_SESSION_H

#include <sqlite3.h>

#include "daemon/io/store.h"

struct store_sessions;

int store_sessions_new(sqlite3 *db, struct store_sessions **ret, struct error *error);
void store_sessions_free(struct store_sessions *sessions); /* takes NULL */

/* STORE_PUT_SESSION and STORE_SWEEP_SESSIONS, inside a transaction. 0 or negative errno. */
int store_sessions_put(struct store_sessions *sessions, const struct store_session *session);
int store_sessions_sweep(struct store_sessions *sessions, struct store_write *write);

/* STORE_SESSION. */
int store_sessions_find(struct store_sessions *sessions, struct store_read *read);

/* As store_each_working_session. */
int store_sessions_each_working(struct store_sessions *sessions,
                                void (*each)(void *arg, struct store_session *session), void *arg,
                                struct error *error);

#endif
