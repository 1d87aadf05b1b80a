/* Inside the commands: one command of one client, from its line to its last answer. */
#ifndef VEO_CALL_H
#define VEO_CALL_H

#include "daemon/cmd/commands.h"
#include "proto/command.h"
#include "proto/json.h"
#include "proto/jsonw.h"
#include "proto/verb.h"

struct session;
struct sought;

struct commands {
    uv_loop_t *loop;
    struct commands_config config;
    struct engine *engine;
    struct store *store;
    struct http *http;
    const struct clients *clients;
    struct buf line; /* the reply that is being written */
    struct jsonw writer;
    uint64_t started_at;
    double process_started_at; /* Unix time in seconds; below 0: not known */
    uint64_t served;           /* commands */
    uint64_t served_by_verb[VERB_END];
    uint64_t refused[ERROR_CODES_END]; /* by the code of the ERR */
};

struct call {
    struct call *next, *previous;
    struct session *session; /* NULL: the client is gone */
    struct commands *commands;
    char tag[COMMAND_TAG_MAX + 1];
    enum verb verb;
    uid_t uid;
    bool admin;
    char *text; /* the argument as JSON */
    struct json *doc;
    struct json_value args;
    unsigned pending; /* answers of the engine, the store or the loop that are awaited */
    bool answered;    /* what still comes is news */
    bool ended;       /* its last reply was sent */
    bool wants_page;  /* another call of the session is reading one */
    void *state;      /* the verb's */
    void (*drained)(struct call *call);   /* the client has read what it was sent */
    void (*abandoned)(struct call *call); /* the client is gone */
    /* PUT: bytes after its line; says how many it took. After fewer than `length` the rest comes
     * again once call_resume_body() was called. */
    size_t (*body)(struct call *call, const char *bytes, size_t length);
    void (*body_cut)(struct call *call);   /* the client ended within them */
    void (*free_state)(struct call *call); /* NULL: state is free()d */
};

typedef void verb_fn(struct call *call);
verb_fn cmd_generate, cmd_batch, cmd_status, cmd_list, cmd_wait, cmd_watch, cmd_cancel, cmd_retry,
    cmd_hold, cmd_release, cmd_forget, cmd_why, cmd_put, cmd_get, cmd_models, cmd_stats,
    cmd_metrics, cmd_cost, cmd_reload, cmd_ask, cmd_hello, cmd_help, cmd_ping, cmd_quit;

/* ---- replies ---- */

/* A reply's object is open; write its members, then call_send. */
struct jsonw *call_reply(struct call *call, enum reply_word word);
void call_send(struct call *call);
void call_error(struct call *call, const struct error *error); /* sends, and ends the call */
int call_fail(struct call *call, enum error_code code, const char *field, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
int call_store_failed(struct call *call, int status); /* call_fail: the store can't be read */
/* The last reply was sent; the call is freed once nothing is pending. */
void call_end(struct call *call);

/* What still comes is news: the next untagged command may be answered. */
void call_answered(struct call *call);

/* Around whatever will call back: each call_expect is met by one call_arrived, which is false when
 * the client is gone: then nothing more is to be done (the call may be freed). */
void call_expect(struct call *call);
bool call_arrived(struct call *call);

/* The bytes after its line go to the call's `body`, until it ends. */
void call_take_body(struct call *call);
void call_resume_body(struct call *call);

bool call_is_full(const struct call *call); /* the client should read first; `drained` tells */
/* Raw bytes follow a DATA line: the session's other replies wait. */
void call_stream_begin(struct call *call);
void call_stream_bytes(struct call *call, const char *bytes, size_t length);
void call_stream_end(struct call *call);

/* Around the reading of a page of a list: false if the client must read first, or if another of its
 * calls is reading one; `drained` tells when to ask again. So no client keeps the others from the
 * store, however much it asks for at once. */
bool call_page_begin(struct call *call);
void call_page_end(struct call *call);
void call_close_client(struct call *call); /* once all commands are answered */
/* At once, after what was sent: its bytes were announced and can't be had. */
void call_cut_client(struct call *call);

const struct peer *call_peer(const struct call *call); /* as its client connected */

/* ---- arguments ---- */

/* A command's argument as JSON, whatever form it was given in. Fresh memory. */
char *call_argument(const struct command *command);

/* Refuses, with an answer, members other than these; the list ends with NULL. */
int call_check_members(struct call *call, const char *const *members);
int call_int(struct call *call, const char *name, int64_t min, int64_t max, int64_t *value);
int call_flag(struct call *call, const char *name, bool *value);
int call_double(struct call *call, const char *name, double min, double max, double *value);

/* The jobs that `id` or `ids` name. `done` gets copies, taken over; on an error the call has been
 * answered, and `done` isn't called. */
typedef void resolved_fn(struct call *call, struct job **jobs, size_t count);
void call_resolve(struct call *call, resolved_fn *done);
/* The same; when no job has what `id` names, `asked` is called with it instead, and with what a
 * provider says of it. */
typedef void asked_fn(struct call *call, const char *name, const struct sought *found);
void call_resolve_or(struct call *call, resolved_fn *done, asked_fn *asked);
void free_jobs(struct job **jobs, size_t count);

/* ---- filters of LIST and WATCH ---- */

struct filter {
    struct store_filter store; /* strings are owned by `filter` */
    char *model;
    char *label;
    char *after;
};
int filter_read(struct call *call, struct filter *ret);
void filter_free(struct filter *filter);
bool filter_takes(const struct filter *filter, enum job_state state, uid_t owner,
                  const struct request *request);

/* Members of an event's object. */
void write_event(struct jsonw *w, int64_t number, const char *id, enum job_state state, int64_t at,
                 const char *detail);
/* A job with its progress, as members. */
void write_job(struct call *call, const struct job *job, struct jsonw *w);

#endif
