/* Bytes that came with a request. They aren't kept, only what is known of them. */
#ifndef SIM_BLOB_H
#define SIM_BLOB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BLOB_HEAD 16

struct blob {
    bool good; /* not empty, and what it was decoded from was valid */
    uint64_t bytes;
    char sha256[65];
    unsigned char head[BLOB_HEAD]; /* what it begins with; 0 beyond its end */
};

/* Takes them piece by piece. */
struct blob_reader {
    struct evp_md_ctx_st *digest;
    char group[4]; /* letters of base64 that wait for more */
    unsigned waiting;
    bool padded;
    bool bad;
    struct blob blob;
};

void blob_begin(struct blob_reader *reader);
void blob_add(struct blob_reader *reader, const void *bytes, size_t length);
void blob_add_base64(struct blob_reader *reader, const char *text, size_t length);
struct blob blob_end(struct blob_reader *reader); /* the reader is of no use any more */

/* All at once. */
struct blob blob_of_base64(const char *text, size_t length);

/* The MIME type that the first bytes tell, NULL if it is none that is known. MP4 and QuickTime are
 * both video/mp4 here. */
const char *blob_type(const struct blob *blob);

#endif
