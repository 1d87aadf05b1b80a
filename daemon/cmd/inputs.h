/* Between a request's text and its job: what its inputs name is looked up, decoded, or copied. */
#ifndef VEO_INPUTS_H
#define VEO_INPUTS_H

#include "daemon/cmd/call.h"

/* All inputs of all requests are resolved (`error` is NULL); or that of the request at `index`
 * can't be. Called once, now or from the loop, unless the client goes away before. */
typedef void inputs_done_fn(struct call *call, size_t index, const struct error *error);

/* `requests` are borrowed until then, and nobody else holds them. */
void inputs_resolve(struct call *call, struct request *const *requests, size_t count,
                    inputs_done_fn *done);

#endif
