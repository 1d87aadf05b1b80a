/* The interactions dialect's requests; its answers are in interactions.c. */
#ifndef VEO_INTERACTIONS_H
#define VEO_INTERACTIONS_H

#include "daemon/provider/provider.h"

int interactions_check(const struct provider *provider, const struct request *request,
                       struct error *error);

void interactions_submit(const struct provider *provider, const struct request *request,
                         struct wire_request *ret);

/* Begins an address: up to "/interactions". */
void interactions_begin(const struct provider *provider, bool post, struct wire_request *ret);

#endif
