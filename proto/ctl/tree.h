/* Any JSON object as aligned "key: value" lines: members of members as "error.code", what is a
 * duration, a size or a time by its name in a person's units. */
#ifndef VEO_CTL_TREE_H
#define VEO_CTL_TREE_H

#include "proto/buf.h"
#include "proto/ctl/ctl.h"
#include "proto/json.h"

void tree_print(struct ctl *ctl, struct json_value object);

/* One scalar, cleaned, added to `out`; `name` tells its unit. */
void tree_scalar(struct buf *out, const char *name, struct json_value value);

/* The members of an event or an error on one line: "a=1 b.c=x", without those of the
 * NULL-terminated list `but`. */
void tree_line(struct buf *out, struct json_value object, const char *const *but);

#endif
