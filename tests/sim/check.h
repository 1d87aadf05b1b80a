/* What both dialects check in a submission. */
#ifndef SIM_CHECK_H
#define SIM_CHECK_H

#include <stdbool.h>

#include "proto/json.h"
#include "tests/sim/exchange.h"

#define IMAGE_BYTES_MAX ((size_t)20 << 20)

/* The request's body as JSON, or NULL with the reply saying why not. */
struct json *check_body(struct exchange *exchange);

/* Whether it is valid base64, not empty; `ret_bytes` is what it decodes to. */
bool check_base64(struct json_value value, size_t *ret_bytes);

/* Whether it is one of the strings in a NULL-terminated list; `ret` (may be NULL) is that one. */
bool check_one_of(struct json_value value, const char *const *list, const char **ret);

/* The file that a uri of this server leads to; NULL if there is none. */
struct file *check_file_uri(struct exchange *exchange, struct json_value uri);

/* Reads the prompt's directives into the plan and decides on what they and the command line
 * say: -1 with the reply set. The plan's prompt must be set. */
int check_directives(struct exchange *exchange, struct operation_plan *plan);

#endif
