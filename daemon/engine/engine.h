/* The engine performs the lives of jobs: it keeps the live ones in memory, asks core/ what is next,
 * makes it durable, and only then acts on it through the adapters.
 *
 *   event ─ job_step() on a copy ─ store ─ durable ─ the copy is the job ─ observers ─ next action
 *
 * There is one path for all: what the provider answers, what a client wants, what a timer says, and
 * what is found at startup. A job has at most one uncommitted change; further events wait for it.
 */
#ifndef VEO_ENGINE_H
#define VEO_ENGINE_H

#include <stdbool.h>
#include <uv.h>

#include "daemon/core/backoff.h"
#include "daemon/core/budget.h"
#include "daemon/core/job.h"
#include "daemon/core/learn.h"
#include "daemon/core/model.h"
#include "daemon/engine/meter.h"
#include "daemon/io/http.h"
#include "daemon/io/store.h"
#include "daemon/io/token.h"
#include "daemon/provider/provider.h"

struct engine;

struct engine_provider {
    struct provider provider;
    unsigned weight;
    double rate_per_minute; /* a ceiling, for each model of it; 0: none */
    unsigned in_flight;     /* likewise */
    struct token *token;    /* borrowed */
    struct engine *engine;  /* the engine's: who hears of its tokens */
    int64_t daily_budget;   /* micro-dollars; -1: none */
};

/* Borrowed for the engine's life. */
struct engine_config {
    struct engine_provider *providers;
    size_t provider_count;
    struct job_policy policy;
    struct backoff backoff;
    struct learn_bounds poll;
    unsigned in_flight;      /* submitted and not yet ended at the provider */
    unsigned submit_at_once; /* between request and answer */
    unsigned fetch_at_once;
    size_t jobs;           /* live ones, at most */
    size_t reply_bytes;    /* of an answer's JSON */
    uint64_t result_bytes; /* of one video */
    int64_t connect_ms;
    int64_t stall_ms;
    int64_t answer_ms; /* for a submission or a poll, in total */
    const char *output_directory;
    const char *blob_directory;
    const struct model_table *models;
    int64_t daily_budget;       /* micro-dollars; -1: none */
    int64_t owner_daily_budget; /* of each; -1: none */
    uint64_t output_bytes;      /* the results' together; 0: no bound */
    int64_t output_age_ms;      /* of a result; 0: no bound */
};

struct engine *engine_new(uv_loop_t *loop, const struct engine_config *config, struct http *http,
                          struct store *store);

/* Takes another configuration, with the same providers. */
void engine_set_config(struct engine *engine, const struct engine_config *config);

/* Takes all live jobs from the store and goes on with each from its state. Blocks. */
int engine_recover(struct engine *engine, struct error *error);

/* The end, in three steps. What is left goes on at the next start.
 * Starts nothing new; `stopped` is called once no submission is between request and answer. */
void engine_stop(struct engine *engine, void (*stopped)(void *), void *arg);
/* Lets go of all transfers and files; nothing is started any more. Before http is closed. */
void engine_abandon(struct engine *engine);
/* After http and store are closed and the loop has run. */
void engine_free(struct engine *engine);

/* ---- jobs ---- */

/* The first provider that would take it; NULL with `error` (invalid-argument). */
const struct provider *engine_choose(const struct engine *engine, const struct request *request,
                                     struct error *error);

/* Refuses what the model is known to refuse, or to ignore and bill. 0 or -1 with `error`. */
int engine_check_model(const struct engine *engine, const struct request *request,
                       struct error *error);
/* Refuses what costs more than a whole day's budget. 0 or -1. */
int engine_check_budget(const struct engine *engine, const struct request *request,
                        struct error *error);
/* What is known of its model; NULL: nothing. */
const struct model *engine_model(const struct engine *engine, const char *name);

struct engine_new_job {
    char id[JOB_ID_SIZE];
    bool existing; /* its key names a job that was already there */
    bool held;     /* by a budget */
};

/* Makes new jobs, all or none; borrows the requests. Those `taken`, whose output's name a file has
 * already, are only looked for by their keys. `done` gets the error, or NULL and the ids. */
typedef void engine_made_fn(void *arg, const struct error *error, const struct engine_new_job *jobs,
                            size_t count);
void engine_make(struct engine *engine, uid_t owner, struct request *const *requests,
                 const bool *taken, size_t count, engine_made_fn *done, void *arg);

/* The live (or held, or uncertain) job of that full id as it is on disk; NULL if there is none. */
const struct job *engine_job(const struct engine *engine, const char *id);

/* Cancels, retries, holds or releases; `job` is a copy of the job, taken over, and used only if it
 * isn't live. `done` may be NULL; it is called from the loop with the job, or with an error, which
 * may be at once. */
typedef void engine_done_fn(void *arg, const struct job *job, const struct error *error);
void engine_change(struct engine *engine, struct job *job, enum job_event_type type,
                   const char *reason, engine_done_fn *done, void *arg);

/* Removes an ended or uncertain job from the store, and its files if `files`. Takes `job`. */
void engine_forget(struct engine *engine, struct job *job, bool files, engine_done_fn *done,
                   void *arg);

/* ---- news ---- */

struct engine_observer {
    char id[JOB_ID_SIZE]; /* of the one job it is about; empty: all */
    void (*changed)(struct engine_observer *observer, const struct job *job, int64_t event,
                    const char *detail);
    struct engine_observer *next, *previous; /* the engine's */
    bool attached;                           /* the engine's */
};
/* False if the job isn't live: then nothing will happen to it. */
bool engine_observe(struct engine *engine, struct engine_observer *observer);
void engine_unobserve(struct engine *engine, struct engine_observer *observer);

/* ---- questions ---- */

/* Asks the providers that know such names about an operation that no job has. */
typedef void engine_asked_fn(void *arg, const char *provider, const struct outcome *outcome,
                             const struct error *error);
void engine_ask(struct engine *engine, const char *operation, engine_asked_fn *done, void *arg);

/* One paragraph: what the job waits for, since when, and what happens next. */
void engine_explain(const struct engine *engine, const struct job *job, struct buf *ret);

/* The time of day that jobs are stamped with. */
int64_t engine_wall_ms(void);

/* How long a running job has run and how long such jobs take (ms); false if that isn't known. */
bool engine_progress(const struct engine *engine, const struct job *job, int64_t *ret_elapsed_ms,
                     int64_t *ret_expected_ms);

/* A job with its progress, as members of an object already opened. */
void engine_write_job(const struct engine *engine, const struct job *job, struct jsonw *w);

/* As of now; providers by their place in the configuration. */
struct budget *engine_budget(const struct engine *engine);

const struct engine_config *engine_config(const struct engine *engine);
const struct learn *engine_learn(const struct engine *engine);

struct engine_stats {
    uint64_t states[JOB_STATE_COUNT];
    unsigned in_flight;
    size_t waiting;
    size_t live;
    uint64_t submissions;
    uint64_t polls;
    uint64_t poll_failures;
    uint64_t fetched_results;
    uint64_t fetched_bytes;
    bool store_failing;
};
void engine_stats(const struct engine *engine, struct engine_stats *ret);

/* Counted since its start; the engine's. */
const struct meter *engine_meter(const struct engine *engine);

/* For how long the job has waited that could have been submitted first of all that are queued, in
 * ms; 0: none could have. Looks at all that are live. */
int64_t engine_longest_wait(const struct engine *engine);

/* How submissions go to one model of one provider. */
struct engine_pace {
    const char *provider;
    const char *model;
    unsigned in_flight;
    double per_minute;  /* at most; 0: no bound is known */
    int64_t shut_until; /* Unix time in ms; 0: open */
};
/* Those in use, by index; false: no more. */
bool engine_pace(const struct engine *engine, size_t index, struct engine_pace *ret);

#endif
