/* Where a provider's secret comes from. A key stays what it is; access tokens come from a service
 * account's key, from the metadata server of Google's cloud, or from a command, and are renewed
 * before they end and when a request with one is answered with 401. One token serves all of a
 * provider's requests. Nothing here blocks, and nothing of a secret gets into logs or errors. */
#ifndef VEO_TOKEN_H
#define VEO_TOKEN_H

#include <stdbool.h>
#include <uv.h>

#include "daemon/io/http.h"
#include "proto/error.h"

struct token;

enum token_kind { TOKEN_KEY, TOKEN_SERVICE_ACCOUNT, TOKEN_METADATA, TOKEN_COMMAND };

/* All is borrowed for the call. */
struct token_config {
    const char *provider; /* for the log */
    enum token_kind kind;
    const char *secret;  /* KEY: it; SERVICE_ACCOUNT: the JSON of its key */
    const char *header;  /* KEY: the header that it goes into; NULL: "Authorization: Bearer …" */
    const char *command; /* COMMAND */
    int64_t connect_ms;
};

/* Whether token_new would take it. 0 or -1. */
int token_check(const struct token_config *config, struct error *error);

/* Asks nobody yet. */
struct token *token_new(uv_loop_t *loop, struct http *http, const struct token_config *config,
                        struct error *error);

/* `changed` is called from the loop whenever a token has arrived, or one could not be had. */
void token_listen(struct token *token, void (*changed)(void *arg), void *arg);

/* True if there is one; asks nobody. */
bool token_is_there(const struct token *token);

/* The header's value; valid until the loop turns. NULL: there is none now; one is on its way, or
 * is tried for until there is one, and then `changed` is called. */
const char *token_value(struct token *token);
const char *token_header(const struct token *token);  /* its name */
unsigned token_generation(const struct token *token); /* of that value */

/* Why there is none, in one line; the token's. */
const char *token_why(const struct token *token);

/* An answer with that status came to a request with that generation's value. True: the token is to
 * blame, and another one is there or will be: try again. */
bool token_judge(struct token *token, unsigned generation, int status);

/* Before http is closed; the memory goes when the loop has run. Takes NULL. */
void token_close(struct token *token);

#endif
