#include "tests/sim/jwt.h"

#include <openssl/evp.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "proto/json.h"
#include "proto/mem.h"

#define PART_LETTERS_MAX 16384

/* What base64url (without padding) stands for, to be freed; NULL if it is none. */
static unsigned char *decode(const char *text, size_t length, size_t *ret_length)
{
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    size_t padding = (4 - length % 4) % 4;
    if (length == 0 || length > PART_LETTERS_MAX || padding == 3 ||
        strspn(text, alphabet) < length) {
        return NULL;
    }
    char *plain = mem_alloc(length + padding + 1);
    for (size_t i = 0; i < length + padding; i++) {
        plain[i] = i >= length ? '=' : text[i] == '-' ? '+' : text[i] == '_' ? '/' : text[i];
    }
    unsigned char *out = mem_alloc(length + 4);
    int made = EVP_DecodeBlock(out, (unsigned char *)plain, (int)(length + padding));
    free(plain);
    if (made < 0) {
        free(out);
        return NULL;
    }
    *ret_length = (size_t)made - padding;
    out[*ret_length] = '\0';
    return out;
}

/* Calls `read` with the part's JSON. */
static bool read_part(const char *text, size_t length,
                      bool (*read)(struct json_value root, void *closure), void *closure)
{
    size_t bytes = 0;
    char *plain = (char *)decode(text, length, &bytes);
    struct json *doc = plain ? json_parse(plain, bytes, (struct json_limits){0}, NULL) : NULL;
    bool good = doc && json_type(json_root(doc)) == JSON_OBJECT && read(json_root(doc), closure);
    json_free(doc);
    free(plain);
    return good;
}

static bool read_header(struct json_value root, void *closure)
{
    *(bool *)closure = json_equals(json_get(root, "alg"), "RS256");
    return true;
}

static bool read_claims(struct json_value root, void *closure)
{
    struct jwt_claims *claims = closure;
    claims->issuer = json_strdup(json_get(root, "iss"), NULL);
    claims->scope = json_strdup(json_get(root, "scope"), NULL);
    claims->audience = json_strdup(json_get(root, "aud"), NULL);
    json_int(json_get(root, "iat"), 1, INT64_MAX, &claims->issued_at);
    json_int(json_get(root, "exp"), 1, INT64_MAX, &claims->expires_at);
    return true;
}

static bool verify(EVP_PKEY *key, const char *text, size_t length, const char *signature)
{
    size_t bytes = 0;
    unsigned char *plain = decode(signature, strlen(signature), &bytes);
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    bool good = plain && key && context &&
                EVP_DigestVerifyInit(context, NULL, EVP_sha256(), NULL, key) == 1 &&
                EVP_DigestVerify(context, plain, bytes, (const unsigned char *)text, length) == 1;
    EVP_MD_CTX_free(context);
    free(plain);
    return good;
}

enum jwt_result jwt_read(const char *text, EVP_PKEY *key, struct jwt_claims *ret)
{
    const char *claims = strchr(text, '.');
    const char *signature = claims ? strchr(claims + 1, '.') : NULL;
    bool known = false;
    *ret = (struct jwt_claims){0};
    if (!signature || !read_part(text, (size_t)(claims - text), read_header, &known) ||
        !read_part(claims + 1, (size_t)(signature - claims - 1), read_claims, ret)) {
        return JWT_MALFORMED;
    }
    if (!known) {
        return JWT_WRONG_ALGORITHM;
    }
    return verify(key, text, (size_t)(signature - text), signature + 1) ? JWT_GOOD
                                                                        : JWT_WRONG_SIGNATURE;
}

void jwt_claims_free(struct jwt_claims *claims)
{
    free(claims->issuer);
    free(claims->scope);
    free(claims->audience);
}
