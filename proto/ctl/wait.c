#include "proto/ctl/wait.h"

#include <stdlib.h>
#include <string.h>

#include "proto/ctl/interrupt.h"
#include "proto/ctl/job_view.h"
#include "proto/ctl/progress.h"
#include "proto/jsonw.h"
#include "proto/limits.h"

#define ANSWER_GRACE_MS 10000 /* for the daemon to say itself that the time is up */
#define STABLE_MS       2000  /* a connection that lived as long was a good one */
#define RECONNECT_PAUSE 100
#define TIMEOUT_MAX_MS  (30 * INT64_C(86400000)) /* the daemon's */
#define LOOKED_AT_MAX   32                       /* jobs whose estimate is asked for */

struct waiting {
    struct ctl *ctl;
    struct connection *connection;
    const struct wait *wait;
    struct progress *progress;
    char tag[COMMAND_TAG_MAX + 1]; /* of the WAIT */
    int64_t deadline;              /* the user's */
    int64_t opened_at;
    int64_t give_up_at; /* while nobody answers */
    bool said_broken;
};

static void write_timeout(struct jsonw *w, int64_t ms)
{
    ms = ms < TIMEOUT_MAX_MS ? ms : TIMEOUT_MAX_MS;
    jsonw_member_double(w, "timeout_seconds", (double)ms / 1000);
}

static char *wait_argument(const struct waiting *waiting)
{
    struct buf text;
    struct jsonw w;
    buf_init(&text, LIMIT_LINE);
    jsonw_init(&w, &text);
    jsonw_object(&w);
    jsonw_name(&w, "ids");
    jsonw_array(&w);
    for (size_t i = 0; i < waiting->wait->count; i++)
        jsonw_string(&w, waiting->wait->ids[i]);
    jsonw_array_end(&w);
    if (waiting->deadline != CLOCK_NEVER)
        write_timeout(&w, clock_left(waiting->deadline));
    jsonw_member_bool(&w, "events", true);
    jsonw_object_end(&w);
    return buf_steal(&text);
}

/* Asks beside the WAIT how a job is: its answer carries the estimate. */
static void look_at(struct waiting *waiting, const char *id)
{
    char tag[COMMAND_TAG_MAX + 1];
    if (progress_is_drawn(waiting->progress))
        connection_send(waiting->connection, "STATUS", id, clock_after(REPLY_TIMEOUT_MS), tag);
}

static enum connection_result start(struct waiting *waiting)
{
    char *argument = wait_argument(waiting);
    enum connection_result result = connection_send(waiting->connection, "WAIT", argument,
                                                    clock_after(REPLY_TIMEOUT_MS), waiting->tag);
    free(argument);
    waiting->opened_at = clock_ms();
    for (size_t i = 0; i < waiting->wait->count && i < LOOKED_AT_MAX; i++)
        look_at(waiting, waiting->wait->ids[i]);
    return result;
}

static enum connection_result reconnect(struct waiting *waiting)
{
    int64_t now = clock_ms();
    if (!waiting->said_broken) {
        progress_clear(waiting->progress);
        ctl_complain(waiting->ctl, "the daemon went away; trying to reach it again");
    }
    waiting->said_broken = true;
    if (waiting->give_up_at == 0 || now - waiting->opened_at > STABLE_MS)
        waiting->give_up_at = clock_after(waiting->wait->reconnect_ms);
    int64_t until =
        waiting->give_up_at < waiting->deadline ? waiting->give_up_at : waiting->deadline;
    interrupt_poll(NULL, 0, RECONNECT_PAUSE);
    if (clock_left(until) == 0)
        return CONNECTION_BROKEN;
    enum connection_result result = connection_reopen(waiting->connection, until);
    return result == CONNECTION_OK ? start(waiting) : result;
}

static void take_event(struct waiting *waiting, struct json_value event)
{
    progress_take(waiting->progress, event);
    char *state = job_member(event, "state");
    char *id = job_member(event, "id");
    if (id && state && strcmp(state, "running") == 0)
        look_at(waiting, id);
    free(state);
    free(id);
}

/* True if this answer ends the waiting. */
static bool take_answer(struct waiting *waiting, const struct answer *answer)
{
    bool is_wait = strcmp(answer->tag, waiting->tag) == 0;
    if (is_wait && answer->word == REPLY_EVENT)
        take_event(waiting, answer->value);
    else if (!is_wait && answer->word == REPLY_OK)
        progress_take(waiting->progress, answer->value);
    return (is_wait && (answer->word == REPLY_OK || answer->word == REPLY_ERR)) ||
           (answer->word == REPLY_ERR && !*answer->tag);
}

static int64_t read_deadline(const struct waiting *waiting)
{
    int64_t last = waiting->deadline;
    if (last < CLOCK_NEVER - ANSWER_GRACE_MS)
        last += ANSWER_GRACE_MS;
    int64_t tick = clock_after(PROGRESS_TICK_MS);
    return progress_is_drawn(waiting->progress) && tick < last ? tick : last;
}

static bool is_overdue(const struct waiting *waiting)
{
    return waiting->deadline != CLOCK_NEVER && clock_left(waiting->deadline) == 0 &&
           clock_ms() - waiting->deadline >= ANSWER_GRACE_MS;
}

/* To the answer that ends the WAIT, over as many connections as it takes. */
static enum connection_result read_to_end(struct waiting *waiting, struct answer *ret)
{
    enum connection_result result = start(waiting);
    for (;;) {
        progress_draw(waiting->progress);
        if (result == CONNECTION_OK)
            result = connection_read(waiting->connection, ret, read_deadline(waiting));
        if (result == CONNECTION_OK && take_answer(waiting, ret)) {
            if (!call_is_leaving(ret))
                return result;
            result = CONNECTION_BROKEN;
        }
        if (result == CONNECTION_TIMED_OUT && !is_overdue(waiting))
            result = CONNECTION_OK;
        if (result == CONNECTION_BROKEN)
            result = reconnect(waiting);
        if (result != CONNECTION_OK)
            return result;
    }
}

static void say_how_to_come_back(const struct waiting *waiting)
{
    const struct wait *wait = waiting->wait;
    if (wait->count == 1)
        ctl_complain(waiting->ctl, "no longer waiting; the job goes on: veoctl wait %s",
                     wait->ids[0]);
    else
        ctl_complain(waiting->ctl, "no longer waiting; the %zu jobs go on: veoctl wait %s …",
                     wait->count, wait->ids[0]);
}

static int explain(struct waiting *waiting, enum connection_result result)
{
    struct ctl *ctl = waiting->ctl;
    if (result == CONNECTION_INTERRUPTED) {
        say_how_to_come_back(waiting);
        if (ctl->is_prompt && interrupt_take())
            return EXIT_CANCELLED;
        interrupt_die();
    }
    if (clock_left(waiting->deadline) == 0) {
        ctl_complain(ctl, "timed out%s", result == CONNECTION_BROKEN ? "; no daemon answers" : "");
        return EXIT_TIMED_OUT;
    }
    return call_failed(ctl, waiting->connection, result);
}

int wait_for_jobs(struct ctl *ctl, struct connection *connection, const struct wait *wait,
                  struct answer *ret)
{
    struct waiting waiting = {.ctl = ctl, .connection = connection, .wait = wait};
    waiting.progress = progress_new(ctl);
    waiting.deadline = clock_after(wait->timeout_ms);
    interrupt_catch();
    enum connection_result result = read_to_end(&waiting, ret);
    progress_free(waiting.progress);
    if (result == CONNECTION_OK)
        return ret->word == REPLY_ERR ? call_refused(ctl, ret) : EXIT_ALL_DONE;
    ret->word = REPLY_UNKNOWN;
    return explain(&waiting, result);
}

int wait_exit_status(const struct answer *ok)
{
    bool timed_out = false;
    json_bool(json_get(ok->value, "timed_out"), &timed_out);
    enum exit_status status = (enum exit_status)job_exit_status(ok->value);
    return timed_out ? (int)exit_worse(status, EXIT_TIMED_OUT) : (int)status;
}

static void explain_held(void *arg, struct json_value job)
{
    struct ctl *ctl = arg;
    struct buf reason;
    if (!json_equals(json_get(job, "state"), "held"))
        return;
    buf_init(&reason, LIMIT_REPLY_LINE);
    job_reason(&reason, job);
    char *id = job_member(job, "id");
    /* One that a budget holds goes on by itself. */
    bool is_budget = json_equals(json_path(job, "error.code"), "budget-exceeded");
    ctl_complain(ctl, "%s is held%s%s%s", id ? id : "the job", reason.length > 0 ? ": " : "",
                 buf_text(&reason), is_budget ? "" : "; 'veoctl release' lets it go on");
    free(id);
    buf_free(&reason);
}

void wait_explain_held(struct ctl *ctl, const struct answer *ok)
{
    job_each(ok->value, explain_held, ctl);
}
