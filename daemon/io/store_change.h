/* One change of the store, as statements inside a transaction that is already open. */
#ifndef VEO_STORE_CHANGE_H
#define VEO_STORE_CHANGE_H

#include <sqlite3.h>

#include "daemon/io/store.h"

struct store_changes;

/* `last_event` is raised by one for each event. Both are borrowed. -1 with `error`. */
int store_changes_new(sqlite3 *db, int64_t *last_event, struct store_changes **ret,
                      struct error *error);
void store_changes_free(struct store_changes *changes); /* takes NULL */

/* Fills in what `write` yields, but for its status. 0; -EEXIST, -ENOENT or -EINVAL when the fault
 * is the change's own; or another negative errno. Some of it may be done then. */
int store_change_perform(struct store_changes *changes, struct store_write *write);

#endif
