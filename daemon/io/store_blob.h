/* The records of blobs and of what jobs need, as statements on one of the store's connections. */
#ifndef VEO_STORE_BLOB_H
#define VEO_STORE_BLOB_H

#include <sqlite3.h>

#include "daemon/io/store.h"

struct store_blobs;

int store_blobs_new(sqlite3 *db, struct store_blobs **ret, struct error *error);
void store_blobs_free(struct store_blobs *blobs); /* takes NULL */

/* STORE_PUT_BLOB and STORE_SWEEP_BLOBS, inside a transaction. 0 or negative errno. */
int store_blobs_put(struct store_blobs *blobs, struct store_write *write);
int store_blobs_sweep(struct store_blobs *blobs, struct store_write *write);

/* Notes what the job in row `number` needs. -ENOENT: some of it isn't there any more. */
int store_blobs_need(struct store_blobs *blobs, int64_t number, const struct job *job);

/* STORE_BLOB. */
int store_blobs_find(struct store_blobs *blobs, struct store_read *read);

int store_blobs_each(struct store_blobs *blobs,
                     void (*each)(void *arg, const struct store_blob *blob), void *arg);

#endif
