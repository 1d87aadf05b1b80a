#include "daemon/io/http_loop.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proto/mem.h"

/* One for each socket, for as long as its connection lives: libcurl lets go of a socket between two
 * requests, but watching it all the same saves the system calls. */
struct http_socket {
    uv_poll_t poll;
    struct http_loop *loop;
    struct http_socket *next;
    curl_socket_t fd;
    uint64_t cookie; /* the kernel's name for it; 0: unknown, or one of libcurl's own pipes */
    int wanted;      /* by libcurl; 0 also while it has let go of it */
    int watched;     /* by libuv */
};

static void on_closed(uv_handle_t *handle)
{
    struct http_loop *loop = handle->data;
    if (--loop->handles == 0 && loop->closing)
        loop->closed(loop->arg);
}

static void on_socket_closed(uv_handle_t *handle)
{
    struct http_socket *socket = handle->data;
    handle->data = socket->loop;
    on_closed(handle);
    free(socket);
}

static struct http_socket *socket_find(struct http_loop *loop, curl_socket_t fd)
{
    for (struct http_socket *socket = loop->sockets; socket; socket = socket->next)
        if (socket->fd == fd)
            return socket;
    return NULL;
}

static uint64_t socket_cookie(curl_socket_t fd)
{
    uint64_t cookie = 0;
    socklen_t size = sizeof(cookie);
    return getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &size) == 0 ? cookie : 0;
}

static struct http_socket *socket_add(struct http_loop *loop, curl_socket_t fd)
{
    struct http_socket *socket = mem_alloc(sizeof(*socket));
    if (uv_poll_init_socket(loop->uv, &socket->poll, fd) != 0) {
        free(socket);
        return NULL;
    }
    socket->poll.data = socket;
    socket->loop = loop;
    socket->fd = fd;
    socket->next = loop->sockets;
    loop->sockets = socket;
    loop->handles++;
    return socket;
}

/* The memory lives until libuv is done with it, so a callback on the stack may still look. */
static void socket_remove(struct http_socket *socket)
{
    struct http_socket **link = &socket->loop->sockets;
    while (*link != socket)
        link = &(*link)->next;
    *link = socket->next;
    socket->fd = CURL_SOCKET_BAD;
    socket->wanted = 0;
    uv_close((uv_handle_t *)&socket->poll, on_socket_closed);
}

static void on_ready(uv_poll_t *poll, int status, int events);

static void socket_watch(struct http_socket *socket, int events)
{
    if (socket->watched == events)
        return;
    socket->watched = events;
    if (events == 0)
        uv_poll_stop(&socket->poll);
    else if (uv_poll_start(&socket->poll, events, on_ready) != 0)
        socket->watched = 0;
}

static void on_ready(uv_poll_t *poll, int status, int events)
{
    struct http_socket *socket = poll->data;
    struct http_loop *loop = socket->loop;
    int bits = (events & UV_READABLE ? CURL_CSELECT_IN : 0) |
               (events & UV_WRITABLE ? CURL_CSELECT_OUT : 0);
    if (status < 0) {
        /* libuv reports EPOLLERR as UV_EBADF and stops watching. An answer that arrived before the
         * reset can still be read. */
        socket->watched = 0;
        bits = CURL_CSELECT_ERR | CURL_CSELECT_IN;
    }
    if (socket->wanted == 0) { /* an idle connection: libcurl looks at it before its next use */
        socket_watch(socket, 0);
        return;
    }
    int running; /* libcurl demands the pointer */
    loop->depth++;
    curl_multi_socket_action(loop->multi, socket->fd, bits, &running);
    loop->depth--;
    if (socket->wanted != 0)
        socket_watch(socket, socket->wanted);
    http_loop_wake(loop);
}

/* libcurl 7.88 closes a socket that is still connecting without a call of on_socket_close, and
 * before it lets go of it here: then the number may stand for nothing, or for another file. */
static void socket_let_go(struct http_socket *socket)
{
    socket->wanted = 0;
    if (socket->cookie == 0 || socket_cookie(socket->fd) != socket->cookie)
        socket_remove(socket);
}

static int on_socket_wanted(CURL *easy, curl_socket_t fd, int what, void *arg, void *known)
{
    struct http_loop *loop = arg;
    struct http_socket *socket = socket_find(loop, fd);
    (void)easy;
    (void)known;
    if (what == CURL_POLL_REMOVE) {
        if (socket)
            socket_let_go(socket);
        return 0;
    }
    if (!socket)
        socket = socket_add(loop, fd);
    if (!socket)
        return 0; /* -1 would end the multi handle; its time-outs bound this transfer */
    socket->wanted =
        (what & CURL_POLL_IN ? UV_READABLE : 0) | (what & CURL_POLL_OUT ? UV_WRITABLE : 0);
    socket_watch(socket, socket->wanted);
    return 0;
}

static int on_socket_close(void *arg, curl_socket_t fd)
{
    struct http_socket *socket = socket_find(arg, fd);
    if (socket)
        socket_remove(socket);
    return close(fd);
}

static void on_timer(uv_timer_t *timer)
{
    struct http_loop *loop = timer->data;
    loop->due = true;
    http_loop_wake(loop);
}

static int on_timer_wanted(CURLM *multi, long ms, void *arg)
{
    struct http_loop *loop = arg;
    (void)multi;
    if (loop->closing)
        return 0;
    uv_timer_stop(&loop->timer);
    loop->due = false;
    if (ms == 0)
        on_timer(&loop->timer); /* only takes a note: the next turn acts on it */
    else if (ms > 0)
        uv_timer_start(&loop->timer, on_timer, (uint64_t)ms, 0);
    return 0;
}

static void on_alarm(uv_timer_t *timer)
{
    struct http_loop *loop = timer->data;
    loop->alarmed(loop->arg);
}

static void on_turn(uv_check_t *check)
{
    struct http_loop *loop = check->data;
    uv_idle_stop(&loop->idle);
    uv_check_stop(&loop->check);
    loop->awake = false;
    loop->turn(loop->arg);
}

static void on_idle(uv_idle_t *idle)
{
    (void)idle;
}

void http_loop_wake(struct http_loop *loop)
{
    if (loop->awake || loop->closing)
        return;
    loop->awake = true;
    uv_idle_start(&loop->idle, on_idle);
    uv_check_start(&loop->check, on_turn);
}

void http_loop_alarm(struct http_loop *loop, uint64_t ms)
{
    if (!uv_is_active((uv_handle_t *)&loop->alarm) || uv_timer_get_due_in(&loop->alarm) > ms)
        uv_timer_start(&loop->alarm, on_alarm, ms, 0);
}

void http_loop_act(struct http_loop *loop)
{
    if (!loop->due)
        return;
    int running;
    loop->due = false;
    loop->depth++;
    curl_multi_socket_action(loop->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    loop->depth--;
}

void http_loop_adopt(struct http_loop *loop, CURL *easy)
{
    curl_easy_setopt(easy, CURLOPT_CLOSESOCKETFUNCTION, on_socket_close);
    curl_easy_setopt(easy, CURLOPT_CLOSESOCKETDATA, loop);
}

curl_socket_t http_loop_open(struct http_loop *loop, const struct curl_sockaddr *address)
{
    int fd = socket(address->family, address->socktype | SOCK_CLOEXEC | SOCK_NONBLOCK,
                    address->protocol);
    if (fd < 0)
        return CURL_SOCKET_BAD;
    struct http_socket *added = socket_add(loop, fd);
    if (!added) {
        close(fd);
        return CURL_SOCKET_BAD;
    }
    added->cookie = socket_cookie(fd);
    loop->opened++;
    return fd;
}

int http_loop_init(struct http_loop *loop, uv_loop_t *uv, void (*turn)(void *),
                   void (*alarmed)(void *), void *arg)
{
    *loop = (struct http_loop){.uv = uv, .turn = turn, .alarmed = alarmed, .arg = arg};
    loop->multi = curl_multi_init();
    if (!loop->multi)
        return -ENOMEM;
    curl_multi_setopt(loop->multi, CURLMOPT_SOCKETFUNCTION, on_socket_wanted);
    curl_multi_setopt(loop->multi, CURLMOPT_SOCKETDATA, loop);
    curl_multi_setopt(loop->multi, CURLMOPT_TIMERFUNCTION, on_timer_wanted);
    curl_multi_setopt(loop->multi, CURLMOPT_TIMERDATA, loop);
    uv_timer_init(uv, &loop->timer);
    uv_timer_init(uv, &loop->alarm);
    uv_check_init(uv, &loop->check);
    uv_idle_init(uv, &loop->idle);
    loop->timer.data = loop->alarm.data = loop->check.data = loop->idle.data = loop;
    loop->handles = 4;
    return 0;
}

void http_loop_close(struct http_loop *loop, void (*closed)(void *))
{
    loop->closing = true;
    loop->closed = closed;
    loop->depth++;
    curl_multi_cleanup(loop->multi);
    loop->depth--;
    loop->multi = NULL;
    while (loop->sockets)
        socket_remove(loop->sockets);
    uv_close((uv_handle_t *)&loop->timer, on_closed);
    uv_close((uv_handle_t *)&loop->alarm, on_closed);
    uv_close((uv_handle_t *)&loop->check, on_closed);
    uv_close((uv_handle_t *)&loop->idle, on_closed);
}
