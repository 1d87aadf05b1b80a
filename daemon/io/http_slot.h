/* One transfer on the wire: a pooled easy handle, what it sends, and what it hears. The callbacks
 * of libcurl live here; http.c decides who gets a slot and tells whoever waits.
 *
 * What was sent is told apart by one fact: libcurl calls PREREQFUNCTION each time it is about to
 * send a request, after the connection stands. Never called: nothing can have left.
 */
#ifndef VEO_HTTP_SLOT_H
#define VEO_HTTP_SLOT_H

#include <curl/curl.h>

#include "daemon/io/http.h"
#include "daemon/io/http_loop.h"
#include "proto/buf.h"

struct http_slot {
    struct http_slot *next; /* among the free ones */
    struct http_loop *loop;
    const char *ca_file, *user_agent; /* borrowed */

    struct http_transfer *transfer; /* NULL: free, or taken back while libcurl was on the stack */
    enum http_lane lane;
    CURL *easy;   /* made at the first use */
    bool on_wire; /* the multi handle has it */

    struct http_request request;
    char *secret_line;
    struct curl_slist headers[4];
    size_t body_read; /* bytes that libcurl took */
    bool through_proxy;

    bool dispatched;     /* sending began */
    bool refused_resend; /* it would have begun again, for what must go out once */
    bool refused_peer;   /* a private address */
    bool peer_private;
    bool too_large;
    bool head_too_large;
    bool stopped;
    bool stalled;
    bool paused;
    bool resume; /* at the next turn */

    uint64_t progress_at; /* uv_now() */
    size_t head_bytes;
    bool head_ended; /* its empty line was there */
    bool head_known;
    struct buf body;
    struct http_reply reply;
    char reason[CURL_ERROR_SIZE];
};

/* Takes the request over and hands it to the multi handle. CURLE_OK, or why it can't be. */
CURLcode slot_begin(struct http_slot *slot, struct http_request *request);

/* Unpauses; `body` may be called. An error ends the transfer. */
CURLcode slot_resume(struct http_slot *slot);

/* Milliseconds until the transfer counts as stalled; -1: never. */
int64_t slot_patience(const struct http_slot *slot);

/* The reply to a transfer that ended with `code`, valid until slot_clear. */
const struct http_reply *slot_reply(struct http_slot *slot, CURLcode code);

/* Ready for the next one. Not with libcurl on the stack. */
void slot_clear(struct http_slot *slot);

void slot_free(struct http_slot *slot);

#endif
