/* Between a request's text and its job: what its inputs name is looked up, decoded, or copied. */
#ifndef VEO_INPUTS_H
#define VEO_INPUTS_H

#include "daemon/core/request.h"
#include "daemon/io/listen.h"

struct commands;
struct inputs;

/* All inputs of all requests are resolved (`error` is NULL); or that of the request at `index`
 * can't be. Called once, now or from the loop; the inputs are gone afterwards. */
typedef void inputs_done_fn(void *arg, size_t index, const struct error *error);

/* What `peer` may use. It and `requests`, which nobody else reads meanwhile, are borrowed until
 * then or until they are abandoned. NULL if it was done at once. */
struct inputs *inputs_start(struct commands *commands, const struct peer *peer,
                            struct request *const *requests, size_t count, inputs_done_fn *done,
                            void *arg);

/* `done` isn't called any more. Takes NULL. */
void inputs_abandon(struct inputs *inputs);

#endif
