/* All HTTP, over one libcurl multi handle on the loop. This is the only place that sees curl.
 *
 * A transfer waits in a queue of ours until one of a few pooled handles is free: only then is it
 * asked what to send. A waiting transfer costs nothing but itself.
 *
 * Redirects are never followed here; who wants to follow one starts another transfer.
 */
#ifndef VEO_HTTP_H
#define VEO_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "proto/error.h"

struct http;
struct http_slot;
struct http_tally;

enum http_lane {
    HTTP_CALLS,     /* submissions and polls: small; HTTP/2 where the server offers it */
    HTTP_TRANSFERS, /* downloads: HTTP/1.1 on connections of their own */
    HTTP_UPLOADS,   /* submissions with files in them: likewise, so that no poll waits for one */
    HTTP_CHATS,     /* requests to the agent's model: they take long, and must not keep submissions
                       and polls waiting; HTTP/2 where the server offers it */
    HTTP_LANES
};

struct http_config {
    unsigned at_once[HTTP_LANES]; /* transfers on the wire */
    const char *ca_file;          /* NULL: the system's bundle */
    const char *user_agent;
};

/* Ignores SIGPIPE for the process: OpenSSL's writes raise it. */
int http_new(uv_loop_t *loop, const struct http_config *config, struct http **ret,
             struct error *error);

/* Ends all transfers without calling anybody, then calls `closed` from the loop. */
void http_close(struct http *http, void (*closed)(void *), void *arg);

enum http_method { HTTP_GET, HTTP_POST, HTTP_DELETE };

/* A file in the midst of a body: read while it is sent, with a buffer of its own of fixed size, on
 * libuv's worker pool. All are opened before anything leaves: if one can't be, or has another
 * length than it should, the transfer ends as HTTP_NOT_SENT. If one can't be read later, nothing
 * more is sent and it ends as HTTP_NO_ANSWER. */
struct http_part {
    size_t at;      /* in `body` */
    char *path;     /* absolute; no symbolic link is followed at its end */
    uint64_t bytes; /* its length */
    bool base64;    /* RFC 4648 section 4, padded; else as it is */
};

/* Filled in by `prepare`. Strings are owned by the request and freed by http, but for the
 * secret. */
struct http_request {
    enum http_method method;
    char *url;
    const char *secret_name;  /* a header's name, e.g. "x-goog-api-key"; NULL: no credential */
    const char *secret_value; /* goes into that header and nowhere else; only needed during
                                 `prepare` */
    char *body;               /* POST */
    size_t body_length;
    char *content_type;      /* owned; NULL: application/json */
    const char *header;      /* one more, "Name: value", static; NULL: none */
    const char *wanted;      /* name of a header of the answer, static: see reply->wanted */
    struct http_part *parts; /* owned, and so are their paths; in the order of `at` */
    size_t part_count;
    uint64_t range_from; /* above 0: "Range: bytes=N-" */
    bool only_once;      /* never sent again by libcurl on another connection: for what costs money;
                            true of a body with files in any case */
    bool is_secret;      /* both bodies are wiped when they are done with */
    bool no_proxy;       /* whatever the environment says */
    bool allow_private;  /* may connect to loopback, link-local and private addresses */
    int64_t connect_ms;  /* to be connected */
    int64_t stall_ms;    /* without progress */
    int64_t total_ms;    /* 0: no bound in total. With files: from the end of the body */
    size_t max_body;     /* bytes of the answer kept for `done` */
    struct http_tally *tally; /* borrowed until `done`: counts the answer; NULL: nobody does */
};

enum http_end {
    HTTP_ANSWERED,  /* a complete answer, of whatever status */
    HTTP_NOT_SENT,  /* no connection was made: nothing left this machine */
    HTTP_NO_ANSWER, /* something was sent, and no complete answer came */
    HTTP_TOO_LARGE, /* the answer exceeded max_body */
    HTTP_STOPPED,   /* `body` said HTTP_STOP */
};

struct http_reply {
    enum http_end end;
    int status;         /* 0 if there was none */
    const char *reason; /* libcurl's words, for anything but ANSWERED */
    bool input_gone;    /* a file of the body is gone or has changed; `reason` says which */
    const char *body;   /* what `body` did not take; NUL-terminated */
    size_t body_length;
    const char *content_type; /* NULL if there was none */
    int64_t content_length;   /* -1 if unknown */
    int64_t range_start;      /* of a 206's Content-Range; -1 if there was none */
    int64_t range_total;      /* -1 if unknown */
    const char *location;     /* absolute address of a redirect; NULL if there was none */
    int64_t retry_after_ms;   /* Retry-After; -1 if there was none */
    const char *wanted;       /* that header's value; NULL: it wasn't there */
    bool peer_private;        /* the connection was to a private address */
};

enum http_flow { HTTP_GO_ON, HTTP_PAUSE, HTTP_STOP };

/* Embedded by whoever wants something; untouched by it from http_start until `done` or
 * http_cancel. A transfer may be started again from inside `done`, or freed there. */
struct http_transfer {
    enum http_lane lane;
    bool urgent; /* goes to the front of its lane's queue */

    /* A handle is free: say what to send. False: never mind; `done` is not called. */
    bool (*prepare)(struct http_transfer *transfer, struct http_request *request);

    /* Optional: takes a 2xx answer's body as it arrives; HTTP_PAUSE: these bytes were not taken,
     * they come again after http_resume. Other statuses' bodies go to `done`. */
    enum http_flow (*body)(struct http_transfer *transfer, const struct http_reply *head,
                           const char *data, size_t length);

    void (*done)(struct http_transfer *transfer, const struct http_reply *reply);

    struct http_transfer *next, *previous; /* http's: its place in the queue */
    struct http_slot *slot;                /* http's: NULL while it waits or rests */
    bool waiting;                          /* http's */
};

void http_start(struct http *http, struct http_transfer *transfer);
void http_resume(struct http *http, struct http_transfer *transfer); /* after HTTP_PAUSE */

/* Takes it back, wherever it is; nobody is called. Harmless on one that rests. */
void http_cancel(struct http *http, struct http_transfer *transfer);

/* True if `a` and `b` have the same scheme, host and port (RFC 6454). */
bool http_same_origin(const char *a, const char *b);

/* True if the host of `url` is "localhost" or a literal loopback, link-local or private address. */
bool http_names_private_host(const char *url);

/* True if it is an http or https address that libcurl can use. */
bool http_is_url(const char *url);

/* Writes stars over each place where the text quotes a credential, as some errors of providers do:
 * the value of its header, without the word for its kind ("Bearer"). Takes NULL. An answer's body
 * that is handed over whole has been through this. */
void http_hide(char *text, size_t length, const char *secret);

/* Percent-encodes all but RFC 3986's unreserved characters; fresh memory. */
char *http_escape(const char *text);

struct http_stats {
    uint64_t requests[HTTP_LANES];
    uint64_t connections; /* opened so far */
    size_t waiting[HTTP_LANES];
    size_t active[HTTP_LANES];
};
void http_stats(const struct http *http, struct http_stats *ret);

#endif
