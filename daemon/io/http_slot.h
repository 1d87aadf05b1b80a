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
#include "daemon/io/upload.h"
#include "proto/buf.h"

#define HTTP_HEAD_MAX (128 * 1024) /* bytes of an answer's header lines */

struct http_slot {
    struct http_slot *next; /* among the free ones */
    struct http_loop *loop;
    bool *noticed; /* somebody's: set when slot_attend has something to do, in the next turn */
    const char *ca_file, *user_agent; /* borrowed */

    struct http_transfer *transfer; /* NULL: free, or taken back while libcurl was on the stack */
    enum http_lane lane;
    CURL *easy;   /* made at the first use */
    bool on_wire; /* the multi handle has it */

    struct http_request request;
    uint64_t began_at; /* uv_hrtime() */
    char *type_line, *secret_line;
    struct curl_slist headers[4];
    struct upload *upload; /* of a body with files; NULL: it is in memory */
    bool opened;           /* its files, at the next turn */
    uint64_t body_read;    /* bytes that libcurl took */
    uint64_t sent_at;      /* uv_now() when libcurl had taken all of `upload` */
    bool through_proxy;

    bool dispatched;     /* sending began */
    bool refused_resend; /* it would have begun again, for what must go out once */
    bool refused_peer;   /* a private address */
    bool peer_private;
    bool too_large;
    bool head_too_large;
    bool stopped;
    bool stalled;
    bool paused;   /* the answer */
    bool starving; /* libcurl waits for more of `upload` */
    bool resume;   /* at the next turn */
    bool fed;      /* likewise: there is more of `upload` */

    uint64_t progress_at; /* uv_now() */
    size_t head_bytes;
    bool head_ended; /* its empty line was there */
    bool head_known;
    struct buf body;
    struct http_reply reply;
    char reason[CURL_ERROR_SIZE];
};

/* Takes the request over and hands it to the multi handle, once its files are open. CURLE_OK, or
 * why it can't be. */
CURLcode slot_begin(struct http_slot *slot, struct http_request *request);

/* To resume the transfer was asked for. */
void slot_wish_resume(struct http_slot *slot);

/* Goes on with what was noticed; `body` may be called. An error ends the transfer. */
CURLcode slot_attend(struct http_slot *slot);

/* Milliseconds until the transfer counts as stalled or overdue; -1: never. */
int64_t slot_patience(const struct http_slot *slot);

/* The reply to a transfer that ended with `code`, valid until slot_clear. */
const struct http_reply *slot_reply(struct http_slot *slot, CURLcode code);

/* Of one that slot_begin didn't get. */
void slot_free_request(struct http_request *request);

/* Ready for the next one. Not with libcurl on the stack. */
void slot_clear(struct http_slot *slot);

void slot_free(struct http_slot *slot);

/* Between http_slot.c and http_answer.c. */
void slot_clear_reply(struct http_reply *reply);
void slot_fill_head(struct http_slot *slot);              /* once the answer's header is there */
int64_t slot_until_overdue(const struct http_slot *slot); /* -1: never */

#endif
