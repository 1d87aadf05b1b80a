/* Providers with quotas of every kind, under a clock of the test's own. */
#ifndef VEO_QUOTA_FIXTURE_H
#define VEO_QUOTA_FIXTURE_H

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

#include "proto/mem.h"

enum quota_kind {
    QUOTA_WINDOW,  /* counted from the first submission after the last window */
    QUOTA_ALIGNED, /* counted by a clock that the first submission knows nothing of */
    QUOTA_BUCKET,
    QUOTA_RUNNING, /* so many operations at once */
};

struct quota {
    enum quota_kind kind;
    double count;
    int64_t window_ms;
    int64_t phase_ms; /* ALIGNED */
    int64_t run_ms;   /* RUNNING: how long one takes */
    int64_t changes_at;
    double changes_to;
};

struct quota_state {
    struct quota quota;
    bool begun;
    int64_t begin;
    double used;
    double tokens;
    int64_t filled_at;
    int64_t *ends;
    size_t end_count, first_end;
};

static inline double quota_count(const struct quota_state *state, int64_t now)
{
    const struct quota *quota = &state->quota;
    return quota->changes_at > 0 && now >= quota->changes_at ? quota->changes_to : quota->count;
}

static inline int64_t quota_wait_of_window(struct quota_state *state, int64_t now)
{
    const struct quota *quota = &state->quota;
    int64_t begin = now;
    if (quota->kind == QUOTA_ALIGNED)
        begin = (now + quota->phase_ms) / quota->window_ms * quota->window_ms - quota->phase_ms;
    if (!state->begun || now >= state->begin + quota->window_ms) {
        state->begun = true;
        state->begin = begin;
        state->used = 0;
    }
    return state->used < quota_count(state, now) ? 0 : state->begin + quota->window_ms - now;
}

static inline int64_t quota_wait_of_bucket(struct quota_state *state, int64_t now)
{
    double full = quota_count(state, now);
    double rate = full / (double)state->quota.window_ms;
    double since = (double)(now - state->filled_at);
    state->tokens = state->begun ? fmin(full, state->tokens + rate * since) : full;
    state->begun = true;
    state->filled_at = now;
    return state->tokens >= 1 ? 0 : (int64_t)ceil((1 - state->tokens) / rate);
}

static inline int64_t quota_wait_of_running(struct quota_state *state, int64_t now)
{
    while (state->first_end < state->end_count && state->ends[state->first_end] <= now)
        state->first_end++;
    size_t running = state->end_count - state->first_end;
    return (double)running < quota_count(state, now) ? 0 : state->ends[state->first_end] - now;
}

/* 0 if the submission is accepted, else how long it would have had to wait. */
static inline int64_t quota_submit(struct quota_state *state, int64_t now)
{
    int64_t wait = state->quota.kind == QUOTA_BUCKET    ? quota_wait_of_bucket(state, now)
                   : state->quota.kind == QUOTA_RUNNING ? quota_wait_of_running(state, now)
                                                        : quota_wait_of_window(state, now);
    if (wait > 0)
        return wait;
    state->used++;
    state->tokens--;
    if (state->quota.kind == QUOTA_RUNNING) {
        state->ends = mem_resize(state->ends, state->end_count + 1, sizeof(*state->ends));
        state->ends[state->end_count++] = now + state->quota.run_ms;
    }
    return 0;
}

#endif
