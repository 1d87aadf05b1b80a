/* What attempts were charged: one record for each, kept when its job is forgotten. */
#ifndef VEO_STORE_CHARGE_H
#define VEO_STORE_CHARGE_H

#include <sqlite3.h>

#include "daemon/io/store.h"

struct store_charges;

int store_charges_new(sqlite3 *db, bool writes, struct store_charges **ret, struct error *error);
void store_charges_free(struct store_charges *charges); /* takes NULL */

/* The current attempt's, inside a transaction that is open: 0 or negative errno. */
int store_charges_put(struct store_charges *charges, const struct job *job);

/* STORE_COSTS. */
int store_charges_sum(struct store_charges *charges, struct store_read *read);

/* As store_each_charge. */
int store_charges_each(struct store_charges *charges, int64_t since, store_charge_fn *each,
                       void *arg);

#endif
