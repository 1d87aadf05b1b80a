/* A file on its way to disk: a `.part` file beside the target, written, hashed and synced on
 * libuv's worker pool, checked, and only then given its final name. */
#ifndef VEO_SINK_H
#define VEO_SINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <uv.h>

#include "proto/error.h"

struct sink;

/* Callbacks run on the loop, never from inside the call that asked. */
struct sink_hooks {
    /* The .part is open and `offset` bytes of it are there (hashed) from an earlier try; or status
     * is a negative errno. */
    void (*opened)(void *arg, int status, uint64_t offset);
    /* There is room again after sink_write took less than it was given. */
    void (*drained)(void *arg);
    /* Completes sink_finish: 0 and the file is durable under its name; -EBADMSG: its kind's
     * check refuses the content; -EMSGSIZE: shorter or longer than expected;
     * -EEXIST: the name is taken by a file with other bytes (one with the same bytes is ours, from
     * before a crash: that is success); or another errno. On anything but success the .part is as
     * it was. */
    void (*finished)(void *arg, int status);
};

/* `root` is a directory; `name` is relative to it and may have folders, which are made. Neither a
 * symbolic link nor ".." is followed (openat2(2), RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS). The part
 * is named ".<name's last part>.<tag>.part" beside the target. `resume`: keep what is there. */
struct sink *sink_open(uv_loop_t *loop, const char *root, const char *name, const char *tag,
                       bool resume, const struct sink_hooks *hooks, void *arg);

/* What is particular about a file; its functions run on a worker. */
struct sink_kind {
    mode_t mode;
    /* Looks at the first bytes (fewer than SINK_HEAD if there are no more): 0 or a negative errno.
     * NULL: anything will do. */
    int (*check)(const unsigned char *head, size_t length);
    /* The last part of the final name, in fresh memory, from the content's SHA-256. NULL: that of
     * `name`. */
    char *(*name)(const char *sha256);
};
#define SINK_HEAD 16

/* sink_open is for videos: mode 0640, "ftyp" at byte 4 (ISO/IEC 14496-12 4.3). `kind` is borrowed
 * for the sink's life. */
struct sink *sink_open_kind(uv_loop_t *loop, const struct sink_kind *kind, const char *root,
                            const char *name, const char *tag, bool resume,
                            const struct sink_hooks *hooks, void *arg);

/* From now on these are called, with that. */
void sink_rehook(struct sink *sink, const struct sink_hooks *hooks, void *arg);

/* Takes what there is room for and says how much; after less than `length`, wait for `drained`.
 * Holds at most SINK_BUFFER bytes twice. */
#define SINK_BUFFER (128 * 1024)
size_t sink_write(struct sink *sink, const void *data, size_t length);

/* Throws away what the .part holds and starts at 0 (the server ignored our Range). */
void sink_restart(struct sink *sink);

uint64_t sink_bytes(const struct sink *sink); /* taken so far, with what was resumed */

/* 0, or the negative errno of what failed: from then on sink_write takes everything and drops it,
 * and sink_finish reports it. */
int sink_status(const struct sink *sink);

/* All was written: sync, check (expected < 0: length unknown), rename without replacing, sync the
 * folder. Then `finished`. */
void sink_finish(struct sink *sink, int64_t expected);

/* After `finished` with 0. */
const char *sink_path(const struct sink *sink);   /* absolute; the sink's */
const char *sink_sha256(const struct sink *sink); /* 64 hexadecimal digits; the sink's */

/* Ends it at any time; no hook is called any more. The part stays, with all that was taken, unless
 * `remove`. A file whose `finished` was called stays. Takes NULL. */
void sink_close(struct sink *sink, bool remove);

/* Removes a file below root, following no link; for FORGET {"files":true}. Blocks. Negative errno.
 */
int sink_remove(const char *root, const char *name);

/* The same, but only if it has `bytes` and was last written before `before` (Unix time in ms): what
 * somebody else has put there since is none of ours. -ESTALE if so. */
int sink_remove_own(const char *root, const char *name, uint64_t bytes, int64_t before);

#endif
