/* The life of a job: its states as a table, and one function that takes an event and says what
 * becomes of the job. Pure: no I/O, no clock. The engine performs what is returned here, after it
 * is durable.
 *
 *              ┌─────────── retry (back-off) ───────────┐
 *              v                                        │
 *   GENERATE → queued → submitting → running → fetching → done
 *                 │          │          ├→ filtered
 *                 │          │          ├→ failed
 *                 │          │          └→ expired
 *                 │          └→ uncertain
 *                 ├→ held, and back to queued
 *                 └→ cancelled (from any state that is not an end)
 */
#ifndef VEO_JOB_H
#define VEO_JOB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "daemon/core/request.h"

#define JOB_ID_LENGTH 26 /* a ULID in Crockford's base 32 */
#define JOB_ID_SIZE   (JOB_ID_LENGTH + 1)

/* name, text, flags. The order is the store's: append only. */
#define JOB_STATES(X)                                     \
    X(QUEUED, "queued", JOB_LIVE)                         \
    X(SUBMITTING, "submitting", JOB_LIVE | JOB_IN_FLIGHT) \
    X(RUNNING, "running", JOB_LIVE | JOB_IN_FLIGHT)       \
    X(FETCHING, "fetching", JOB_LIVE)                     \
    X(DONE, "done", JOB_ENDED)                            \
    X(FILTERED, "filtered", JOB_ENDED)                    \
    X(FAILED, "failed", JOB_ENDED)                        \
    X(EXPIRED, "expired", JOB_ENDED)                      \
    X(UNCERTAIN, "uncertain", JOB_STUCK)                  \
    X(HELD, "held", JOB_STUCK)                            \
    X(CANCELLED, "cancelled", JOB_ENDED)

enum job_flag {
    JOB_LIVE = 1,      /* veod moves it on by itself */
    JOB_IN_FLIGHT = 2, /* counts against the in-flight cap */
    JOB_ENDED = 4,     /* only RETRY and FORGET touch it */
    JOB_STUCK = 8,     /* only a person moves it on */
};

enum job_state {
#define X(name, text, flags) JOB_##name,
    JOB_STATES(X)
#undef X
        JOB_STATE_COUNT
};

const char *job_state_name(enum job_state state);
unsigned job_state_flags(enum job_state state);
/* The state of a name; JOB_STATE_COUNT if it is none. */
enum job_state job_state_from_name(const char *name);

struct job_file {
    char *path; /* absolute */
    uint64_t bytes;
    char sha256[65]; /* hexadecimal */
    char *mime_type;
    int64_t
        removed_at; /* Unix time in ms when it was removed to keep to [output]; 0: it is there */
};

/* Why a job is where it is. `code` is the provider's or ours, in lower case with dashes. */
struct job_error {
    char *code;     /* NULL: no error */
    char *message;  /* one line */
    bool retryable; /* RETRY may help */
    char *provider; /* the provider that said it; NULL: veod itself */
};

/* All strings owned; times are Unix time in ms, 0 for not yet. */
struct job {
    char id[JOB_ID_SIZE];
    enum job_state state;
    uid_t owner;
    struct request *request; /* one reference */
    char *provider;          /* of the current attempt */

    int attempt;          /* number of the current attempt, from 1; 0: none yet */
    int attempts_counted; /* those that the provider may have charged or judged */
    int attempts_allowed; /* no submission by itself once so many have counted */
    uint32_t polls;       /* of all attempts */
    char *operation;      /* of the current attempt */
    char **uris;          /* the results' addresses at the provider */
    size_t uri_count;
    bool inline_result; /* the result came inside the poll's answer */
    struct job_file *files;
    size_t file_count;
    struct job_error error;

    /* Micro-dollars. */
    int64_t estimate;       /* of one attempt; 0: there is no price for it */
    int64_t charged;        /* of all attempts */
    int64_t attempt_charge; /* of the current one, within `charged` */
    int64_t charged_at;     /* when that was first booked; 0: nothing was */
    bool presumed;          /* nobody knows whether the provider charges for the current one */

    int64_t created_at;
    int64_t updated_at;
    int64_t deadline_at;
    int64_t not_before;     /* not to be submitted before; back-off and the client's wish */
    int64_t unreachable_at; /* since when no connection could be made for it */
    int64_t submitted_at;   /* the current attempt's */
    int64_t running_at;
    int64_t noticed_at; /* the operation's end */
    int64_t ended_at;
    int backoffs; /* waits in a row, for the next one's length */
};

/* What happens to a job. */
enum job_event_type {
    JOB_SUBMIT,           /* the scheduler picked it: provider */
    JOB_ACCEPTED,         /* the provider answered with a name: operation */
    JOB_REFUSED,          /* certainly not accepted, try again later: error, delay_ms, counts */
    JOB_UNREACHABLE,      /* no connection was made: error, delay_ms */
    JOB_REJECTED,         /* certainly not accepted, for good: error */
    JOB_NO_CREDIT,        /* the provider wants money first (402): error */
    JOB_UNHEARD,          /* sent, and no usable answer: error */
    JOB_RESULT,           /* the operation ended well: uris or inline_result */
    JOB_FILTERED_OUT,     /* the provider's safety filter: error */
    JOB_OPERATION_FAILED, /* the operation ended badly: error; transient if retryable */
    JOB_DEADLINE,         /* deadline_at has passed */
    JOB_FETCHED,          /* all files are in place: files */
    JOB_FETCH_FAILED,     /* the result can't be had: error */
    JOB_CANCEL,
    JOB_RETRY,
    JOB_HOLD,
    JOB_RELEASE,
    JOB_EVENT_COUNT
};

/* Everything is borrowed and copied by job_step. */
struct job_event {
    enum job_event_type type;
    int64_t now; /* Unix time in ms */
    const char *provider;
    const char *operation;
    char *const *uris;
    size_t uri_count;
    bool inline_result;
    const struct job_file *files;
    size_t file_count;
    struct job_error error; /* strings borrowed */
    int64_t delay_ms;       /* how long the provider, or the back-off, wants us to wait */
    bool counts;            /* the attempt counts against max_attempts; JOB_CANCEL: its request may
                               have left */
    bool unmade;            /* JOB_FETCH_FAILED: there never was a video, whatever was said */
    int64_t charge; /* JOB_RESULT: what the provider charges, in micro-dollars; -1: not known */
};

struct job_policy {
    int max_attempts;        /* for requests that don't say; anew with each RETRY */
    int64_t connect_for_ms;  /* how long unreachable providers are tried */
    bool resubmit_uncertain; /* [retry] on_uncertain = retry */
};

/* Applies `event` to `job`, in place. 0, or -1 with `error` (conflict) and the job untouched when
 * the job's state doesn't take such an event. */
int job_step(struct job *job, const struct job_event *event, const struct job_policy *policy,
             struct error *error);

/* True if the table allows it; every change that job_step makes is checked against it. */
bool job_may_move(enum job_state from, enum job_state to);

/* What of its estimate is to be kept in reserve, for what it has not been charged for yet. */
int64_t job_reserved(const struct job *job);

/* An uncertain job is forgotten: the provider may charge for it. */
void job_give_up(struct job *job, int64_t now);

/* A new job in `queued`, holding a reference of its own to the request. */
struct job *job_new(const char *id, uid_t owner, struct request *request,
                    const struct job_policy *policy, int64_t now);
struct job *job_copy(const struct job *job);
/* Ended, or nobody but a person can move it on. */
bool job_is_at_rest(const struct job *job);
void job_free(struct job *job); /* takes NULL */

/* Replaces; `from` may be NULL or empty. */
void job_set_error(struct job *job, const struct job_error *from);

/* The member `error`, if there is one. */
void job_write_error(const struct job *job, struct jsonw *w);

/* Writes the job as every verb and --json shows it, as members of an object already opened. */
void job_write(const struct job *job, struct jsonw *w);

#endif
