/* A listener on a real loop, its clients, and their peers in the same thread. Each wait is bounded
 * by an alarm; nothing is decided by how long something took. */
#ifndef VEO_TEST_CLIENT_FIXTURE_H
#define VEO_TEST_CLIENT_FIXTURE_H

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include <uv.h>

#include <cmocka.h>

#include "daemon/io/client.h"
#include "daemon/io/listen.h"
#include "daemon/io/log.h"
#include "proto/mem.h"

#define WAIT_S  60
#define SEATS   8
#define OUT_MAX 300000

/* One client and what its hooks were told, as text. */
struct seat {
    struct room *room;
    struct client *client; /* NULL: gone */
    struct buf log;
    int lines;
    bool pauses; /* after each line */
};

struct room {
    uv_loop_t loop;
    char directory[64];
    char path[96];
    struct clients *clients;
    struct clients_config config;
    struct seat seats[SEATS];
    int seated;
    bool closed;
    const char *greeting;
    void (*on_line)(struct seat *seat, const char *text);
};

static inline void *hook_connected(void *arg, struct client *client)
{
    struct room *room = arg;
    assert_true(room->seated < SEATS);
    struct seat *seat = &room->seats[room->seated++];
    seat->room = room;
    seat->client = client;
    buf_init(&seat->log, 1 << 22);
    if (room->greeting)
        client_send(client, room->greeting, strlen(room->greeting));
    return seat;
}

static inline void hook_line(void *data, enum line_event event, const struct line_piece *piece)
{
    struct seat *seat = data;
    assert_non_null(seat->client);
    seat->lines++;
    if (event == LINE_TEXT)
        buf_addf(&seat->log, "<%s>", piece->data);
    else
        buf_addf(&seat->log, event == LINE_TOO_LONG ? "<long %zu>" : "<bad %zu>", piece->length);
    if (seat->pauses)
        client_pause(seat->client);
    if (event == LINE_TEXT && seat->room->on_line)
        seat->room->on_line(seat, piece->data);
}

static inline void hook_ended(void *data, size_t cut)
{
    struct seat *seat = data;
    assert_non_null(seat->client);
    buf_addf(&seat->log, "<end %zu>", cut);
}

static inline void hook_drained(void *data)
{
    struct seat *seat = data;
    assert_non_null(seat->client);
    buf_add_text(&seat->log, "<drained>");
}

/* Takes at most 1000 bytes at a time. */
static inline size_t hook_body(void *data, const char *bytes, size_t length)
{
    struct seat *seat = data;
    assert_non_null(seat->client);
    size_t taken = length > 1000 ? 1000 : length;
    buf_add(&seat->log, bytes, taken);
    return taken;
}

static inline void hook_gone(void *data)
{
    struct seat *seat = data;
    assert_non_null(seat->client); /* told once */
    seat->client = NULL;
}

static const struct clients_hooks hooks = {
    .connected = hook_connected,
    .line = hook_line,
    .body = hook_body,
    .ended = hook_ended,
    .drained = hook_drained,
    .gone = hook_gone,
};

static inline int room_set_up(void **state)
{
    struct room *room = mem_alloc(sizeof(*room));
    *state = room;
    strcpy(room->directory, "/tmp/veod-client-XXXXXX");
    if (!mkdtemp(room->directory) || chmod(room->directory, 0755) < 0)
        return -1;
    snprintf(room->path, sizeof(room->path), "%s/s", room->directory);
    room->config = (struct clients_config){.path = room->path,
                                           .mode = 0666,
                                           .max = SEATS,
                                           .output_high = 1000,
                                           .output_max = OUT_MAX,
                                           .stall_ms = 3600000};
    log_open((enum log_level)0); /* what is dropped is told in vain */
    alarm(WAIT_S);
    return uv_loop_init(&room->loop);
}

static inline void room_open(struct room *room)
{
    struct error error = {0};
    if (clients_open(&room->loop, &room->config, -1, &hooks, room, &room->clients, &error) < 0)
        fail_msg("%s", error.message);
}

static inline void on_room_closed(void *arg)
{
    ((struct room *)arg)->closed = true;
}

static inline void room_close(struct room *room)
{
    clients_close(room->clients, on_room_closed, room);
    while (!room->closed)
        uv_run(&room->loop, UV_RUN_ONCE);
}

static inline int room_tear_down(void **state)
{
    struct room *room = *state;
    if (room->clients && !room->closed)
        room_close(room);
    assert_int_equal(uv_loop_close(&room->loop), 0);
    for (int i = 0; i < room->seated; i++) {
        assert_null(room->seats[i].client);
        buf_free(&room->seats[i].log);
    }
    unlink(room->path);
    assert_int_equal(rmdir(room->directory), 0);
    free(room);
    alarm(0);
    return 0;
}

/* Runs the loop until `condition`. */
#define UNTIL(room, condition) \
    while (!(condition))       \
    uv_run(&(room)->loop, UV_RUN_ONCE)

/* Everything that is ready now, and what comes of it. */
static inline void settle(struct room *room)
{
    for (int i = 0; i < 20; i++)
        uv_run(&room->loop, UV_RUN_NOWAIT);
}

static inline int dial(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    strcpy(address.sun_path, path);
    if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0) {
        close(fd);
        return -1;
    }
    return fd;
}

/* A new peer, and the seat of its client. */
static inline int join(struct room *room, struct seat **ret)
{
    int before = room->seated;
    int fd = dial(room->path);
    assert_true(fd >= 0);
    UNTIL(room, room->seated > before);
    *ret = &room->seats[before];
    return fd;
}

static inline void say_bytes(struct room *room, int fd, const char *bytes, size_t length)
{
    while (length > 0) {
        ssize_t sent = send(fd, bytes, length, MSG_NOSIGNAL);
        if (sent < 0) {
            assert_int_equal(errno, EAGAIN);
            uv_run(&room->loop, UV_RUN_ONCE);
            continue;
        }
        bytes += sent;
        length -= (size_t)sent;
    }
}

static inline void say(struct room *room, int fd, const char *text)
{
    say_bytes(room, fd, text, strlen(text));
}

static inline void assert_log(struct seat *seat, const char *expected)
{
    assert_string_equal(buf_text(&seat->log), expected);
}

/* Reads to the end of the file; true if that came without a reset. */
static inline bool hear_all(struct room *room, int fd, struct buf *ret)
{
    for (;;) {
        char bytes[4096];
        ssize_t length = recv(fd, bytes, sizeof(bytes), 0);
        if (length == 0)
            return true;
        if (length > 0)
            buf_add(ret, bytes, (size_t)length);
        else if (errno != EAGAIN)
            return false;
        else
            uv_run(&room->loop, UV_RUN_ONCE);
    }
}

/* Reads exactly `length` bytes. */
static inline void hear(struct room *room, int fd, struct buf *ret, size_t length)
{
    while (length > 0) {
        char bytes[4096];
        ssize_t got = recv(fd, bytes, length < sizeof(bytes) ? length : sizeof(bytes), 0);
        assert_int_not_equal(got, 0);
        if (got > 0) {
            buf_add(ret, bytes, (size_t)got);
            length -= (size_t)got;
        } else {
            assert_int_equal(errno, EAGAIN);
            uv_run(&room->loop, UV_RUN_ONCE);
        }
    }
}

#endif
