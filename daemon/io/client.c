#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

#include "daemon/io/client_internal.h"
#include "daemon/io/log.h"
#include "proto/limits.h"
#include "proto/mem.h"

/* ---- its beginning and end ---- */

struct client *client_new(struct clients *clients)
{
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
    return client;
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
    free(client->peer.groups);
    if (client->previous)
        client->previous->next = client->next;
    else
        clients->first = client->next;
    if (client->next)
        client->next->previous = client->previous;
    clients->count--;
    free(client);
    clients_maybe_closed(clients);
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

void client_close(struct client *client)
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
        client_close(client);
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
        client_close(client);
}

static void tell_drained(struct client *client)
{
    if (!client->wants_drained || client->closing || client->finishing ||
        client_unsent(client) > client->clients->config.output_high / 4)
        return;
    client->wants_drained = false;
    client->clients->hooks.drained(client->data);
    if (!client->closing)
        client_deliver(client);
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
        client_close(client);
}

static void attend(struct client *client)
{
    if (client->output.failed) {
        log_warning("client", "dropped a client of uid %u: more than %zu bytes unread",
                    (unsigned)client->peer.uid, client->output.max);
        client_close(client);
        return;
    }
    if (client->writing.length == 0 && client->output.length > 0)
        write_out(client);
    if (client->finishing && client_unsent(client) == 0)
        client_close(client);
    if (client->resumed && !client->closing) {
        client->resumed = false;
        client_deliver(client);
    }
    tell_drained(client);
}

/* Once a turn, before the loop sleeps: all that was sent in it leaves in one write. */
void client_on_flush(uv_prepare_t *prepare)
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
    client_close(poll->data);
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

/* What of a body isn't taken comes again when the client is resumed. */
static void deliver_body(struct client *client, const struct line_piece *piece, const char **data,
                         size_t *length)
{
    size_t rest =
        piece->length - client->clients->hooks.body(client->data, piece->data, piece->length);
    if (rest == 0)
        return;
    line_return_body(&client->lines, rest);
    *data -= rest;
    *length += rest;
    client->paused = true;
}

static void deliver_bytes(struct client *client, const char **data, size_t *length)
{
    struct line_piece piece;
    while (may_deliver(client)) {
        enum line_event event = line_next(&client->lines, data, length, &piece);
        if (event == LINE_MORE)
            return;
        if (event == LINE_BODY)
            deliver_body(client, &piece, data, length);
        else if (event != LINE_BODY_END)
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
            client_close(client);
            return;
        }
        watch_hangup(client);
        client_deliver(client);
        return;
    }
    const char *data = bytes->base;
    size_t length = (size_t)count;
    client->heard_at = uv_now(client->clients->loop);
    deliver_bytes(client, &data, &length);
    if (length > 0 && !client->closing)
        buf_add(&client->held, data, length);
    if (!client->closing)
        client_deliver(client);
}

/* Takes apart what is held, then reads on, as far as that is wanted now. */
void client_deliver(struct client *client)
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
    client->heard_at = uv_now(client->clients->loop);
    touch(client);
}

void client_expect(struct client *client, uint64_t bytes)
{
    client->heard_at = uv_now(client->clients->loop);
    if (bytes > 0)
        line_expect_body(&client->lines, bytes);
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

uid_t client_uid(const struct client *client)
{
    return client->peer.uid;
}

bool client_is_admin(const struct client *client)
{
    return client->admin;
}

const struct peer *client_peer(const struct client *client)
{
    return &client->peer;
}
