#include "tests/bench/glue.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proto/mem.h"

#define DESCRIPTORS_MAX 65536

struct watcher {
    uv_poll_t poll;
    curl_socket_t fd;
    int wanted;  /* by libcurl; 0 also between two requests */
    int watched; /* by libuv */
};

struct glue glue;

static uv_timer_t timer;
static struct watcher *watchers[DESCRIPTORS_MAX];

void check(bool good, const char *what, const char *why)
{
    if (good)
        return;
    fprintf(stderr, "floor: %s: %s\n", what, why);
    exit(1);
}

static void on_ready(uv_poll_t *poll, int status, int events);

static void watch(struct watcher *watcher, int events)
{
    if (watcher->watched == events)
        return;
    watcher->watched = events;
    if (events)
        uv_poll_start(&watcher->poll, events, on_ready);
    else
        uv_poll_stop(&watcher->poll);
}

static void on_ready(uv_poll_t *poll, int status, int events)
{
    struct watcher *watcher = poll->data;
    int bits = (events & UV_READABLE ? CURL_CSELECT_IN : 0) |
               (events & UV_WRITABLE ? CURL_CSELECT_OUT : 0);
    int running;
    check(status == 0, "poll", status ? uv_strerror(status) : "");
    if (!watcher->wanted) {
        watch(watcher, 0);
        return;
    }
    curl_multi_socket_action(glue.multi, watcher->fd, bits, &running);
    glue.moved();
}

static int on_wanted(CURL *easy, curl_socket_t fd, int what, void *arg, void *socket_arg)
{
    (void)easy, (void)arg, (void)socket_arg;
    struct watcher *watcher = watchers[fd];
    if (!watcher)
        return 0;
    watcher->wanted = (what & CURL_POLL_IN && what != CURL_POLL_REMOVE ? UV_READABLE : 0) |
                      (what & CURL_POLL_OUT && what != CURL_POLL_REMOVE ? UV_WRITABLE : 0);
    if (watcher->wanted)
        watch(watcher, watcher->wanted);
    return 0;
}

static curl_socket_t on_open(void *arg, curlsocktype type, struct curl_sockaddr *address)
{
    (void)arg, (void)type;
    int fd = socket(address->family, address->socktype | SOCK_CLOEXEC | SOCK_NONBLOCK,
                    address->protocol);
    check(fd >= 0 && fd < DESCRIPTORS_MAX, "socket", "no descriptor");
    struct watcher *watcher = mem_alloc(sizeof(*watcher));
    uv_poll_init_socket(glue.loop, &watcher->poll, fd);
    watcher->poll.data = watcher;
    watcher->fd = fd;
    watchers[fd] = watcher;
    glue.connections++;
    return fd;
}

static void on_watcher_closed(uv_handle_t *handle)
{
    free(handle->data);
}

static int on_close(void *arg, curl_socket_t fd)
{
    (void)arg;
    struct watcher *watcher = watchers[fd];
    watchers[fd] = NULL;
    if (watcher)
        uv_close((uv_handle_t *)&watcher->poll, on_watcher_closed);
    return close(fd);
}

static void on_timer(uv_timer_t *due)
{
    (void)due;
    int running;
    curl_multi_socket_action(glue.multi, CURL_SOCKET_TIMEOUT, 0, &running);
    glue.moved();
}

static int on_timer_wanted(CURLM *multi, long ms, void *arg)
{
    (void)multi, (void)arg;
    if (ms < 0)
        uv_timer_stop(&timer);
    else
        uv_timer_start(&timer, on_timer, (uint64_t)ms, 0);
    return 0;
}

void glue_adopt(CURL *easy)
{
    curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, on_open);
    curl_easy_setopt(easy, CURLOPT_CLOSESOCKETFUNCTION, on_close);
}

void glue_init(void (*moved)(void), long connections_max)
{
    curl_global_init(CURL_GLOBAL_DEFAULT);
    glue.loop = uv_default_loop();
    glue.multi = curl_multi_init();
    glue.moved = moved;
    curl_multi_setopt(glue.multi, CURLMOPT_SOCKETFUNCTION, on_wanted);
    curl_multi_setopt(glue.multi, CURLMOPT_TIMERFUNCTION, on_timer_wanted);
    curl_multi_setopt(glue.multi, CURLMOPT_MAXCONNECTS, connections_max);
    uv_timer_init(glue.loop, &timer);
}
