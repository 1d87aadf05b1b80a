#include "tests/sim/blob.h"

#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK_LETTERS 4096

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Whole groups, ended by a NUL. */
static void decode(struct blob_reader *reader, const char *text, size_t length)
{
    unsigned char out[BLOCK_LETTERS / 4 * 3];
    size_t letters = strspn(text, alphabet);
    size_t padding = length - letters;
    bool good = !reader->padded && padding <= 2 && strspn(text + letters, "=") == padding;
    int made = good ? EVP_DecodeBlock(out, (const unsigned char *)text, (int)length) : -1;
    if (made < 0) {
        reader->bad = true;
        return;
    }
    reader->padded = padding > 0;
    blob_add(reader, out, (size_t)made - padding);
}

void blob_begin(struct blob_reader *reader)
{
    *reader = (struct blob_reader){.digest = EVP_MD_CTX_new()};
    if (!reader->digest || EVP_DigestInit_ex(reader->digest, EVP_sha256(), NULL) != 1) {
        abort();
    }
}

void blob_add(struct blob_reader *reader, const void *bytes, size_t length)
{
    struct blob *blob = &reader->blob;
    if (blob->bytes < BLOB_HEAD) {
        memcpy(blob->head + blob->bytes, bytes, smaller(length, BLOB_HEAD - (size_t)blob->bytes));
    }
    blob->bytes += length;
    EVP_DigestUpdate(reader->digest, bytes, length);
}

void blob_add_base64(struct blob_reader *reader, const char *text, size_t length)
{
    char block[BLOCK_LETTERS + 1];
    while (length > 0 && !reader->bad) {
        memcpy(block, reader->group, reader->waiting);
        size_t part = smaller(length, BLOCK_LETTERS - reader->waiting);
        memcpy(block + reader->waiting, text, part);
        size_t have = reader->waiting + part;
        size_t whole = have / 4 * 4;
        reader->waiting = (unsigned)(have - whole);
        memcpy(reader->group, block + whole, reader->waiting);
        block[whole] = '\0';
        if (whole > 0) {
            decode(reader, block, whole);
        }
        text += part;
        length -= part;
    }
}

struct blob blob_end(struct blob_reader *reader)
{
    static const char digits[] = "0123456789abcdef";
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned length = 0;
    EVP_DigestFinal_ex(reader->digest, digest, &length);
    EVP_MD_CTX_free(reader->digest);
    for (unsigned i = 0; i < length; i++) {
        reader->blob.sha256[2 * i] = digits[digest[i] >> 4];
        reader->blob.sha256[2 * i + 1] = digits[digest[i] & 15];
    }
    reader->blob.good = !reader->bad && reader->waiting == 0 && reader->blob.bytes > 0;
    return reader->blob;
}

struct blob blob_of_base64(const char *text, size_t length)
{
    struct blob_reader reader;
    blob_begin(&reader);
    blob_add_base64(&reader, text, length);
    return blob_end(&reader);
}

const char *blob_type(const struct blob *blob)
{
    static const struct {
        const char *type;
        size_t offset;
        const char *magic;
    } types[] = {
        {"image/jpeg", 0, "\xff\xd8\xff"}, {"image/png", 0, "\x89PNG\r\n\x1a\n"},
        {"image/webp", 8, "WEBP"},         {"image/gif", 0, "GIF8"},
        {"video/mp4", 4, "ftyp"},          {"video/webm", 0, "\x1a\x45\xdf\xa3"},
    };
    for (size_t i = 0; i < sizeof(types) / sizeof(*types); i++) {
        if (memcmp(blob->head + types[i].offset, types[i].magic, strlen(types[i].magic)) == 0) {
            return types[i].type;
        }
    }
    return NULL;
}
