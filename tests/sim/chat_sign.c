#include "tests/sim/chat_sign.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/mem.h"
#include "tests/sim/blob.h"

#define SECRET "veosim's own, and no secret at all"
#define PREFIX "Cu+/Af/+"

static void digest_two(const char *salt, const char *bytes, size_t length, char ret[65])
{
    struct blob_reader reader;
    blob_begin(&reader);
    blob_add(&reader, salt, strlen(salt));
    blob_add(&reader, bytes, length);
    struct blob blob = blob_end(&reader);
    strcpy(ret, blob.sha256);
}

char *chat_sign(const char *nonce, const char *model, const char *function)
{
    char digests[131];
    unsigned char letters[sizeof(digests) / 3 * 4 + 5];
    char *what = mem_format("%.*s %s %s", CHAT_NONCE, nonce, model, function);
    digest_two(SECRET, what, strlen(what), digests);
    digest_two(SECRET, digests, 64, digests + 64);
    EVP_EncodeBlock(letters, (const unsigned char *)digests, 128);
    free(what);
    return mem_format(PREFIX "%.*s%s", CHAT_NONCE, nonce, (const char *)letters);
}

static bool is_skip(const char *signature)
{
    return strcmp(signature, "skip_thought_signature_validator") == 0 ||
           strcmp(signature, "c2tpcF90aG91Z2h0X3NpZ25hdHVyZV92YWxpZGF0b3I=") == 0;
}

/* Google takes both alphabets; its SDK for Python answers in the other one. To be freed. */
static char *plain_base64(const char *text)
{
    char *plain = mem_strdup(text);
    for (char *at = plain; (at = strpbrk(at, "-_")); at++) {
        *at = *at == '-' ? '+' : '/';
    }
    return plain;
}

enum chat_signature chat_sign_check(const char *signature, const char *model, const char *function)
{
    if (is_skip(signature)) {
        return CHAT_SIGNATURE_SKIPPED;
    }
    if (strlen(signature) < sizeof(PREFIX) - 1 + CHAT_NONCE) {
        return CHAT_SIGNATURE_BAD;
    }
    char *plain = plain_base64(signature);
    char *expected = chat_sign(plain + sizeof(PREFIX) - 1, model, function);
    bool good = strcmp(expected, plain) == 0;
    free(expected);
    free(plain);
    return good ? CHAT_SIGNATURE_GOOD : CHAT_SIGNATURE_BAD;
}

void chat_seal(const char *bytes, size_t length, char ret[CHAT_SEAL + 1])
{
    char digest[65];
    digest_two(SECRET, bytes, length, digest);
    memcpy(ret, digest, CHAT_SEAL);
    ret[CHAT_SEAL] = '\0';
}

void chat_digest(const char *bytes, size_t length, char ret[65])
{
    digest_two("", bytes, length, ret);
}
