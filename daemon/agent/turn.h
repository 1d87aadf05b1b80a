/* One turn of a conversation: what becomes of each answer of the model, and where the turn ends.
 * Pure: time and chance come in as arguments.
 *
 *              ┌── wait ── waiting ──┐
 *              v                     │
 *   ASK ─> thinking ─────────────────┴──────────> ended
 *              │ ^                                  ^
 *        calls │ │ results                          │ a bound, or a cancellation: once the
 *              v │                                  │ calls have their results
 *            calling ───────────────────────────────┘
 *
 * Whatever ends a turn, the history that is left is one that the model takes again: no call in it
 * is without its result. */
#ifndef VEO_TURN_H
#define VEO_TURN_H

#include "daemon/agent/chat.h"
#include "daemon/core/backoff.h"
#include "daemon/core/job.h"
#include "daemon/io/listen.h"
#include "proto/error.h"
#include "proto/jsonw.h"

enum turn_state {
    TURN_THINKING, /* the model is to be asked */
    TURN_WAITING,  /* for `wait_ms`; then turn_think */
    TURN_CALLING,  /* the last answer's calls are to be made; then turn_called */
    TURN_ENDED,
};

/* name, text. */
#define TURN_FINISHES(X)      \
    X(OPEN, "open")           \
    X(ANSWER, "answer")       \
    X(ROUNDS, "rounds")       \
    X(TOKENS, "tokens")       \
    X(TIME, "time")           \
    X(LENGTH, "length")       \
    X(REFUSED, "refused")     \
    X(CANCELLED, "cancelled") \
    X(FAILED, "failed")

enum turn_finish {
#define X(name, text) TURN_##name,
    TURN_FINISHES(X)
#undef X
        TURN_FINISH_COUNT
};
const char *turn_finish_name(enum turn_finish finish);

struct turn_bounds {
    int64_t rounds;
    int64_t tokens;
    int64_t max_tokens;   /* of an answer; 0: the model's own */
    size_t session_bytes; /* the history's */
    struct backoff backoff;
};

/* All that it points to is owned. */
struct turn {
    enum turn_state state;
    enum turn_finish finish;

    /* Kept, with `finish`. */
    int64_t started_at; /* Unix time in ms */
    int64_t rounds;     /* answers that were taken */
    int64_t tokens;
    int64_t spent; /* micro-dollars: what its jobs were estimated at */
    int64_t calls; /* that have their results */
    size_t first;  /* its user's message, in the history */
    char *text;    /* the last words; NULL: none */
    char *message; /* why it ended so; NULL: nothing to be said */
    char (*jobs)[JOB_ID_SIZE];
    size_t job_count;
    struct peer peer; /* who asks */
    bool admin;
    char *directory; /* NULL: none */
    char *model;     /* whom it asks: another one wouldn't take this one's thought signatures */
    /* Of the calls that have no results yet: their jobs; "": none. */
    char begun[CHAT_CALLS_MAX][JOB_ID_SIZE];

    /* Since the last answer that was taken. */
    int again[CHAT_KINDS]; /* how often it was asked again, by the reason */
    char *trouble;         /* why it can't answer; NULL: it can */
    int waits;
    int64_t wait_ms;
};

/* Takes what `turn` owns, not itself. */
void turn_free(struct turn *turn);

/* The model is asked next, unless a bound is reached. */
void turn_think(struct turn *turn, const struct turn_bounds *bounds, int64_t left_ms, size_t bytes);

/* The next request is the last one: it has to be answered without calls. */
bool turn_must_answer(const struct turn *turn, const struct turn_bounds *bounds);
int64_t turn_max_tokens(const struct turn *turn, const struct turn_bounds *bounds);

/* The model has answered. `left_ms` until the turn's time is over; `bytes` of the history;
 * `random` in [0, 1). True: the answer's message becomes part of the history. */
bool turn_take(struct turn *turn, const struct turn_bounds *bounds, const struct chat_reply *reply,
               int64_t left_ms, size_t bytes, double random);

/* `count` calls have their results, in the history. */
void turn_called(struct turn *turn, size_t count);

/* Ends it; a NULL format: nothing to be said. */
void turn_end(struct turn *turn, enum turn_finish finish, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Its time is over: by the bound, or by a model that can't answer. */
void turn_end_by_time(struct turn *turn);

/* A job of one of its calls; false if it is known already. */
bool turn_add_job(struct turn *turn, const char *id);

/* What is kept of it, as one object; and back. -1 with `error`, and nothing to be freed. */
void turn_write(const struct turn *turn, struct jsonw *w);
int turn_read(const char *record, struct turn *ret, struct error *error);

#endif
