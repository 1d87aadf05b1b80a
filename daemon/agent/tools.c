#include "daemon/agent/tools.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/agent/path.h"
#include "daemon/cmd/call.h"
#include "daemon/cmd/making.h"
#include "daemon/cmd/seek.h"
#include "proto/limits.h"
#include "proto/mem.h"
#include "proto/tool.h"
#include "proto/units.h"

#define REQUEST_MAX (8 * LIMIT_LINE)

/* A call on its way: begun from the loop, it becomes a making or a seek, then a job that is
 * watched. */
struct tool_run {
    struct tool_run_config config; /* with copies of what it borrowed */
    struct peer peer;
    char *directory, *session, *key, *made;
    char *name, *arguments;
    struct tool_call call;

    uv_timer_t timer; /* the beginning, then the end of the wait */
    int64_t ends_at;  /* ms of the loop */
    unsigned holds;   /* what will call back still needs its memory */
    bool begun, hurried, cancelled, over;

    struct making *making;
    struct seek *seek;
    struct engine_observer observer;
    struct job *job; /* as it was when last heard of */
};

/* ---- its life ---- */

static void release(struct tool_run *run)
{
    if (--run->holds > 0)
        return;
    job_free(run->job);
    tool_call_free(&run->call);
    free(run->peer.groups);
    free(run->directory);
    free(run->session);
    free(run->key);
    free(run->made);
    free(run->name);
    free(run->arguments);
    free(run);
}

static void on_timer_closed(uv_handle_t *handle)
{
    release(handle->data);
}

static void let_go(struct tool_run *run)
{
    run->over = true;
    making_abandon(run->making);
    seek_abandon(run->seek);
    engine_unobserve(run->config.commands->engine, &run->observer);
    uv_close((uv_handle_t *)&run->timer, on_timer_closed);
}

static void end(struct tool_run *run, const char *result)
{
    let_go(run);
    run->config.done(run->config.arg, result);
}

/* ---- results ---- */

static void fail(struct tool_run *run, const struct error *error)
{
    struct error cause = *error;
    struct buf out;
    struct jsonw w;
    if (run->call.tool == TOOL_CHECK && strcmp(cause.field, "id") == 0)
        snprintf(cause.field, sizeof(cause.field), "operation_name");
    buf_init(&out, LIMIT_REPLY_LINE);
    jsonw_init(&w, &out);
    tool_write_failure(&run->call, &cause, &w);
    if (out.failed) { /* by what it was called with */
        const struct tool_call bare = {.tool = run->call.tool};
        buf_reset(&out);
        jsonw_init(&w, &out);
        tool_write_failure(&bare, &cause, &w);
    }
    end(run, buf_text(&out));
    buf_free(&out);
}

static void fail_unknown(struct tool_run *run)
{
    struct buf text, out;
    struct jsonw w;
    buf_init(&text, LIMIT_LINE);
    buf_init(&out, LIMIT_LINE);
    buf_addf(&text, "there is no tool \"%.60s\"; the tools are ", run->name);
    for (unsigned i = 0; i < TOOL_COUNT; i++)
        buf_addf(&text, "%s%s", i ? ", " : "", tool_info((enum tool)i)->name);
    jsonw_init(&w, &out);
    jsonw_object(&w);
    jsonw_member_bool(&w, "success", false);
    jsonw_member_string(&w, "error", buf_text(&text));
    jsonw_object_end(&w);
    end(run, buf_text(&out));
    buf_free(&text);
    buf_free(&out);
}

/* `shown` is a job as the protocol shows it, or what STATUS says of an operation. */
static void give(struct tool_run *run, struct buf *shown)
{
    struct error error;
    struct buf out;
    struct jsonw w;
    struct json *doc = json_parse(buf_text(shown), shown->length, (struct json_limits){0}, &error);
    if (!doc) {
        fail(run, &error);
        return;
    }
    buf_init(&out, LIMIT_REPLY_LINE);
    jsonw_init(&w, &out);
    tool_write_result(&run->call, json_root(doc), &w);
    json_free(doc);
    end(run, buf_text(&out));
    buf_free(&out);
}

static void give_job(struct tool_run *run)
{
    struct buf shown;
    struct jsonw w;
    buf_init(&shown, LIMIT_REPLY_LINE);
    jsonw_init(&w, &shown);
    jsonw_object(&w);
    engine_write_job(run->config.commands->engine, run->job, &w);
    jsonw_object_end(&w);
    give(run, &shown);
    buf_free(&shown);
}

static void give_operation(struct tool_run *run, const struct sought *found)
{
    struct error error;
    struct buf shown;
    struct jsonw w;
    buf_init(&shown, LIMIT_REPLY_LINE);
    jsonw_init(&w, &shown);
    jsonw_object(&w);
    int status =
        seek_write_operation(run->call.operation, found->provider, found->outcome, &w, &error);
    jsonw_object_end(&w);
    if (status < 0)
        fail(run, &error);
    else
        give(run, &shown);
    buf_free(&shown);
}

/* ---- the job ---- */

static void take_news(struct tool_run *run, const struct job *job)
{
    job_free(run->job);
    run->job = job_copy(job);
}

static void on_changed(struct engine_observer *observer, const struct job *job, int64_t event,
                       const char *detail)
{
    struct tool_run *run = heap_entry(observer, struct tool_run, observer);
    take_news(run, job);
    run->config.news(run->config.arg, job, event, detail);
    if (!run->over && job_is_at_rest(job))
        give_job(run);
}

static void on_cancelled(void *arg, const struct job *job, const struct error *error)
{
    struct tool_run *run = arg;
    (void)error;
    if (!run->over) {
        if (job)
            take_news(run, job);
        tool_run_hurry(run);
    }
    release(run);
}

static bool can_be_cancelled(const struct tool_run *run, const struct job *live)
{
    return run->call.tool != TOOL_CHECK && live &&
           (live->state == JOB_QUEUED || live->state == JOB_HELD);
}

/* Then, or now, it isn't waited for any longer. */
static void cancel_job(struct tool_run *run)
{
    struct engine *engine = run->config.commands->engine;
    const struct job *live = engine_job(engine, run->job->id);
    char reason[80];
    if (!can_be_cancelled(run, live)) {
        tool_run_hurry(run);
        return;
    }
    snprintf(reason, sizeof(reason), "cancelled by uid %u", (unsigned)run->peer.uid);
    run->holds++;
    engine_change(engine, job_copy(live), JOB_CANCEL, reason, on_cancelled, run);
}

static void on_timer(uv_timer_t *timer);

static void wait_until(struct tool_run *run, int64_t ends_at)
{
    int64_t now = (int64_t)uv_now(run->config.commands->loop);
    uv_timer_start(&run->timer, on_timer, ends_at > now ? (uint64_t)(ends_at - now) : 0, 0);
}

static void watch(struct tool_run *run, const struct job *job)
{
    struct engine *engine = run->config.commands->engine;
    const struct job *live = engine_job(engine, job->id);
    take_news(run, live ? live : job);
    memcpy(run->observer.id, job->id, JOB_ID_SIZE);
    run->observer.changed = on_changed;
    engine_observe(engine, &run->observer);
    run->config.began(run->config.arg, run->job);
    if (run->over)
        return;
    if (run->cancelled)
        cancel_job(run);
    else if (run->hurried || !run->call.wait || job_is_at_rest(run->job))
        give_job(run);
    else
        wait_until(run, run->ends_at);
}

static void on_sought(void *arg, struct sought *found)
{
    struct tool_run *run = arg;
    run->seek = NULL;
    if (found->error) {
        fail(run, found->error);
    } else if (found->outcome) {
        give_operation(run, found);
    } else {
        if (run->call.tool != TOOL_CHECK)
            run->config.spend(run->config.arg, found->job->estimate);
        watch(run, found->job);
        job_free(found->job);
    }
}

static void make(struct tool_run *run);

/* Of a run that may have been begun before. */
static void on_looked(void *arg, struct sought *found)
{
    struct tool_run *run = arg;
    struct error error;
    bool is_missing = found->error && found->error->code == ERROR_NOT_FOUND;
    if (!is_missing) {
        on_sought(arg, found);
        return;
    }
    run->seek = NULL;
    if (!*run->made) {
        make(run);
        return;
    }
    error_set(&error, ERROR_NOT_FOUND, NULL, "it became job %s, which was forgotten meanwhile",
              run->made);
    fail(run, &error);
}

/* ---- making it ---- */

static void on_made(void *arg, const struct making_done *result)
{
    struct tool_run *run = arg;
    struct commands *commands = run->config.commands;
    run->making = NULL;
    if (result->error) {
        fail(run, result->error);
        return;
    }
    const struct engine_new_job *made = &result->jobs[0];
    const struct job *job = engine_job(commands->engine, made->id);
    if (!made->existing || job) {
        run->config.spend(run->config.arg, job->estimate);
        watch(run, job);
    } else {
        run->seek = seek_job(commands, run->peer.uid, made->id, on_sought, run);
    }
}

static void write_labels(const struct tool_run *run, struct jsonw *w)
{
    jsonw_name(w, "labels");
    jsonw_object(w);
    jsonw_member_string(w, "session", run->session);
    jsonw_object_end(w);
}

/* A GENERATE, as its sender would have written it. */
static struct request *read_request(const struct tool_run *run, const char *image_path,
                                    struct error *error)
{
    struct buf text;
    struct jsonw w;
    buf_init(&text, REQUEST_MAX);
    jsonw_init(&w, &text);
    jsonw_object(&w);
    tool_write_request(&run->call, &w);
    jsonw_member_string(&w, "image_path", image_path);
    jsonw_member_string(&w, "key", run->key);
    write_labels(run, &w);
    jsonw_object_end(&w);
    if (text.failed)
        error_set(error, ERROR_TOO_LONG, NULL, "the arguments are longer than %d bytes",
                  REQUEST_MAX);
    struct json *doc =
        text.failed ? NULL
                    : json_parse(buf_text(&text), text.length, (struct json_limits){0}, error);
    struct request *request = doc ? making_read(run->config.commands, json_root(doc), error) : NULL;
    json_free(doc);
    buf_free(&text);
    return request;
}

static int check_room(const struct tool_run *run, const struct request *request,
                      struct error *error)
{
    char wants[UNITS_TEXT], left[UNITS_TEXT];
    int64_t room = run->config.room(run->config.arg);
    const struct model *model = engine_model(run->config.commands->engine, request->model);
    int64_t estimate = model_estimate(model, request);
    if (room < 0 || estimate <= room)
        return 0;
    units_format_dollars(estimate, wants);
    units_format_dollars(room, left);
    return error_set(error, ERROR_BUDGET_EXCEEDED, NULL,
                     "it is estimated at %s, and of what one turn's videos may cost together, "
                     "[agent] max_usd, %s is left",
                     wants, left);
}

static struct request *open_request(const struct tool_run *run, struct error *error)
{
    char *path = NULL;
    if (run->call.image_path) {
        path = path_join(run->directory, run->call.image_path, "image_path", error);
        if (!path)
            return NULL;
    }
    struct request *request = read_request(run, path, error);
    free(path);
    if (!request || check_room(run, request, error) == 0)
        return request;
    request_unref(request);
    return NULL;
}

static void make(struct tool_run *run)
{
    struct error error;
    struct request *request = NULL;
    if (run->cancelled || run->hurried)
        error_set(&error, ERROR_CONFLICT, NULL, "%s before it was begun",
                  run->cancelled ? "the user cancelled it" : "the turn was over");
    else
        request = open_request(run, &error);
    if (!request) {
        fail(run, &error);
        return;
    }
    struct making *making =
        making_start(run->config.commands, &run->peer, &request, 1, false, on_made, run);
    if (making)
        run->making = making;
    request_unref(request);
}

/* ---- from the text of a call ---- */

static void check(struct tool_run *run)
{
    struct error error;
    if (seek_check_name(run->call.operation, &error) < 0) {
        fail(run, &error);
        return;
    }
    /* Who was an admin before a restart may be none any more. */
    bool admin = run->config.admin && clients_trust(run->config.commands->clients, &run->peer);
    run->seek = seek_start(run->config.commands, admin ? -1 : (int64_t)run->peer.uid,
                           run->call.operation, on_sought, run);
}

/* Some models send nothing at all where they have nothing to say. */
static int read_call(struct tool_run *run, enum tool tool, struct error *error)
{
    const char *text = run->arguments + strspn(run->arguments, " \t\r\n");
    struct error cause;
    struct json *doc = json_parse(text, strlen(text), (struct json_limits){0}, &cause);
    run->call.tool = tool;
    if (!doc && *text)
        return error_set(error, cause.code, NULL, "the arguments are not JSON: %s", cause.message);
    struct json_value root = doc ? json_root(doc) : (struct json_value){.token = -1};
    int status = tool_read(tool, root, &run->call, error);
    json_free(doc);
    return status;
}

static void begin(struct tool_run *run)
{
    struct error error;
    enum tool tool = tool_named(run->name);
    run->begun = true;
    if (tool == TOOL_COUNT) {
        fail_unknown(run);
    } else if (read_call(run, tool, &error) < 0) {
        fail(run, &error);
    } else if (tool == TOOL_CHECK) {
        check(run);
    } else if (run->config.again) {
        run->seek = seek_key(run->config.commands, run->peer.uid, run->key, on_looked, run);
    } else {
        make(run);
    }
}

static void on_timer(uv_timer_t *timer)
{
    struct tool_run *run = timer->data;
    if (run->begun)
        give_job(run);
    else
        begin(run);
}

struct tool_run *tool_run_start(const struct tool_run_config *config, const struct chat_call *call)
{
    struct tool_run *run = mem_alloc(sizeof(*run));
    uv_loop_t *loop = config->commands->loop;
    run->peer = peer_copy(config->peer);
    run->directory = mem_strdup(config->directory);
    run->session = mem_strdup(config->session);
    run->key = mem_strdup(config->key);
    run->made = mem_strdup(config->made);
    run->name = mem_strdup(call->name);
    run->arguments = mem_strdup(call->arguments);
    run->config = *config;
    run->config.peer = &run->peer;
    run->config.directory = run->directory;
    run->config.session = run->session;
    run->config.key = run->key;
    run->ends_at = (int64_t)uv_now(loop) + config->wait_ms;
    run->holds = 1;
    uv_timer_init(loop, &run->timer);
    run->timer.data = run;
    uv_timer_start(&run->timer, on_timer, 0, 0);
    return run;
}

void tool_run_hurry(struct tool_run *run)
{
    run->hurried = true;
    if (run->job)
        wait_until(run, 0);
}

void tool_run_cancel(struct tool_run *run)
{
    bool again = run->cancelled;
    run->cancelled = true;
    if (run->job && !again)
        cancel_job(run);
}

void tool_run_abandon(struct tool_run *run)
{
    if (run)
        let_go(run);
}
