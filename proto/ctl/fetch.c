#include "proto/ctl/fetch.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/ctl/interrupt.h"
#include "proto/ctl/meter.h"
#include "proto/jsonw.h"
#include "proto/limits.h"
#include "proto/mem.h"

#define RETRY_PAUSE_MS 200
#define OUTPUT_WAIT_MS 1000

struct transfer {
    struct ctl *ctl;
    struct connection *connection;
    const struct fetch *fetch;
    int fd;
    char *temporary; /* NULL: standard output */
    uint64_t got;
    uint64_t total;
    bool total_known;
    struct meter meter;
};

/* ---- names ---- */

static bool is_folder(const char *path)
{
    struct stat info;
    size_t length = strlen(path);
    return (length > 0 && path[length - 1] == '/') ||
           (stat(path, &info) == 0 && S_ISDIR(info.st_mode));
}

char *fetch_target(const char *output, const char *id, size_t file)
{
    char number[24] = "";
    if (file > 0)
        snprintf(number, sizeof number, "-%zu", file);
    if (!output)
        return mem_format("%s%s.mp4", id, number);
    if (strcmp(output, "-") == 0)
        return mem_strdup(output);
    if (is_folder(output))
        return mem_format("%s%s%s%s.mp4", output, output[strlen(output) - 1] == '/' ? "" : "/", id,
                          number);
    const char *slash = strrchr(output, '/');
    const char *name = slash ? slash + 1 : output;
    const char *dot = strrchr(name, '.');
    size_t stem = dot && dot != name ? (size_t)(dot - output) : strlen(output);
    return mem_format("%.*s%s%s", (int)stem, output, number, output + stem);
}

static int check_folder(struct ctl *ctl, const char *target)
{
    char *copy = mem_strdup(target);
    const char *folder = dirname(copy);
    int status = EXIT_ALL_DONE;
    if (access(folder, W_OK | X_OK) < 0)
        status = ctl_usage(ctl, "--output: can't write in %s: %s", folder, strerror(errno));
    free(copy);
    return status;
}

int fetch_check(struct ctl *ctl, const char *output, const char *id, size_t file, bool overwrite)
{
    struct stat info;
    int status = EXIT_ALL_DONE;
    if (output && strcmp(output, "-") == 0) {
        if (ctl->out.is_terminal)
            return ctl_usage(ctl, "--output: a terminal can't show a video; name a file");
        return EXIT_ALL_DONE;
    }
    char *target = fetch_target(output, id ? id : "x", file);
    bool name_known = id || (output && !is_folder(output));
    if (name_known && stat(target, &info) == 0 && !S_ISREG(info.st_mode))
        status = ctl_usage(ctl, "--output: %s is no regular file", target);
    else if (name_known && !overwrite && lstat(target, &info) == 0)
        status = ctl_usage(ctl, "--output: %s exists; --overwrite replaces it", target);
    if (status == EXIT_ALL_DONE)
        status = check_folder(ctl, target);
    free(target);
    return status;
}

/* ---- the file ---- */

static int open_target(struct transfer *transfer)
{
    const char *target = transfer->fetch->target;
    if (strcmp(target, "-") == 0) {
        transfer->fd = STDOUT_FILENO;
        return EXIT_ALL_DONE;
    }
    transfer->temporary = mem_format("%s.part-XXXXXX", target);
    transfer->fd = mkostemp(transfer->temporary, O_CLOEXEC);
    if (transfer->fd < 0) {
        ctl_complain(transfer->ctl, "can't write %s: %s", transfer->temporary, strerror(errno));
        free(transfer->temporary);
        transfer->temporary = NULL;
        return EXIT_PROTOCOL;
    }
    mode_t mask = umask(0);
    umask(mask);
    fchmod(transfer->fd, 0666 & ~mask);
    return EXIT_ALL_DONE;
}

/* A reader of our standard output may be slow for ever: then only a signal ends the wait. */
static ssize_t write_some(const struct transfer *transfer, const char *data, size_t length)
{
    if (transfer->temporary)
        return write(transfer->fd, data, length);
    struct pollfd poll = {.fd = transfer->fd, .events = POLLOUT};
    if (interrupt_poll(&poll, 1, OUTPUT_WAIT_MS) == 0)
        errno = EAGAIN;
    return poll.revents ? write(transfer->fd, data, length < PIPE_BUF ? length : PIPE_BUF) : -1;
}

static int write_all(const struct transfer *transfer, const char *data, size_t length)
{
    while (length > 0) {
        ssize_t n = write_some(transfer, data, length);
        if (n < 0 && (errno == EAGAIN || errno == EINTR) && !interrupt_pending())
            continue;
        if (n < 0)
            return -1;
        data += n;
        length -= (size_t)n;
    }
    return 0;
}

static void sync_folder(const char *target)
{
    char *copy = mem_strdup(target);
    int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0) {
        fsync(fd);
        close(fd);
    }
    free(copy);
}

/* Without --overwrite a file that came up meanwhile stays: link(2) doesn't replace. */
static int put_in_place(const struct transfer *transfer)
{
    const char *target = transfer->fetch->target;
    if (transfer->fetch->overwrite)
        return rename(transfer->temporary, target);
    if (renameat2(AT_FDCWD, transfer->temporary, AT_FDCWD, target, RENAME_NOREPLACE) == 0)
        return 0;
    if (errno != EINVAL && errno != ENOSYS)
        return -1;
    if (link(transfer->temporary, target) < 0)
        return -1;
    return unlink(transfer->temporary);
}

static int finish_target(struct transfer *transfer, int status)
{
    if (!transfer->temporary)
        return status;
    if (status == EXIT_ALL_DONE && (fsync(transfer->fd) < 0 || put_in_place(transfer) < 0)) {
        ctl_complain(transfer->ctl, "can't write %s: %s", transfer->fetch->target, strerror(errno));
        status = EXIT_PROTOCOL;
    }
    close(transfer->fd);
    if (status == EXIT_ALL_DONE)
        sync_folder(transfer->fetch->target);
    else
        unlink(transfer->temporary);
    free(transfer->temporary);
    return status;
}

/* ---- the bytes ---- */

static char *get_argument(const struct transfer *transfer)
{
    struct buf text;
    struct jsonw w;
    buf_init(&text, LIMIT_LINE);
    jsonw_init(&w, &text);
    jsonw_object(&w);
    jsonw_member_string(&w, "id", transfer->fetch->id);
    jsonw_member_uint(&w, "file", transfer->fetch->file);
    jsonw_member_uint(&w, "offset", transfer->got);
    jsonw_object_end(&w);
    return buf_steal(&text);
}

static int protocol_error(const struct transfer *transfer, const char *what)
{
    ctl_complain(transfer->ctl, "the daemon's answer to GET %s", what);
    return EXIT_PROTOCOL;
}

/* Looks at what DATA says of the body that follows. */
static int begin_body(struct transfer *transfer, const struct answer *answer)
{
    int64_t bytes;
    if (answer->word != REPLY_DATA ||
        json_int(json_get(answer->value, "bytes"), 0, INT64_MAX, &bytes) < 0)
        return protocol_error(transfer, "has no body");
    if (!transfer->total_known)
        transfer->total = (uint64_t)bytes;
    else if (transfer->total - transfer->got != (uint64_t)bytes)
        return protocol_error(transfer, "doesn't go on where the last one broke off");
    transfer->total_known = true;
    connection_expect(transfer->connection, (uint64_t)bytes);
    return EXIT_ALL_DONE;
}

static enum connection_result copy_body(struct transfer *transfer, int *ret_status)
{
    for (;;) {
        const char *data;
        size_t length;
        int64_t deadline = clock_after(ctl_reply_timeout(transfer->ctl));
        enum connection_result result =
            connection_read_body(transfer->connection, &data, &length, deadline);
        if (result != CONNECTION_OK || length == 0)
            return result;
        if (interrupt_poll(NULL, 0, 0) < 0)
            return CONNECTION_INTERRUPTED;
        if (write_all(transfer, data, length) < 0) {
            if (interrupt_pending())
                return CONNECTION_INTERRUPTED;
            meter_end(&transfer->meter);
            ctl_complain(transfer->ctl, "can't write %s: %s", transfer->fetch->target,
                         strerror(errno));
            *ret_status = EXIT_PROTOCOL;
            return CONNECTION_OK;
        }
        transfer->got += length;
        meter_show(&transfer->meter, transfer->got, transfer->total);
    }
}

/* One GET, from where the last one broke off. */
static enum connection_result get_once(struct transfer *transfer, int *ret_status)
{
    struct answer answer;
    char *argument = get_argument(transfer);
    struct call call = {.verb = "GET", .argument = argument};
    enum connection_result result =
        call_exchange(transfer->ctl, transfer->connection, &call, &answer);
    free(argument);
    if (result != CONNECTION_OK)
        return result;
    *ret_status = answer.word == REPLY_ERR ? call_refused(transfer->ctl, &answer)
                                           : begin_body(transfer, &answer);
    return *ret_status == EXIT_ALL_DONE ? copy_body(transfer, ret_status) : result;
}

static enum connection_result get_all(struct transfer *transfer, int *ret_status)
{
    int64_t deadline = 0;
    uint64_t got_before = 0;
    for (;;) {
        enum connection_result result = get_once(transfer, ret_status);
        if (result != CONNECTION_BROKEN)
            return result;
        if (deadline == 0 || transfer->got > got_before)
            deadline = clock_after(transfer->fetch->reconnect_ms);
        got_before = transfer->got;
        if (clock_left(deadline) == 0)
            return result;
        meter_end(&transfer->meter);
        ctl_complain(transfer->ctl, "the connection broke; going on at byte %llu",
                     (unsigned long long)transfer->got);
        interrupt_poll(NULL, 0, RETRY_PAUSE_MS);
        result = connection_reopen(transfer->connection, deadline);
        if (result != CONNECTION_OK)
            return result;
    }
}

int fetch_file(struct ctl *ctl, struct connection *connection, const struct fetch *fetch)
{
    struct transfer transfer = {.ctl = ctl, .connection = connection, .fetch = fetch};
    transfer.meter.ctl = ctl;
    interrupt_catch();
    int status = open_target(&transfer);
    if (status != EXIT_ALL_DONE)
        return status;
    enum connection_result result = get_all(&transfer, &status);
    meter_end(&transfer.meter);
    if (result != CONNECTION_OK)
        status = result == CONNECTION_INTERRUPTED ? EXIT_CANCELLED : EXIT_NO_DAEMON;
    status = finish_target(&transfer, status);
    if (result != CONNECTION_OK)
        return call_failed(ctl, connection, result);
    return status;
}
