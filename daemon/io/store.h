/* The store: jobs, attempts and events on disk. It is spoken to in those words, never in SQL.
 *
 * Writes are collected and committed in batches on libuv's worker pool, one batch at a time, each
 * durable when its completion is called. Reads run on the pool as well, on a connection of their
 * own. All completions are called on the loop, in the order of submission (writes; reads among
 * themselves), never from inside the call that submitted them.
 */
#ifndef VEO_STORE_H
#define VEO_STORE_H

#include <uv.h>

#include "daemon/core/histogram.h"
#include "daemon/core/job.h"
#include "proto/error.h"
#include "proto/limits.h"

struct store;

/* Opens or creates DIR/jobs.db, takes DIR/lock, and brings an older schema up to date. Blocks; for
 * startup only. -1 with `error` (one line: held by another veod, written by a newer one, damaged,
 * no permission). */
int store_open(const char *directory, uv_loop_t *loop, struct store **ret, struct error *error);

/* Commits what is waiting, then closes and calls `closed`. */
void store_close(struct store *store, void (*closed)(void *), void *arg);

/* ---- writes ---- */

enum store_write_kind {
    STORE_INSERT,         /* new jobs, all or none */
    STORE_UPDATE,         /* a job's new content */
    STORE_FORGET,         /* removes a job with its attempts, events and files' records */
    STORE_REMOVE,         /* notes that results are no longer there: `files` */
    STORE_PUT_BLOB,       /* `blobs`: one that `owner` has put at `at` */
    STORE_PUT_SESSION,    /* `session`: makes or replaces its record, and adds messages */
    STORE_SWEEP_SESSIONS, /* removes at most `count` of those at rest that were last changed before
                             `at`, the oldest first */
    STORE_SWEEP_BLOBS, /* removes the records of at most `count` blobs that nobody has put or used
                          since `at`, and that no job needs which isn't done */
};

/* A result's file that is in place. */
struct store_file {
    char job[JOB_ID_SIZE];
    int position;
    char *path;
    uint64_t bytes;
    int64_t ended_at; /* its job */
};

#define STORE_BLOB_NAME 72 /* bytes; "sha256-" and 64 hexadecimal digits */

struct store_blob {
    char name[STORE_BLOB_NAME];
    uint64_t bytes;
    char mime_type[LIMIT_MIME + 1];
};

/* A conversation with the agent. Its turn and its messages are JSON, which the store keeps byte for
 * byte and doesn't look into. */
struct store_session {
    char id[JOB_ID_SIZE];
    uid_t owner;
    bool working; /* its turn is under way: it goes on after a restart, and isn't swept */
    int64_t updated_at;
    char *turn;      /* an object */
    char **messages; /* PUT: those to be added, behind the `earlier` ones; read: all, in order */
    size_t message_count;
    size_t earlier; /* PUT: another number than there are is -EINVAL; 0 for a new session */
};
void store_session_free(struct store_session *session); /* and itself; takes NULL */

/* A change. Owned by the caller and untouched by it until `done` was called. */
struct store_write {
    enum store_write_kind kind;
    const struct store_file *files; /* REMOVE: `count` of them. Borrowed until done */
    int64_t at;                     /* REMOVE, PUT_BLOB, SWEEP_*: Unix time in ms */
    struct store_blob *blobs;       /* PUT_BLOB: one; SWEEP_BLOBS: room for `count`. Borrowed */
    uid_t owner;                    /* PUT_BLOB */
    const struct store_session *session; /* PUT_SESSION. Borrowed until done */
    struct job **jobs; /* INSERT: `count` of them; else one. Borrowed until done */
    size_t count;
    const char *detail;   /* a JSON object with what changed, for the event; NULL: "{}". Borrowed */
    char *const *details; /* INSERT: the same for each job, or NULL. Borrowed; NULL: none has any */
    /* INSERT: for each job, whether a file has its output's name already: then it is not inserted,
     * only looked for by its key. Borrowed; NULL: none */
    const bool *taken;
    void (*done)(struct store_write *write);
    void *context; /* the caller's */

    /* Filled in before `done`. */
    int status;        /* 0, or negative errno: -EEXIST (INSERT: a key or an output that is taken;
                          PUT_SESSION: another owner has its id),
                          -ENOENT (INSERT: a blob or a result that a job needs is gone; else:
                          there is no such job), -ENOSPC, -EIO, …; then nothing of
                          this write is in the store */
    int64_t event;     /* number of the event (INSERT: of the first inserted job's; they are
                          consecutive); 0 if there was none */
    size_t at_fault;   /* -EEXIST, and -ENOENT of an INSERT: index of the job */
    size_t swept;      /* SWEEP_SESSIONS: how many it removed */
    size_t blob_count; /* PUT_BLOB: 1 if it is new; SWEEP_BLOBS: how many of `blobs` it filled in */
    bool key_at_fault; /* -EEXIST: its key (else its output) */
    char (*existing)[JOB_ID_SIZE]; /* INSERT: for each job, the id of the one that its key already
                        names: then it was not inserted; else "". Memory of the caller, `count`;
                        NULL: such a key is -EEXIST */

    struct store_write *next; /* the store's */
};

void store_write(struct store *store, struct store_write *write);

/* ---- reads ---- */

struct store_filter {
    unsigned states; /* bit set of 1 << state; 0: all */
    int64_t owner;   /* -1: all */
    const char *model;
    const char *label_name; /* with label_value, or alone: any value */
    const char *label_value;
    int64_t since;     /* created_at, ms, inclusive; 0: no bound */
    int64_t until;     /* exclusive; 0: no bound */
    const char *after; /* an id: older than that one */
    size_t limit;      /* 0: LIMIT_LIST */
};

struct store_attempt {
    int number;
    char *provider;
    char *operation;
    int64_t started_at;
    int64_t ended_at;
    char *outcome; /* the state that the job went to */
    char *message;
};

struct store_event {
    int64_t number;
    char job[JOB_ID_SIZE];
    enum job_state state;
    int64_t at;
    char *detail; /* JSON object */
    /* of the job, for filters */
    uid_t owner;
    struct request *request;
};

enum store_read_kind {
    STORE_FIND,     /* `name`: an id, an unambiguous prefix of one, or an operation's name; or,
                       `by_key`, a job's key of filter.owner */
    STORE_LIST,     /* `filter` → jobs, newest first */
    STORE_ATTEMPTS, /* `name`: a full id → attempts, oldest first */
    STORE_COSTS,    /* `by`, `name`: a label's; filter.owner, since, until → costs, cost */
    STORE_EVENTS,   /* events with a number above `from`, at most filter.limit, oldest first */
    STORE_BLOB,     /* `name`, of filter.owner → blob */
    STORE_SESSION,  /* `name`: an id or an unambiguous prefix of one, of filter.owner → session */
    STORE_FILES,    /* results in place below the folder `name` ("/…/"), of jobs that ended before
                       filter.until (0: any), that no job needs which isn't done: oldest first, at
                       most filter.limit after the first `from`; and how many bytes all have that
                       are in place there */
};

enum store_cost_by {
    STORE_BY_DAY,
    STORE_BY_OWNER,
    STORE_BY_PROVIDER,
    STORE_BY_MODEL,
    STORE_BY_LABEL
};

/* Micro-dollars. */
struct store_cost {
    char *key; /* a day, a uid, a name, a label's value; NULL: it has none */
    uint64_t jobs;
    int64_t charged;
    int64_t presumed; /* of it */
};

struct store_read {
    enum store_read_kind kind;
    const char *name;           /* borrowed until done */
    struct store_filter filter; /* STORE_FIND: only `owner` counts, -1 for an admin */
    int64_t from;
    enum store_cost_by by;
    bool by_key;
    void (*done)(struct store_read *read);
    void *context;

    /* Filled in before `done`, and freed with store_read_free. */
    int status;        /* 0, -ENOENT, -ENOTUNIQ (an ambiguous prefix), -EIO */
    struct job **jobs; /* owned: FIND one, LIST many; a caller may take one out by setting NULL */
    size_t job_count;
    struct store_attempt *attempts;
    size_t attempt_count;
    struct store_event *events;
    size_t event_count;
    struct store_cost *costs; /* at most LIMIT_LIST */
    size_t cost_count;
    struct store_cost cost; /* of all together */
    struct store_file *files;
    size_t file_count;
    uint64_t bytes;
    struct store_blob blob;
    struct store_session *session; /* owned; a caller may take it out by setting NULL */

    struct store_read *next; /* the store's */
};

void store_read(struct store *store, struct store_read *read);
void store_read_free(struct store_read *read); /* its results, not itself */

/* ---- at startup, blocking ---- */

/* Calls `each` for every job that is live or stuck (it takes the job), oldest first. */
int store_each_live(struct store *store, void (*each)(void *arg, struct job *job), void *arg,
                    struct error *error);

/* How long the newest generations of each model took: at most `limit` a model, oldest first. */
int store_each_duration(struct store *store, size_t limit,
                        void (*each)(void *arg, const char *model, int64_t ms), void *arg,
                        struct error *error);

/* Calls `each` for every blob, in order of their names. */
int store_each_blob(struct store *store, void (*each)(void *arg, const struct store_blob *blob),
                    void *arg, struct error *error);

/* Calls `each` for every session that is working (it takes the session), oldest first. */
int store_each_working_session(struct store *store,
                               void (*each)(void *arg, struct store_session *session), void *arg,
                               struct error *error);

/* What was charged since a time, by owner and provider, which is NULL if it isn't known. */
typedef void store_charge_fn(void *arg, uid_t owner, const char *provider, int64_t amount);
int store_each_charge(struct store *store, int64_t since, store_charge_fn *each, void *arg,
                      struct error *error);

/* How many jobs are in each state. Blocking; later counts are the caller's. */
int store_count_states(struct store *store, uint64_t ret[JOB_STATE_COUNT], struct error *error);

/* The number of the newest committed event; 0 if there never was one. */
int64_t store_last_event(const struct store *store);

struct store_stats {
    uint64_t commits;
    uint64_t writes;
    uint64_t failed_commits;
    uint64_t commit_us_total;
    uint64_t commit_us_max;
    size_t waiting;             /* writes not yet durable */
    struct histogram commit_us; /* of those that succeeded */
    struct histogram batch;     /* writes in one */
};
void store_stats(const struct store *store, struct store_stats *ret);

#endif
