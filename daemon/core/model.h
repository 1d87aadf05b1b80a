/* What a model makes of a request: whether it takes it, and what that costs. Pure. */
#ifndef VEO_MODEL_H
#define VEO_MODEL_H

#include "daemon/core/model_table.h"
#include "daemon/core/request.h"

/* Refuses, with `field`, the rule and the alternatives, what the model is known to refuse, or to
 * ignore and bill. A NULL model, and a request with `force`, are not checked. 0 or -1. */
int model_check(const struct model *model, const struct request *request, struct error *error);

/* Refuses a model that was shut down, where `base_url` is Google's own: others may serve it still.
 * 0 or -1. */
int model_check_state(const struct model *model, const struct request *request,
                      const char *base_url, struct error *error);
bool model_host_is_google(const char *base_url);

/* What one attempt is likely to cost, in micro-dollars, by the dearest price if its resolution has
 * none; 0: there is no price for it. */
int64_t model_estimate(const struct model *model, const struct request *request);

/* What so many tokens cost, in micro-dollars; -1: neither price nor usage is known. A number of
 * tokens below 0 was not said. */
int64_t model_token_charge(const struct model *model, int64_t input, int64_t video, int64_t other);

#endif
