/* The directory that a store lives in, and the lock that keeps a second veod out of it. */
#ifndef VEO_STORE_DIR_H
#define VEO_STORE_DIR_H

#include "proto/error.h"

/* Makes `directory` if it is missing (not its parents) and locks DIR/lock. The lock's descriptor,
 * to be closed in the end, or -1 with `error`. */
int store_dir_lock(const char *directory, struct error *error);

/* Makes DIR/jobs.db if it is missing, for its owner alone: SQLite gives its other files the mode of
 * this one. Its path in fresh memory, or NULL with `error`. */
char *store_dir_database(const char *directory, struct error *error);

#endif
