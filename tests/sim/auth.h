/* Who may ask. */
#ifndef SIM_AUTH_H
#define SIM_AUTH_H

#include "tests/sim/exchange.h"

enum auth {
    AUTH_NONE,
    AUTH_KEY,     /* x-goog-api-key, or key= in the query */
    AUTH_BEARER,  /* an access token that was issued here */
    AUTH_GATEWAY, /* the key as a bearer token */
    AUTH_GOOGLE,  /* likewise, at Google */
};

/* False, with the reply set, if the credentials are missing or wrong. Counts them. */
bool auth_check(struct exchange *exchange, enum auth auth);

/* Counts those that came to the other origin, where none belong. */
void auth_count_foreign(struct exchange *exchange);

#endif
