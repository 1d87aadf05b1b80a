/* Inside the blobs: what their parts share. */
#ifndef VEO_BLOB_INTERNAL_H
#define VEO_BLOB_INTERNAL_H

#include "daemon/io/blob.h"

#define SWEEP_AT_ONCE 16

struct blob_copy;

/* Whoever gives a blob its name and record, and whoever takes these away, keep apart: `keepers` are
 * under way, or `sweeping` is. */
struct blobs {
    uv_loop_t *loop;
    struct store *store;
    struct blobs_config config;
    uint64_t total;    /* bytes of all */
    uint64_t reserved; /* of those on their way */
    uint64_t next_tag;
    size_t keepers;
    size_t busy; /* finds, puts and copies that must come to their end before all is closed */
    bool sweeping, wants_sweep;
    struct blob_put *waiting; /* for a sweep's end, oldest first */
    struct blob_put **waiting_end;
    struct blob_copy *copies; /* oldest first; the first few are under way */
    struct blob_copy **copies_end;
    size_t copying;

    uv_timer_t timer;
    struct store_write sweep;
    struct store_blob stale[SWEEP_AT_ONCE];
    uv_work_t unlinking;

    bool closing, timer_closed;
    void (*closed)(void *);
    void *closed_arg;
};

void blobs_maybe_closed(struct blobs *blobs); /* to be called last: they may be gone then */
void blobs_leave(struct blobs *blobs);        /* ends what `busy` counts; as above */
void blobs_keeper_left(struct blobs *blobs);

/* Those that waited for the end of a sweep. */
void blob_puts_go_on(struct blobs *blobs);

#endif
