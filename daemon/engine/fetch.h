/* Inside the fetching of results: what its parts share. */
#ifndef VEO_FETCH_H
#define VEO_FETCH_H

#include "daemon/engine/task.h"
#include "daemon/io/sink.h"

#define KEPT_MS (48 * 60 * 60 * 1000LL) /* ai.google.dev, Veo: results are kept two days */

/*   ask ─ (not ready: rest) ─ open ─ load ─ (redirect: load) ─ finish ─ next file, or done
 *    └──────────── any of them, on trouble: rest, and again from ask ─────────────┘ */
enum fetch_step { FETCH_REST, FETCH_ASK, FETCH_OPEN, FETCH_LOAD, FETCH_FINISH };

struct fetch {
    enum fetch_step step;
    size_t index; /* of the result */
    size_t count;
    struct job_file *files; /* those that are in place */
    struct sink *sink;
    struct sink **given; /* inline results, complete; NULL: they are at uris */
    char *url;
    int hops;
    bool begun; /* the first bytes of the answer were looked at */
    bool paused;
    bool too_large;
    size_t skip;      /* bytes of the pieces that come again, which were taken already */
    int64_t expected; /* bytes; -1: not known */
};

/* fetch_turn.c: a place among those that may download at once; fetch_next_file() when it is there.
 */
void fetch_enter(struct task *task);
void fetch_leave(struct task *task);

/* fetch_load.c: the download of fetch->url into fetch->sink. */
void fetch_load(struct task *task);

/* fetch.c */
void fetch_next_file(struct task *task);
void fetch_close_sink(struct fetch *fetch, bool remove);
/* True if there is no token: then it is gone on with when there is one. */
bool fetch_has_to_wait(struct task *task);
/* On trouble, which task_set_trouble() has been told: again after a while; the same, but for good
 * after a few times; for good; not before so many ms. */
void fetch_try_later(struct task *task);
void fetch_strike(struct task *task, const char *code);
void fetch_fail(struct task *task, const char *code);
void fetch_rest(struct task *task, int64_t wait_ms);

#endif
