#include <stdlib.h>
#include <string.h>

#include "daemon/engine/task.h"
#include "daemon/io/fault.h"
#include "daemon/io/sink.h"
#include "proto/mem.h"

#define URGENT_MS (24 * 60 * 60 * 1000LL)

#define FOR_LONG_MS (24 * 60 * 60 * 1000LL) /* until it is woken, or its deadline */

static int64_t elapsed_ms(const struct task *task)
{
    int64_t elapsed = engine_wall_ms() - task->job->running_at;
    return elapsed > 0 ? elapsed : 0;
}

int64_t poll_next_wait(const struct task *task)
{
    const struct engine *engine = task->engine;
    const struct learn_bounds *bounds = &engine->config.poll;
    if (task->unwatched)
        return (int64_t)((double)bounds->min_ms * engine_random());
    return learn_wait(engine->learn, task->job->request->model, bounds, elapsed_ms(task),
                      engine_random());
}

void poll_arm(struct task *task, int64_t wait_ms)
{
    int64_t left = task->job->deadline_at - engine_wall_ms();
    if (left < 0)
        left = 0;
    if (task->job->state == JOB_RUNNING && (left < wait_ms || !task->provider))
        wait_ms = left;
    task_wake_at(task, engine_steady_ms() + wait_ms);
}

void poll_drop(struct task *task)
{
    inbox_free(task->inbox, true);
    task->inbox = NULL;
}

static bool prepare(struct http_transfer *transfer, struct http_request *request)
{
    struct task *task = heap_entry(transfer, struct task, transfer);
    struct wire_request wire;
    if (task->engine->stopping || !access_given(task)) {
        task->busy = false;
        if (task->waits_for_token)
            poll_arm(task, FOR_LONG_MS);
        return false;
    }
    wire_request_init(&wire);
    task->token_generation = token_generation(task->provider->token);
    task->provider->provider.dialect->poll(&task->provider->provider, task->job->operation, &wire);
    task_fill_request(task->engine, task->provider, METER_POLL, &wire, request);
    request->total_ms = 0; /* the video may be inside; without progress it ends by stall_ms */
    task->job->polls++;
    task->engine->stats.polls++;
    return true;
}

static enum http_flow on_body(struct http_transfer *transfer, const struct http_reply *head,
                              const char *data, size_t length)
{
    (void)head;
    struct task *task = heap_entry(transfer, struct task, transfer);
    if (!task->inbox)
        task->inbox = inbox_new(task);
    return inbox_take(task->inbox, data, length);
}

static void failed(struct task *task, int64_t retry_after_ms)
{
    struct engine *engine = task->engine;
    struct backoff slower = {engine->config.poll.min_ms, engine->config.poll.max_ms};
    int64_t wait = backoff_delay(&slower, task->failures++, engine_random());
    if (wait < engine->config.poll.min_ms)
        wait = engine->config.poll.min_ms;
    engine->stats.poll_failures++;
    poll_drop(task);
    poll_arm(task, retry_after_ms > wait ? retry_after_ms : wait);
}

/* The sinks of the results that came inside the answer; false if one of them is no whole video. */
static bool claim_inline(struct task *task, const struct outcome *outcome, struct sink **sinks)
{
    bool whole = true;
    for (size_t i = 0; i < outcome->result_count; i++) {
        sinks[i] = task->inbox ? inbox_claim(task->inbox, outcome->results[i].inline_index) : NULL;
        whole = whole && sinks[i];
    }
    for (size_t i = 0; i < outcome->result_count && !whole; i++)
        sink_close(sinks[i], true);
    return whole;
}

static void got_inline(struct task *task, const struct outcome *outcome)
{
    struct sink **sinks = mem_alloc(outcome->result_count * sizeof(*sinks));
    if (!claim_inline(task, outcome, sinks)) {
        task_set_trouble(task, "the video inside the answer is damaged, or could not be stored");
        failed(task, -1);
    } else {
        poll_drop(task);
        fetch_take_inline(task, sinks, outcome->result_count);
        if (task->job->state == JOB_FETCHING) {
            fetch_start(task);
        } else {
            struct job_event event = {
                .type = JOB_RESULT, .inline_result = true, .charge = money_charge(task, outcome)};
            task_event(task, &event, false, NULL, NULL);
        }
    }
    free(sinks);
}

static void got_uris(struct task *task, const struct outcome *outcome)
{
    char **uris = mem_alloc((outcome->result_count + 1) * sizeof(*uris));
    struct job_event event = {
        .type = JOB_RESULT, .uris = uris, .charge = money_charge(task, outcome)};
    for (size_t i = 0; i < outcome->result_count; i++)
        if (outcome->results[i].uri)
            uris[event.uri_count++] = outcome->results[i].uri;
    task_event(task, &event, false, NULL, NULL);
    free(uris);
}

static void got_result(struct task *task, const struct outcome *outcome)
{
    if (task->job->state == JOB_RUNNING && !task->unwatched)
        learn_add(task->engine->learn, task->job->request->model, task->last_running_ms,
                  elapsed_ms(task));
    (void)fault_point("engine.noticed");
    if (outcome->results[0].uri) {
        poll_drop(task);
        got_uris(task, outcome);
    } else {
        got_inline(task, outcome);
    }
}

static void ended_badly(struct task *task, const struct outcome *outcome)
{
    struct job_event event = {
        .type = outcome->kind == OUTCOME_FILTERED ? JOB_FILTERED_OUT : JOB_OPERATION_FAILED,
        .error = {.code = outcome->code,
                  .message = outcome->message,
                  .retryable = outcome->retryable,
                  .provider = task->job->provider},
        .delay_ms = engine_backoff(task->engine, task->job->backoffs),
    };
    poll_drop(task);
    task_event(task, &event, false, NULL, NULL);
}

static void judge(struct task *task, const struct outcome *outcome)
{
    if (task->job->state == JOB_FETCHING && outcome->kind != OUTCOME_RESULT) {
        task_set_trouble(task, "asked again for the video inside the answer, and there was none");
        failed(task, outcome->retry_after_ms);
        return;
    }
    switch (outcome->kind) {
    case OUTCOME_PENDING:
        task->failures = 0;
        task->unwatched = false;
        task->last_running_ms = elapsed_ms(task);
        task_set_trouble(task, NULL);
        poll_drop(task);
        poll_arm(task, poll_next_wait(task));
        break;
    case OUTCOME_RESULT:
        got_result(task, outcome);
        break;
    case OUTCOME_FILTERED:
    case OUTCOME_FAILED:
        ended_badly(task, outcome);
        break;
    default:
        task_set_trouble(task, "%s", outcome->message ? outcome->message : "an unusable answer");
        failed(task, outcome->retry_after_ms);
        break;
    }
}

static void on_done(struct http_transfer *transfer, const struct http_reply *reply)
{
    struct task *task = heap_entry(transfer, struct task, transfer);
    task->busy = false;
    task->engine->provider_private[engine_provider_index(task->engine, task->provider)] |=
        reply->peer_private;
    if (task->job->state != JOB_RUNNING && task->job->state != JOB_FETCHING)
        return;
    if (reply->end != HTTP_ANSWERED) {
        task_set_trouble(task, "%s",
                         reply->end == HTTP_TOO_LARGE || reply->end == HTTP_STOPPED
                             ? "the answer is larger than [limits] reply_bytes"
                             : reply->reason);
        failed(task, -1);
        return;
    }
    if (access_refused(task, reply)) {
        poll_drop(task);
        poll_start(task);
        return;
    }
    struct wire_reply wire = task_wire_reply(reply);
    wire.operation = task->job->operation;
    if (task->inbox && !inbox_is_empty(task->inbox)) {
        struct buf *document = inbox_document(task->inbox);
        http_hide(document->data, document->length, token_value(task->provider->token));
        wire.body = buf_text(document);
        wire.length = document->length;
    }
    struct outcome outcome;
    outcome_init(&outcome);
    task->provider->provider.dialect->polled(&task->provider->provider, &wire, &outcome);
    judge(task, &outcome);
    outcome_free(&outcome);
}

/* Its result may vanish within the day: it goes before those that can wait. */
static bool is_urgent(const struct task *task)
{
    return fetch_vanishes_at(task->job) - engine_wall_ms() < URGENT_MS;
}

void poll_start(struct task *task)
{
    if (task->busy || task->engine->stopping || task->engine->over)
        return;
    if (!task->provider) {
        task_set_trouble(task, "its provider \"%s\" is no longer configured", task->job->provider);
        if (task->job->state == JOB_RUNNING)
            poll_arm(task, 0); /* the deadline still counts */
        return;
    }
    if (!access_given(task)) {
        poll_arm(task, FOR_LONG_MS);
        return;
    }
    task->busy = true;
    task->transfer = (struct http_transfer){
        .lane = HTTP_CALLS,
        .urgent = is_urgent(task),
        .prepare = prepare,
        .body = on_body,
        .done = on_done,
    };
    http_start(task->engine->http, &task->transfer);
}
