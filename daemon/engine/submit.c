#include <stdlib.h>
#include <string.h>

#include "daemon/engine/task.h"
#include "daemon/io/fault.h"
#include "daemon/io/log.h"
#include "proto/mem.h"

#define TELL_TRIES 3

/* ---- picking ---- */

void submit_schedule(struct engine *engine)
{
    int64_t now = engine_steady_ms();
    struct sched_entry *entry;
    access_look(engine);
    while (!engine->stopping && !engine->store_failing &&
           engine->submitting < engine->config.submit_at_once &&
           (entry = sched_pick(engine->sched, now))) {
        struct task *task = heap_entry(entry, struct task, queue);
        task->in_flight = true;
        task->is_submitting = true;
        engine->submitting++;
        struct job_event event = {
            .type = JOB_SUBMIT,
            .provider = task->provider->provider.name,
        };
        task_event(task, &event, true, NULL, NULL);
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

void task_fill_request(const struct engine *engine, const struct engine_provider *provider,
                       struct wire_request *wire, struct http_request *request)
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
    if (!access_given(task)) { /* it was there when the job was picked */
        task->waits_for_token = false;
        task->busy = false;
        put_back_waiting(task);
        return false;
    }
    wire_request_init(&wire);
    task->token_generation = token_generation(task->provider->token);
    task->provider->provider.dialect->submit(&task->provider->provider, task->job->request, &wire);
    task_fill_request(task->engine, task->provider, &wire, request);
    request->only_once = true;
    task->sent = true;
    task->engine->stats.submissions++;
    return true;
}

static struct job_error provider_said(const struct task *task, const struct outcome *outcome)
{
    return (struct job_error){
        .code = outcome->code,
        .message = outcome->message,
        .retryable = outcome->retryable,
        .provider = task->job->provider,
    };
}

/* Once for all that come back with the same news while the lane is shut. */
static void shut_lane(struct task *task, int64_t delay_ms, const char *why)
{
    struct engine *engine = task->engine;
    size_t lane = engine_provider_index(engine, task->provider);
    int64_t now = engine_steady_ms();
    bool was_open = sched_shut_until(engine->sched, lane) <= now;
    sched_shut(engine->sched, lane, now, delay_ms, &engine->config.backoff, engine_random());
    if (was_open)
        log_warning(
            "provider", "%s: nothing is submitted for %lld ms: %s", task->provider->provider.name,
            (long long)(sched_shut_until(engine->sched, lane) - now), why ? why : "unreachable");
}

static void back_off(struct task *task, const struct outcome *outcome, struct job_event *event)
{
    struct engine *engine = task->engine;
    event->delay_ms = engine_backoff(engine, task->job->backoffs);
    if (outcome->retry_after_ms > event->delay_ms)
        event->delay_ms = outcome->retry_after_ms;
    if (!outcome->gate)
        return;
    shut_lane(task, outcome->retry_after_ms, outcome->message);
    /* The gate decides when; the job itself goes back to its place in the queue. */
    event->delay_ms = 0;
}

static void collect_uris(const struct outcome *outcome, struct job_event *event, char **uris)
{
    for (size_t i = 0; i < outcome->result_count; i++) {
        if (outcome->results[i].uri)
            uris[event->uri_count++] = outcome->results[i].uri;
        else
            event->inline_result = true;
    }
    event->uris = uris;
}

/* What the answer makes of the job. An answer that already holds a result inside is polled for it:
 * the file comes through the same path then. */
static void judge(struct task *task, const struct outcome *outcome)
{
    struct job_event event = {.operation = outcome->operation,
                              .error = provider_said(task, outcome)};
    char **uris = mem_alloc((outcome->result_count + 1) * sizeof(*uris));
    switch (outcome->kind) {
    case OUTCOME_RESULT:
        collect_uris(outcome, &event, uris);
        event.charge = money_charge(task, outcome);
        event.type = event.inline_result ? JOB_ACCEPTED : JOB_RESULT;
        break;
    case OUTCOME_ACCEPTED:
    case OUTCOME_PENDING:
        event.type = JOB_ACCEPTED;
        break;
    case OUTCOME_FILTERED:
        event.type = JOB_FILTERED_OUT;
        break;
    case OUTCOME_FAILED:
        event.type = JOB_OPERATION_FAILED;
        back_off(task, outcome, &event);
        break;
    case OUTCOME_REJECTED:
        event.type = JOB_REJECTED;
        break;
    case OUTCOME_REFUSED:
        event.type = JOB_REFUSED;
        event.counts = !outcome->gate;
        back_off(task, outcome, &event);
        break;
    case OUTCOME_NO_CREDIT:
        event.type = JOB_NO_CREDIT;
        break;
    case OUTCOME_UNREADABLE:
        event.type = JOB_UNHEARD;
        event.delay_ms = engine_backoff(task->engine, task->job->backoffs);
        break;
    }
    (void)fault_point("engine.answered");
    if (event.type == JOB_ACCEPTED || event.type == JOB_RESULT)
        sched_opened(task->engine->sched, engine_provider_index(task->engine, task->provider));
    task_event(task, &event, false, NULL, NULL);
    free(uris);
}

/* Nothing left this machine, and it would be the same another time. */
static void input_gone(struct task *task, const struct http_reply *reply)
{
    char *message = mem_format("not sent: %s", reply->reason);
    struct job_event event = {
        .type = JOB_REJECTED,
        .error = {.code = "input-gone", .message = message},
    };
    task_event(task, &event, false, NULL, NULL);
    free(message);
}

static void unanswered(struct task *task, const struct http_reply *reply)
{
    struct engine *engine = task->engine;
    bool sent = reply->end != HTTP_NOT_SENT;
    if (!sent) /* then it is the same for the others */
        shut_lane(task, -1, reply->reason);
    char *message = mem_format("%s%s", sent ? "sent, and no complete answer came: " : "",
                               reply->reason ? reply->reason : "unknown");
    struct job_event event = {
        .type = sent ? JOB_UNHEARD : JOB_UNREACHABLE,
        .error = {.code = (char *)(uintptr_t)(sent ? "no-answer" : "unreachable"),
                  .message = message,
                  .retryable = true},
        .delay_ms = engine_backoff(engine, task->job->backoffs),
    };
    task_event(task, &event, false, NULL, NULL);
    free(message);
}

static void read_answer(struct task *task, const struct http_reply *reply)
{
    struct wire_reply wire = task_wire_reply(reply);
    struct outcome outcome;
    outcome_init(&outcome);
    task->provider->provider.dialect->submitted(&task->provider->provider, &wire, &outcome);
    judge(task, &outcome);
    outcome_free(&outcome);
}

static void on_done(struct http_transfer *transfer, const struct http_reply *reply)
{
    struct task *task = heap_entry(transfer, struct task, transfer);
    struct engine *engine = task->engine;
    task->busy = false;
    task->sent = false;
    engine->provider_private[engine_provider_index(engine, task->provider)] |= reply->peer_private;
    if (reply->end != HTTP_ANSWERED) {
        if (reply->end == HTTP_NOT_SENT && reply->input_gone)
            input_gone(task, reply);
        else
            unanswered(task, reply);
        submit_schedule(engine);
        engine_maybe_stopped(engine);
        return;
    }
    if (access_refused(task, reply))
        put_back(task, "unauthenticated", "the provider refused the token; it is renewed");
    else
        read_answer(task, reply);
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
    task_fill_request(telling->engine, telling->provider, &wire, request);
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
