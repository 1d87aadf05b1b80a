/* Rows of columns. On a terminal they are aligned under a header and fit its width, and columns
 * with nothing in them are left out; elsewhere each row leaves at once, separated by tabs, without
 * a header. */
#ifndef VEO_CTL_TABLE_H
#define VEO_CTL_TABLE_H

#include <stdbool.h>
#include <stddef.h>

#include "proto/ctl/ctl.h"

struct column {
    const char *title;
    bool is_id;     /* shortened on a terminal as far as the rows stay distinct */
    bool shrinks;   /* gives way when the terminal is narrow, the last one first */
    unsigned drop;  /* above 0: left out when it is too narrow even so, the highest first */
    bool is_number; /* aligned to the right */
    const char *(*colour)(const char *cell);
};

struct table;

/* `columns` is borrowed. */
struct table *table_new(struct ctl *ctl, const struct column *columns, size_t count);
void table_free(struct table *table); /* takes NULL */

/* The next cell of the current row; cleaned here. NULL is an empty one. A row's last cell ends it.
 */
void table_cell(struct table *table, const char *text);

/* Prints what hasn't left yet. */
void table_finish(struct table *table);

size_t table_rows(const struct table *table);

#endif
