/* Blobs from what is there already: those that were put before, base64, and files of the peer. */
#include <errno.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/io/blob_internal.h"
#include "daemon/io/peer_file.h"
#include "proto/mem.h"

#define COPIES_AT_ONCE 4
#define COPY_CHUNK     (64 * 1024)

/* ---- found ---- */

struct finding {
    struct blobs *blobs;
    struct store_read read;
    uv_fs_t look;
    char *name, *field;
    blob_done_fn *done;
    void *arg;
};

static void end_finding(struct finding *finding, const struct error *error)
{
    struct blobs *blobs = finding->blobs;
    struct store_blob blob = finding->read.blob;
    finding->done(finding->arg, error ? NULL : &blob, error);
    free(finding->name);
    free(finding->field);
    free(finding);
    blobs_leave(blobs);
}

static void miss(struct finding *finding, const char *why)
{
    struct error error;
    error_set(&error, ERROR_NOT_FOUND, finding->field, "%s: there is no blob %s%s", finding->field,
              finding->name, why);
    end_finding(finding, &error);
}

static void on_looked(uv_fs_t *look)
{
    struct finding *finding = look->data;
    bool is_there = look->result == 0 && S_ISREG(look->statbuf.st_mode) &&
                    look->statbuf.st_size == finding->read.blob.bytes;
    uv_fs_req_cleanup(look);
    if (is_there)
        end_finding(finding, NULL);
    else
        miss(finding, ": its file is gone; send it again with PUT");
}

static void on_found(struct store_read *read)
{
    struct finding *finding = read->context;
    struct error error;
    if (read->status == -ENOENT) {
        miss(finding, " of yours; PUT makes one, and it goes when it was not used for a while");
        return;
    }
    if (read->status < 0) {
        error_set(&error, ERROR_UNAVAILABLE, NULL, "the store could not be read: %s",
                  strerror(-read->status));
        end_finding(finding, &error);
        return;
    }
    char *path = mem_format("%s/%s", finding->blobs->config.directory, finding->name);
    finding->look.data = finding;
    uv_fs_lstat(finding->blobs->loop, &finding->look, path, on_looked);
    free(path);
}

void blob_find(struct blobs *blobs, uid_t owner, const char *name, const char *field,
               blob_done_fn *done, void *arg)
{
    struct finding *finding = mem_alloc(sizeof(*finding));
    finding->blobs = blobs;
    finding->name = mem_strdup(name);
    finding->field = mem_strdup(field);
    finding->done = done;
    finding->arg = arg;
    finding->read = (struct store_read){.kind = STORE_BLOB,
                                        .name = finding->name,
                                        .filter.owner = owner,
                                        .done = on_found,
                                        .context = finding};
    blobs->busy++;
    store_read(blobs->store, &finding->read);
}

/* ---- copied: from a file, or from memory ---- */

struct blob_copy {
    struct blob_copy *next;
    struct blobs *blobs;
    char *path; /* NULL: base64 was given, and `chunk` has all of it */
    char *field;
    char *mime_type;
    struct peer peer;
    blob_done_fn *done;
    void *arg;
    struct blob_put *put;
    uv_work_t work;
    int fd;
    uint64_t max_bytes; /* the configuration is not the pool's to read */
    uint64_t bytes;
    uint64_t offset; /* read so far */
    char *chunk;
    size_t filled, given; /* of the chunk */
    bool has_error;
    struct error error;
};

static void start_copies(struct blobs *blobs);

static void on_closed(uv_work_t *work, int status)
{
    struct blob_copy *copy = work->data;
    struct blobs *blobs = copy->blobs;
    (void)status;
    free(copy->path);
    free(copy->field);
    free(copy->mime_type);
    free(copy->peer.groups);
    free(copy->chunk);
    free(copy);
    blobs->copying--;
    start_copies(blobs);
    blobs_leave(blobs);
}

static void close_file(uv_work_t *work)
{
    const struct blob_copy *copy = work->data;
    if (copy->fd >= 0)
        close(copy->fd);
}

static void end_copy(struct blob_copy *copy, const struct store_blob *blob,
                     const struct error *error)
{
    copy->done(copy->arg, blob, error);
    uv_queue_work(copy->blobs->loop, &copy->work, close_file, on_closed);
}

static void on_done(void *arg, const struct store_blob *blob, const struct error *error)
{
    end_copy(arg, blob, error);
}

static void fail(struct blob_copy *copy)
{
    blob_put_end(copy->put);
    end_copy(copy, NULL, &copy->error);
}

static int changed(struct blob_copy *copy)
{
    return error_set(&copy->error, ERROR_CONFLICT, copy->field, "%s: %s changed while it was read",
                     copy->field, copy->path);
}

/* The last piece is only good if the file is still what it was. */
static int read_chunk(struct blob_copy *copy)
{
    uint64_t left = copy->bytes - copy->offset;
    size_t wanted = left < COPY_CHUNK ? (size_t)left : COPY_CHUNK;
    struct stat at;
    for (copy->filled = 0; copy->filled < wanted;) {
        ssize_t count = pread(copy->fd, copy->chunk + copy->filled, wanted - copy->filled,
                              (off_t)(copy->offset + copy->filled));
        if (count == 0)
            return changed(copy);
        if (count < 0 && errno != EINTR)
            return error_set(&copy->error, ERROR_UNAVAILABLE, copy->field, "%s: cannot read %s: %s",
                             copy->field, copy->path, strerror(errno));
        copy->filled += count > 0 ? (size_t)count : 0;
    }
    copy->offset += copy->filled;
    copy->given = 0;
    if (copy->offset == copy->bytes &&
        (fstat(copy->fd, &at) < 0 || (uint64_t)at.st_size != copy->bytes))
        return changed(copy);
    return 0;
}

static void work_read(uv_work_t *work)
{
    struct blob_copy *copy = work->data;
    copy->has_error = read_chunk(copy) < 0;
}

static void give(struct blob_copy *copy);

static void on_read(uv_work_t *work, int status)
{
    struct blob_copy *copy = work->data;
    (void)status;
    if (copy->has_error)
        fail(copy);
    else
        give(copy);
}

static void give(struct blob_copy *copy)
{
    size_t taken;
    if (copy->given < copy->filled) {
        if (blob_put_write(copy->put, copy->chunk + copy->given, copy->filled - copy->given, &taken,
                           &copy->error) < 0) {
            fail(copy);
            return;
        }
        copy->given += taken;
    }
    if (copy->given == copy->filled && copy->offset < copy->bytes)
        uv_queue_work(copy->blobs->loop, &copy->work, work_read, on_read);
}

static void on_ready(void *arg)
{
    give(arg);
}

static void begin_put(struct blob_copy *copy)
{
    static const struct blob_put_hooks hooks = {on_ready, on_done};
    copy->put = blob_put_begin(copy->blobs, copy->peer.uid, copy->bytes, copy->mime_type,
                               copy->field, &hooks, copy, &copy->error);
    if (!copy->put)
        fail(copy);
}

static void work_open(uv_work_t *work)
{
    struct blob_copy *copy = work->data;
    if (copy->path)
        copy->has_error = peer_file_open(copy->path, &copy->peer, copy->max_bytes, copy->field,
                                         &copy->fd, &copy->bytes, &copy->error) < 0;
}

static void on_opened(uv_work_t *work, int status)
{
    struct blob_copy *copy = work->data;
    (void)status;
    if (copy->has_error) {
        fail(copy);
        return;
    }
    if (copy->path)
        copy->chunk = mem_resize(NULL, 1, COPY_CHUNK);
    begin_put(copy);
}

static void start_copies(struct blobs *blobs)
{
    while (blobs->copies && blobs->copying < COPIES_AT_ONCE) {
        struct blob_copy *copy = blobs->copies;
        blobs->copies = copy->next;
        if (!blobs->copies)
            blobs->copies_end = &blobs->copies;
        blobs->copying++;
        copy->max_bytes = blobs->config.blob_bytes;
        copy->work.data = copy;
        uv_queue_work(blobs->loop, &copy->work, work_open, on_opened);
    }
}

static struct blob_copy *add_copy(struct blobs *blobs, uid_t owner, const char *field,
                                  blob_done_fn *done, void *arg)
{
    struct blob_copy *copy = mem_alloc(sizeof(*copy));
    copy->blobs = blobs;
    copy->field = mem_strdup(field);
    copy->peer.uid = owner;
    copy->done = done;
    copy->arg = arg;
    copy->fd = -1;
    *blobs->copies_end = copy;
    blobs->copies_end = &copy->next;
    blobs->busy++;
    return copy;
}

void blob_put_path(struct blobs *blobs, const struct peer *peer, const char *path,
                   const char *field, blob_done_fn *done, void *arg)
{
    struct blob_copy *copy = add_copy(blobs, peer->uid, field, done, arg);
    copy->path = mem_strdup(path);
    copy->peer = peer_copy(peer);
    start_copies(blobs);
}

/* Negative: it is no base64. */
static int decode(const char *base64, char *ret)
{
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    size_t length = strlen(base64), digits = strspn(base64, alphabet);
    size_t padding = strspn(base64 + digits, "=");
    if (length % 4 != 0 || padding > 2 || digits + padding != length)
        return -1;
    int bytes = EVP_DecodeBlock((unsigned char *)ret, (const unsigned char *)base64, (int)length);
    return bytes < 0 ? -1 : bytes - (int)padding;
}

void blob_put_base64(struct blobs *blobs, uid_t owner, const char *base64, const char *mime_type,
                     const char *field, blob_done_fn *done, void *arg)
{
    struct blob_copy *copy = add_copy(blobs, owner, field, done, arg);
    copy->mime_type = mem_strdup(mime_type);
    copy->chunk = mem_resize(NULL, 1, strlen(base64) / 4 * 3 + 4);
    int bytes = decode(base64, copy->chunk);
    copy->has_error = bytes < 0;
    if (bytes < 0)
        error_set(&copy->error, ERROR_INVALID_ARGUMENT, field, "%s: `data` is not base64", field);
    else
        copy->bytes = copy->offset = copy->filled = (size_t)bytes;
    start_copies(blobs);
}
