#include "daemon/io/sink.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/io/beneath.h"
#include "daemon/io/fault.h"
#include "proto/mem.h"

#define SHA256_BYTES 32
#define WRITE_AT     (SINK_BUFFER / 2) /* less than that waits for more, or for the end */

/* The pieces of work, one at a time for each sink. Between the call that queues one and its return
 * the worker owns what is marked so. */
enum sink_job { SINK_OPEN, SINK_WRITE, SINK_RESTART, SINK_FINISH, SINK_CLOSE };

struct sink {
    uv_loop_t *loop;
    uv_work_t work;
    const struct sink_kind *kind;
    struct sink_hooks hooks;
    void *arg;

    char *root, *name, *part; /* part: its last name */
    const char *last;         /* in name */
    bool resume;

    enum sink_job job;
    bool working;
    bool opened;
    bool restarting, finishing, closing;
    bool wants_drained;
    bool remove;
    bool finished;
    bool announced; /* that it is finished */
    int failed;     /* negative errno */
    uint64_t taken;

    char *filling; /* SINK_BUFFER bytes each */
    size_t filled;
    char *writing; /* the worker's, with all that follows */
    size_t to_write;

    int folder, fd;
    uint64_t written;
    int64_t expected;
    EVP_MD_CTX *hash;
    int status;
    char *path;
    char sha256[2 * SHA256_BYTES + 1];
};

/* Adds what the file holds to `hash`. */
static int hash_file(int fd, EVP_MD_CTX *hash, uint64_t *ret_bytes)
{
    char *room = mem_resize(NULL, 1, SINK_BUFFER);
    ssize_t length;
    *ret_bytes = 0;
    do {
        length = pread(fd, room, SINK_BUFFER, (off_t)*ret_bytes);
        if (length > 0)
            EVP_DigestUpdate(hash, room, (size_t)length);
        *ret_bytes += length > 0 ? (uint64_t)length : 0;
    } while (length > 0 || (length < 0 && errno == EINTR));
    int status = length < 0 ? -errno : 0;
    free(room);
    return status;
}

static char *absolute_path(const char *root, const char *name)
{
    char *real = root[0] == '/' ? NULL : realpath(root, NULL);
    char *path = mem_format("%s/%s", real ? real : root, name);
    free(real);
    return path;
}

static int do_open(struct sink *sink)
{
    int status = fault_point("sink.open");
    if (status < 0)
        return status;
    sink->folder = beneath_open_folder(sink->root, sink->name, true);
    if (sink->folder < 0)
        return sink->folder;
    /* Not blocking: should it be a FIFO, it is refused below. */
    sink->fd = beneath_open(sink->folder, sink->part,
                            O_RDWR | O_CREAT | O_NONBLOCK | (sink->resume ? 0 : O_TRUNC),
                            sink->kind->mode);
    struct stat about;
    if (sink->fd < 0)
        return sink->fd;
    if (fstat(sink->fd, &about) < 0)
        return -errno;
    if (!S_ISREG(about.st_mode))
        return -EINVAL;
    sink->hash = EVP_MD_CTX_new();
    if (!sink->hash || EVP_DigestInit_ex(sink->hash, EVP_sha256(), NULL) != 1)
        return -ENOMEM;
    return about.st_size > 0 ? hash_file(sink->fd, sink->hash, &sink->written) : 0;
}

static int write_all(struct sink *sink, const char *data, size_t length)
{
    int status = fault_point("sink.write");
    if (status < 0)
        return status;
    for (size_t done = 0; done < length;) {
        ssize_t n = pwrite(sink->fd, data + done, length - done, (off_t)(sink->written + done));
        if (n < 0 && errno != EINTR)
            return -errno;
        if (n > 0)
            done += (size_t)n;
    }
    EVP_DigestUpdate(sink->hash, data, length);
    sink->written += length;
    return 0;
}

static int do_write(struct sink *sink)
{
    size_t length = sink->to_write;
    sink->to_write = 0;
    return length > 0 ? write_all(sink, sink->writing, length) : 0;
}

static int do_restart(struct sink *sink)
{
    if (ftruncate(sink->fd, 0) < 0)
        return -errno;
    sink->written = 0;
    return EVP_DigestInit_ex(sink->hash, EVP_sha256(), NULL) == 1 ? 0 : -ENOMEM;
}

static int check_content(struct sink *sink)
{
    unsigned char head[SINK_HEAD];
    if (sink->expected >= 0 && sink->written != (uint64_t)sink->expected)
        return -EMSGSIZE;
    ssize_t length = pread(sink->fd, head, sizeof(head), 0);
    if (length < 0)
        return -errno;
    return sink->kind->check ? sink->kind->check(head, (size_t)length) : 0;
}

static void finish_hash(EVP_MD_CTX *hash, char ret[2 * SHA256_BYTES + 1])
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned length = 0;
    EVP_DigestFinal_ex(hash, digest, &length);
    for (unsigned i = 0; i < SHA256_BYTES; i++)
        snprintf(ret + (size_t)i * 2, 3, "%02x", i < length ? digest[i] : 0U);
}

/* A crash between the rename and the record of it leaves a file that will be fetched again. */
static bool is_there_already(const struct sink *sink)
{
    char sha256[2 * SHA256_BYTES + 1] = "";
    uint64_t bytes = 0;
    struct stat about;
    int fd = beneath_open(sink->folder, sink->last, O_RDONLY | O_NONBLOCK, 0);
    EVP_MD_CTX *hash = EVP_MD_CTX_new();
    if (fd >= 0 && fstat(fd, &about) == 0 && S_ISREG(about.st_mode) &&
        (uint64_t)about.st_size == sink->written && hash &&
        EVP_DigestInit_ex(hash, EVP_sha256(), NULL) == 1 && hash_file(fd, hash, &bytes) == 0)
        finish_hash(hash, sha256);
    EVP_MD_CTX_free(hash);
    if (fd >= 0)
        close(fd);
    return bytes == sink->written && strcmp(sha256, sink->sha256) == 0;
}

static int move_part(const struct sink *sink, const char *from, const char *to)
{
    if (renameat2(sink->folder, from, sink->folder, to, RENAME_NOREPLACE) == 0)
        return 0;
    if (errno != EINVAL && errno != ENOSYS)
        return -errno;
    if (linkat(sink->folder, from, sink->folder, to, 0) < 0)
        return -errno;
    return unlinkat(sink->folder, from, 0) < 0 ? -errno : 0;
}

static int give_name(struct sink *sink)
{
    int status = fault_point("sink.rename");
    if (status == 0)
        status = move_part(sink, sink->part, sink->last);
    if (status == -EEXIST && is_there_already(sink))
        status = unlinkat(sink->folder, sink->part, 0) < 0 ? -errno : 0;
    if (status < 0)
        return status;
    status = fault_point("sink.renamed");
    if (status == 0 && fsync(sink->folder) < 0)
        status = -errno;
    if (status < 0)
        move_part(sink, sink->last, sink->part);
    return status;
}

/* All that is known of the content is known now. */
static void choose_name(struct sink *sink)
{
    if (sink->kind->name) {
        char *last = sink->kind->name(sink->sha256);
        char *name = mem_format("%.*s%s", (int)(sink->last - sink->name), sink->name, last);
        sink->last = name + (sink->last - sink->name);
        free(sink->name);
        sink->name = name;
        free(last);
    }
    free(sink->path);
    sink->path = absolute_path(sink->root, sink->name);
}

static int do_finish(struct sink *sink)
{
    int status = sink->failed < 0 ? sink->failed : do_write(sink);
    if (status == 0)
        status = check_content(sink);
    if (status == 0)
        status = fault_point("sink.sync");
    if (status == 0 && fsync(sink->fd) < 0)
        status = -errno;
    if (status < 0)
        return status;
    finish_hash(sink->hash, sink->sha256);
    choose_name(sink);
    status = give_name(sink);
    if (status == 0) {
        close(sink->fd);
        sink->fd = -1;
    }
    return status;
}

static int do_close(struct sink *sink)
{
    if (sink->fd >= 0 && !sink->remove && sink->failed == 0 && !sink->finished) {
        int status = sink->restarting ? do_restart(sink) : 0;
        if (status == 0 && sink->filled > 0)
            write_all(sink, sink->filling, sink->filled);
    }
    if ((sink->fd >= 0 || sink->finished) && sink->remove && !sink->announced)
        unlinkat(sink->folder, sink->finished ? sink->last : sink->part, 0);
    if (sink->fd >= 0)
        close(sink->fd);
    if (sink->folder >= 0)
        close(sink->folder);
    return 0;
}

static void work(uv_work_t *request)
{
    struct sink *sink = request->data;
    static int (*const jobs[])(struct sink *) = {
        [SINK_OPEN] = do_open,     [SINK_WRITE] = do_write, [SINK_RESTART] = do_restart,
        [SINK_FINISH] = do_finish, [SINK_CLOSE] = do_close,
    };
    sink->status = jobs[sink->job](sink);
}

static void free_buffers(struct sink *sink)
{
    free(sink->filling);
    free(sink->writing);
    sink->filling = sink->writing = NULL;
    sink->filled = 0;
}

static void sink_free(struct sink *sink)
{
    free_buffers(sink);
    EVP_MD_CTX_free(sink->hash);
    free(sink->root);
    free(sink->name);
    free(sink->part);
    free(sink->path);
    free(sink);
}

static void on_worked(uv_work_t *request, int status);

static void begin(struct sink *sink, enum sink_job job)
{
    sink->job = job;
    sink->working = true;
    uv_queue_work(sink->loop, &sink->work, work, on_worked);
}

static void swap_buffers(struct sink *sink)
{
    char *full = sink->filling;
    sink->filling = sink->writing;
    sink->writing = full;
    sink->to_write = sink->filled;
    sink->filled = 0;
}

static void write_when_full(struct sink *sink)
{
    if (sink->working || sink->failed < 0 || sink->filled < WRITE_AT)
        return;
    swap_buffers(sink);
    begin(sink, SINK_WRITE);
}

/* What comes next; nothing while a piece of work is under way. */
static void go_on(struct sink *sink)
{
    if (sink->working)
        return;
    if (sink->closing && sink->announced) {
        do_close(sink); /* but for the folder's descriptor, all is done */
        sink_free(sink);
    } else if (sink->closing) {
        begin(sink, SINK_CLOSE);
    } else if (sink->restarting && sink->failed == 0) {
        sink->restarting = false;
        begin(sink, SINK_RESTART);
    } else if (sink->finishing) {
        swap_buffers(sink);
        begin(sink, SINK_FINISH);
    } else {
        write_when_full(sink);
    }
}

/* The hook comes last: it may close the sink. */
static void complete(struct sink *sink)
{
    switch (sink->job) {
    case SINK_OPEN:
        sink->opened = true;
        sink->taken = sink->written;
        sink->hooks.opened(sink->arg, sink->failed, sink->failed < 0 ? 0 : sink->taken);
        return;
    case SINK_FINISH:
        sink->finishing = false;
        free_buffers(sink);
        sink->hooks.finished(sink->arg, sink->failed);
        return;
    case SINK_WRITE:
    case SINK_RESTART:
        go_on(sink);
        if (!sink->wants_drained)
            return;
        sink->wants_drained = false;
        sink->hooks.drained(sink->arg);
        return;
    case SINK_CLOSE:
        return;
    }
}

static void on_worked(uv_work_t *request, int status)
{
    struct sink *sink = request->data;
    (void)status;
    sink->working = false;
    if (sink->job == SINK_CLOSE) {
        sink_free(sink);
        return;
    }
    if (sink->failed == 0)
        sink->failed = sink->status;
    if (sink->job == SINK_FINISH && sink->failed == 0) {
        sink->finished = true;
        sink->announced = !sink->closing;
    }
    if (sink->closing)
        go_on(sink);
    else
        complete(sink);
}

struct sink *sink_open_kind(uv_loop_t *loop, const struct sink_kind *kind, const char *root,
                            const char *name, const char *tag, bool resume,
                            const struct sink_hooks *hooks, void *arg)
{
    struct sink *sink = mem_alloc(sizeof(*sink));
    sink->loop = loop;
    sink->kind = kind;
    sink->hooks = *hooks;
    sink->arg = arg;
    sink->work.data = sink;
    sink->root = mem_strdup(root);
    sink->name = mem_strdup(name);
    const char *slash = strrchr(sink->name, '/');
    sink->last = slash ? slash + 1 : sink->name;
    sink->part = mem_format(".%s.%s.part", sink->last, tag);
    sink->resume = resume;
    sink->folder = sink->fd = -1;
    begin(sink, SINK_OPEN);
    return sink;
}

static int check_video(const unsigned char *head, size_t length)
{
    return length >= 8 && memcmp(head + 4, "ftyp", 4) == 0 ? 0 : -EBADMSG;
}

struct sink *sink_open(uv_loop_t *loop, const char *root, const char *name, const char *tag,
                       bool resume, const struct sink_hooks *hooks, void *arg)
{
    static const struct sink_kind video = {.mode = 0640, .check = check_video};
    return sink_open_kind(loop, &video, root, name, tag, resume, hooks, arg);
}

void sink_rehook(struct sink *sink, const struct sink_hooks *hooks, void *arg)
{
    sink->hooks = *hooks;
    sink->arg = arg;
}

size_t sink_write(struct sink *sink, const void *data, size_t length)
{
    if (!sink->opened || length == 0)
        return 0;
    if (sink->failed < 0)
        return length;
    size_t given = 0;
    while (given < length && sink->filled < SINK_BUFFER) {
        if (!sink->filling)
            sink->filling = mem_resize(NULL, 1, SINK_BUFFER);
        size_t room = SINK_BUFFER - sink->filled;
        size_t part = length - given < room ? length - given : room;
        memcpy(sink->filling + sink->filled, (const char *)data + given, part);
        sink->filled += part;
        given += part;
        write_when_full(sink);
    }
    sink->taken += given;
    sink->wants_drained = given < length;
    return given;
}

void sink_restart(struct sink *sink)
{
    sink->filled = 0;
    sink->taken = 0;
    sink->restarting = true;
    go_on(sink);
}

uint64_t sink_bytes(const struct sink *sink)
{
    return sink->taken;
}

int sink_status(const struct sink *sink)
{
    return sink->failed;
}

void sink_finish(struct sink *sink, int64_t expected)
{
    sink->expected = expected;
    sink->finishing = true;
    go_on(sink);
}

const char *sink_path(const struct sink *sink)
{
    return sink->path;
}

const char *sink_sha256(const struct sink *sink)
{
    return sink->sha256;
}

void sink_close(struct sink *sink, bool remove)
{
    if (!sink)
        return;
    sink->closing = true;
    sink->remove = remove;
    go_on(sink);
}
