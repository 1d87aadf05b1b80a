#include "tests/sim/token.h"

#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/mem.h"
#include "tests/sim/sim.h"

#define PREFIX "ya29.c.sim-"

static EVP_PKEY *read_key(FILE *file)
{
    EVP_PKEY *key = PEM_read_PUBKEY(file, NULL, NULL, NULL);
    if (key) {
        return key;
    }
    rewind(file);
    X509 *certificate = PEM_read_X509(file, NULL, NULL, NULL);
    key = certificate ? X509_get_pubkey(certificate) : NULL;
    X509_free(certificate);
    return key;
}

int tokens_init(struct tokens *tokens, const struct options *options)
{
    *tokens = (struct tokens){0};
    if (!options->service_account) {
        return 0;
    }
    FILE *file = fopen(options->service_account, "re");
    if (file) {
        tokens->key = read_key(file);
        fclose(file);
    }
    if (!tokens->key) {
        fprintf(stderr, "veosim: %s: no public key or certificate (PEM) to be read\n",
                options->service_account);
        return -1;
    }
    return 0;
}

void tokens_free(struct tokens *tokens)
{
    tokens_revoke(tokens);
    EVP_PKEY_free(tokens->key);
    tokens->key = NULL;
}

const char *tokens_issue(struct tokens *tokens, uint64_t seconds)
{
    static const char letters[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    struct token *token = mem_alloc(sizeof(*token));
    unsigned char random[sizeof(token->text) - sizeof(PREFIX)];
    if (RAND_bytes(random, sizeof(random)) != 1) {
        abort();
    }
    memcpy(token->text, PREFIX, sizeof(PREFIX));
    for (size_t i = 0; i < sizeof(random); i++) {
        token->text[sizeof(PREFIX) - 1 + i] = letters[random[i] % 64];
    }
    token->expires_at = unix_now_ms() + (int64_t)seconds * 1000;
    tokens->all = mem_resize(tokens->all, tokens->count + 1, sizeof(*tokens->all));
    tokens->all[tokens->count++] = token;
    index_add(&tokens->by_text, token->text, token);
    return token->text;
}

void tokens_revoke(struct tokens *tokens)
{
    index_free(&tokens->by_text);
    for (size_t i = 0; i < tokens->count; i++) {
        free(tokens->all[i]);
    }
    free(tokens->all);
    tokens->all = NULL;
    tokens->count = 0;
}

bool tokens_is_valid(const struct tokens *tokens, const char *text)
{
    const struct token *token = index_find(&tokens->by_text, text);
    return token && unix_now_ms() < token->expires_at;
}
