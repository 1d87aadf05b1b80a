/* A job by its id, a prefix of it, or its operation's name; or what a provider says of an operation
 * that no job has. */
#ifndef VEO_SEEK_H
#define VEO_SEEK_H

#include "daemon/engine/engine.h"

struct commands;
struct seek;

struct sought {
    const struct error *error; /* NULL: one of the other two is there */
    struct job *job;           /* a copy, taken over by whoever is told */
    const char *provider;      /* who was asked, with: */
    const struct outcome *outcome;
};

/* Refuses what is too short or too long for any of these names; NULL is none. 0 or -1. */
int seek_check_name(const char *name, struct error *error);

/* Called once, from the loop; the seek is gone afterwards. */
typedef void seek_done_fn(void *arg, struct sought *found);

/* Among the jobs of `owner`, or of all if that is -1. The operation of somebody else's job is
 * not-found, and no provider is asked about it. `name` is copied. */
struct seek *seek_start(struct commands *commands, int64_t owner, const char *name,
                        seek_done_fn *done, void *arg);

/* The same, but nobody else is asked: it is a job or not-found. */
struct seek *seek_job(struct commands *commands, int64_t owner, const char *name,
                      seek_done_fn *done, void *arg);

/* The job that `owner` has made with this key, or not-found. */
struct seek *seek_key(struct commands *commands, uid_t owner, const char *key, seek_done_fn *done,
                      void *arg);

/* `done` isn't called any more. Takes NULL. */
void seek_abandon(struct seek *seek);

/* A job that was read from the store may have ended meanwhile: its end is to be read there. What a
 * seek has found isn't stale in `done`. */
bool seek_is_stale(const struct commands *commands, const struct job *job);

/* Members of STATUS's answer about an operation: operation_name, state, provider, video_uri, error.
 * -1 with `error` if the provider's answer was unusable. */
int seek_write_operation(const char *name, const char *provider, const struct outcome *outcome,
                         struct jsonw *w, struct error *error);

#endif
