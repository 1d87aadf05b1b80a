/* One HTTP request and its answer. */
#ifndef SIM_EXCHANGE_H
#define SIM_EXCHANGE_H

#include <microhttpd.h>
#include <stdbool.h>
#include <stdint.h>

#include "tests/sim/intake.h"
#include "tests/sim/operations.h"
#include "tests/sim/stream.h"
#include "tests/sim/timer.h"

struct form;
struct route;
struct rule;
struct sim;

enum event {
    EVENT_SUBMIT = 1,
    EVENT_POLL = 2,
    EVENT_FILE = 4,
    EVENT_DOWNLOAD = 8,
    EVENT_CANCEL = 16,
    EVENT_OTHER = 32,
    EVENT_TOKEN = 64,
    EVENT_CHAT = 128,
};

enum exchange_state {
    EXCHANGE_READING, /* the request's body */
    EXCHANGE_WAITING, /* for an operation's end, to answer with it */
    EXCHANGE_STALLED, /* the answer is ready, and kept back */
    EXCHANGE_ANSWERED,
};

#define REPLY_HEADERS 6

struct reply {
    unsigned status;
    const char *content_type; /* static; NULL: none */
    struct {
        const char *name; /* static */
        char *value;      /* owned */
    } headers[REPLY_HEADERS];
    unsigned header_count;
    struct stream body;
    bool drop;       /* close the connection instead */
    int64_t hold_ms; /* kept back for so long */

    uint64_t cut_at;     /* close after so many bytes; 0: don't */
    uint64_t pause_at;   /* silence after so many bytes, … */
    int64_t pause_ms;    /* … for so long; 0: none */
    int64_t interval_ms; /* between any two bytes; 0: as fast as can be */
    bool is_video;       /* counts as a download */
    bool is_video_whole; /* reaches the file's last byte */
};

struct exchange {
    struct sim *sim;
    struct MHD_Connection *connection;
    const char *method; /* valid while microhttpd calls us */
    char *path;         /* as it was sent, percent-encoded */
    bool begun;
    bool chats;                /* counts as a chat under way */
    bool foreign;              /* came to the other origin */
    const struct route *route; /* NULL: none */
    enum exchange_state state;
    enum dialect dialect; /* the shape of its errors */
    enum event event;
    char version[16]; /* from the path, as are these; decoded */
    char model[128];
    char id[512];
    char project[64]; /* "" but for Vertex */
    char location[64];
    uint64_t received; /* bytes of the body */
    struct intake intake;
    struct form *form;           /* the body, if it is a form; NULL: it isn't */
    struct operation *operation; /* that it waits for */
    struct rule *rule;           /* what is to go wrong; one reference */
    struct reply reply;

    struct timer timer;
    bool waited;          /* the pause is over, or the next byte may go */
    struct exchange **at; /* the pointer to it, in the list that it waits in */
    struct exchange *next;
};

/* The handlers and callbacks that microhttpd is started with; their closure is a struct listener.
 */
void *exchange_on_uri(void *closure, const char *uri, struct MHD_Connection *connection);
enum MHD_Result exchange_on_request(void *closure, struct MHD_Connection *connection,
                                    const char *url, const char *method, const char *version,
                                    const char *upload_data, size_t *upload_data_size,
                                    void **request_closure);
void exchange_on_completed(void *closure, struct MHD_Connection *connection, void **request_closure,
                           enum MHD_RequestTerminationCode code);
void exchange_on_connection(void *closure, struct MHD_Connection *connection, void **socket_context,
                            enum MHD_ConnectionNotificationCode code);

/* A header, or an argument of the query; NULL if there is none. */
const char *exchange_header(const struct exchange *exchange, const char *name);
const char *exchange_argument(const struct exchange *exchange, const char *name);

/* Keeps the request open until the operation ends. */
void exchange_wait_for(struct exchange *exchange, struct operation *operation);

/* Lets it go on; `gone`: the operation is about to be freed. */
void exchange_wake(struct exchange *exchange, bool gone);

/* Lets every request go on that is kept back, so that the server can be stopped. */
void exchange_wake_all(struct sim *sim);

#endif
