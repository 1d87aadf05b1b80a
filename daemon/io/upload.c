#include "daemon/io/upload.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/io/fault.h"
#include "daemon/io/http.h"
#include "proto/mem.h"

#define ENCODED(bytes) (((bytes) + 2) / 3 * 4)

struct source {
    struct http_part part;
    int fd;
};

struct upload {
    uv_loop_t *loop;
    uv_work_t work;
    bool busy;      /* the pool has it: fds, piece, room and status are the pool's */
    bool abandoned; /* and nobody else any more */
    bool is_open;
    const struct upload_hooks *hooks;
    void *arg;

    const char *body;
    size_t body_length;
    size_t body_taken;
    struct source *sources;
    size_t count;
    size_t current; /* the source that is next, or under way */
    uint64_t read;  /* bytes of it that were asked for */

    char *room; /* one piece as it is sent */
    size_t room_length, room_taken;
    size_t piece; /* bytes to be read now */

    int status; /* a negative errno */
    bool gone;
    char reason[160];
};

/* ---- on the pool ---- */

static void fail(struct upload *upload, size_t index, int status, const char *what)
{
    const struct http_part *part = &upload->sources[index].part;
    char bytes[64] = "";
    if (status == -ESTALE)
        snprintf(bytes, sizeof(bytes), ": it had %" PRIu64 " bytes", part->bytes);
    snprintf(upload->reason, sizeof(upload->reason), "input %zu %s%s", index + 1, what, bytes);
    upload->status = status;
    upload->gone = status == -ESTALE || status == -ENOENT || status == -ENOTDIR ||
                   status == -ELOOP || status == -EACCES;
}

static void fail_by_errno(struct upload *upload, size_t index, int number)
{
    char what[96];
    snprintf(what, sizeof(what), "cannot be read: %s", strerror(number));
    fail(upload, index, -number, number == ENOENT ? "is gone" : what);
}

static bool open_source(struct upload *upload, size_t index)
{
    struct source *source = &upload->sources[index];
    struct stat status;
    source->fd = open(source->part.path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY | O_NONBLOCK);
    if (source->fd < 0 || fstat(source->fd, &status) < 0)
        fail_by_errno(upload, index, errno);
    else if (!S_ISREG(status.st_mode) || (uint64_t)status.st_size != source->part.bytes)
        fail(upload, index, -ESTALE, "has changed");
    return upload->status == 0;
}

static void open_sources(uv_work_t *work)
{
    struct upload *upload = work->data;
    int fault = fault_point("upload.open");
    if (fault < 0)
        fail_by_errno(upload, 0, -fault);
    for (size_t i = 0; fault == 0 && i < upload->count && open_source(upload, i); i++)
        ;
}

static bool read_exactly(struct upload *upload, char *to)
{
    const struct source *source = &upload->sources[upload->current];
    uint64_t from = upload->read - upload->piece;
    int fault = fault_point("upload.read");
    if (fault < 0)
        fail_by_errno(upload, upload->current, -fault);
    for (size_t done = 0; done < upload->piece && upload->status == 0;) {
        ssize_t got = pread(source->fd, to + done, upload->piece - done, (off_t)(from + done));
        if (got < 0 && errno != EINTR)
            fail_by_errno(upload, upload->current, errno);
        else if (got == 0)
            fail(upload, upload->current, -ESTALE, "has become shorter");
        else if (got > 0)
            done += (size_t)got;
    }
    return upload->status == 0;
}

/* The raw bytes are on the worker's stack: memory is needed for as many as there are workers, and
 * not for each transfer. */
static void read_piece(uv_work_t *work)
{
    struct upload *upload = work->data;
    unsigned char raw[UPLOAD_PIECE];
    if (!upload->room)
        upload->room = mem_resize(NULL, ENCODED(UPLOAD_PIECE) + 1, 1);
    if (!upload->sources[upload->current].part.base64) {
        if (read_exactly(upload, upload->room))
            upload->room_length = upload->piece;
    } else if (read_exactly(upload, (char *)raw)) {
        upload->room_length =
            (size_t)EVP_EncodeBlock((unsigned char *)upload->room, raw, (int)upload->piece);
    }
}

/* ---- on the loop ---- */

static void really_free(struct upload *upload)
{
    for (size_t i = 0; i < upload->count; i++) {
        if (upload->sources[i].fd >= 0)
            close(upload->sources[i].fd);
        free(upload->sources[i].part.path);
    }
    free(upload->sources);
    free(upload->room);
    free(upload);
}

static void after_work(uv_work_t *work, int status)
{
    struct upload *upload = work->data;
    (void)status;
    upload->busy = false;
    if (upload->abandoned) {
        really_free(upload);
    } else if (!upload->is_open) {
        upload->is_open = true;
        upload->hooks->opened(upload->arg, upload->status == 0);
    } else {
        upload->hooks->ready(upload->arg);
    }
}

static void to_pool(struct upload *upload, uv_work_cb job)
{
    upload->work.data = upload;
    upload->busy = true;
    uv_queue_work(upload->loop, &upload->work, job, after_work);
}

void upload_free_parts(struct http_part *parts, size_t count)
{
    for (size_t i = 0; i < count; i++)
        free(parts[i].path);
    free(parts);
}

uint64_t upload_length(const struct upload *upload)
{
    uint64_t length = upload->body_length;
    for (size_t i = 0; i < upload->count; i++) {
        const struct http_part *part = &upload->sources[i].part;
        length += part->base64 ? ENCODED(part->bytes) : part->bytes;
    }
    return length;
}

bool upload_is_at_end(const struct upload *upload)
{
    return upload->current == upload->count && upload->body_taken == upload->body_length;
}

const char *upload_reason(const struct upload *upload)
{
    return upload && !upload->busy && upload->status < 0 ? upload->reason : NULL;
}

bool upload_is_gone(const struct upload *upload)
{
    return upload_reason(upload) && upload->gone;
}

struct upload *upload_open(uv_loop_t *loop, const char *body, size_t body_length,
                           struct http_part *parts, size_t part_count,
                           const struct upload_hooks *hooks, void *arg)
{
    struct upload *upload = mem_alloc(sizeof(*upload));
    *upload = (struct upload){
        .loop = loop, .hooks = hooks, .arg = arg, .body = body, .body_length = body_length};
    upload->sources = mem_alloc((part_count + 1) * sizeof(*upload->sources));
    upload->count = part_count;
    for (size_t i = 0; i < part_count; i++)
        upload->sources[i] = (struct source){.part = parts[i], .fd = -1};
    free(parts);
    to_pool(upload, open_sources);
    return upload;
}

/* The next piece of the current file is read; false: all of it was. */
static bool read_on(struct upload *upload)
{
    uint64_t left = upload->sources[upload->current].part.bytes - upload->read;
    upload->room_length = upload->room_taken = 0;
    if (left == 0)
        return false;
    upload->piece = left < UPLOAD_PIECE ? (size_t)left : UPLOAD_PIECE;
    upload->read += upload->piece;
    to_pool(upload, read_piece);
    return true;
}

static size_t take(char *room, size_t size, const char *from, size_t length)
{
    size_t taken = length < size ? length : size;
    if (taken > 0)
        memcpy(room, from, taken);
    return taken;
}

static size_t take_memory(struct upload *upload, char *room, size_t size)
{
    size_t end = upload->current < upload->count ? upload->sources[upload->current].part.at
                                                 : upload->body_length;
    size_t taken = take(room, size, upload->body + upload->body_taken, end - upload->body_taken);
    upload->body_taken += taken;
    return taken;
}

/* An emptied room is filled while what was in it is being sent. */
static size_t take_file(struct upload *upload, char *room, size_t size)
{
    size_t taken = take(room, size, upload->room + upload->room_taken,
                        upload->room_length - upload->room_taken);
    upload->room_taken += taken;
    if (upload->room_taken == upload->room_length && !read_on(upload)) {
        upload->current++;
        upload->read = 0;
    }
    return taken;
}

enum upload_step upload_take(struct upload *upload, char *room, size_t size, size_t *ret)
{
    size_t taken = 0;
    while (taken < size && !upload->busy && upload->status == 0 && !upload_is_at_end(upload)) {
        bool in_file = upload->current < upload->count &&
                       upload->body_taken == upload->sources[upload->current].part.at;
        taken += in_file ? take_file(upload, room + taken, size - taken)
                         : take_memory(upload, room + taken, size - taken);
    }
    *ret = taken;
    if (taken > 0 || upload_is_at_end(upload))
        return UPLOAD_TAKEN;
    return upload->busy ? UPLOAD_WAIT : UPLOAD_FAILED;
}

void upload_free(struct upload *upload)
{
    if (!upload)
        return;
    upload->abandoned = true;
    if (!upload->busy)
        really_free(upload);
}
