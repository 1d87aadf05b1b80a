/* The secrets that the configuration names, from the start until those who need them have copies.
 */
#ifndef VEO_SECRETS_H
#define VEO_SECRETS_H

#include "daemon/config.h"

struct secrets {
    char *providers[CONFIG_PROVIDERS_MAX]; /* NULL: none is needed, or its token has it */
    char *agent;                           /* NULL: there is none, */
    struct error agent_trouble;            /* for this reason */
};

/* -1 with `error` if a provider's is missing or can't be one. veod is of use without the agent's.
 */
int secrets_load(struct secrets *secrets, const struct config *config, struct error *error);
void secrets_free(struct secrets *secrets); /* what it owns, not itself */

#endif
