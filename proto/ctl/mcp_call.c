#include "proto/ctl/mcp_call.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/ctl/job_view.h"
#include "proto/ctl/mcp_copy.h"
#include "proto/ctl/mcp_progress.h"
#include "proto/ctl/mcp_result.h"
#include "proto/mem.h"

#define WAIT_GRACE_MS 5000  /* for the daemon to say itself that the time is up */
#define LEAVING_MS    500   /* before a daemon that ends is asked again */
#define LAST_MS       55000 /* after its start a call is answered, come what may */
#define COPY_LEAST_MS 5000

/* ---- beginning and end ---- */

void mcp_call_start(struct mcp *mcp, const struct mcp_tool *tool, struct json_value arguments,
                    const char *id, size_t id_length, const char *token, size_t token_length)
{
    struct error error;
    struct mcp_call *call = mem_alloc(sizeof *call);
    call->mcp = mcp;
    call->tool = tool;
    call->call.tool = tool->shared == TOOL_COUNT ? TOOL_CHECK : tool->shared;
    call->id = mem_strndup(id, id_length);
    call->progress.token = token ? mem_strndup(token, token_length) : NULL;
    call->started_at = clock_ms();
    buf_init(&call->rows, MCP_RESULT_MAX);
    mcp->calls[mcp->call_count++] = call;
    if (mcp_tool_start(call, arguments, &error) < 0)
        mcp_call_fail(call, &error);
}

bool mcp_call_has_room(const struct mcp *mcp)
{
    size_t audible = 0;
    for (size_t i = 0; i < mcp->call_count; i++)
        audible += mcp->calls[i]->is_silent ? 0 : 1;
    return audible < MCP_CALLS_MAX && mcp->call_count < MCP_CALLS_ALL;
}

struct mcp_call *mcp_call_find(const struct mcp *mcp, const char *id, size_t id_length)
{
    for (size_t i = 0; i < mcp->call_count; i++) {
        struct mcp_call *call = mcp->calls[i];
        if (!call->is_silent && strlen(call->id) == id_length &&
            memcmp(call->id, id, id_length) == 0)
            return call;
    }
    return NULL;
}

void mcp_call_free(struct mcp_call *call)
{
    struct mcp *mcp = call->mcp;
    size_t at = 0;
    while (mcp->calls[at] != call)
        at++;
    memmove(&mcp->calls[at], &mcp->calls[at + 1],
            (--mcp->call_count - at) * sizeof(struct mcp_call *));
    child_free(call->child);
    tool_call_free(&call->call);
    buf_free(&call->rows);
    free(call->argument);
    free(call->id);
    free(call->job);
    free(call->job_id);
    free(call->progress.token);
    free(call);
}

void mcp_call_finish(struct mcp_call *call, const char *result)
{
    if (!call->is_silent)
        result_write(call->mcp, call->id, result);
    mcp_call_free(call);
}

void mcp_call_fail(struct mcp_call *call, const struct error *error)
{
    struct buf text;
    struct jsonw w;
    buf_init(&text, MCP_RESULT_MAX);
    jsonw_init(&w, &text);
    tool_write_failure(&call->call, error, &w);
    mcp_call_finish(call, buf_text(&text));
    buf_free(&text);
}

void mcp_call_ask(struct mcp_call *call, enum mcp_step step, const char *verb, char *argument)
{
    free(call->argument);
    call->argument = argument;
    call->verb = verb;
    call->step = step;
    call->sends = 0;
    call->send_at = 0;
    *call->tag = '\0';
    call->due = clock_after(ctl_reply_timeout(call->mcp->ctl));
}

static char *argument_about(const struct mcp_call *call)
{
    struct buf text;
    struct jsonw w;
    buf_init(&text, 1024);
    jsonw_init(&w, &text);
    jsonw_object(&w);
    jsonw_member_string(&w, "id", call->job_id);
    if (call->step == STEP_WAIT) {
        jsonw_member_double(&w, "timeout_seconds", (double)clock_left(call->wait_until) / 1000);
        jsonw_member_bool(&w, "events", true);
    }
    jsonw_object_end(&w);
    return buf_steal(&text);
}

static void ask_about_job(struct mcp_call *call, enum mcp_step step, const char *verb)
{
    mcp_call_ask(call, step, verb, NULL);
    call->argument = argument_about(call);
}

/* ---- the image ---- */

int mcp_call_upload(struct mcp_call *call, struct error *error)
{
    call->step = STEP_UPLOAD;
    call->due = clock_after(LAST_MS);
    call->child = copy_start_upload(call->mcp, call->call.image_path);
    return call->child ? 0
                       : error_set(error, ERROR_UNAVAILABLE, "image_path",
                                   "the image can't be sent now: no process for it");
}

static void take_blob(struct mcp_call *call, struct mcp_child *child)
{
    struct error error;
    char blob[BLOB_NAME_MAX];
    if (copy_take_upload(child, call, blob, &error) < 0 ||
        mcp_tool_generate(call, blob, &error) < 0)
        mcp_call_fail(call, &error);
}

/* ---- the job ---- */

static void remember_job(struct mcp_call *call, struct json_value job)
{
    size_t length;
    const char *raw = json_raw(job, &length);
    free(call->job);
    free(call->job_id);
    call->job = mem_strndup(raw, length);
    call->job_id = job_member(job, "id");
    mcp_progress_take(call, job);
}

/* With `problem`, one line, the files stayed where the daemon has them. */
static void finish_job(struct mcp_call *call, bool is_copied, const char *problem)
{
    char *result = result_of_job(call, is_copied, problem);
    mcp_call_finish(call, result);
    free(result);
}

static void conclude(struct mcp_call *call)
{
    if (!call->mcp->output || call->is_silent || !copy_is_wanted(call)) {
        finish_job(call, false, NULL);
        return;
    }
    int64_t left = call->started_at + LAST_MS - clock_ms();
    call->step = STEP_COPY;
    call->due = clock_after(left > COPY_LEAST_MS ? left : COPY_LEAST_MS);
    call->child = copy_start_fetch(call);
    if (!call->child)
        finish_job(call, false, "no process for it");
}

/* What is submitted is paid for and goes on; HOLD takes only what is queued. */
static void give_up(struct mcp_call *call)
{
    bool is_ours = call->tool->shared == TOOL_FROM_TEXT || call->tool->shared == TOOL_FROM_IMAGE;
    if (is_ours && call->job_id && strcmp(call->progress.state, "queued") == 0)
        ask_about_job(call, STEP_HOLD, "HOLD");
    else
        mcp_call_free(call);
}

void mcp_call_take_job(struct mcp_call *call, struct json_value job)
{
    remember_job(call, job);
    if (call->is_silent)
        give_up(call);
    else if (!call->job_id || call->wait_ms == 0 || job_is_settled(call->progress.state)) {
        conclude(call);
    } else {
        int64_t latest = call->started_at + MCP_WAIT_MOST_MS;
        call->wait_until = clock_after(call->wait_ms);
        call->wait_until = call->wait_until < latest ? call->wait_until : latest;
        ask_about_job(call, STEP_WAIT, "WAIT");
        call->due = call->wait_until + WAIT_GRACE_MS;
    }
}

void mcp_call_cancel(struct mcp_call *call)
{
    call->is_silent = true;
    if (call->step == STEP_WAIT)
        give_up(call);
    else if (call->step != STEP_ASK || !*call->tag || strcmp(call->verb, "GENERATE") != 0)
        mcp_call_free(call);
}

/* ---- answers ---- */

/* Members of GENERATE that the tools call otherwise. */
static const char *field_of(const struct mcp_call *call, const char *field)
{
    if (strcmp(field, "image") == 0 && call->call.image_path)
        return "image_path";
    return strcmp(field, "id") == 0 || strcmp(field, "ids") == 0 ? "operation_name" : field;
}

static void take_refusal(struct mcp_call *call, struct json_value err)
{
    struct error error;
    char *code = job_member(err, "code");
    char *field = job_member(err, "field");
    char *message = job_member(err, "message");
    enum error_code known = code ? error_code_from_name(code, strlen(code)) : ERROR_NONE;
    error_set(&error, known == ERROR_NONE ? ERROR_INTERNAL : known,
              field ? field_of(call, field) : NULL, "%s", message ? message : "refused");
    free(message);
    free(field);
    free(code);
    if (call->step == STEP_HOLD || call->step == STEP_DROP || call->is_silent) {
        mcp_call_free(call);
    } else if (call->step == STEP_WAIT && error.code == ERROR_DRAINING) {
        *call->tag = '\0';
        call->send_at = clock_after(LEAVING_MS);
    } else if (call->sends > 1 && error.code == ERROR_CONFLICT &&
               strcmp(call->verb, "CANCEL") == 0) {
        mcp_call_ask(call, STEP_ASK, "STATUS", mem_strdup(call->argument)); /* it was done before */
    } else {
        mcp_call_fail(call, &error);
    }
}

static void take_row(struct mcp_call *call, const struct answer *answer)
{
    struct buf row;
    struct jsonw w;
    if (call->tool->takes_row && !call->tool->takes_row(call, answer->value))
        return;
    buf_init(&row, MCP_RESULT_MAX);
    jsonw_init(&w, &row);
    if (call->tool->write_row)
        call->tool->write_row(answer->value, &w);
    else
        jsonw_raw(&w, answer->json, answer->json_length);
    if (call->has_more_rows || call->rows.length + row.length + 1 > MCP_RESULT_MAX) {
        call->has_more_rows = true;
    } else {
        if (call->row_count++ > 0)
            buf_add_byte(&call->rows, ',');
        buf_add(&call->rows, row.data, row.length);
    }
    buf_free(&row);
}

static void take_ok(struct mcp_call *call, struct json_value ok)
{
    if (call->step == STEP_ASK) {
        call->tool->answered(call, ok);
    } else if (call->step == STEP_WAIT) {
        remember_job(call, json_path(ok, "jobs.0"));
        conclude(call);
    } else if (call->step == STEP_HOLD) {
        ask_about_job(call, STEP_DROP, "CANCEL");
    } else {
        mcp_call_free(call);
    }
}

static void take_answer(struct mcp_call *call, const struct answer *answer)
{
    if (answer->word == REPLY_ITEM)
        take_row(call, answer);
    else if (answer->word == REPLY_EVENT)
        mcp_progress_take_event(call, answer->value);
    else if (answer->word == REPLY_OK)
        take_ok(call, answer->value);
    else
        take_refusal(call, answer->value);
}

/* An ERR without a tag is about the connection, and so about all that was sent on it. */
static void take_untagged(struct mcp *mcp, const struct answer *answer)
{
    for (size_t i = mcp->call_count; i-- > 0;)
        if (*mcp->calls[i]->tag && answer->word == REPLY_ERR)
            take_refusal(mcp->calls[i], answer->value);
}

void mcp_call_take_answer(struct mcp *mcp, const struct answer *answer)
{
    if (!*answer->tag)
        take_untagged(mcp, answer);
    for (size_t i = 0; i < mcp->call_count && *answer->tag; i++) {
        struct mcp_call *call = mcp->calls[i];
        if (strcmp(call->tag, answer->tag) == 0) {
            take_answer(call, answer);
            return;
        }
        if (strcmp(call->progress.look_tag, answer->tag) == 0) {
            mcp_progress_take_look(call, answer);
            return;
        }
    }
}

void mcp_call_take_break(struct mcp *mcp)
{
    for (size_t i = mcp->call_count; i-- > 0;) {
        struct mcp_call *call = mcp->calls[i];
        *call->tag = '\0';
        *call->progress.look_tag = '\0';
        buf_reset(&call->rows);
        call->row_count = 0;
        call->has_more_rows = false;
        if (call->is_silent)
            mcp_call_free(call);
    }
}

void mcp_call_take_child(struct mcp_call *call)
{
    if (!child_read(call->child))
        return;
    struct mcp_child *child = call->child;
    call->child = NULL;
    if (call->step == STEP_UPLOAD) {
        take_blob(call, child);
    } else {
        char *problem = copy_take_fetch(child);
        finish_job(call, !problem, problem);
        free(problem);
    }
    child_free(child);
}

/* ---- sending ---- */

static void fail_unreachable(struct mcp_call *call)
{
    struct error error;
    char why[400];
    link_explain(&call->mcp->link, why, sizeof why);
    error_set(&error, ERROR_UNAVAILABLE, NULL, "%s", why);
    mcp_call_fail(call, &error);
}

static void send_command(struct mcp_call *call)
{
    if (call->step == STEP_WAIT) { /* less time is left than when it was first sent */
        free(call->argument);
        call->argument = argument_about(call);
    }
    call->sends++;
    call->has_begun = true;
    link_send(&call->mcp->link, call->verb, call->argument ? call->argument : "", call->tag);
    if (call->step == STEP_WAIT)
        mcp_progress_begin(call);
}

static bool wants_to_send(const struct mcp_call *call)
{
    return !*call->tag && !call->child && clock_left(call->send_at) == 0;
}

/* In the order in which they came. */
void mcp_call_send_all(struct mcp *mcp)
{
    bool is_tried = false;
    for (size_t i = 0; i < mcp->call_count;) {
        struct mcp_call *call = mcp->calls[i];
        if (wants_to_send(call)) {
            bool is_there =
                call->has_begun || is_tried ? link_reopen(&mcp->link) : link_open(&mcp->link);
            is_tried = true;
            if (is_there)
                send_command(call);
            else if (!call->has_begun)
                fail_unreachable(call);
        }
        if (i < mcp->call_count && mcp->calls[i] == call)
            i++;
    }
}

/* ---- time ---- */

static void fail_overdue(struct mcp_call *call)
{
    struct error error;
    bool is_sent = strcmp(call->verb ? call->verb : "", "GENERATE") == 0 && call->has_begun;
    error_set(&error, ERROR_UNAVAILABLE, NULL, "the daemon at %s doesn't answer%s",
              call->mcp->ctl->socket_path,
              is_sent ? "; it may have accepted the video: look at list_videos before asking again"
                      : "");
    mcp_call_fail(call, &error);
}

static void take_overdue(struct mcp_call *call)
{
    if (call->is_silent)
        mcp_call_free(call);
    else if (call->step == STEP_WAIT)
        finish_job(call, false, NULL);
    else if (call->step == STEP_COPY)
        finish_job(call, false, "it takes too long; ask again with check_video_status");
    else
        fail_overdue(call);
}

void mcp_call_tick(struct mcp *mcp)
{
    for (size_t i = mcp->call_count; i-- > 0;) {
        struct mcp_call *call = mcp->calls[i];
        if (clock_left(call->due) == 0)
            take_overdue(call);
        else if (call->step == STEP_WAIT)
            mcp_progress_tick(call);
    }
}

int64_t mcp_call_next_tick(const struct mcp *mcp)
{
    int64_t next = CLOCK_NEVER;
    for (size_t i = 0; i < mcp->call_count; i++) {
        const struct mcp_call *call = mcp->calls[i];
        int64_t at = call->due;
        if (call->step == STEP_WAIT && call->progress.token && call->progress.next_at < at)
            at = call->progress.next_at;
        if (!*call->tag && !call->child) {
            int64_t send_at = link_is_open(&mcp->link) ? 0 : mcp->link.retry_at;
            send_at = send_at > call->send_at ? send_at : call->send_at;
            at = send_at < at ? send_at : at;
        }
        next = at < next ? at : next;
    }
    return next;
}
