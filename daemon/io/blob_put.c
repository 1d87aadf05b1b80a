#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/core/input.h"
#include "daemon/io/blob_internal.h"
#include "daemon/io/sink.h"
#include "proto/mem.h"

/*   RECEIVING ─ (a sweep: WAITING) ─ FINISHING (its name) ─ RECORDING (the store) ─ done */
enum put_phase { PUT_RECEIVING, PUT_WAITING, PUT_FINISHING, PUT_RECORDING };

struct blob_put {
    struct blob_put *next; /* in WAITING */
    struct blobs *blobs;
    enum put_phase phase;
    uid_t owner;
    uint64_t bytes;
    char *claimed; /* MIME type */
    char field[sizeof(((struct error *)0)->field)];
    struct blob_put_hooks hooks;
    void *arg;
    bool abandoned; /* no hook is called any more */
    struct sink *sink;
    unsigned char head[INPUT_SNIFF_BYTES];
    size_t head_length;
    struct store_blob blob;
    struct store_write record;
};

static void free_put(struct blob_put *put)
{
    put->blobs->reserved -= put->bytes;
    free(put->claimed);
    free(put);
}

static void fail_of_errno(const struct blob_put *put, int status, struct error *error)
{
    if (status == -ENOSPC || status == -EDQUOT || status == -EFBIG)
        error_set(error, ERROR_DISK_FULL, put->field, "there is no room on the disk for %llu bytes",
                  (unsigned long long)put->bytes);
    else
        error_set(error, ERROR_UNAVAILABLE, put->field, "the blob could not be stored: %s",
                  strerror(-status));
}

/* ---- to its name and record ---- */

/* The end of one that was complete, well or not. */
static void end_keeping(struct blob_put *put, int status)
{
    struct blobs *blobs = put->blobs;
    struct error error;
    if (status < 0)
        fail_of_errno(put, status, &error);
    if (!put->abandoned)
        put->hooks.done(put->arg, status < 0 ? NULL : &put->blob, status < 0 ? &error : NULL);
    free_put(put);
    blobs_keeper_left(blobs);
    blobs_leave(blobs);
}

static void on_recorded(struct store_write *record)
{
    struct blob_put *put = record->context;
    if (record->status == 0 && record->blob_count > 0)
        put->blobs->total += put->bytes;
    end_keeping(put, record->status);
}

static void on_finished(void *arg, int status)
{
    struct blob_put *put = arg;
    if (status < 0) {
        sink_close(put->sink, true);
        end_keeping(put, status);
        return;
    }
    put->blob.bytes = put->bytes;
    snprintf(put->blob.name, sizeof(put->blob.name), "sha256-%s", sink_sha256(put->sink));
    sink_close(put->sink, false);
    uv_timeval64_t now;
    (void)uv_gettimeofday(&now);
    put->phase = PUT_RECORDING;
    put->record = (struct store_write){
        .kind = STORE_PUT_BLOB,
        .blobs = &put->blob,
        .owner = put->owner,
        .at = now.tv_sec * 1000 + now.tv_usec / 1000,
        .done = on_recorded,
        .context = put,
    };
    store_write(put->blobs->store, &put->record);
}

static void keep(struct blob_put *put)
{
    struct blobs *blobs = put->blobs;
    if (blobs->sweeping || blobs->wants_sweep) {
        put->phase = PUT_WAITING;
        put->next = NULL;
        *blobs->waiting_end = put;
        blobs->waiting_end = &put->next;
        return;
    }
    put->phase = PUT_FINISHING;
    blobs->keepers++;
    blobs->busy++;
    sink_finish(put->sink, (int64_t)put->bytes);
}

void blob_puts_go_on(struct blobs *blobs)
{
    struct blob_put *put = blobs->waiting;
    blobs->waiting = NULL;
    blobs->waiting_end = &blobs->waiting;
    for (struct blob_put *next; put; put = next) {
        next = put->next;
        keep(put);
    }
}

static void stop_waiting(struct blob_put *put)
{
    struct blobs *blobs = put->blobs;
    struct blob_put **link = &blobs->waiting;
    while (*link != put)
        link = &(*link)->next;
    *link = put->next;
    if (!put->next)
        blobs->waiting_end = link;
}

/* ---- its bytes ---- */

static void fail(struct blob_put *put, int status)
{
    struct error error;
    fail_of_errno(put, status, &error);
    put->hooks.done(put->arg, NULL, &error);
    sink_close(put->sink, true);
    free_put(put);
}

static void on_opened(void *arg, int status, uint64_t offset)
{
    struct blob_put *put = arg;
    (void)offset;
    if (status < 0)
        fail(put, status);
    else
        put->hooks.ready(put->arg);
}

static void on_drained(void *arg)
{
    struct blob_put *put = arg;
    if (sink_status(put->sink) < 0)
        fail(put, sink_status(put->sink));
    else
        put->hooks.ready(put->arg);
}

static char *name_of(const char *sha256)
{
    return mem_format("sha256-%s", sha256);
}

static int check_size(const struct blobs *blobs, uint64_t bytes, const char *field,
                      struct error *error)
{
    if (bytes == 0)
        return error_set(error, ERROR_INVALID_ARGUMENT, field,
                         "there is nothing in it; expected " BLOB_TYPES);
    if (bytes > blobs->config.blob_bytes)
        return error_set(error, ERROR_TOO_LONG, field,
                         "%llu bytes are too many for a blob; [limits] blob_bytes is %llu",
                         (unsigned long long)bytes, (unsigned long long)blobs->config.blob_bytes);
    uint64_t used = blobs->total + blobs->reserved;
    if (used + bytes > blobs->config.total_bytes)
        return error_set(error, ERROR_TOO_MANY, field,
                         "all blobs together have %llu bytes, and with %llu more [limits] "
                         "blobs_bytes = %llu would be exceeded",
                         (unsigned long long)used, (unsigned long long)bytes,
                         (unsigned long long)blobs->config.total_bytes);
    return 0;
}

struct blob_put *blob_put_begin(struct blobs *blobs, uid_t owner, uint64_t bytes,
                                const char *mime_type, const char *field,
                                const struct blob_put_hooks *hooks, void *arg, struct error *error)
{
    static const struct sink_hooks sink_hooks = {on_opened, on_drained, on_finished};
    static const struct sink_kind kind = {.mode = 0600, .name = name_of};
    char tag[32];
    if (check_size(blobs, bytes, field, error) < 0)
        return NULL;
    struct blob_put *put = mem_alloc(sizeof(*put));
    put->blobs = blobs;
    put->owner = owner;
    put->bytes = bytes;
    put->claimed = mem_strdup(mime_type);
    snprintf(put->field, sizeof(put->field), "%s", field ? field : "");
    put->hooks = *hooks;
    put->arg = arg;
    blobs->reserved += bytes;
    snprintf(tag, sizeof(tag), "%llu", (unsigned long long)++blobs->next_tag);
    put->sink = sink_open_kind(blobs->loop, &kind, blobs->config.directory, "put", tag, false,
                               &sink_hooks, put);
    return put;
}

static int check_type(struct blob_put *put, struct error *error)
{
    const char *type = input_sniff(put->head, put->head_length);
    if (!type)
        return error_set(error, ERROR_INVALID_ARGUMENT, put->field,
                         "by its first bytes it is none of " BLOB_TYPES);
    if (put->claimed && strcasecmp(put->claimed, type) != 0)
        return error_set(error, ERROR_INVALID_ARGUMENT, put->field[0] ? put->field : "mime_type",
                         "it is said to be %s, and by its first bytes it is %s", put->claimed,
                         type);
    snprintf(put->blob.mime_type, sizeof(put->blob.mime_type), "%s", type);
    return 0;
}

static int look_at_head(struct blob_put *put, const char *bytes, size_t length, struct error *error)
{
    size_t room = sizeof(put->head) - put->head_length;
    if (room == 0)
        return 0;
    memcpy(put->head + put->head_length, bytes, length < room ? length : room);
    put->head_length += length < room ? length : room;
    if (put->head_length < sizeof(put->head) && put->head_length < put->bytes)
        return 0;
    return check_type(put, error);
}

int blob_put_write(struct blob_put *put, const char *bytes, size_t length, size_t *ret_taken,
                   struct error *error)
{
    int status = sink_status(put->sink);
    if (status < 0) {
        fail_of_errno(put, status, error);
        return -1;
    }
    *ret_taken = sink_write(put->sink, bytes, length);
    if (look_at_head(put, bytes, *ret_taken, error) < 0)
        return -1;
    if (put->phase == PUT_RECEIVING && sink_bytes(put->sink) == put->bytes)
        keep(put);
    return 0;
}

void blob_put_end(struct blob_put *put)
{
    if (!put)
        return;
    if (put->phase == PUT_FINISHING || put->phase == PUT_RECORDING) {
        put->abandoned = true;
        return;
    }
    if (put->phase == PUT_WAITING)
        stop_waiting(put);
    sink_close(put->sink, true);
    free_put(put);
}
