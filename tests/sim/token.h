/* OAuth access tokens: those that were issued here. */
#ifndef SIM_TOKEN_H
#define SIM_TOKEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tests/sim/index.h"

struct evp_pkey_st;
struct exchange;
struct options;

struct token {
    char text[96];
    int64_t expires_at; /* Unix time in ms */
};

struct tokens {
    struct token **all;
    size_t count;
    struct index by_text;
    struct evp_pkey_st *key; /* of the service account; NULL: there is none */
};

/* Reads the service account's public key. -1 when that fails, having said why. */
int tokens_init(struct tokens *tokens, const struct options *options);
void tokens_free(struct tokens *tokens);

/* A new one, valid for so many seconds. */
const char *tokens_issue(struct tokens *tokens, uint64_t seconds);

/* Forgets all. */
void tokens_revoke(struct tokens *tokens);

bool tokens_is_valid(const struct tokens *tokens, const char *text);

void token_serve_exchange(struct exchange *exchange); /* POST /token */
void token_serve_metadata(struct exchange *exchange); /* the metadata server */
void token_serve_revoke(struct exchange *exchange);   /* POST /__revoke */

#endif
