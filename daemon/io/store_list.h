/* A list's filter as a statement. */
#ifndef VEO_STORE_LIST_H
#define VEO_STORE_LIST_H

#include <sqlite3.h>

#include "daemon/io/store.h"

/* A statement whose rows sql_job reads, bound and ready; it borrows the filter's strings. To be
 * finalized by the caller. 0, or negative errno. */
int store_list_prepare(sqlite3 *db, const struct store_filter *filter, sqlite3_stmt **ret);

#endif
