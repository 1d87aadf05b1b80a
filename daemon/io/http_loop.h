/* libcurl's multi handle on a libuv loop: what curl wants to watch and wait for becomes uv_poll
 * handles and a timer. curl's own callbacks only take notes; what follows from them is done in
 * `turn`, once in a turn of the loop and never with libcurl on the stack.
 */
#ifndef VEO_HTTP_LOOP_H
#define VEO_HTTP_LOOP_H

#include <curl/curl.h>
#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

struct http_socket;

struct http_loop {
    CURLM *multi;
    uv_loop_t *uv;
    uv_timer_t timer; /* libcurl's */
    uv_timer_t alarm; /* its user's; see http_loop_alarm */
    uv_check_t check;
    uv_idle_t idle; /* keeps the loop from sleeping before the check */
    struct http_socket *sockets;
    unsigned depth; /* above 0: libcurl is on the stack */
    unsigned handles;
    bool due;   /* libcurl's timer ran out */
    bool awake; /* a turn is coming */
    bool closing;
    uint64_t opened; /* connections so far */
    void (*turn)(void *);
    void (*alarmed)(void *);
    void (*closed)(void *);
    void *arg;
};

/* `turn` runs after http_loop_wake and after anything libcurl did. 0 or a negative errno, and then
 * there is nothing to close. */
int http_loop_init(struct http_loop *loop, uv_loop_t *uv, void (*turn)(void *),
                   void (*alarmed)(void *), void *arg);

void http_loop_wake(struct http_loop *loop);

/* `alarmed` is called in so many milliseconds, unless an earlier call is due before. */
void http_loop_alarm(struct http_loop *loop, uint64_t ms);

/* To be called in each turn: acts on libcurl's timer. */
void http_loop_act(struct http_loop *loop);

/* Sets the callbacks that an easy handle needs here: sockets live as long as their connections. */
void http_loop_adopt(struct http_loop *loop, CURL *easy);

/* For CURLOPT_OPENSOCKETFUNCTION: makes the socket, watched by this loop. */
curl_socket_t http_loop_open(struct http_loop *loop, const struct curl_sockaddr *address);

/* Not with libcurl on the stack, and after all easy handles are removed. `closed` comes last. */
void http_loop_close(struct http_loop *loop, void (*closed)(void *));

#endif
