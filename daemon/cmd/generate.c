#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/cmd/inputs.h"
#include "daemon/provider/provider.h"
#include "proto/limits.h"
#include "proto/mem.h"

/* New jobs: read, resolve their inputs, check, see that no output is in the way, make durable,
 * answer. */
struct making {
    struct request **requests;
    bool *taken; /* the output's name, by a file; its job may be the one that the key names */
    size_t count;
    bool dry_run;
    size_t at;       /* the one whose output is being looked for */
    uv_fs_t looking; /* for a file in the way */
};

static void free_making(struct call *call)
{
    struct making *making = call->state;
    for (size_t i = 0; i < making->count; i++)
        request_unref(making->requests[i]);
    free(making->requests);
    free(making->taken);
    free(making);
}

static struct making *making_new(struct call *call, size_t count)
{
    struct making *making = mem_alloc(sizeof(*making));
    making->requests = mem_alloc((count + 1) * sizeof(*making->requests));
    making->taken = mem_alloc((count + 1) * sizeof(*making->taken));
    call->state = making;
    call->free_state = free_making;
    return making;
}

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

static struct request *read_request(struct call *call, struct json_value object,
                                    struct error *error)
{
    const struct request_defaults defaults = {
        .model = call->commands->config.default_model,
        .deadline_ms = call->commands->config.deadline_ms,
    };
    struct request *request = request_parse(object, &defaults, error);
    if (request && check_times(request, error) == 0)
        return request;
    request_unref(request);
    return NULL;
}

/* The provider that would take it; NULL with `error`. Its inputs are resolved. */
static const struct provider *judge(struct call *call, const struct request *request,
                                    struct error *error)
{
    const struct provider *provider = engine_choose(call->commands->engine, request, error);
    if (provider && provider->dialect->check(provider, request, error) == 0 &&
        engine_check_model(call->commands->engine, request, error) == 0 &&
        engine_check_budget(call->commands->engine, request, error) == 0)
        return provider;
    return NULL;
}

/* ---- the answers ---- */

static void answer_existing(struct call *call, struct job **jobs, size_t count)
{
    struct jsonw *w = call_reply(call, REPLY_OK);
    write_job(call, jobs[0], w);
    jsonw_member_bool(w, "existing", true);
    call_send(call);
    free_jobs(jobs, count);
    call_end(call);
}

static void find_existing(struct call *call, const char *id)
{
    json_free(call->doc);
    free(call->text);
    call->text = mem_format("{\"id\":\"%s\"}", id);
    call->doc = json_parse(call->text, strlen(call->text), (struct json_limits){0}, NULL);
    call->args = json_root(call->doc);
    call_resolve(call, answer_existing);
}

static void on_made_one(void *arg, const struct error *error, const struct engine_new_job *jobs,
                        size_t count)
{
    struct call *call = arg;
    (void)count;
    if (!call_arrived(call))
        return;
    if (error) {
        call_error(call, error);
    } else if (jobs[0].existing) {
        find_existing(call, jobs[0].id);
    } else {
        write_job(call, engine_job(call->commands->engine, jobs[0].id), call_reply(call, REPLY_OK));
        call_send(call);
        call_end(call);
    }
}

static void on_made_many(void *arg, const struct error *error, const struct engine_new_job *jobs,
                         size_t count)
{
    struct call *call = arg;
    if (!call_arrived(call))
        return;
    if (error) {
        call_error(call, error);
        return;
    }
    struct jsonw *w = call_reply(call, REPLY_OK);
    jsonw_member_uint(w, "count", count);
    jsonw_name(w, "jobs");
    jsonw_array(w);
    for (size_t i = 0; i < count; i++) {
        jsonw_object(w);
        jsonw_member_string(w, "id", jobs[i].id);
        if (jobs[i].existing)
            jsonw_member_bool(w, "existing", true);
        if (jobs[i].held)
            jsonw_member_string(w, "state", job_state_name(JOB_HELD));
        jsonw_object_end(w);
    }
    jsonw_array_end(w);
    call_send(call);
    call_end(call);
}

static void make(struct call *call)
{
    struct making *making = call->state;
    call_expect(call);
    engine_make(call->commands->engine, call->uid, making->requests, making->taken, making->count,
                call->verb == VERB_BATCH ? on_made_many : on_made_one, call);
}

/* ---- outputs that are in the way ---- */

static void look_for_outputs(struct call *call);

static void on_looked(uv_fs_t *looking)
{
    struct call *call = looking->data;
    struct making *making = call->state;
    ssize_t status = looking->result;
    uv_fs_req_cleanup(looking);
    if (!call_arrived(call))
        return;
    making->taken[making->at] = status == 0;
    making->at++;
    look_for_outputs(call);
}

static void look_for_outputs(struct call *call)
{
    struct making *making = call->state;
    while (making->at < making->count && !making->requests[making->at]->output)
        making->at++;
    if (making->at == making->count) {
        make(call);
        return;
    }
    char *path = mem_format("%s/%u/%s", engine_config(call->commands->engine)->output_directory,
                            (unsigned)call->uid, making->requests[making->at]->output);
    making->looking.data = call;
    call_expect(call);
    uv_fs_lstat(call->commands->loop, &making->looking, path, on_looked);
    free(path);
}

/* ---- dry run: what would be sent ---- */

static void write_price(const struct call *call, const struct request *request, struct jsonw *w)
{
    const struct model *model = engine_model(call->commands->engine, request->model);
    int64_t estimate = model_estimate(model, request);
    if (estimate > 0) {
        jsonw_name(w, "cost");
        jsonw_object(w);
        jsonw_member_usd(w, "estimate_usd", estimate);
        jsonw_object_end(w);
    }
    if (model && model->state == MODEL_SHUT_DOWN)
        jsonw_member_string(w, "note", "Google has shut this model down; others may serve it");
}

/* In the place of a file's bytes. */
static void add_placeholder(struct buf *body, const struct wire_part *part)
{
    const struct input *input = part->input;
    if (input->blob)
        buf_addf(body, "<%s", input->blob);
    else
        buf_addf(body, "<the result of job %s", input->job);
    buf_addf(body, "%s, %llu bytes>", part->base64 ? " as base64" : "",
             (unsigned long long)input->bytes);
}

static void write_body(struct jsonw *w, const struct wire_request *wire)
{
    struct buf body;
    size_t at = 0;
    buf_init(&body, LIMIT_REPLY_LINE);
    for (size_t i = 0; i < wire->part_count; i++) {
        buf_add(&body, wire->body.data + at, wire->parts[i].at - at);
        add_placeholder(&body, &wire->parts[i]);
        at = wire->parts[i].at;
    }
    buf_add(&body, wire->body.data + at, wire->body.length - at);
    jsonw_name(w, "body");
    if (wire->content_type)
        jsonw_string_n(w, body.data, body.length);
    else
        jsonw_raw(w, body.data, body.length);
    buf_free(&body);
}

static void answer_dry_run(struct call *call, const struct request *request,
                           const struct provider *provider)
{
    struct wire_request wire;
    struct jsonw *w = call_reply(call, REPLY_OK);
    wire_request_init(&wire);
    provider->dialect->submit(provider, request, &wire);
    jsonw_member_bool(w, "dry_run", true);
    jsonw_member_string(w, "provider", provider->name);
    jsonw_member_string(w, "dialect", provider->dialect->name);
    request_write(request, w);
    write_price(call, request, w);
    jsonw_name(w, "request");
    jsonw_object(w);
    jsonw_member_string(w, "method", wire.post ? "POST" : "GET");
    jsonw_member_string(w, "url", buf_text(&wire.url));
    jsonw_member_string(w, "content_type", wire.content_type);
    write_body(w, &wire);
    jsonw_object_end(w);
    wire_request_free(&wire);
    call_send(call);
    call_end(call);
}

static int refuse(struct call *call, size_t index, const struct error *error)
{
    char field[sizeof(error->field)];
    if (call->verb == VERB_GENERATE) {
        call_error(call, error);
        return -1;
    }
    snprintf(field, sizeof(field), "jobs.%zu%s%.40s", index, error->field[0] ? "." : "",
             error->field);
    return call_fail(call, error->code, field, "job %zu: %s", index, error->message);
}

static void on_resolved(struct call *call, size_t index, const struct error *error)
{
    const struct making *making = call->state;
    const struct provider *provider = NULL;
    struct error cause;
    if (error) {
        refuse(call, index, error);
        return;
    }
    for (size_t i = 0; i < making->count; i++) {
        provider = judge(call, making->requests[i], &cause);
        if (!provider) {
            refuse(call, i, &cause);
            return;
        }
    }
    if (making->dry_run && provider)
        answer_dry_run(call, making->requests[0], provider);
    else
        look_for_outputs(call);
}

static void resolve(struct call *call)
{
    const struct making *making = call->state;
    inputs_resolve(call, making->requests, making->count, on_resolved);
}

void cmd_generate(struct call *call)
{
    struct error error;
    struct request *request = read_request(call, call->args, &error);
    if (!request) {
        call_error(call, &error);
        return;
    }
    struct making *making = making_new(call, 1);
    making->requests[making->count++] = request;
    (void)json_bool(json_get(call->args, "dry_run"), &making->dry_run);
    resolve(call);
}

/* Whoever asks for a dry run must not be sent a bill. */
static int check_no_dry_run(struct json_value object, struct error *error)
{
    bool dry_run = false;
    (void)json_bool(json_get(object, "dry_run"), &dry_run);
    return dry_run ? error_set(error, ERROR_INVALID_ARGUMENT, "dry_run",
                               "dry_run is for GENERATE; BATCH submits all of its jobs")
                   : 0;
}

static int read_batch(struct call *call, struct json_value jobs)
{
    struct making *making = making_new(call, json_size(jobs));
    for (struct json_iter it = json_iter(jobs); json_next(&it);) {
        struct error error;
        struct request *request = read_request(call, it.value, &error);
        if (!request)
            return refuse(call, making->count, &error);
        making->requests[making->count++] = request;
        if (check_no_dry_run(it.value, &error) < 0)
            return refuse(call, making->count - 1, &error);
    }
    return 0;
}

void cmd_batch(struct call *call)
{
    static const char *const members[] = {"jobs", NULL};
    struct json_value jobs = json_get(call->args, "jobs");
    if (call_check_members(call, members) < 0)
        return;
    if (json_type(jobs) != JSON_ARRAY || json_size(jobs) == 0 || json_size(jobs) > LIMIT_BATCH) {
        call_fail(call, ERROR_INVALID_ARGUMENT, "jobs",
                  "jobs must be an array of 1 to %d jobs; it has %zu", LIMIT_BATCH,
                  json_size(jobs));
        return;
    }
    if (read_batch(call, jobs) == 0)
        resolve(call);
}
