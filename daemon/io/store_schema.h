/* The database file: how it is opened, what tables it has, how an older one is brought up to date.
 */
#ifndef VEO_STORE_SCHEMA_H
#define VEO_STORE_SCHEMA_H

#include <sqlite3.h>

#include "proto/error.h"

/* The connection that writes, with the schema in place. -1 with `error`. */
int store_schema_open_writer(const char *path, sqlite3 **ret, struct error *error);

/* One that only reads, after the writer was opened. -1 with `error`. */
int store_schema_open_reader(const char *path, sqlite3 **ret, struct error *error);

/* Performs the steps that `db` lacks, each in a transaction of its own: todo[n] leads from version
 * n to n + 1. -1 with `error`: a step failed, and the database has the version before it; or the
 * database is newer than `count`, or not veod's. `path` is for the messages. */
int store_schema_upgrade(sqlite3 *db, const char *path, const char *const *todo, int count,
                         struct error *error);

#endif
