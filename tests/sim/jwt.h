/* A signed assertion, as a service account makes it (RFC 7519, RS256 only). */
#ifndef SIM_JWT_H
#define SIM_JWT_H

#include <stdint.h>

struct evp_pkey_st;

struct jwt_claims {
    char *issuer; /* owned, as all; NULL: absent */
    char *scope;
    char *audience;
    int64_t issued_at; /* Unix time in seconds; 0: absent */
    int64_t expires_at;
};

enum jwt_result { JWT_GOOD, JWT_MALFORMED, JWT_WRONG_ALGORITHM, JWT_WRONG_SIGNATURE };

/* The claims are to be freed, whatever the result is. */
enum jwt_result jwt_read(const char *text, struct evp_pkey_st *key, struct jwt_claims *ret);
void jwt_claims_free(struct jwt_claims *claims);

#endif
