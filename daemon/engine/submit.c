#include <stdlib.h>
#include <string.h>

#include "daemon/engine/task.h"
#include "daemon/io/fault.h"
#include "daemon/io/log.h"
#include "proto/mem.h"

#define TELL_TRIES 3

/* ---- picking ---- */

static void submit(struct task *task, size_t provider)
{
    struct engine *engine = task->engine;
    task->provider = &engine->config.providers[provider];
    task->is_submitting = true;
    engine->submitting++;
    struct job_event event = {
        .type = JOB_SUBMIT,
        .provider = task->provider->provider.name,
    };
    task_event(task, &event, true, NULL, NULL);
}

/* The provider's budget has no room for it; another's may have. */
static void pass_over(struct task *task, size_t provider)
{
    sched_put_back(task->engine->sched, &task->queue);
    task->unaffordable |= UINT64_C(1) << provider;
    task->engine->passed_over = true;
    if (!task_queue(task))
        money_hold(task);
}

void submit_schedule(struct engine *engine)
{
    int64_t now = engine_steady_ms();
    struct sched_entry *entry;
    size_t provider;
    access_look(engine);
    while (!engine->stopping && !engine->store_failing &&
           engine->submitting < engine->config.submit_at_once &&
           (entry = sched_pick(engine->sched, now, &provider))) {
        struct task *task = heap_entry(entry, struct task, queue);
        if (money_admits(task, provider))
            submit(task, provider);
        else
            pass_over(task, provider);
    }
    engine_arm(engine); /* room may have been made for those whose time is yet to come */
}

/* ---- one submission ---- */

static struct http_part *make_parts(const struct engine *engine, const struct wire_request *wire)
{
    struct http_part *parts = mem_alloc((wire->part_count + 1) * sizeof(*parts));
    for (size_t i = 0; i < wire->part_count; i++) {
        const struct input *input = wire->parts[i].input;
        parts[i] = (struct http_part){
            .at = wire->parts[i].at,
            .path = input->blob ? mem_format("%s/%s", engine->config.blob_directory, input->blob)
                                : mem_strdup(input->file),
            .bytes = input->bytes,
            .base64 = wire->parts[i].base64,
        };
    }
    return parts;
}

struct http_tally *engine_tally(const struct engine *engine, const struct engine_provider *provider,
                                enum meter_http what)
{
    return &engine->meter->providers[engine_provider_index(engine, provider)].http[what];
}

void task_fill_request(const struct engine *engine, const struct engine_provider *provider,
                       enum meter_http what, struct wire_request *wire,
                       struct http_request *request)
{
    *request = (struct http_request){
        .method = wire->post ? HTTP_POST : HTTP_GET,
        .secret_name = token_header(provider->token),
        .secret_value = token_value(provider->token),
        .header = provider->provider.dialect->header,
        .allow_private = true, /* the address is the operator's own choice */
        .connect_ms = engine->config.connect_ms,
        .stall_ms = engine->config.stall_ms,
        .total_ms = engine->config.answer_ms,
        .max_body = engine->config.reply_bytes,
        .tally = engine_tally(engine, provider, what),
    };
    request->body_length = wire->body.length;
    request->body = wire->post ? buf_steal(&wire->body) : NULL;
    request->url = buf_steal(&wire->url);
    request->content_type = wire->content_type;
    wire->content_type = NULL;
    if (wire->part_count > 0)
        request->parts = make_parts(engine, wire);
    request->part_count = wire->part_count;
    wire_request_free(wire);
}

struct wire_reply task_wire_reply(const struct http_reply *reply)
{
    return (struct wire_reply){
        .status = reply->status,
        .body = reply->body,
        .length = reply->body_length,
        .retry_after_ms = reply->retry_after_ms,
    };
}

/* Nothing was sent, or nothing that counts. */
static void put_back(struct task *task, const char *code, const char *why)
{
    struct job_event event = {
        .type = JOB_REFUSED,
        .error = {.code = (char *)(uintptr_t)code, .message = (char *)(uintptr_t)why},
    };
    task_event(task, &event, false, NULL, NULL);
}

static void put_back_stopping(struct task *task)
{
    put_back(task, "stopping", "veod stopped before it was sent");
}

static void put_back_waiting(struct task *task)
{
    char *why = mem_format("waits for a token: %s", token_why(task->provider->token));
    put_back(task, "no-token", why);
    free(why);
}

static bool prepare(struct http_transfer *transfer, struct http_request *request)
{
    struct task *task = heap_entry(transfer, struct task, transfer);
    struct wire_request wire;
    if (task->next) { /* a CANCEL is about to be durable; if it isn't, task_go_on comes back here */
        task->busy = false;
        return false;
    }
    if (!access_given(task)) { /* it was there when the job was picked */
        task->waits_for_token = false;
        task->busy = false;
        put_back_waiting(task);
        return false;
    }
    wire_request_init(&wire);
    task->token_generation = token_generation(task->provider->token);
    task->provider->provider.dialect->submit(&task->provider->provider, task->job->request, &wire);
    task_fill_request(task->engine, task->provider, METER_SUBMIT, &wire, request);
    request->only_once = true;
    task->sent = true;
    task->engine->stats.submissions++;
    return true;
}

static void on_done(struct http_transfer *transfer, const struct http_reply *reply)
{
    struct task *task = heap_entry(transfer, struct task, transfer);
    struct engine *engine = task->engine;
    task->busy = false;
    task->sent = false;
    engine->provider_private[engine_provider_index(engine, task->provider)] |= reply->peer_private;
    verdict_take(task, reply);
    /* An answer to what was cancelled changes nothing more, but makes room. */
    submit_schedule(engine);
    engine_maybe_stopped(engine);
}

static bool has_files(const struct request *request)
{
    const struct input *inputs[] = {request->image, request->last_frame, request->video};
    for (size_t i = 0; i < sizeof(inputs) / sizeof(inputs[0]); i++)
        if (inputs[i] && input_has_bytes(inputs[i]))
            return true;
    for (size_t i = 0; i < request->reference_count; i++)
        if (input_has_bytes(request->references[i]))
            return true;
    return false;
}

void submit_start(struct task *task)
{
    if (task->busy)
        return;
    if (task->engine->stopping || !task->provider) {
        put_back_stopping(task);
        return;
    }
    (void)fault_point("engine.submit");
    task->busy = true;
    task->transfer = (struct http_transfer){
        .lane = has_files(task->job->request) ? HTTP_UPLOADS : HTTP_CALLS,
        .urgent = true,
        .prepare = prepare,
        .done = on_done,
    };
    http_start(task->engine->http, &task->transfer);
}

void submit_take_back(struct task *task)
{
    if (task->job->state != JOB_SUBMITTING || !task->busy || task->sent)
        return;
    http_cancel(task->engine->http, &task->transfer);
    task->busy = false;
    put_back_stopping(task);
}

/* ---- telling the provider to stop: by the way, for a job that has ended for us ---- */

struct telling {
    struct telling *next;
    struct engine *engine;
    struct engine_provider *provider;
    struct http_transfer transfer;
    char *operation;
    char job[JOB_ID_SIZE];
    int tries;
    bool waits_for_token;
    unsigned token_generation;
};

static void free_telling(struct telling *telling)
{
    free(telling->operation);
    free(telling);
}

static bool tell_prepare(struct http_transfer *transfer, struct http_request *request)
{
    struct telling *telling = heap_entry(transfer, struct telling, transfer);
    struct wire_request wire;
    telling->waits_for_token = token_value(telling->provider->token) == NULL;
    if (telling->waits_for_token)
        return false;
    telling->token_generation = token_generation(telling->provider->token);
    wire_request_init(&wire);
    telling->provider->provider.dialect->cancel(&telling->provider->provider, telling->operation,
                                                &wire);
    task_fill_request(telling->engine, telling->provider, METER_OTHER, &wire, request);
    return true;
}

static void tell_done(struct http_transfer *transfer, const struct http_reply *reply)
{
    struct telling *telling = heap_entry(transfer, struct telling, transfer);
    bool told = reply->end == HTTP_ANSWERED && reply->status < 500 && reply->status != 429 &&
                !token_judge(telling->provider->token, telling->token_generation, reply->status);
    if (!told && ++telling->tries < TELL_TRIES) {
        http_start(telling->engine->http, transfer);
        return;
    }
    log_info("job", "%s: the provider was told to cancel: %s %d", telling->job,
             told ? "status" : "no success, last status", reply->status);
    struct telling **link = &telling->engine->tellings;
    while (*link != telling)
        link = &(*link)->next;
    *link = telling->next;
    free_telling(telling);
}

void submit_tell_cancel(struct engine *engine, const struct job *job)
{
    struct engine_provider *provider = engine_provider_named(engine, job->provider);
    if (!provider || !provider->provider.dialect->cancel || engine->over)
        return;
    struct telling *telling = mem_alloc(sizeof(*telling));
    telling->engine = engine;
    telling->provider = provider;
    telling->operation = mem_strdup(job->operation);
    memcpy(telling->job, job->id, JOB_ID_SIZE);
    telling->next = engine->tellings;
    engine->tellings = telling;
    telling->transfer = (struct http_transfer){
        .lane = HTTP_CALLS,
        .urgent = true,
        .prepare = tell_prepare,
        .done = tell_done,
    };
    http_start(engine->http, &telling->transfer);
}

void submit_tokens_changed(struct engine *engine, const struct engine_provider *provider,
                           bool given)
{
    for (struct telling *telling = engine->tellings; telling; telling = telling->next) {
        if (!given || !telling->waits_for_token || telling->provider != provider)
            continue;
        telling->waits_for_token = false;
        http_start(engine->http, &telling->transfer);
    }
}

void submit_forget_tellings(struct engine *engine)
{
    while (engine->tellings) {
        struct telling *telling = engine->tellings;
        engine->tellings = telling->next;
        free_telling(telling);
    }
}
