#include "daemon/cmd/seek.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/cmd/call.h"
#include "proto/limits.h"
#include "proto/mem.h"

#define NAME_MAX_BYTES 512

struct seek {
    struct commands *commands;
    int64_t owner;
    char *name;
    bool asks;   /* providers, about what is no job's */
    bool by_key; /* that is what its name is */
    struct store_read read;
    seek_done_fn *done; /* NULL: abandoned */
    void *arg;
};

int seek_check_name(const char *name, struct error *error)
{
    size_t length = name ? strlen(name) : 0;
    if (length >= ID_PREFIX_MIN && length <= NAME_MAX_BYTES)
        return 0;
    return error_set(error, ERROR_INVALID_ARGUMENT, "id",
                     "an id must be a string of at least %d characters", ID_PREFIX_MIN);
}

static void finish(struct seek *seek, struct sought found)
{
    if (seek->done)
        seek->done(seek->arg, &found);
    else
        job_free(found.job);
    free(seek->name);
    free(seek);
}

static void fail(struct seek *seek, int status)
{
    struct error error;
    if (status == -ENOENT)
        error_set(&error, ERROR_NOT_FOUND, "id", "no such job: \"%.80s\"", seek->name);
    else if (status == -ENOTUNIQ)
        error_set(&error, ERROR_INVALID_ARGUMENT, "id",
                  "\"%.80s\" begins the ids of several jobs; give more characters", seek->name);
    else
        error_set(&error, ERROR_UNAVAILABLE, NULL, "the store could not be read: %s",
                  strerror(-status));
    finish(seek, (struct sought){.error = &error});
}

static void look(struct seek *seek, int64_t owner, void (*done)(struct store_read *read))
{
    seek->read = (struct store_read){.kind = STORE_FIND,
                                     .name = seek->name,
                                     .filter.owner = owner,
                                     .by_key = seek->by_key,
                                     .done = done,
                                     .context = seek};
    store_read(seek->commands->store, &seek->read);
}

static void on_asked(void *arg, const char *provider, const struct outcome *outcome,
                     const struct error *error)
{
    struct seek *seek = arg;
    finish(seek, (struct sought){.error = error, .provider = provider, .outcome = outcome});
}

/* Before a provider is asked: is it the operation of somebody else's job? */
static void on_looked(struct store_read *read)
{
    struct seek *seek = read->context;
    int status = read->status;
    store_read_free(read);
    if (status == -ENOENT && seek->done)
        engine_ask(seek->commands->engine, seek->name, on_asked, seek);
    else
        fail(seek, status == 0 || status == -ENOTUNIQ ? -ENOENT : status);
}

bool seek_is_stale(const struct commands *commands, const struct job *job)
{
    return !job_is_at_rest(job) && !engine_job(commands->engine, job->id);
}

static void on_found(struct store_read *read)
{
    struct seek *seek = read->context;
    struct job *job = NULL;
    int status = read->status;
    if (status == 0) {
        job = read->jobs[0];
        read->jobs[0] = NULL;
    }
    store_read_free(read);
    if (job && seek->done && seek_is_stale(seek->commands, job)) {
        job_free(job);
        look(seek, seek->owner, on_found);
    } else if (job) {
        finish(seek, (struct sought){.job = job});
    } else if (status == -ENOENT && seek->asks && seek->done) {
        look(seek, -1, on_looked);
    } else {
        fail(seek, status);
    }
}

static struct seek *start(struct commands *commands, int64_t owner, const char *name,
                          seek_done_fn *done, void *arg)
{
    struct seek *seek = mem_alloc(sizeof(*seek));
    seek->commands = commands;
    seek->owner = owner;
    seek->name = mem_strdup(name);
    seek->done = done;
    seek->arg = arg;
    return seek;
}

struct seek *seek_start(struct commands *commands, int64_t owner, const char *name,
                        seek_done_fn *done, void *arg)
{
    struct seek *seek = start(commands, owner, name, done, arg);
    seek->asks = true;
    look(seek, owner, on_found);
    return seek;
}

struct seek *seek_job(struct commands *commands, int64_t owner, const char *name,
                      seek_done_fn *done, void *arg)
{
    struct seek *seek = start(commands, owner, name, done, arg);
    look(seek, owner, on_found);
    return seek;
}

struct seek *seek_key(struct commands *commands, uid_t owner, const char *key, seek_done_fn *done,
                      void *arg)
{
    struct seek *seek = start(commands, owner, key, done, arg);
    seek->by_key = true;
    look(seek, owner, on_found);
    return seek;
}

void seek_abandon(struct seek *seek)
{
    if (seek)
        seek->done = NULL;
}

/* ---- what a provider says ---- */

static const char *state_of(const struct outcome *outcome)
{
    switch (outcome->kind) {
    case OUTCOME_RESULT:
        return "completed";
    case OUTCOME_FILTERED:
        return "filtered";
    case OUTCOME_FAILED:
        return "failed";
    case OUTCOME_PENDING:
    case OUTCOME_ACCEPTED:
        return "running";
    default:
        return NULL;
    }
}

int seek_write_operation(const char *name, const char *provider, const struct outcome *outcome,
                         struct jsonw *w, struct error *error)
{
    const char *state = state_of(outcome);
    if (!state)
        return error_set(error, ERROR_UNAVAILABLE, NULL, "provider %s: %s", provider,
                         outcome->message ? outcome->message : "an unusable answer");
    jsonw_member_string(w, "operation_name", name);
    jsonw_member_string(w, "state", state);
    jsonw_member_string(w, "provider", provider);
    if (outcome->result_count > 0)
        jsonw_member_string(w, "video_uri", outcome->results[0].uri);
    if (outcome->code) {
        jsonw_name(w, "error");
        jsonw_object(w);
        jsonw_member_string(w, "code", outcome->code);
        jsonw_member_string(w, "message", outcome->message);
        jsonw_object_end(w);
    }
    return 0;
}
