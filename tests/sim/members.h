/* Tables of an object's members, as the Interactions API checks them. */
#ifndef SIM_MEMBERS_H
#define SIM_MEMBERS_H

#include <stdbool.h>

#include "proto/json.h"

struct exchange;

struct member_rule {
    const char *name;
    enum json_type type; /* JSON_NONE: looked at elsewhere */
    bool unsupported;    /* the API knows it, these models refuse it */
};

/* Whether every member is in the table, which a row without a name ends, and of its type; false
 * with the reply set. */
bool members_check(struct exchange *exchange, struct json_value object,
                   const struct member_rule *rules);

#endif
