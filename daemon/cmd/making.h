/* From requests to jobs on disk: what their inputs name is looked up, decoded or copied; provider,
 * model and budget are asked whether they take them; no file may have their outputs' names; then
 * they are made, all or none. For whoever wants jobs: the commands of clients, and the agent. */
#ifndef VEO_MAKING_H
#define VEO_MAKING_H

#include "daemon/engine/engine.h"
#include "daemon/io/listen.h"

struct commands;
struct making;

/* Reads a GENERATE object, with the configuration's defaults. NULL with `error`. */
struct request *making_read(const struct commands *commands, struct json_value object,
                            struct error *error);

struct making_done {
    const struct error *error; /* NULL: all went well */
    size_t at_fault; /* with an error: index of the request; as many as there are: it is none's */
    const struct engine_new_job *jobs; /* as many as there were requests */
    const struct provider *provider;   /* dry run: the one that would take the first */
};

/* Called once, now or from the loop; the making is gone afterwards. */
typedef void making_done_fn(void *arg, const struct making_done *result);

/* `peer` (whose files and blobs may be read, who owns the jobs) is copied; `requests` are borrowed
 * until then and nobody else holds them; the array of them is copied. A dry run ends before outputs
 * are looked for. NULL if it was done at once. */
struct making *making_start(struct commands *commands, const struct peer *peer,
                            struct request *const *requests, size_t count, bool dry_run,
                            making_done_fn *done, void *arg);

/* `done` isn't called any more, and the requests are no longer borrowed (each is held by one more
 * reference while it is needed). What is on its way to the disk gets there. Takes NULL. */
void making_abandon(struct making *making);

#endif
