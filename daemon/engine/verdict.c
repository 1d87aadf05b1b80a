/* What a submission's answer, or the lack of one, makes of the job and of its provider's pace. */
#include <stdlib.h>

#include "daemon/engine/task.h"
#include "daemon/io/fault.h"
#include "daemon/io/log.h"
#include "proto/mem.h"

static uint64_t provider_bit(const struct task *task)
{
    return UINT64_C(1) << engine_provider_index(task->engine, task->provider);
}

/* A provider that was not asked in this round would take it. */
static bool may_go_elsewhere(const struct task *task)
{
    uint64_t takers = engine_takers(task->engine, task->job->request);
    return (takers & ~task->tried & ~provider_bit(task)) != 0;
}

static int64_t gate_delay(const struct outcome *outcome)
{
    int64_t now = engine_wall_ms();
    if (outcome->rule->until_day)
        return retry_day_turns(now) - now;
    return outcome->retry_after_ms > 0 ? outcome->retry_after_ms : -1;
}

static void turn_away(struct task *task, const struct retry_rule *rule, int64_t delay,
                      const char *reason)
{
    struct engine *engine = task->engine;
    int64_t now = engine_steady_ms();
    struct sched_view view;
    struct sched_refusal refusal = {
        .delay = delay,
        .slows = rule->slows,
        .is_everywhere = rule->shuts == SHUTS_PROVIDER,
        .reason = reason,
        .random = engine_random(),
    };
    size_t provider = engine_provider_index(engine, task->provider);
    if (!sched_turned_away(engine->sched, &task->queue, now, &refusal) ||
        !sched_look(engine->sched, provider, task->queue.model, now, &view))
        return;
    log_warning("provider", "%s: nothing is submitted for %lld ms%s%s: %s",
                task->provider->provider.name, (long long)(view.shut_until - now),
                refusal.is_everywhere ? "" : " to ", refusal.is_everywhere ? "" : task->queue.model,
                reason ? reason : "unreachable");
}

static int64_t wait_alone(const struct task *task, const struct outcome *outcome)
{
    int64_t wait = engine_backoff(task->engine, task->job->backoffs);
    return outcome->retry_after_ms > wait ? outcome->retry_after_ms : wait;
}

/* An error status, by the table of core/retry.h. Where a gate decides when, the job goes back to
 * its place in the queue. */
static void judge_error(struct task *task, const struct outcome *outcome, struct job_event *event)
{
    const struct retry_rule *rule = outcome->rule;
    bool elsewhere =
        (rule->class == RETRY_ELSEWHERE || rule->class == RETRY_HOLD) && may_go_elsewhere(task);
    switch (rule->class) {
    case RETRY_GATE:
        event->type = JOB_REFUSED;
        break;
    case RETRY_BACK_OFF:
        event->type = JOB_REFUSED;
        event->counts = true;
        event->delay_ms = wait_alone(task, outcome);
        break;
    case RETRY_ELSEWHERE:
        event->type = elsewhere ? JOB_REFUSED : JOB_REJECTED;
        break;
    case RETRY_HOLD:
        event->type = elsewhere ? JOB_REFUSED : JOB_NO_CREDIT;
        break;
    case RETRY_FAIL:
        event->type = JOB_REJECTED;
        sched_accepted(task->engine->sched, &task->queue, engine_steady_ms()); /* by the gate */
        break;
    case RETRY_UNCERTAIN:
        event->type = JOB_UNHEARD;
        event->delay_ms = wait_alone(task, outcome);
        break;
    }
    if (elsewhere)
        task->tried |= provider_bit(task);
    if (rule->class == RETRY_GATE || (elsewhere && rule->shuts != SHUTS_NOTHING))
        turn_away(task, rule, gate_delay(outcome), outcome->message);
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

/* An answer that already holds a result inside is polled for it: the file comes through the same
 * path then. */
static void judge_accepted(struct task *task, const struct outcome *outcome,
                           struct job_event *event, char **uris)
{
    switch (outcome->kind) {
    case OUTCOME_RESULT:
        collect_uris(outcome, event, uris);
        event->type = event->inline_result ? JOB_ACCEPTED : JOB_RESULT;
        event->charge = money_charge(task, outcome);
        break;
    case OUTCOME_FILTERED:
        event->type = JOB_FILTERED_OUT;
        break;
    case OUTCOME_FAILED:
        event->type = JOB_OPERATION_FAILED;
        event->delay_ms = wait_alone(task, outcome);
        break;
    case OUTCOME_ACCEPTED:
    case OUTCOME_PENDING:
        event->type = JOB_ACCEPTED;
        break;
    default:
        event->type = JOB_UNHEARD;
        event->delay_ms = wait_alone(task, outcome);
        return;
    }
    sched_accepted(task->engine->sched, &task->queue, engine_steady_ms());
}

static void judge(struct task *task, const struct outcome *outcome)
{
    struct job_event event = {
        .operation = outcome->operation,
        .error = {.code = outcome->code,
                  .message = outcome->message,
                  .retryable = outcome->retryable,
                  .provider = task->job->provider},
    };
    char **uris = mem_alloc((outcome->result_count + 1) * sizeof(*uris));
    if (outcome->rule)
        judge_error(task, outcome, &event);
    else
        judge_accepted(task, outcome, &event, uris);
    (void)fault_point("engine.answered");
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

/* The job's turn comes again when there is another token. */
static void token_refused(struct task *task)
{
    struct job_event event = {
        .type = JOB_REFUSED,
        .error = {.code = "unauthenticated",
                  .message = "the provider refused the access token, which is renewed",
                  .retryable = true,
                  .provider = task->job->provider},
    };
    task_event(task, &event, false, NULL, NULL);
}

/* The others need not find out for themselves. The first time another provider may have it at once;
 * then the job waits for itself, so that it isn't always the same that is tried. */
static void unreachable(struct task *task, const struct http_reply *reply)
{
    const struct retry_facts facts = {.end = RETRY_NOT_SENT};
    bool elsewhere = may_go_elsewhere(task) && task->job->unreachable_at == 0;
    struct job_event event = {
        .type = JOB_UNREACHABLE,
        .error = {.code = "unreachable",
                  .message = (char *)(uintptr_t)(reply->reason ? reply->reason : "unknown"),
                  .retryable = true},
        .delay_ms = elsewhere ? 0 : engine_backoff(task->engine, task->job->backoffs),
    };
    turn_away(task, retry_rule(&facts), -1, reply->reason);
    task_event(task, &event, false, NULL, NULL);
}

static void unheard(struct task *task, const struct http_reply *reply)
{
    char *message = mem_format("sent, and no complete answer came: %s",
                               reply->reason ? reply->reason : "unknown");
    struct job_event event = {
        .type = JOB_UNHEARD,
        .error = {.code = "no-answer", .message = message, .retryable = true},
        .delay_ms = engine_backoff(task->engine, task->job->backoffs),
    };
    task_event(task, &event, false, NULL, NULL);
    free(message);
}

void verdict_take(struct task *task, const struct http_reply *reply)
{
    if (reply->end == HTTP_NOT_SENT && reply->input_gone) {
        input_gone(task, reply);
    } else if (reply->end == HTTP_NOT_SENT) {
        unreachable(task, reply);
    } else if (reply->end != HTTP_ANSWERED) {
        unheard(task, reply);
    } else if (access_refused(task, reply)) {
        token_refused(task);
    } else {
        struct wire_reply wire = task_wire_reply(reply);
        struct outcome outcome;
        outcome_init(&outcome);
        task->provider->provider.dialect->submitted(&task->provider->provider, &wire, &outcome);
        judge(task, &outcome);
        outcome_free(&outcome);
    }
}
