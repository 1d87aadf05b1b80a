#include "daemon/cmd/making.h"

#include <stdlib.h>

#include "daemon/cmd/call.h"
#include "daemon/cmd/inputs.h"
#include "proto/mem.h"

struct making {
    struct commands *commands;
    struct peer peer;
    struct request **requests; /* one reference each */
    bool *taken; /* the output's name, by a file; its job may be the one that the key names */
    size_t count;
    bool dry_run;
    making_done_fn *done; /* NULL: abandoned */
    void *arg;
    bool is_starting; /* who does that has no hold of it yet */
    bool has_ended;
    struct inputs *inputs; /* being resolved */
    size_t at;             /* the one whose output is being looked for */
    uv_fs_t looking;       /* for a file in the way */
};

static void making_free(struct making *making)
{
    for (size_t i = 0; i < making->count; i++)
        request_unref(making->requests[i]);
    free(making->requests);
    free(making->taken);
    free(making->peer.groups);
    free(making);
}

static void finish(struct making *making, struct making_done result)
{
    if (making->done)
        making->done(making->arg, &result);
    making->has_ended = true;
    if (!making->is_starting)
        making_free(making);
}

/* ---- reading ---- */

/* A job that may not start before its deadline could only expire. */
static int check_times(const struct request *request, struct error *error)
{
    if (request->not_before < engine_wall_ms() + request->deadline_ms)
        return 0;
    return error_set(error, ERROR_INVALID_ARGUMENT, "not_before",
                     "not_before must be before the deadline, which is %lld seconds from now; "
                     "deadline_seconds sets it",
                     (long long)request->deadline_ms / 1000);
}

struct request *making_read(const struct commands *commands, struct json_value object,
                            struct error *error)
{
    const struct request_defaults defaults = {
        .model = commands->config.default_model,
        .deadline_ms = commands->config.deadline_ms,
    };
    struct request *request = request_parse(object, &defaults, error);
    if (request && check_times(request, error) == 0)
        return request;
    request_unref(request);
    return NULL;
}

/* ---- making them ---- */

static void on_made(void *arg, const struct error *error, const struct engine_new_job *jobs,
                    size_t count)
{
    struct making *making = arg;
    (void)count;
    finish(making, (struct making_done){.error = error, .at_fault = making->count, .jobs = jobs});
}

/* ---- outputs that are in the way ---- */

static void look_for_outputs(struct making *making);

static void on_looked(uv_fs_t *looking)
{
    struct making *making = looking->data;
    ssize_t status = looking->result;
    uv_fs_req_cleanup(looking);
    if (!making->done) {
        making_free(making);
        return;
    }
    making->taken[making->at] = status == 0;
    making->at++;
    look_for_outputs(making);
}

static void look_for_outputs(struct making *making)
{
    struct engine *engine = making->commands->engine;
    while (making->at < making->count && !making->requests[making->at]->output)
        making->at++;
    if (making->at == making->count) {
        engine_make(engine, making->peer.uid, making->requests, making->taken, making->count,
                    on_made, making);
        return;
    }
    char *path = mem_format("%s/%u/%s", engine_config(engine)->output_directory,
                            (unsigned)making->peer.uid, making->requests[making->at]->output);
    making->looking.data = making;
    uv_fs_lstat(making->commands->loop, &making->looking, path, on_looked);
    free(path);
}

/* ---- whether they are taken ---- */

/* The provider that would take it; NULL with `error`. Its inputs are resolved. */
static const struct provider *judge(const struct making *making, const struct request *request,
                                    struct error *error)
{
    struct engine *engine = making->commands->engine;
    const struct provider *provider = engine_choose(engine, request, error);
    if (provider && provider->dialect->check(provider, request, error) == 0 &&
        engine_check_model(engine, request, error) == 0 &&
        engine_check_budget(engine, request, error) == 0)
        return provider;
    return NULL;
}

static void on_resolved(void *arg, size_t index, const struct error *error)
{
    struct making *making = arg;
    const struct provider *first = NULL;
    struct error cause;
    making->inputs = NULL;
    for (size_t i = 0; i < making->count && !error; i++) {
        const struct provider *provider = judge(making, making->requests[i], &cause);
        first = i == 0 ? provider : first;
        index = i;
        error = provider ? NULL : &cause;
    }
    if (error || making->dry_run)
        finish(making, (struct making_done){.error = error, .at_fault = index, .provider = first});
    else
        look_for_outputs(making);
}

struct making *making_start(struct commands *commands, const struct peer *peer,
                            struct request *const *requests, size_t count, bool dry_run,
                            making_done_fn *done, void *arg)
{
    struct making *making = mem_alloc(sizeof(*making));
    making->commands = commands;
    making->peer = peer_copy(peer);
    making->requests = mem_alloc((count + 1) * sizeof(*making->requests));
    making->taken = mem_alloc((count + 1) * sizeof(*making->taken));
    for (; making->count < count; making->count++)
        making->requests[making->count] = request_ref(requests[making->count]);
    making->dry_run = dry_run;
    making->done = done;
    making->arg = arg;
    making->is_starting = true;
    making->inputs =
        inputs_start(commands, &making->peer, making->requests, count, on_resolved, making);
    making->is_starting = false;
    if (!making->has_ended)
        return making;
    making_free(making);
    return NULL;
}

void making_abandon(struct making *making)
{
    if (!making)
        return;
    making->done = NULL;
    if (!making->inputs)
        return;
    inputs_abandon(making->inputs);
    making_free(making);
}
