/* JSON over several lines, indented, for a person. */
#ifndef VEO_CTL_PRETTY_H
#define VEO_CTL_PRETTY_H

#include "proto/buf.h"
#include "proto/json.h"

/* Adds the value, made safe for a terminal, without a line end after it. */
void pretty_json(struct buf *out, struct json_value value);

#endif
