/* A server of a few lines on the same loop as the client under test, and a transfer that remembers
 * how it ended. Everything happens in one thread, so what a test sees does not depend on timing. */
#ifndef VEO_HTTP_FIXTURE_H
#define VEO_HTTP_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include <cmocka.h>

#include "daemon/io/http.h"
#include "proto/buf.h"
#include "proto/mem.h"

#define GIVE_UP_MS 20000

struct server;

struct peer {
    uv_tcp_t tcp;
    struct server *server;
    struct peer *next;
    struct buf in;
    int requests; /* on this connection */
    bool closing;
};

struct server {
    uv_tcp_t listener;
    char origin[64]; /* "http://127.0.0.1:12345" */
    struct peer *peers;
    int accepted;
    int requests; /* read to their end */
    int heads;    /* read to the end of their header */
    int open, most_open;
    char last[4096]; /* the last request's header */
    /* Both optional; by default a request is answered with "hello". */
    void (*on_head)(struct peer *peer);
    void (*on_request)(struct peer *peer);
};

struct world {
    uv_loop_t loop;
    struct http *http;
    struct server server;
    uv_timer_t guard;
    bool gave_up;
    bool closed;
};

/* A transfer, what it asks for, and how it ended. */
struct wish {
    struct http_transfer transfer;
    struct world *world;
    char url[128];
    struct http_request ask; /* its url and body are copied */
    bool unwanted;           /* prepare says no */
    int prepared, done;
    enum http_end end;
    int status;
    char reason[256];
    char body[256];
    char location[128];
    char content_type[64];
    struct http_reply reply; /* pointers in it are stale */
    char streamed[256];
    size_t streamed_length;
    void (*on_done)(struct wish *wish);
    void *arg;
};

static void on_peer_closed(uv_handle_t *handle)
{
    struct peer *peer = handle->data;
    struct peer **link = &peer->server->peers;
    while (*link != peer)
        link = &(*link)->next;
    *link = peer->next;
    peer->server->open--;
    buf_free(&peer->in);
    free(peer);
}

static inline void peer_close(struct peer *peer)
{
    if (!peer->closing)
        uv_close((uv_handle_t *)&peer->tcp, on_peer_closed);
    peer->closing = true;
}

/* Ends the connection with a RST. */
static inline void peer_reset(struct peer *peer)
{
    if (!peer->closing)
        uv_tcp_close_reset(&peer->tcp, on_peer_closed);
    peer->closing = true;
}

static inline void on_written(uv_write_t *request, int status)
{
    (void)status;
    free(request->data);
    free(request);
}

static inline void peer_send_n(struct peer *peer, const char *text, size_t length)
{
    uv_write_t *request = mem_alloc(sizeof(*request));
    uv_buf_t buf = uv_buf_init(mem_alloc(length + 1), (unsigned)length);
    memcpy(buf.base, text, length);
    request->data = buf.base;
    uv_write(request, (uv_stream_t *)&peer->tcp, &buf, 1, on_written);
}

static inline void peer_send(struct peer *peer, const char *text)
{
    peer_send_n(peer, text, strlen(text));
}

/* The request at the front of peer->in, if it is all there; 0 if not. */
static inline size_t whole_request(struct peer *peer)
{
    const char *text = buf_text(&peer->in);
    const char *end = strstr(text, "\r\n\r\n");
    if (!end)
        return 0;
    const char *length = strcasestr(text, "\r\ncontent-length:");
    size_t body = length && length < end ? strtoul(length + 17, NULL, 10) : 0;
    size_t whole = (size_t)(end + 4 - text) + body;
    return whole <= peer->in.length ? whole : 0;
}

static inline void answer_hello(struct peer *peer)
{
    peer_send(peer,
              "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello");
}

static inline void notice_head(struct peer *peer, bool *known)
{
    const char *end = strstr(buf_text(&peer->in), "\r\n\r\n");
    if (*known || !end)
        return;
    *known = true;
    peer->server->heads++;
    snprintf(peer->server->last, sizeof(peer->server->last), "%.*s", (int)(end - peer->in.data + 2),
             peer->in.data);
    if (peer->server->on_head)
        peer->server->on_head(peer);
}

static inline void on_peer_read(uv_stream_t *stream, ssize_t length, const uv_buf_t *buf)
{
    struct peer *peer = stream->data;
    struct server *server = peer->server;
    bool known = peer->in.length > 0 && strstr(buf_text(&peer->in), "\r\n\r\n");
    if (length > 0)
        buf_add(&peer->in, buf->base, (size_t)length);
    free(buf->base);
    if (length < 0) {
        peer_close(peer);
        return;
    }
    notice_head(peer, &known);
    for (size_t whole; !peer->closing && (whole = whole_request(peer)) > 0;) {
        server->requests++;
        peer->requests++;
        if (server->on_request)
            server->on_request(peer);
        else
            answer_hello(peer);
        buf_consume(&peer->in, whole);
    }
}

static inline void give_room(uv_handle_t *handle, size_t wanted, uv_buf_t *ret)
{
    (void)handle;
    *ret = uv_buf_init(mem_alloc(wanted), (unsigned)wanted);
}

static inline void on_accept(uv_stream_t *listener, int status)
{
    struct server *server = listener->data;
    struct peer *peer = mem_alloc(sizeof(*peer));
    assert_int_equal(status, 0);
    peer->server = server;
    peer->tcp.data = peer;
    peer->next = server->peers;
    server->peers = peer;
    buf_init(&peer->in, 16 << 20);
    uv_tcp_init(listener->loop, &peer->tcp);
    assert_int_equal(uv_accept(listener, (uv_stream_t *)&peer->tcp), 0);
    uv_read_start((uv_stream_t *)&peer->tcp, give_room, on_peer_read);
    server->accepted++;
    server->open++;
    if (server->open > server->most_open)
        server->most_open = server->open;
}

static inline void server_listen(struct server *server, uv_loop_t *loop, const char *ip)
{
    struct sockaddr_in address;
    int length = sizeof(address);
    uv_tcp_init(loop, &server->listener);
    server->listener.data = server;
    assert_int_equal(uv_ip4_addr(ip, 0, &address), 0);
    assert_int_equal(uv_tcp_bind(&server->listener, (struct sockaddr *)&address, 0), 0);
    assert_int_equal(uv_listen((uv_stream_t *)&server->listener, 1024, on_accept), 0);
    uv_tcp_getsockname(&server->listener, (struct sockaddr *)&address, &length);
    snprintf(server->origin, sizeof(server->origin), "http://%s:%d", ip, ntohs(address.sin_port));
}

static inline void server_close(struct server *server)
{
    for (struct peer *peer = server->peers; peer; peer = peer->next)
        peer_close(peer);
    uv_close((uv_handle_t *)&server->listener, NULL);
}

static inline void on_guard(uv_timer_t *timer)
{
    struct world *world = timer->data;
    world->gave_up = true;
}

/* Turns the loop until `*count` reaches `wanted`. */
static inline void run_until(struct world *world, const int *count, int wanted)
{
    uv_timer_start(&world->guard, on_guard, GIVE_UP_MS, 0);
    while (*count < wanted && !world->gave_up)
        uv_run(&world->loop, UV_RUN_ONCE);
    uv_timer_stop(&world->guard);
    assert_false(world->gave_up);
}

static inline void on_pause_over(uv_timer_t *timer)
{
    ++*(int *)timer->data;
}

static inline void run_for(struct world *world, uint64_t ms)
{
    uv_timer_t timer;
    int over = 0;
    uv_timer_init(&world->loop, &timer);
    timer.data = &over;
    uv_timer_start(&timer, on_pause_over, ms, 0);
    run_until(world, &over, 1);
    uv_close((uv_handle_t *)&timer, NULL);
    uv_run(&world->loop, UV_RUN_NOWAIT);
}

static inline void on_http_closed(void *arg)
{
    struct world *world = arg;
    world->closed = true;
}

static inline int world_open(void **state)
{
    static const char *const proxies[] = {"http_proxy",  "https_proxy", "all_proxy", "no_proxy",
                                          "HTTPS_PROXY", "ALL_PROXY",   "NO_PROXY",  "HTTP_PROXY"};
    for (size_t i = 0; i < sizeof(proxies) / sizeof(proxies[0]); i++)
        unsetenv(proxies[i]);
    struct world *world = mem_alloc(sizeof(*world));
    struct http_config config = {.at_once = {8, 4, 4, 4}, .user_agent = "test/1"};
    struct error error = {0};
    uv_loop_init(&world->loop);
    assert_int_equal(http_new(&world->loop, &config, &world->http, &error), 0);
    server_listen(&world->server, &world->loop, "127.0.0.1");
    uv_timer_init(&world->loop, &world->guard);
    world->guard.data = world;
    *state = world;
    return 0;
}

/* Also proves that no handle of http's is left behind. */
static inline int world_close(void **state)
{
    struct world *world = *state;
    if (!world->closed)
        http_close(world->http, on_http_closed, world);
    server_close(&world->server);
    uv_close((uv_handle_t *)&world->guard, NULL);
    for (int i = 0; i < 1000 && uv_loop_alive(&world->loop); i++)
        uv_run(&world->loop, UV_RUN_ONCE);
    assert_true(world->closed);
    assert_int_equal(uv_loop_close(&world->loop), 0);
    free(world);
    return 0;
}

static inline bool wish_prepare(struct http_transfer *transfer, struct http_request *request)
{
    struct wish *wish = (struct wish *)transfer;
    wish->prepared++;
    if (wish->unwanted)
        return false;
    *request = wish->ask;
    request->url = mem_strdup(wish->url);
    if (wish->ask.body) {
        request->body = mem_alloc(wish->ask.body_length + 1);
        memcpy(request->body, wish->ask.body, wish->ask.body_length);
    }
    return true;
}

static inline void copy_text(char *to, size_t size, const char *from)
{
    snprintf(to, size, "%s", from ? from : "(null)");
}

static inline void wish_done(struct http_transfer *transfer, const struct http_reply *reply)
{
    struct wish *wish = (struct wish *)transfer;
    wish->done++;
    wish->end = reply->end;
    wish->status = reply->status;
    wish->reply = *reply;
    copy_text(wish->reason, sizeof(wish->reason), reply->reason);
    copy_text(wish->body, sizeof(wish->body), reply->body);
    copy_text(wish->location, sizeof(wish->location), reply->location);
    copy_text(wish->content_type, sizeof(wish->content_type), reply->content_type);
    assert_int_equal(strlen(reply->body), reply->body_length);
    if (wish->on_done)
        wish->on_done(wish);
}

/* A GET of `path` at the world's server, or of an address. */
static inline void wish_init(struct wish *wish, struct world *world, const char *path)
{
    *wish = (struct wish){.world = world};
    wish->transfer.prepare = wish_prepare;
    wish->transfer.done = wish_done;
    int length = snprintf(wish->url, sizeof(wish->url), "%s%s",
                          path[0] == '/' ? world->server.origin : "", path);
    assert_in_range(length, 0, sizeof(wish->url) - 1);
    wish->ask = (struct http_request){.allow_private = true,
                                      .connect_ms = 10000,
                                      .stall_ms = 10000,
                                      .total_ms = GIVE_UP_MS / 2,
                                      .max_body = 200};
}

static inline void wish_post(struct wish *wish, struct world *world, const char *path,
                             bool only_once)
{
    static char body[] = "{\"a\":1}";
    wish_init(wish, world, path);
    wish->ask.method = HTTP_POST;
    wish->ask.body = body;
    wish->ask.body_length = strlen(body);
    wish->ask.only_once = only_once;
}

static inline void wish_run(struct wish *wish)
{
    int wanted = wish->done + 1;
    http_start(wish->world->http, &wish->transfer);
    run_until(wish->world, &wish->done, wanted);
}

#endif
