/* GENERATE, BATCH: what is wished for is read, made, and answered. */
#include <stdlib.h>
#include <string.h>

#include "daemon/cmd/call.h"
#include "daemon/cmd/making.h"
#include "daemon/cmd/seek.h"
#include "daemon/provider/provider.h"
#include "proto/limits.h"
#include "proto/mem.h"

struct wish {
    struct request **requests;
    size_t count;
    bool dry_run;
    struct making *making;
    struct seek *seek; /* for the job that the key names */
};

static void free_wish(struct call *call)
{
    struct wish *wish = call->state;
    for (size_t i = 0; i < wish->count; i++)
        request_unref(wish->requests[i]);
    free(wish->requests);
    free(wish);
}

static void abandon_wish(struct call *call)
{
    const struct wish *wish = call->state;
    making_abandon(wish->making);
    seek_abandon(wish->seek);
}

static struct wish *wish_new(struct call *call, size_t count)
{
    struct wish *wish = mem_alloc(sizeof(*wish));
    wish->requests = mem_alloc((count + 1) * sizeof(*wish->requests));
    call->state = wish;
    call->free_state = free_wish;
    call->abandoned = abandon_wish;
    return wish;
}

/* ---- the answers ---- */

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

static void on_existing(void *arg, struct sought *found)
{
    struct call *call = arg;
    struct wish *wish = call->state;
    wish->seek = NULL;
    if (found->error) {
        call_error(call, found->error);
        return;
    }
    struct jsonw *w = call_reply(call, REPLY_OK);
    write_job(call, found->job, w);
    jsonw_member_bool(w, "existing", true);
    call_send(call);
    job_free(found->job);
    call_end(call);
}

static void answer_one(struct call *call, const struct engine_new_job *made)
{
    struct wish *wish = call->state;
    if (made->existing) {
        wish->seek = seek_job(call->commands, call->uid, made->id, on_existing, call);
        return;
    }
    write_job(call, engine_job(call->commands->engine, made->id), call_reply(call, REPLY_OK));
    call_send(call);
    call_end(call);
}

static void answer_many(struct call *call, const struct engine_new_job *jobs, size_t count)
{
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

/* ---- the commands ---- */

static void on_made(void *arg, const struct making_done *result)
{
    struct call *call = arg;
    struct wish *wish = call->state;
    wish->making = NULL;
    if (result->error && result->at_fault == wish->count)
        call_error(call, result->error);
    else if (result->error)
        refuse(call, result->at_fault, result->error);
    else if (result->provider)
        answer_dry_run(call, wish->requests[0], result->provider);
    else if (call->verb == VERB_BATCH)
        answer_many(call, result->jobs, wish->count);
    else
        answer_one(call, &result->jobs[0]);
}

static void make(struct call *call)
{
    struct wish *wish = call->state;
    struct making *making = making_start(call->commands, call_peer(call), wish->requests,
                                         wish->count, wish->dry_run, on_made, call);
    if (making)
        wish->making = making;
}

void cmd_generate(struct call *call)
{
    struct error error;
    struct request *request = making_read(call->commands, call->args, &error);
    if (!request) {
        call_error(call, &error);
        return;
    }
    struct wish *wish = wish_new(call, 1);
    wish->requests[wish->count++] = request;
    (void)json_bool(json_get(call->args, "dry_run"), &wish->dry_run);
    make(call);
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
    struct wish *wish = wish_new(call, json_size(jobs));
    for (struct json_iter it = json_iter(jobs); json_next(&it);) {
        struct error error;
        struct request *request = making_read(call->commands, it.value, &error);
        if (!request)
            return refuse(call, wish->count, &error);
        wish->requests[wish->count++] = request;
        if (check_no_dry_run(it.value, &error) < 0)
            return refuse(call, wish->count - 1, &error);
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
        make(call);
}
