/* Blobs: files given by clients for their jobs, DIRECTORY/sha256-HEX, each content once. The store
 * has a record of each, and of who put it. One that nobody has put or used for a while, and that no
 * job needs, is removed by a sweep now and then.
 *
 * Nothing here blocks the loop but blobs_open. */
#ifndef VEO_BLOB_H
#define VEO_BLOB_H

#include <stdbool.h>

#include "daemon/io/listen.h"
#include "daemon/io/store.h"

struct blobs;

/* Strings are borrowed for the blobs' life. */
struct blobs_config {
    const char *directory;
    uint64_t blob_bytes;  /* of one */
    uint64_t total_bytes; /* of all */
    int64_t age_ms;
};

/* Makes the directory; removes what a crash left in it. -1 with `error`. */
int blobs_open(uv_loop_t *loop, struct store *store, const struct blobs_config *config,
               struct blobs **ret, struct error *error);

/* What is being made durable is finished, then `closed` is called. Before the store is closed. */
void blobs_close(struct blobs *blobs, void (*closed)(void *), void *arg);

/* Other limits; the directory stays. */
void blobs_set_limits(struct blobs *blobs, const struct blobs_config *config);
/* Bytes of all that are kept. */
uint64_t blobs_total(const struct blobs *blobs);

const struct blobs_config *blobs_config(const struct blobs *blobs);

/* "sha256-" and 64 hexadecimal digits in lower case? */
bool blob_is_name(const char *name);

/* What such files can be, for messages. */
#define BLOB_TYPES "JPEG, PNG, WebP, GIF, HEIC, MP4, QuickTime or WebM"

/* ---- a new one, piece by piece ---- */

struct blob_put;

struct blob_put_hooks {
    /* There is room again after blob_put_write took less than it was given. */
    void (*ready)(void *arg);
    /* All bytes were taken, and the blob is durable; or it failed (`blob` is NULL). The put is gone
     * afterwards. Called from the loop. */
    void (*done)(void *arg, const struct store_blob *blob, const struct error *error);
};

/* Begins one of exactly `bytes` bytes. `mime_type`: what its sender says that it is; NULL: nothing.
 * `field` is for errors; may be NULL. NULL with `error`: too-long or too-many. */
struct blob_put *blob_put_begin(struct blobs *blobs, uid_t owner, uint64_t bytes,
                                const char *mime_type, const char *field,
                                const struct blob_put_hooks *hooks, void *arg, struct error *error);

/* Says how much it took. -1 with `error`: then only blob_put_end() remains. */
int blob_put_write(struct blob_put *put, const char *bytes, size_t length, size_t *ret_taken,
                   struct error *error);

/* Lets go of it at any time before `done`, which isn't called any more. What is not complete leaves
 * nothing behind. Takes NULL. */
void blob_put_end(struct blob_put *put);

/* ---- all at once; `done` is called exactly once, from the loop ---- */

typedef void blob_done_fn(void *arg, const struct store_blob *blob, const struct error *error);

/* The blob of that name which `owner` has put; not-found if there is none, or no file of it. */
void blob_find(struct blobs *blobs, uid_t owner, const char *name, const char *field,
               blob_done_fn *done, void *arg);

/* Makes one of base64 (RFC 4648 section 4). */
void blob_put_base64(struct blobs *blobs, uid_t owner, const char *base64, const char *mime_type,
                     const char *field, blob_done_fn *done, void *arg);

/* Makes one of a file that `peer` could read itself. */
void blob_put_path(struct blobs *blobs, const struct peer *peer, const char *path,
                   const char *field, blob_done_fn *done, void *arg);

#endif
