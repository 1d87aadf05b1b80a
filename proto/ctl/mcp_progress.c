#include "proto/ctl/mcp_progress.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/ctl/job_view.h"

#define TICK_MS 5000

static void write_message(const struct mcp_call *call, int64_t now, char *ret, size_t size)
{
    const struct mcp_progress *progress = &call->progress;
    int at = snprintf(ret, size, "%s", progress->state);
    if (progress->running_since == 0 || strcmp(progress->state, "running") != 0)
        return;
    snprintf(ret + at, size - (size_t)at, ": %lld s of about %lld s",
             (long long)((now - progress->running_since) / 1000),
             (long long)(progress->expected_ms / 1000));
}

/* Seconds, so that it always grows; the total is a guess, and left out once it is proved wrong. */
static void tell(struct mcp_call *call)
{
    struct mcp_progress *progress = &call->progress;
    struct jsonw w;
    char message[80];
    int64_t now = clock_ms();
    double elapsed = (double)(now - call->started_at) / 1000;
    progress->next_at = now + TICK_MS;
    if (!progress->token)
        return;
    if (elapsed <= progress->last)
        elapsed = progress->last + 0.001;
    progress->last = elapsed;
    write_message(call, now, message, sizeof message);
    rpc_begin_notification(&call->mcp->out, &w, "notifications/progress");
    jsonw_object(&w);
    jsonw_name(&w, "progressToken");
    jsonw_raw(&w, progress->token, strlen(progress->token));
    jsonw_member_double(&w, "progress", elapsed);
    double total =
        (double)(progress->running_since + progress->expected_ms - call->started_at) / 1000;
    if (progress->running_since != 0 && total > elapsed)
        jsonw_member_double(&w, "total", total);
    jsonw_member_string(&w, "message", message);
    jsonw_object_end(&w);
    rpc_end(&call->mcp->out, &w);
}

static void take_estimate(struct mcp_call *call, struct json_value job)
{
    int64_t elapsed, expected;
    struct json_value progress = json_get(job, "progress");
    if (json_int(json_get(progress, "elapsed_ms"), 0, INT64_MAX / 2, &elapsed) < 0 ||
        json_int(json_get(progress, "expected_ms"), 0, INT64_MAX / 2, &expected) < 0)
        return;
    call->progress.running_since = clock_ms() - elapsed;
    call->progress.expected_ms = expected;
}

void mcp_progress_take(struct mcp_call *call, struct json_value job)
{
    char *state = job_member(job, "state");
    snprintf(call->progress.state, sizeof call->progress.state, "%s", state ? state : "");
    free(state);
    take_estimate(call, job);
}

/* The answer to a STATUS beside the WAIT has an estimate, and what changed before the WAIT. */
static void look(struct mcp_call *call)
{
    struct mcp_progress *progress = &call->progress;
    progress->next_at = clock_after(TICK_MS);
    if (progress->token && !*progress->look_tag)
        link_send(&call->mcp->link, "STATUS", call->job_id, progress->look_tag);
}

void mcp_progress_begin(struct mcp_call *call)
{
    look(call);
}

void mcp_progress_take_event(struct mcp_call *call, struct json_value event)
{
    mcp_progress_take(call, event);
    if (strcmp(call->progress.state, "running") == 0)
        look(call);
    else
        tell(call);
}

void mcp_progress_take_look(struct mcp_call *call, const struct answer *answer)
{
    *call->progress.look_tag = '\0';
    if (answer->word == REPLY_OK)
        mcp_progress_take(call, answer->value);
    tell(call);
}

void mcp_progress_tick(struct mcp_call *call)
{
    if (call->progress.token && clock_left(call->progress.next_at) == 0)
        tell(call);
}
