/* A Google service account's key, and what it signs: RFC 7523 assertions. */
#ifndef VEO_TOKEN_ACCOUNT_H
#define VEO_TOKEN_ACCOUNT_H

#include <stdint.h>

#include "proto/error.h"

struct token_account;

/* From the JSON file that Google Cloud's console makes. NULL with `error`, which quotes none of
 * it. */
struct token_account *token_account_parse(const char *json, struct error *error);
void token_account_free(struct token_account *account); /* takes NULL */

const char *token_account_uri(const struct token_account *account); /* where tokens are given out */

/* The body of the request for a token, a form; secret. NULL if libcrypto can't sign. `now` is Unix
 * time in seconds. */
char *token_account_form(const struct token_account *account, int64_t now);

#endif
