/* A body with files in it, on its way out: runs of memory and of files by turns. The files are
 * opened, read and base64-encoded on libuv's worker pool, a piece at a time into one buffer. */
#ifndef VEO_UPLOAD_H
#define VEO_UPLOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

struct http_part;
struct upload;

#define UPLOAD_PIECE (24 * 1024) /* bytes of a file; a multiple of three */

/* Called from the loop, never from inside the call that asked, and not after upload_free. */
struct upload_hooks {
    /* All files are open and as long as they should be; or see upload_reason. */
    void (*opened)(void *arg, bool well);
    /* After UPLOAD_WAIT: upload_take has something to say again. */
    void (*ready)(void *arg);
};

/* Opens the files. Borrows `body`; takes `parts`, which are in the order of `at`, and their
 * paths. */
struct upload *upload_open(uv_loop_t *loop, const char *body, size_t body_length,
                           struct http_part *parts, size_t part_count,
                           const struct upload_hooks *hooks, void *arg);

/* Of the whole body. */
uint64_t upload_length(const struct upload *upload);
bool upload_is_at_end(const struct upload *upload);

enum upload_step {
    UPLOAD_TAKEN,  /* `ret` bytes; 0 only at the end */
    UPLOAD_WAIT,   /* until `ready` */
    UPLOAD_FAILED, /* for good */
};
enum upload_step upload_take(struct upload *upload, char *room, size_t size, size_t *ret);

/* What went wrong, in one line without the file's path; the upload's. NULL: nothing. Takes NULL,
 * and so does upload_is_gone. */
const char *upload_reason(const struct upload *upload);
/* And it will go wrong again: the file is gone, or is another one. */
bool upload_is_gone(const struct upload *upload);

/* At any time, also with a read under way: its memory goes when that returns. Takes NULL. */
void upload_free(struct upload *upload);

/* Of what upload_open didn't get. */
void upload_free_parts(struct http_part *parts, size_t count);

#endif
