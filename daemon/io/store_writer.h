/* The store's writing side: one batch of changes in one transaction. Runs on a worker thread. */
#ifndef VEO_STORE_WRITER_H
#define VEO_STORE_WRITER_H

#include "daemon/io/store.h"

struct store_writer;

int store_writer_open(const char *path, struct store_writer **ret, struct error *error);
void store_writer_close(struct store_writer *writer); /* takes NULL */

/* Performs the list `batch` and makes it durable, filling in what each write yields. 0, or the
 * negative errno that every one of them got: then the store is as it was. */
int store_writer_commit(struct store_writer *writer, struct store_write *batch);

/* The number of the newest committed event. */
int64_t store_writer_last_event(const struct store_writer *writer);

#endif
