/* What the dialects check in a submission. */
#ifndef SIM_CHECK_H
#define SIM_CHECK_H

#include <stdbool.h>

#include "proto/json.h"
#include "tests/sim/exchange.h"

/* The request's body as JSON, or NULL with the reply saying why not. It borrows the exchange's
 * text. */
struct json *check_body(struct exchange *exchange);

/* Whether it is one of the strings in a NULL-terminated list; `ret` (may be NULL) is that one. */
bool check_one_of(struct json_value value, const char *const *list, const char **ret);

/* The file that a uri of this server leads to; NULL if there is none. */
struct file *check_file_uri(struct exchange *exchange, struct json_value uri);

/* Whether it is "gs://bucket/…". */
bool check_storage_uri(struct json_value uri);

/* The last step before a submission is accepted: the rules, the prompt's directives, the quotas.
 * Completes the plan, whose prompt and model must be set. False with the reply set, or with a rule
 * to make it up. */
bool check_admission(struct exchange *exchange, struct operation_plan *plan);

#endif
