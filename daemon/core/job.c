#include "daemon/core/job.h"

#include <stdlib.h>
#include <string.h>

#include "daemon/core/job_money.h"
#include "proto/mem.h"

#define BIT(state) (1u << JOB_##state)

/* One row a state: its name, its flags, and the states that may follow. */
static const struct {
    const char *name;
    unsigned flags;
    unsigned next;
} states[JOB_STATE_COUNT] = {
#define X(name, text, flags) [JOB_##name] = {text, flags, NEXT_##name},
#define NEXT_QUEUED          (BIT(SUBMITTING) | BIT(HELD) | BIT(CANCELLED) | BIT(EXPIRED))
#define NEXT_SUBMITTING                                                                          \
    (BIT(RUNNING) | BIT(FETCHING) | BIT(FILTERED) | BIT(QUEUED) | BIT(FAILED) | BIT(UNCERTAIN) | \
     BIT(HELD) | BIT(CANCELLED))
#define NEXT_RUNNING \
    (BIT(FETCHING) | BIT(FILTERED) | BIT(FAILED) | BIT(EXPIRED) | BIT(QUEUED) | BIT(CANCELLED))
#define NEXT_FETCHING  (BIT(DONE) | BIT(FAILED) | BIT(CANCELLED))
#define NEXT_DONE      0
#define NEXT_FILTERED  BIT(QUEUED)
#define NEXT_FAILED    (BIT(QUEUED) | BIT(RUNNING))
#define NEXT_EXPIRED   (BIT(QUEUED) | BIT(RUNNING))
#define NEXT_UNCERTAIN (BIT(QUEUED) | BIT(RUNNING) | BIT(CANCELLED))
#define NEXT_HELD      (BIT(QUEUED) | BIT(CANCELLED))
#define NEXT_CANCELLED BIT(QUEUED)
    JOB_STATES(X)
#undef X
};

const char *job_state_name(enum job_state state)
{
    return states[state].name;
}

unsigned job_state_flags(enum job_state state)
{
    return states[state].flags;
}

enum job_state job_state_from_name(const char *name)
{
    int state = 0;
    while (state < JOB_STATE_COUNT && strcmp(states[state].name, name) != 0)
        state++;
    return (enum job_state)state;
}

bool job_may_move(enum job_state from, enum job_state to)
{
    return (states[from].next & (1u << to)) != 0;
}

static void replace(char **text, const char *by)
{
    char *copy = mem_strdup(by);
    free(*text);
    *text = copy;
}

void job_set_error(struct job *job, const struct job_error *from)
{
    static const struct job_error none;
    if (!from)
        from = &none;
    replace(&job->error.code, from->code);
    replace(&job->error.message, from->message);
    replace(&job->error.provider, from->provider);
    job->error.retryable = from->retryable;
}

static void clear_uris(struct job *job)
{
    for (size_t i = 0; i < job->uri_count; i++)
        free(job->uris[i]);
    free(job->uris);
    job->uris = NULL;
    job->uri_count = 0;
    job->inline_result = false;
}

static void clear_files(struct job *job)
{
    for (size_t i = 0; i < job->file_count; i++) {
        free(job->files[i].path);
        free(job->files[i].mime_type);
    }
    free(job->files);
    job->files = NULL;
    job->file_count = 0;
}

static void set_uris(struct job *job, char *const *uris, size_t count)
{
    clear_uris(job);
    job->uris = count ? mem_alloc(count * sizeof(*job->uris)) : NULL;
    for (; job->uri_count < count; job->uri_count++)
        job->uris[job->uri_count] = mem_strdup(uris[job->uri_count]);
}

static void set_files(struct job *job, const struct job_file *files, size_t count)
{
    clear_files(job);
    job->files = count ? mem_alloc(count * sizeof(*job->files)) : NULL;
    for (; job->file_count < count; job->file_count++) {
        struct job_file *file = &job->files[job->file_count];
        *file = files[job->file_count];
        file->path = mem_strdup(file->path);
        file->mime_type = mem_strdup(file->mime_type);
    }
}

static int allowed_attempts(const struct job *job, const struct job_policy *policy)
{
    int more = job->request->max_attempts ? job->request->max_attempts : policy->max_attempts;
    return job->attempts_counted + more;
}

struct job *job_new(const char *id, uid_t owner, struct request *request,
                    const struct job_policy *policy, int64_t now)
{
    struct job *job = mem_alloc(sizeof(*job));
    memcpy(job->id, id, JOB_ID_LENGTH);
    job->state = JOB_QUEUED;
    job->owner = owner;
    job->request = request_ref(request);
    job->attempts_allowed = allowed_attempts(job, policy);
    job->created_at = now;
    job->updated_at = now;
    job->deadline_at = now + request->deadline_ms;
    job->not_before = request->not_before;
    return job;
}

bool job_is_at_rest(const struct job *job)
{
    return (job_state_flags(job->state) & (JOB_ENDED | JOB_STUCK)) != 0;
}

struct job *job_copy(const struct job *job)
{
    struct job *copy = mem_alloc(sizeof(*copy));
    *copy = *job;
    copy->request = request_ref(job->request);
    copy->provider = mem_strdup(job->provider);
    copy->operation = mem_strdup(job->operation);
    copy->uris = NULL;
    copy->uri_count = 0;
    set_uris(copy, job->uris, job->uri_count);
    copy->inline_result = job->inline_result;
    copy->files = NULL;
    copy->file_count = 0;
    set_files(copy, job->files, job->file_count);
    copy->error = (struct job_error){0};
    job_set_error(copy, &job->error);
    return copy;
}

void job_free(struct job *job)
{
    if (!job)
        return;
    request_unref(job->request);
    free(job->provider);
    free(job->operation);
    clear_uris(job);
    clear_files(job);
    job_set_error(job, NULL);
    free(job);
}

/* ---- what becomes of a job: one small function an event; each returns the state to go to ---- */

typedef enum job_state step_fn(struct job *job, const struct job_event *event,
                               const struct job_policy *policy);

static enum job_state back_to_queue(struct job *job, const struct job_event *event)
{
    job->not_before = event->now + event->delay_ms;
    job->backoffs++;
    return JOB_QUEUED;
}

static enum job_state count_attempt(struct job *job, const struct job_event *event)
{
    job->attempts_counted = job->attempt;
    if (job->attempts_counted < job->attempts_allowed)
        return back_to_queue(job, event);
    return JOB_FAILED;
}

static enum job_state on_submit(struct job *job, const struct job_event *event,
                                const struct job_policy *policy)
{
    (void)policy;
    job->attempt = job->attempts_counted + 1;
    job->submitted_at = event->now;
    job->running_at = 0;
    job->noticed_at = 0;
    job->attempt_charge = 0;
    job->charged_at = 0;
    job->presumed = false;
    replace(&job->provider, event->provider);
    replace(&job->operation, NULL);
    clear_uris(job);
    clear_files(job);
    job_set_error(job, NULL);
    return JOB_SUBMITTING;
}

static enum job_state on_accepted(struct job *job, const struct job_event *event,
                                  const struct job_policy *policy)
{
    (void)policy;
    replace(&job->operation, event->operation);
    job->attempts_counted = job->attempt;
    job->unreachable_at = 0;
    job->backoffs = 0;
    job->running_at = event->now;
    if (job->state != JOB_CANCELLED)
        return JOB_RUNNING;
    /* Cancelled while the answer was on its way: the name is kept, so that it can be told. */
    job_presume(job, event->now);
    return JOB_CANCELLED;
}

static enum job_state on_refused(struct job *job, const struct job_event *event,
                                 const struct job_policy *policy)
{
    (void)policy;
    job->unreachable_at = 0;
    job_set_error(job, &event->error);
    return event->counts ? count_attempt(job, event) : back_to_queue(job, event);
}

static enum job_state on_unreachable(struct job *job, const struct job_event *event,
                                     const struct job_policy *policy)
{
    job_set_error(job, &event->error);
    if (job->unreachable_at == 0)
        job->unreachable_at = event->now;
    if (event->now - job->unreachable_at >= policy->connect_for_ms)
        return JOB_FAILED;
    return back_to_queue(job, event);
}

static enum job_state on_rejected(struct job *job, const struct job_event *event,
                                  const struct job_policy *policy)
{
    (void)policy;
    job->attempts_counted = job->attempt;
    job_set_error(job, &event->error);
    return JOB_FAILED;
}

static enum job_state on_no_credit(struct job *job, const struct job_event *event,
                                   const struct job_policy *policy)
{
    (void)policy;
    job->unreachable_at = 0;
    job_set_error(job, &event->error);
    return JOB_HELD;
}

static enum job_state on_unheard(struct job *job, const struct job_event *event,
                                 const struct job_policy *policy)
{
    job->unreachable_at = 0;
    job_set_error(job, &event->error);
    if (!policy->resubmit_uncertain) {
        job->attempts_counted = job->attempt;
        return JOB_UNCERTAIN;
    }
    job_presume(job, event->now);
    return count_attempt(job, event);
}

static enum job_state on_result(struct job *job, const struct job_event *event,
                                const struct job_policy *policy)
{
    (void)policy;
    if (job->state == JOB_SUBMITTING) {
        replace(&job->operation, event->operation);
        job->attempts_counted = job->attempt;
        job->running_at = job->submitted_at;
    }
    job->noticed_at = event->now;
    set_uris(job, event->uris, event->uri_count);
    job->inline_result = event->inline_result;
    job_set_error(job, NULL);
    job_book(job, event->charge >= 0 ? event->charge : job->estimate, false, event->now);
    return JOB_FETCHING;
}

static enum job_state on_filtered(struct job *job, const struct job_event *event,
                                  const struct job_policy *policy)
{
    (void)policy;
    job->attempts_counted = job->attempt;
    job->noticed_at = event->now;
    job_set_error(job, &event->error);
    job_settle_for_nothing(job, event->now);
    return JOB_FILTERED;
}

static enum job_state on_operation_failed(struct job *job, const struct job_event *event,
                                          const struct job_policy *policy)
{
    (void)policy;
    job->attempts_counted = job->attempt;
    job->unreachable_at = 0;
    job->noticed_at = event->now;
    job_set_error(job, &event->error);
    /* An operation that is not there any more may have ended well. */
    if (!event->error.code || strcmp(event->error.code, "not-found") != 0)
        job_settle_for_nothing(job, event->now);
    return event->error.retryable ? count_attempt(job, event) : JOB_FAILED;
}

static enum job_state on_deadline(struct job *job, const struct job_event *event,
                                  const struct job_policy *policy)
{
    (void)policy;
    job_set_error(job, &event->error);
    if (job->state == JOB_RUNNING)
        job_presume(job, event->now);
    return JOB_EXPIRED;
}

static enum job_state on_fetched(struct job *job, const struct job_event *event,
                                 const struct job_policy *policy)
{
    (void)policy;
    set_files(job, event->files, event->file_count);
    job_set_error(job, NULL);
    return JOB_DONE;
}

static enum job_state on_fetch_failed(struct job *job, const struct job_event *event,
                                      const struct job_policy *policy)
{
    (void)policy;
    job_set_error(job, &event->error);
    if (event->unmade)
        job_book(job, 0, false, event->now);
    return JOB_FAILED;
}

static enum job_state on_cancel(struct job *job, const struct job_event *event,
                                const struct job_policy *policy)
{
    (void)policy;
    job_set_error(job, &event->error);
    if (job->state == JOB_RUNNING || job->state == JOB_UNCERTAIN ||
        (job->state == JOB_SUBMITTING && event->counts))
        job_presume(job, event->now);
    return JOB_CANCELLED;
}

/* The answer to a submission whose job was cancelled meanwhile: only what it costs is news. */
static enum job_state on_late_answer(struct job *job, const struct job_event *event,
                                     const struct job_policy *policy)
{
    (void)policy;
    if (event->type == JOB_RESULT)
        job_book(job, event->charge >= 0 ? event->charge : job->estimate, false, event->now);
    else if (event->type == JOB_UNHEARD)
        job_presume(job, event->now);
    else
        job_settle_for_nothing(job, event->now);
    return JOB_CANCELLED;
}

/* An operation that may still hold, or have made, what was paid for. */
static bool has_open_operation(const struct job *job)
{
    if (!job->operation)
        return false;
    return job->state == JOB_UNCERTAIN || (job->state == JOB_EXPIRED && !job->noticed_at) ||
           (job->state == JOB_FAILED && job->noticed_at && (job->uri_count || job->inline_result));
}

static enum job_state on_retry(struct job *job, const struct job_event *event,
                               const struct job_policy *policy)
{
    bool open = has_open_operation(job);
    if (job->state == JOB_UNCERTAIN && !open)
        job_presume(job, event->now);
    /* A result that couldn't be had is asked for once more; after that it's gone for good. */
    clear_uris(job);
    if (!open)
        replace(&job->operation, NULL);
    job_set_error(job, NULL);
    job->deadline_at = event->now + job->request->deadline_ms;
    job->attempts_allowed = allowed_attempts(job, policy);
    job->unreachable_at = 0;
    job->backoffs = 0;
    job->not_before = 0;
    job->noticed_at = 0;
    job->ended_at = 0;
    if (open && !job->running_at)
        job->running_at = job->submitted_at;
    return open ? JOB_RUNNING : JOB_QUEUED;
}

static enum job_state on_hold(struct job *job, const struct job_event *event,
                              const struct job_policy *policy)
{
    (void)policy;
    job_set_error(job, &event->error);
    return JOB_HELD;
}

static enum job_state on_release(struct job *job, const struct job_event *event,
                                 const struct job_policy *policy)
{
    (void)policy;
    job_set_error(job, NULL);
    job->not_before = job->request->not_before;
    job->unreachable_at = 0;
    job->deadline_at = event->now + job->request->deadline_ms;
    return JOB_QUEUED;
}

#define LATE BIT(CANCELLED) /* on_late_answer's */

/* One row an event: the states that take it, and what it does. */
static const struct {
    unsigned from;
    step_fn *step;
    const char *what; /* for "a job that is done can't be …" */
} steps[JOB_EVENT_COUNT] = {
    [JOB_SUBMIT] = {BIT(QUEUED), on_submit, "submitted"},
    [JOB_ACCEPTED] = {BIT(SUBMITTING) | BIT(CANCELLED), on_accepted, "accepted"},
    [JOB_REFUSED] = {BIT(SUBMITTING) | LATE, on_refused, "refused"},
    [JOB_UNREACHABLE] = {BIT(SUBMITTING) | LATE, on_unreachable, "put back"},
    [JOB_REJECTED] = {BIT(SUBMITTING) | LATE, on_rejected, "rejected"},
    [JOB_NO_CREDIT] = {BIT(SUBMITTING) | LATE, on_no_credit, "held for credit"},
    [JOB_UNHEARD] = {BIT(SUBMITTING) | LATE, on_unheard, "made uncertain"},
    [JOB_RESULT] = {BIT(SUBMITTING) | BIT(RUNNING) | BIT(FETCHING) | LATE, on_result, "fetched"},
    [JOB_FILTERED_OUT] = {BIT(SUBMITTING) | BIT(RUNNING) | LATE, on_filtered, "filtered"},
    [JOB_OPERATION_FAILED] = {BIT(SUBMITTING) | BIT(RUNNING) | LATE, on_operation_failed, "failed"},
    [JOB_DEADLINE] = {BIT(QUEUED) | BIT(RUNNING), on_deadline, "expired"},
    [JOB_FETCHED] = {BIT(FETCHING), on_fetched, "done"},
    [JOB_FETCH_FAILED] = {BIT(FETCHING), on_fetch_failed, "failed"},
    [JOB_CANCEL] = {BIT(QUEUED) | BIT(SUBMITTING) | BIT(RUNNING) | BIT(FETCHING) | BIT(UNCERTAIN) |
                        BIT(HELD),
                    on_cancel, "cancelled"},
    [JOB_RETRY] = {BIT(FAILED) | BIT(FILTERED) | BIT(EXPIRED) | BIT(CANCELLED) | BIT(UNCERTAIN),
                   on_retry, "retried"},
    [JOB_HOLD] = {BIT(QUEUED), on_hold, "held"},
    [JOB_RELEASE] = {BIT(HELD), on_release, "released"},
};

static bool is_late(const struct job *job, const struct job_event *event)
{
    return job->state == JOB_CANCELLED && event->type != JOB_ACCEPTED && event->type != JOB_RETRY;
}

/* What the answer to a cancelled submission changes: that it came to nothing, if it seemed to cost
 * something; that it did not, or that nobody knows, once. */
static bool is_no_news(const struct job *job, const struct job_event *event)
{
    if (!is_late(job, event))
        return false;
    if (event->type == JOB_RESULT || event->type == JOB_UNHEARD)
        return job->operation || (event->type == JOB_UNHEARD && job->presumed);
    return !job->presumed;
}

int job_step(struct job *job, const struct job_event *event, const struct job_policy *policy,
             struct error *error)
{
    if (!(steps[event->type].from & (1u << job->state)) || is_no_news(job, event))
        return error_set(error, ERROR_CONFLICT, NULL, "a job that is %s can't be %s",
                         job_state_name(job->state), steps[event->type].what);
    step_fn *step = is_late(job, event) ? on_late_answer : steps[event->type].step;
    enum job_state next = step(job, event, policy);
    if (next != job->state && !job_may_move(job->state, next))
        abort(); /* the two tables contradict each other */
    if (next != job->state && (job_state_flags(next) & JOB_ENDED))
        job->ended_at = event->now;
    job->state = next;
    job->updated_at = event->now;
    return 0;
}
