#include "proto/ctl/connection.h"

#include <errno.h>
#include <grp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "proto/ctl/ctl.h"
#include "proto/ctl/interrupt.h"
#include "proto/limits.h"
#include "proto/mem.h"

#define RETRY_FIRST_MS 50
#define RETRY_MOST_MS  2000
#define ANSWER_TOKENS  (LIMIT_REPLY_LINE / 2 + 2) /* no line can hold more */

static enum connection_result problem(struct connection *connection, enum connection_result result,
                                      const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static enum connection_result problem(struct connection *connection, enum connection_result result,
                                      const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(connection->problem, sizeof connection->problem, format, arguments);
    va_end(arguments);
    return result;
}

void connection_init(struct connection *connection, const char *path)
{
    memset(connection, 0, offsetof(struct connection, input));
    connection->path = path;
    connection->fd = -1;
    connection->data = connection->input;
}

void connection_close(struct connection *connection)
{
    if (connection->fd < 0)
        return;
    close(connection->fd);
    connection->fd = -1;
    line_free(&connection->reader);
    connection->length = 0;
    json_free(connection->doc);
    connection->doc = NULL;
}

/* ---- opening ---- */

/* Names the group that would open the socket's door, if the file system tells. */
static void add_group_hint(char *text, size_t size, const char *path)
{
    struct stat info;
    char *folder = NULL;
    const char *what = "the socket";
    if (stat(path, &info) < 0) {
        folder = mem_strdup(path);
        char *slash = strrchr(folder, '/');
        if (slash && slash != folder)
            *slash = '\0';
        what = "its folder";
        if (!slash || stat(folder, &info) < 0) {
            free(folder);
            return;
        }
    }
    free(folder);
    const struct group *group = getgrgid(info.st_gid);
    if (info.st_mode & 0020 || (folder && info.st_mode & 0010))
        snprintf(text, size, "; %s is open to group %s, which you are not in", what,
                 group ? group->gr_name : "(unnamed)");
    else
        snprintf(text, size, "; %s is open to its owner only", what);
}

static bool is_socket(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && S_ISSOCK(info.st_mode);
}

static enum connection_result explain_connect(struct connection *connection, int error)
{
    char hint[128] = "";
    const char *why = strerror(error);
    if (error == ENOENT)
        why = "no such file: veod isn't running, or listens elsewhere";
    else if (error == ECONNREFUSED)
        why = is_socket(connection->path) ? "nobody listens there: veod isn't running"
                                          : "that is not a socket";
    else if (error == EPROTOTYPE)
        why = "that is not a stream socket";
    else if (error == EACCES || error == EPERM) {
        why = "permission denied";
        add_group_hint(hint, sizeof hint, connection->path);
    }
    return problem(connection, CONNECTION_BROKEN, "can't connect to %s: %s%s", connection->path,
                   why, hint);
}

/* A full backlog shows as EAGAIN on a non-blocking socket. */
static int connect_before(int fd, const struct sockaddr_un *address, int64_t deadline)
{
    for (;;) {
        if (connect(fd, (const struct sockaddr *)address, sizeof *address) == 0)
            return 0;
        if (errno != EAGAIN && errno != EINTR)
            return -1;
        if (clock_left(deadline) == 0) {
            errno = ETIMEDOUT;
            return -1;
        }
        if (interrupt_poll(NULL, 0, 20) < 0)
            return -1;
    }
}

enum connection_result connection_open(struct connection *connection, int64_t deadline)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    connection_close(connection);
    if (strlen(connection->path) >= sizeof address.sun_path)
        return problem(connection, CONNECTION_BROKEN,
                       "can't connect to %.200s: a socket's path has at most %zu bytes",
                       connection->path, sizeof address.sun_path - 1);
    memcpy(address.sun_path, connection->path, strlen(connection->path));
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return problem(connection, CONNECTION_BROKEN, "can't make a socket: %s", strerror(errno));
    if (connect_before(fd, &address, deadline) < 0) {
        int error = errno;
        close(fd);
        if (error == EINTR)
            return problem(connection, CONNECTION_INTERRUPTED, "interrupted");
        return explain_connect(connection, error);
    }
    connection->fd = fd;
    line_init(&connection->reader, LIMIT_REPLY_LINE);
    return CONNECTION_OK;
}

enum connection_result connection_reopen(struct connection *connection, int64_t deadline)
{
    for (int64_t pause = RETRY_FIRST_MS;; pause = pause * 2) {
        enum connection_result result = connection_open(connection, deadline);
        if (result != CONNECTION_BROKEN)
            return result;
        int64_t left = clock_left(deadline);
        if (left == 0)
            return result;
        if (pause > RETRY_MOST_MS)
            pause = RETRY_MOST_MS;
        if (interrupt_poll(NULL, 0, pause < left ? pause : left) < 0)
            return problem(connection, CONNECTION_INTERRUPTED, "interrupted");
    }
}

/* ---- moving bytes ---- */

static enum connection_result await(struct connection *connection, short events, int64_t deadline)
{
    struct pollfd poll = {.fd = connection->fd, .events = events};
    int64_t left = clock_left(deadline);
    int ready = interrupt_poll(&poll, 1, left > INT32_MAX ? INT32_MAX : left);
    if (ready > 0)
        return CONNECTION_OK;
    if (interrupt_pending())
        return problem(connection, CONNECTION_INTERRUPTED, "interrupted");
    if (clock_left(deadline) > 0)
        return CONNECTION_OK;
    return problem(connection, CONNECTION_TIMED_OUT, "the daemon at %s doesn't answer",
                   connection->path);
}

static enum connection_result broken(struct connection *connection, int error)
{
    return problem(connection, CONNECTION_BROKEN, "the daemon at %s closed the connection%s%s",
                   connection->path, error ? ": " : "", error ? strerror(error) : "");
}

static bool is_passing(int error)
{
    return error == EAGAIN || error == EINTR;
}

enum connection_result connection_send_bytes(struct connection *connection, const char *bytes,
                                             size_t length, int64_t deadline)
{
    enum connection_result result = CONNECTION_OK;
    for (size_t sent = 0; sent < length && result == CONNECTION_OK;) {
        ssize_t n = send(connection->fd, bytes + sent, length - sent, MSG_NOSIGNAL);
        if (n >= 0)
            sent += (size_t)n;
        else if (is_passing(errno))
            result = await(connection, POLLOUT, deadline);
        else
            result = broken(connection, errno);
    }
    return result;
}

enum connection_result connection_send_line(struct connection *connection, const char *line,
                                            size_t length, int64_t deadline)
{
    char *bytes = mem_format("%.*s\n", (int)length, line);
    enum connection_result result =
        connection_send_bytes(connection, bytes, strlen(bytes), deadline);
    free(bytes);
    return result;
}

bool connection_has_input(const struct connection *connection)
{
    struct pollfd poll = {.fd = connection->fd, .events = POLLIN};
    return connection->length > 0 || interrupt_poll(&poll, 1, 0) > 0;
}

enum connection_result connection_send(struct connection *connection, const char *verb,
                                       const char *argument, int64_t deadline,
                                       char ret_tag[COMMAND_TAG_MAX + 1])
{
    snprintf(ret_tag, COMMAND_TAG_MAX + 1, "%u", ++connection->last_tag);
    char *line = mem_format("@%s %s%s%s", ret_tag, verb, argument && *argument ? " " : "",
                            argument ? argument : "");
    enum connection_result result = connection_send_line(connection, line, strlen(line), deadline);
    free(line);
    return result;
}

/* Makes sure that there are bytes to look at. */
static enum connection_result fill(struct connection *connection, int64_t deadline)
{
    while (connection->length == 0) {
        ssize_t n = recv(connection->fd, connection->input, sizeof connection->input, 0);
        if (n > 0) {
            connection->data = connection->input;
            connection->length = (size_t)n;
            break;
        }
        if (n == 0 || !is_passing(errno))
            return broken(connection, n == 0 ? 0 : errno);
        enum connection_result result = await(connection, POLLIN, deadline);
        if (result != CONNECTION_OK)
            return result;
    }
    return CONNECTION_OK;
}

/* Said before the line's end, which may never come. */
static enum connection_result too_long(struct connection *connection)
{
    return problem(connection, CONNECTION_NONSENSE, "a reply from %s has more than %d bytes",
                   connection->path, LIMIT_REPLY_LINE);
}

static enum connection_result next_piece(struct connection *connection, enum line_event *ret_event,
                                         struct line_piece *piece, int64_t deadline)
{
    for (;;) {
        *ret_event = line_next(&connection->reader, &connection->data, &connection->length, piece);
        if (*ret_event != LINE_MORE)
            return CONNECTION_OK;
        if (connection->reader.state == LINE_SKIPPING)
            return too_long(connection);
        enum connection_result result = fill(connection, deadline);
        if (result != CONNECTION_OK)
            return result;
    }
}

/* ---- replies ---- */

static enum connection_result understand(struct connection *connection, struct line_piece piece,
                                         struct answer *ret)
{
    struct reply reply;
    if (reply_parse(piece.data, piece.length, &reply) < 0 || reply.word == REPLY_UNKNOWN)
        return problem(connection, CONNECTION_NONSENSE,
                       "what came from %s is no reply of veod's protocol: '%.60s'",
                       connection->path, piece.data);
    struct error error;
    struct json_limits limits = {.tokens = ANSWER_TOKENS};
    connection->doc = json_parse(reply.json, reply.json_length, limits, &error);
    if (!connection->doc)
        return problem(connection, CONNECTION_NONSENSE, "a reply from %s is broken: %.160s",
                       connection->path, error.message);
    ret->value = json_root(connection->doc);
    if (json_type(ret->value) != JSON_OBJECT)
        return problem(connection, CONNECTION_NONSENSE, "a reply from %s has no object",
                       connection->path);
    ret->word = reply.word;
    memcpy(ret->tag, reply.tag, sizeof ret->tag);
    ret->json = reply.json;
    ret->json_length = reply.json_length;
    return CONNECTION_OK;
}

enum connection_result connection_read(struct connection *connection, struct answer *ret,
                                       int64_t deadline)
{
    enum line_event event;
    struct line_piece piece;
    json_free(connection->doc);
    connection->doc = NULL;
    enum connection_result result = next_piece(connection, &event, &piece, deadline);
    if (result != CONNECTION_OK)
        return result;
    if (event == LINE_TEXT)
        return understand(connection, piece, ret);
    if (event == LINE_TOO_LONG)
        return too_long(connection);
    return problem(connection, CONNECTION_NONSENSE, "a reply from %s is not UTF-8 text",
                   connection->path);
}

void connection_expect(struct connection *connection, uint64_t bytes)
{
    line_expect_body(&connection->reader, bytes);
}

enum connection_result connection_read_body(struct connection *connection, const char **ret_data,
                                            size_t *ret_length, int64_t deadline)
{
    enum line_event event;
    struct line_piece piece = {0};
    enum connection_result result = next_piece(connection, &event, &piece, deadline);
    if (result != CONNECTION_OK)
        return result;
    *ret_data = piece.data;
    *ret_length = event == LINE_BODY ? piece.length : 0;
    return CONNECTION_OK;
}
