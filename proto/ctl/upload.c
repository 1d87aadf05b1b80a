#include "proto/ctl/upload.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/ctl/interrupt.h"
#include "proto/ctl/job_view.h"
#include "proto/ctl/meter.h"
#include "proto/mem.h"

#define PIECE        65536
#define KNOWN_MAX    16384 /* files that are remembered; a power of 2 */
#define PAUSE_MS     200   /* before a connection that broke is opened again */
#define QUIET_FOR_MS 300   /* a file that is sent as fast needs no meter */

struct identity {
    dev_t device;
    ino_t inode;
    off_t size;
    struct timespec modified;
    struct timespec changed;
};

struct known {
    struct identity is;
    char blob[BLOB_NAME_MAX]; /* empty: a free place */
};

struct uploads {
    struct ctl *ctl;
    struct known *known; /* by a hash of the inode; a later file takes an earlier one's place */
};

struct upload {
    struct uploads *uploads;
    struct connection *connection;
    const char *path;
    int fd;
    struct identity is;
    char tag[COMMAND_TAG_MAX + 1];
    char *why;
};

struct uploads *uploads_new(struct ctl *ctl)
{
    struct uploads *uploads = mem_alloc(sizeof *uploads);
    uploads->ctl = ctl;
    return uploads;
}

void uploads_free(struct uploads *uploads)
{
    if (!uploads)
        return;
    free(uploads->known);
    free(uploads);
}

/* ---- what was sent already ---- */

static bool is_same_time(struct timespec a, struct timespec b)
{
    return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

static struct identity identity_of(const struct stat *info)
{
    return (struct identity){.device = info->st_dev,
                             .inode = info->st_ino,
                             .size = info->st_size,
                             .modified = info->st_mtim,
                             .changed = info->st_ctim};
}

static bool is_same(const struct identity *a, const struct identity *b)
{
    return a->device == b->device && a->inode == b->inode && a->size == b->size &&
           is_same_time(a->modified, b->modified) && is_same_time(a->changed, b->changed);
}

static struct known *place_of(struct uploads *uploads, const struct identity *is)
{
    if (!uploads->known)
        uploads->known = mem_alloc(KNOWN_MAX * sizeof *uploads->known);
    return &uploads->known[(is->inode ^ is->device) % KNOWN_MAX];
}

/* ---- sending ---- */

static int fail(struct upload *upload, enum exit_status status, const char *problem)
{
    snprintf(upload->why, UPLOAD_TEXT, "%s: %s", upload->path, problem);
    return (int)status;
}

static int open_file(struct upload *upload)
{
    struct stat info;
    upload->fd = open(upload->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (upload->fd < 0 || fstat(upload->fd, &info) < 0)
        return fail(upload, EXIT_USAGE, strerror(errno));
    if (!S_ISREG(info.st_mode))
        return fail(upload, EXIT_USAGE, "expected a regular file");
    if (info.st_size == 0)
        return fail(upload, EXIT_USAGE, "the file is empty");
    upload->is = identity_of(&info);
    return EXIT_ALL_DONE;
}

static enum connection_result send_announcement(struct upload *upload)
{
    char bytes[24];
    snprintf(bytes, sizeof bytes, "%lld", (long long)upload->is.size);
    int64_t deadline = clock_after(ctl_reply_timeout(upload->uploads->ctl));
    return connection_send(upload->connection, "PUT", bytes, deadline, upload->tag);
}

/* Stops early, with CONNECTION_OK, if the daemon has something to say: that can only be a refusal.
 */
static enum connection_result send_body(struct upload *upload, char *piece, uint64_t *ret_sent)
{
    struct meter meter = {.ctl = upload->uploads->ctl, .what = upload->path};
    uint64_t total = (uint64_t)upload->is.size;
    enum connection_result result = CONNECTION_OK;
    meter.due_at = clock_after(QUIET_FOR_MS);
    while (*ret_sent < total && result == CONNECTION_OK &&
           !connection_has_input(upload->connection)) {
        uint64_t left = total - *ret_sent;
        ssize_t n = pread(upload->fd, piece, left < PIECE ? (size_t)left : PIECE, (off_t)*ret_sent);
        if (n <= 0)
            break;
        int64_t deadline = clock_after(ctl_reply_timeout(upload->uploads->ctl));
        result = connection_send_bytes(upload->connection, piece, (size_t)n, deadline);
        *ret_sent += (uint64_t)n;
        meter_show(&meter, *ret_sent, total);
    }
    meter_end(&meter);
    return result;
}

static enum connection_result read_reply(struct upload *upload, struct answer *ret)
{
    int64_t deadline = clock_after(ctl_reply_timeout(upload->uploads->ctl));
    for (;;) {
        enum connection_result result = connection_read(upload->connection, ret, deadline);
        if (result != CONNECTION_OK || strcmp(ret->tag, upload->tag) == 0 ||
            (ret->word == REPLY_ERR && !*ret->tag))
            return result;
    }
}

static int take_reply(struct upload *upload, const struct answer *answer,
                      char ret_blob[BLOB_NAME_MAX])
{
    char *blob = job_member(answer->value, "blob");
    char *message = job_member(answer->value, "message");
    int status = EXIT_ALL_DONE;
    if (answer->word == REPLY_ERR)
        status = fail(upload, (enum exit_status)call_error_status(answer->value),
                      message ? message : "refused");
    else if (answer->word != REPLY_OK || !blob || !*blob || strlen(blob) >= BLOB_NAME_MAX)
        status = fail(upload, EXIT_PROTOCOL, "the daemon's answer to PUT names no blob");
    else
        strcpy(ret_blob, blob);
    free(message);
    free(blob);
    return status;
}

static bool has_changed(const struct upload *upload)
{
    struct stat info;
    if (fstat(upload->fd, &info) < 0)
        return true;
    struct identity now = identity_of(&info);
    return !is_same(&now, &upload->is);
}

/* The daemon counts the bytes that were announced: once fewer come, the connection is of no use. */
static int give_up(struct upload *upload, enum exit_status status, const char *problem)
{
    connection_close(upload->connection);
    return problem ? fail(upload, status, problem) : (int)status;
}

static enum connection_result put_once(struct upload *upload, char ret_blob[BLOB_NAME_MAX],
                                       int *ret_status)
{
    struct answer answer;
    uint64_t sent = 0;
    char *piece = mem_alloc(PIECE);
    enum connection_result result = send_announcement(upload);
    if (result == CONNECTION_OK)
        result = send_body(upload, piece, &sent);
    free(piece);
    bool is_whole = sent == (uint64_t)upload->is.size;
    if (result == CONNECTION_OK && !is_whole && !connection_has_input(upload->connection)) {
        *ret_status = give_up(upload, EXIT_USAGE, "the file can't be read to its end");
        return CONNECTION_OK;
    }
    if (result == CONNECTION_OK || result == CONNECTION_BROKEN) /* it may have said why */
        result = read_reply(upload, &answer);
    if (result != CONNECTION_OK)
        return result;
    *ret_status = take_reply(upload, &answer, ret_blob);
    if (!is_whole)
        give_up(upload, EXIT_ALL_DONE, NULL);
    else if (*ret_status == EXIT_ALL_DONE && has_changed(upload))
        *ret_status = fail(upload, EXIT_USAGE, "the file changed while it was sent");
    return CONNECTION_OK;
}

static int put(struct upload *upload, char ret_blob[BLOB_NAME_MAX])
{
    int status = EXIT_PROTOCOL;
    int64_t deadline = 0;
    for (;;) {
        enum connection_result result = CONNECTION_OK;
        if (upload->connection->fd < 0)
            result = connection_reopen(upload->connection,
                                       deadline ? deadline : clock_after(RESEND_FOR_MS));
        if (result == CONNECTION_OK)
            result = put_once(upload, ret_blob, &status);
        if (result == CONNECTION_OK)
            return status;
        deadline = deadline ? deadline : clock_after(RESEND_FOR_MS);
        if (result != CONNECTION_BROKEN || clock_left(deadline) == 0)
            return fail(upload, result == CONNECTION_BROKEN ? EXIT_NO_DAEMON : EXIT_PROTOCOL,
                        upload->connection->problem);
        connection_close(upload->connection);
        interrupt_poll(NULL, 0, PAUSE_MS);
    }
}

int uploads_put(struct uploads *uploads, struct connection *connection, const char *path,
                char ret_blob[BLOB_NAME_MAX], char why[UPLOAD_TEXT])
{
    struct upload upload = {
        .uploads = uploads, .connection = connection, .path = path, .fd = -1, .why = why};
    *why = '\0';
    int status = open_file(&upload);
    if (status == EXIT_ALL_DONE) {
        struct known *known = place_of(uploads, &upload.is);
        if (*known->blob && is_same(&known->is, &upload.is)) {
            strcpy(ret_blob, known->blob);
        } else {
            status = put(&upload, ret_blob);
            if (status == EXIT_ALL_DONE) {
                known->is = upload.is;
                strcpy(known->blob, ret_blob);
            }
        }
    }
    if (upload.fd >= 0)
        close(upload.fd);
    return status;
}
