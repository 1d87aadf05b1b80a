#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/io/client_internal.h"
#include "daemon/io/log.h"
#include "proto/mem.h"

#define STALL_TICK   1000 /* ms */
#define LISTEN_QUEUE 511

void clients_maybe_closed(struct clients *clients)
{
    if (!clients->closing || clients->open_handles > 0 || clients->first)
        return;
    void (*closed)(void *) = clients->closed;
    void *arg = clients->closed_arg;
    free(clients);
    closed(arg);
}

/* ---- new clients ---- */

bool clients_trust(const struct clients *clients, const struct peer *peer)
{
    if (peer->uid == 0 || peer->uid == getuid())
        return true;
    for (size_t i = 0; clients->has_admin_gid && i < peer->group_count; i++)
        if (peer->groups[i] == clients->admin_gid)
            return true;
    return false;
}

static void set_peer(struct client *client)
{
    struct clients *clients = client->clients;
    uv_os_fd_t fd;
    struct peer *peer = &client->peer;
    peer->uid = (uid_t)-1;
    if (uv_fileno((uv_handle_t *)&client->pipe, &fd) == 0)
        peer_of_socket(fd, peer);
    client->admin = clients_trust(clients, peer);
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
    struct client *client = client_new(clients);
    if (uv_accept(listener, (uv_stream_t *)&client->pipe) < 0) {
        client_close(client);
        return;
    }
    set_peer(client);
    if (clients->count > clients->config.max) {
        refuse(client);
        return;
    }
    client->data = clients->hooks.connected(clients->arg, client);
    client_deliver(client);
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

static void drop_if_stalled(struct client *client, uint64_t now)
{
    const struct clients *clients = client->clients;
    uint64_t patience = (uint64_t)clients->config.stall_ms;
    size_t queued = uv_stream_get_write_queue_size((uv_stream_t *)&client->pipe);
    if (queued != client->queued)
        client->progress_at = now;
    client->queued = queued;
    bool reads_nothing = client_unsent(client) > 0 && now - client->progress_at >= patience;
    bool sends_nothing = client->reading && client->lines.state == LINE_COUNTING &&
                         now - client->heard_at >= patience;
    if (!reads_nothing && !sends_nothing)
        return;
    log_warning("client", "dropped a client of uid %u that %s for %lld s",
                (unsigned)client->peer.uid,
                reads_nothing ? "read nothing" : "sent nothing of what it announced",
                (long long)patience / 1000);
    client_close(client);
}

static void on_stall_tick(uv_timer_t *timer)
{
    struct clients *clients = timer->data;
    uint64_t now = uv_now(clients->loop);
    for (struct client *client = clients->first, *next; client; client = next) {
        next = client->next;
        if (client->closing)
            continue;
        if (has_hung_up(client))
            client_close(client);
        else
            drop_if_stalled(client, now);
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
    uv_prepare_start(&clients->flush, client_on_flush);
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
    clients_maybe_closed(clients);
}

void clients_stop_listening(struct clients *clients)
{
    if (!uv_is_closing((uv_handle_t *)&clients->listener))
        uv_close((uv_handle_t *)&clients->listener, on_handle_closed);
}

/* Behind a write that has ended, but of which the loop has not told yet. */
static void write_rest(struct client *client)
{
    uv_buf_t rest = uv_buf_init(client->output.data, (unsigned)client->output.length);
    if (rest.len > 0 && !client->closing)
        (void)uv_try_write((uv_stream_t *)&client->pipe, &rest, 1);
}

void clients_close(struct clients *clients, void (*closed)(void *), void *arg)
{
    clients->closed = closed;
    clients->closed_arg = arg;
    clients->closing = true;
    client_on_flush(&clients->flush);
    for (struct client *client = clients->first, *next; client; client = next) {
        next = client->next;
        write_rest(client);
        client_close(client);
    }
    clients_stop_listening(clients);
    uv_close((uv_handle_t *)&clients->flush, on_handle_closed);
    uv_close((uv_handle_t *)&clients->awake, on_handle_closed);
    uv_close((uv_handle_t *)&clients->stall, on_handle_closed);
}

void clients_set_limits(struct clients *clients, const struct clients_config *config)
{
    clients->config.max = config->max;
    clients->config.output_high = config->output_high;
    clients->config.output_max = config->output_max;
    clients->config.stall_ms = config->stall_ms;
}

size_t clients_count(const struct clients *clients)
{
    return clients->count;
}
