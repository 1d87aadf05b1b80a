#include "daemon/io/client.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/io/listen.h"
#include "daemon/io/log.h"
#include "proto/limits.h"
#include "proto/mem.h"

#define READ_CHUNK   (64 * 1024)
#define STALL_TICK   1000 /* ms */
#define LISTEN_QUEUE 511

struct client {
    struct clients *clients;
    struct client *next, *previous;
    struct client *next_touched; /* has something for the end of this turn */
    void *data;
    uv_pipe_t pipe;
    uv_write_t write;
    uv_poll_t hangup; /* after its end of file: tells a closed peer from a waiting one */
    int hangup_fd;
    struct line_reader lines;
    struct buf held; /* bytes read but not yet taken apart, while paused */
    struct buf output;
    struct buf writing;
    uint64_t progress_at;
    size_t queued; /* what the kernel hadn't taken at the last look */
    uid_t uid;
    bool admin;
    bool paused;  /* by whoever takes the lines */
    bool reading; /* the pipe is */
    bool ended;   /* end of file was read */
    bool told_end;
    bool finishing;
    bool closing;
    bool is_touched;
    bool wants_drained;
    bool resumed;
    int open_handles;
};

struct clients {
    uv_loop_t *loop;
    struct clients_config config;
    struct clients_hooks hooks;
    void *arg;
    uv_pipe_t listener;
    uv_prepare_t flush;
    uv_idle_t awake; /* keeps the loop from sleeping while something waits for `flush` */
    uv_timer_t stall;
    struct client *first;
    struct client *touched;
    size_t count;
    gid_t admin_gid;
    bool has_admin_gid;
    bool closing;
    int open_handles;
    void (*closed)(void *);
    void *closed_arg;
    char chunk[READ_CHUNK];
};

static void close_client(struct client *client);
static void deliver(struct client *client);

/* ---- the end of clients and of all ---- */

static void maybe_closed(struct clients *clients)
{
    if (!clients->closing || clients->open_handles > 0 || clients->first)
        return;
    void (*closed)(void *) = clients->closed;
    void *arg = clients->closed_arg;
    free(clients);
    closed(arg);
}

static void on_client_closed(uv_handle_t *handle)
{
    struct client *client = handle->data;
    struct clients *clients = client->clients;
    if (--client->open_handles > 0)
        return;
    if (client->hangup_fd >= 0)
        close(client->hangup_fd);
    line_free(&client->lines);
    buf_free(&client->held);
    buf_free(&client->output);
    buf_free(&client->writing);
    if (client->previous)
        client->previous->next = client->next;
    else
        clients->first = client->next;
    if (client->next)
        client->next->previous = client->previous;
    clients->count--;
    free(client);
    maybe_closed(clients);
}

static void forget_touched(struct client *client)
{
    if (!client->is_touched)
        return;
    struct client **link = &client->clients->touched;
    while (*link != client)
        link = &(*link)->next_touched;
    *link = client->next_touched;
    client->is_touched = false;
}

static void close_client(struct client *client)
{
    if (client->closing)
        return;
    client->closing = true;
    forget_touched(client);
    client->open_handles = 1;
    if (client->hangup_fd >= 0) {
        client->open_handles++;
        uv_close((uv_handle_t *)&client->hangup, on_client_closed);
    }
    uv_close((uv_handle_t *)&client->pipe, on_client_closed);
    if (client->data)
        client->clients->hooks.gone(client->data);
    client->data = NULL;
}

/* ---- output ---- */

static void write_out(struct client *client);

static void on_written(uv_write_t *request, int status)
{
    struct client *client = request->data;
    buf_reset(&client->writing);
    client->progress_at = uv_now(client->clients->loop);
    if (client->closing)
        return;
    if (status < 0) {
        close_client(client);
        return;
    }
    if (client->output.failed) /* attend() drops it: a reply has been cut */
        return;
    if (client->output.length > 0) {
        write_out(client);
        return;
    }
    buf_free(&client->writing);
    if (client->finishing)
        close_client(client);
}

static void tell_drained(struct client *client)
{
    if (!client->wants_drained || client->closing || client->finishing ||
        client_unsent(client) > client->clients->config.output_high / 4)
        return;
    client->wants_drained = false;
    client->clients->hooks.drained(client->data);
    if (!client->closing)
        deliver(client);
}

static void on_written_and_drained(uv_write_t *request, int status)
{
    struct client *client = request->data;
    on_written(request, status);
    if (!client->closing)
        tell_drained(client);
}

static void write_out(struct client *client)
{
    struct buf swap = client->writing;
    client->writing = client->output;
    client->output = swap;
    uv_buf_t bytes = uv_buf_init(client->writing.data, (unsigned)client->writing.length);
    client->write.data = client;
    int status =
        uv_write(&client->write, (uv_stream_t *)&client->pipe, &bytes, 1, on_written_and_drained);
    if (status < 0)
        close_client(client);
}

static void attend(struct client *client)
{
    if (client->output.failed) {
        log_warning("client", "dropped a client of uid %u: more than %zu bytes unread",
                    (unsigned)client->uid, client->output.max);
        close_client(client);
        return;
    }
    if (client->writing.length == 0 && client->output.length > 0)
        write_out(client);
    if (client->finishing && client_unsent(client) == 0)
        close_client(client);
    if (client->resumed && !client->closing) {
        client->resumed = false;
        deliver(client);
    }
    tell_drained(client);
}

/* Once a turn, before the loop sleeps: all that was sent in it leaves in one write. */
static void on_flush(uv_prepare_t *prepare)
{
    struct clients *clients = prepare->data;
    uv_idle_stop(&clients->awake);
    struct client *client;
    while ((client = clients->touched)) {
        clients->touched = client->next_touched;
        client->is_touched = false;
        attend(client);
    }
}

static void on_awake(uv_idle_t *idle)
{
    (void)idle;
}

static void touch(struct client *client)
{
    if (client->is_touched)
        return;
    client->is_touched = true;
    client->next_touched = client->clients->touched;
    client->clients->touched = client;
    uv_idle_start(&client->clients->awake, on_awake);
}

void client_send(struct client *client, const char *bytes, size_t length)
{
    if (client->closing || client->finishing)
        return;
    if (client_unsent(client) == 0)
        client->progress_at = uv_now(client->clients->loop);
    buf_add(&client->output, bytes, length);
    if (client_is_full(client))
        client->wants_drained = true;
    touch(client);
}

void client_want_drained(struct client *client)
{
    if (client->closing)
        return;
    client->wants_drained = true;
    touch(client);
}

size_t client_unsent(const struct client *client)
{
    return client->output.length + client->writing.length;
}

bool client_is_full(const struct client *client)
{
    return client_unsent(client) > client->clients->config.output_high;
}

/* ---- input ---- */

static void on_hangup(uv_poll_t *poll, int status, int events)
{
    (void)status;
    (void)events;
    close_client(poll->data);
}

/* After the end of file the loop no longer watches the pipe. A peer that only stopped sending still
 * waits for its answers; one that is gone makes the kernel report a hang-up, which epoll always
 * does, whatever is asked for. */
static void watch_hangup(struct client *client)
{
    uv_os_fd_t fd;
    if (uv_fileno((uv_handle_t *)&client->pipe, &fd) < 0)
        return;
    client->hangup_fd = dup(fd);
    if (client->hangup_fd < 0)
        return;
    uv_poll_init(client->clients->loop, &client->hangup, client->hangup_fd);
    client->hangup.data = client;
    uv_poll_start(&client->hangup, UV_PRIORITIZED, on_hangup);
}

static bool may_deliver(const struct client *client)
{
    return !client->paused && !client->closing && !client->finishing && !client_is_full(client);
}

static void deliver_bytes(struct client *client, const char **data, size_t *length)
{
    struct line_piece piece;
    while (may_deliver(client)) {
        enum line_event event = line_next(&client->lines, data, length, &piece);
        if (event == LINE_MORE)
            return;
        client->clients->hooks.line(client->data, event, &piece);
    }
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *ret)
{
    (void)suggested;
    struct client *client = handle->data;
    *ret = uv_buf_init(client->clients->chunk, READ_CHUNK);
}

static void on_read(uv_stream_t *stream, ssize_t count, const uv_buf_t *bytes)
{
    struct client *client = stream->data;
    if (count == 0)
        return;
    if (count < 0) {
        uv_read_stop(stream);
        client->reading = false;
        client->ended = true;
        if (count != UV_EOF) {
            close_client(client);
            return;
        }
        watch_hangup(client);
        deliver(client);
        return;
    }
    const char *data = bytes->base;
    size_t length = (size_t)count;
    deliver_bytes(client, &data, &length);
    if (length > 0 && !client->closing)
        buf_add(&client->held, data, length);
    if (!client->closing)
        deliver(client);
}

/* Takes apart what is held, then reads on, as far as that is wanted now. */
static void deliver(struct client *client)
{
    const char *data = client->held.data;
    size_t length = client->held.length;
    if (length > 0) {
        deliver_bytes(client, &data, &length);
        if (client->closing)
            return;
        buf_consume(&client->held, client->held.length - length);
        if (client->held.length == 0)
            buf_free(&client->held);
    }
    bool wanted = may_deliver(client) && client->held.length == 0;
    if (wanted && client->ended && !client->told_end) {
        client->told_end = true;
        client->clients->hooks.ended(client->data, line_pending(&client->lines));
        return;
    }
    if (wanted && !client->reading && !client->ended)
        uv_read_start((uv_stream_t *)&client->pipe, on_alloc, on_read);
    else if (!wanted && client->reading)
        uv_read_stop((uv_stream_t *)&client->pipe);
    client->reading = wanted && !client->ended;
}

void client_pause(struct client *client)
{
    client->paused = true;
}

void client_resume(struct client *client)
{
    if (!client->paused || client->closing)
        return;
    client->paused = false;
    client->resumed = true;
    touch(client);
}

void client_finish(struct client *client)
{
    if (client->closing)
        return;
    client->finishing = true;
    if (client->reading)
        uv_read_stop((uv_stream_t *)&client->pipe);
    client->reading = false;
    touch(client);
}

/* ---- new clients ---- */

static void set_peer(struct client *client)
{
    struct clients *clients = client->clients;
    uv_os_fd_t fd;
    struct peer peer = {.uid = (uid_t)-1};
    if (uv_fileno((uv_handle_t *)&client->pipe, &fd) == 0)
        peer_of_socket(fd, &peer);
    client->uid = peer.uid;
    client->admin = peer.uid == 0 || peer.uid == getuid();
    for (size_t i = 0; clients->has_admin_gid && i < peer.group_count; i++)
        if (peer.groups[i] == clients->admin_gid)
            client->admin = true;
    free(peer.groups);
}

static void refuse(struct client *client)
{
    char text[128];
    snprintf(text, sizeof(text),
             "ERR {\"code\":\"too-many\",\"message\":\"%zu clients are connected, and [limits] "
             "clients is %u\"}\n",
             client->clients->count - 1, client->clients->config.max);
    client_send(client, text, strlen(text));
    client_finish(client);
}

static void on_connection(uv_stream_t *listener, int status)
{
    struct clients *clients = listener->data;
    if (status < 0) {
        log_warning("client", "accept: %s", uv_strerror(status));
        return;
    }
    struct client *client = mem_alloc(sizeof(*client));
    client->clients = clients;
    client->hangup_fd = -1;
    client->progress_at = uv_now(clients->loop);
    line_init(&client->lines, LIMIT_LINE);
    buf_init(&client->held, READ_CHUNK);
    buf_init(&client->output, clients->config.output_max);
    buf_init(&client->writing, clients->config.output_max);
    uv_pipe_init(clients->loop, &client->pipe, 0);
    client->pipe.data = client;
    client->next = clients->first;
    if (clients->first)
        clients->first->previous = client;
    clients->first = client;
    clients->count++;
    if (uv_accept(listener, (uv_stream_t *)&client->pipe) < 0) {
        close_client(client);
        return;
    }
    set_peer(client);
    if (clients->count > clients->config.max) {
        refuse(client);
        return;
    }
    client->data = clients->hooks.connected(clients->arg, client);
    deliver(client);
}

/* A pipe that isn't read tells nothing of its peer's end, and a paused client's command may take
 * hours. */
static bool has_hung_up(const struct client *client)
{
    struct pollfd peer = {.fd = -1};
    if (client->reading || client->ended ||
        uv_fileno((const uv_handle_t *)&client->pipe, &peer.fd) < 0)
        return false;
    return poll(&peer, 1, 0) > 0 && (peer.revents & (POLLHUP | POLLERR));
}

static void on_stall_tick(uv_timer_t *timer)
{
    struct clients *clients = timer->data;
    uint64_t now = uv_now(clients->loop);
    for (struct client *client = clients->first, *next; client; client = next) {
        next = client->next;
        if (!client->closing && has_hung_up(client)) {
            close_client(client);
            continue;
        }
        size_t queued = uv_stream_get_write_queue_size((uv_stream_t *)&client->pipe);
        if (queued != client->queued)
            client->progress_at = now;
        client->queued = queued;
        if (client->closing || client_unsent(client) == 0 ||
            now - client->progress_at < (uint64_t)clients->config.stall_ms)
            continue;
        log_warning("client", "dropped a client of uid %u that read nothing for %lld s",
                    (unsigned)client->uid, (long long)clients->config.stall_ms / 1000);
        close_client(client);
    }
}

int clients_open(uv_loop_t *loop, const struct clients_config *config, int fd,
                 const struct clients_hooks *hooks, void *arg, struct clients **ret,
                 struct error *error)
{
    struct clients *clients = mem_alloc(sizeof(*clients));
    clients->loop = loop;
    clients->config = *config;
    clients->hooks = *hooks;
    clients->arg = arg;
    if (config->admin_group) {
        if (group_id(config->admin_group, &clients->admin_gid, error) < 0)
            goto failed;
        clients->has_admin_gid = true;
    }
    if (fd < 0 && (fd = listen_at(config->path, config->mode, config->group, error)) < 0)
        goto failed;

    uv_pipe_init(loop, &clients->listener, 0);
    uv_prepare_init(loop, &clients->flush);
    uv_idle_init(loop, &clients->awake);
    uv_timer_init(loop, &clients->stall);
    clients->open_handles = 4;
    clients->listener.data = clients->flush.data = clients->stall.data = clients;
    clients->awake.data = clients;
    uv_prepare_start(&clients->flush, on_flush);
    uv_timer_start(&clients->stall, on_stall_tick, STALL_TICK, STALL_TICK);
    *ret = clients;
    int status = uv_pipe_open(&clients->listener, fd);
    if (status == 0)
        status = uv_listen((uv_stream_t *)&clients->listener, LISTEN_QUEUE, on_connection);
    if (status < 0)
        return error_set(error, ERROR_UNAVAILABLE, NULL, "cannot listen at %s: %s", config->path,
                         uv_strerror(status));
    return 0;

failed:
    free(clients);
    return -1;
}

static void on_handle_closed(uv_handle_t *handle)
{
    struct clients *clients = handle->data;
    clients->open_handles--;
    maybe_closed(clients);
}

void clients_stop_listening(struct clients *clients)
{
    if (!uv_is_closing((uv_handle_t *)&clients->listener))
        uv_close((uv_handle_t *)&clients->listener, on_handle_closed);
}

void clients_close(struct clients *clients, void (*closed)(void *), void *arg)
{
    clients->closed = closed;
    clients->closed_arg = arg;
    clients->closing = true;
    on_flush(&clients->flush);
    for (struct client *client = clients->first, *next; client; client = next) {
        next = client->next;
        close_client(client);
    }
    clients_stop_listening(clients);
    uv_close((uv_handle_t *)&clients->flush, on_handle_closed);
    uv_close((uv_handle_t *)&clients->awake, on_handle_closed);
    uv_close((uv_handle_t *)&clients->stall, on_handle_closed);
}

size_t clients_count(const struct clients *clients)
{
    return clients->count;
}

uid_t client_uid(const struct client *client)
{
    return client->uid;
}

bool client_is_admin(const struct client *client)
{
    return client->admin;
}
