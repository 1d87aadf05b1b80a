/* Waiting for a batch's jobs: some hundred at a time with one WAIT, whose events tell at once what
 * has ended, and whose answer tells what the events didn't. */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "proto/ctl/batch.h"
#include "proto/ctl/fetch.h"
#include "proto/ctl/interrupt.h"
#include "proto/ctl/job_view.h"
#include "proto/ctl/progress.h"
#include "proto/jsonw.h"
#include "proto/limits.h"
#include "proto/mem.h"

#define CHUNK          100 /* jobs of one WAIT */
#define WAITS_MAX      100 /* at a time */
#define PAUSE_MS       100
#define TIMEOUT_MAX_MS (30 * INT64_C(86400000)) /* the daemon's */

struct asked {
    size_t first; /* of the jobs */
    size_t count; /* 0: free */
    bool is_sent;
    char tag[COMMAND_TAG_MAX + 1];
};

struct waiting {
    struct batch *batch;
    struct asked asked[WAITS_MAX];
    size_t asked_count;
    size_t next;                       /* job that no WAIT names yet */
    char barrier[COMMAND_TAG_MAX + 1]; /* of the PING behind the last WAIT; empty: answered */
    int64_t deadline;
    int64_t give_up_at; /* unless something is heard; 0: the last connection was a good one */
    bool said_broken;
};

/* ---- results ---- */

/* The same file from an earlier run needs no second fetching. */
static bool is_there(const char *target, struct json_value file)
{
    struct stat info;
    int64_t bytes;
    return json_int(json_get(file, "bytes"), 0, INT64_MAX, &bytes) == 0 &&
           stat(target, &info) == 0 && S_ISREG(info.st_mode) && info.st_size == bytes;
}

static int fetch_one(struct batch *batch, const char *id, size_t index, const char *target)
{
    struct fetch fetch = {.id = id,
                          .file = index,
                          .target = target,
                          .overwrite = batch->overwrite,
                          .reconnect_ms = batch->reconnect_ms};
    int status = EXIT_ALL_DONE;
    if (batch->side.fd < 0 &&
        connection_reopen(&batch->side, clock_after(batch->reconnect_ms)) != CONNECTION_OK)
        return call_failed(batch->ctl, &batch->side, CONNECTION_BROKEN);
    status = fetch_check(batch->ctl, target, id, 0, batch->overwrite);
    return status == EXIT_ALL_DONE ? fetch_file(batch->ctl, &batch->side, &fetch) : status;
}

/* Adds where they are now. */
static void fetch_results(struct batch *batch, const char *id, struct json_value job,
                          struct buf *paths)
{
    struct json_value files = json_get(job, "files");
    for (size_t i = 0; i < json_size(files); i++) {
        struct json_value file = json_at(files, i);
        char *path = batch->folder ? fetch_target(batch->folder, id, i) : job_member(file, "path");
        if (batch->folder && !is_there(path, file)) {
            batch_draw_clear(batch);
            int status = fetch_one(batch, id, i, path);
            batch->status = exit_worse(batch->status, (enum exit_status)status);
            if (status != EXIT_ALL_DONE) {
                free(path);
                path = mem_format("not fetched: veoctl get %s", id);
            }
        }
        buf_addf(paths, "%s%s", paths->length > 0 ? " " : "", path ? path : "");
        free(path);
    }
}

static void settle(struct batch *batch, struct batch_job *entry, struct json_value job)
{
    struct buf paths;
    char *state = job_member(job, "state");
    buf_init(&paths, LIMIT_REPLY_LINE);
    enum exit_status status = exit_of_state(state ? state : "");
    entry->is_settled = true;
    batch->counts.ended++;
    batch->counts.not_done += status != EXIT_ALL_DONE;
    batch->status = exit_worse(batch->status, status);
    if (status == EXIT_ALL_DONE)
        fetch_results(batch, entry->id, job, &paths);
    batch_show_end(batch, entry->line, job, paths.length > 0 ? buf_text(&paths) : NULL);
    fflush(stdout);
    buf_free(&paths);
    free(state);
}

/* ---- asking ---- */

static char *wait_argument(const struct waiting *waiting, const struct asked *asked)
{
    struct buf text;
    struct jsonw w;
    buf_init(&text, LIMIT_LINE);
    jsonw_init(&w, &text);
    jsonw_object(&w);
    jsonw_name(&w, "ids");
    jsonw_array(&w);
    for (size_t i = asked->first; i < asked->first + asked->count; i++) {
        if (!waiting->batch->jobs[i].is_settled)
            jsonw_string(&w, waiting->batch->jobs[i].id);
    }
    jsonw_array_end(&w);
    if (waiting->deadline != CLOCK_NEVER) {
        int64_t left = clock_left(waiting->deadline);
        jsonw_member_double(&w, "timeout_seconds",
                            (double)(left < TIMEOUT_MAX_MS ? left : TIMEOUT_MAX_MS) / 1000);
    }
    jsonw_member_bool(&w, "events", true);
    jsonw_object_end(&w);
    return buf_steal(&text);
}

static bool is_all_settled(const struct batch *batch, const struct asked *asked)
{
    for (size_t i = asked->first; i < asked->first + asked->count; i++) {
        if (!batch->jobs[i].is_settled)
            return false;
    }
    return true;
}

/* The daemon has taken a WAIT from the socket once it answers the PING behind it. With one on its
 * way at a time neither side can wait for the other to read. */
static enum connection_result send_wait(struct waiting *waiting, struct asked *asked)
{
    struct connection *connection = &waiting->batch->connection;
    int64_t deadline = clock_after(REPLY_TIMEOUT_MS);
    char *argument = wait_argument(waiting, asked);
    enum connection_result result =
        connection_send(connection, "WAIT", argument, deadline, asked->tag);
    free(argument);
    if (result == CONNECTION_OK)
        result = connection_send(connection, "PING", NULL, deadline, waiting->barrier);
    asked->is_sent = true;
    return result;
}

/* An unsent one, or a free one for the next jobs; NULL: all are sent. */
static struct asked *find_unsent(struct waiting *waiting)
{
    struct asked *unused = NULL;
    for (struct asked *asked = waiting->asked; asked < waiting->asked + WAITS_MAX; asked++) {
        if (asked->count > 0 && !asked->is_sent && is_all_settled(waiting->batch, asked)) {
            *asked = (struct asked){0};
            waiting->asked_count--;
        }
        if (asked->count > 0 && !asked->is_sent)
            return asked;
        if (asked->count == 0)
            unused = asked;
    }
    size_t left = waiting->batch->job_count - waiting->next;
    bool is_full = waiting->asked_count > 0 &&
                   waiting->asked_count + 1 >= waiting->batch->commands; /* and the PING */
    if (!unused || left == 0 || is_full)
        return NULL;
    *unused = (struct asked){.first = waiting->next, .count = left < CHUNK ? left : CHUNK};
    waiting->next += unused->count;
    waiting->asked_count++;
    return unused;
}

static enum connection_result ask_next(struct waiting *waiting)
{
    struct asked *asked = *waiting->barrier ? NULL : find_unsent(waiting);
    return asked ? send_wait(waiting, asked) : CONNECTION_OK;
}

static enum connection_result reconnect(struct waiting *waiting)
{
    struct batch *batch = waiting->batch;
    if (waiting->give_up_at == 0)
        waiting->give_up_at = clock_after(batch->reconnect_ms);
    int64_t deadline =
        waiting->give_up_at < waiting->deadline ? waiting->give_up_at : waiting->deadline;
    if (clock_left(deadline) == 0)
        return CONNECTION_BROKEN;
    batch_draw_clear(batch);
    if (!waiting->said_broken)
        ctl_complain(batch->ctl, "the daemon went away; trying to reach it again");
    waiting->said_broken = true;
    *waiting->barrier = '\0';
    for (size_t i = 0; i < WAITS_MAX; i++)
        waiting->asked[i].is_sent = false;
    if (interrupt_poll(NULL, 0, PAUSE_MS) < 0)
        return CONNECTION_INTERRUPTED;
    return connection_reopen(&batch->connection, deadline);
}

/* ---- answers ---- */

/* A line that says the same as another has the same job. */
static void take_job(struct batch *batch, const struct asked *asked, struct json_value job,
                     bool is_event)
{
    char *state = job_member(job, "state");
    struct json_value id = json_get(job, "id");
    bool is_settled = state && job_is_settled(state);
    /* What waits for a person may move on before the WAIT ends. */
    if (is_event && is_settled && (strcmp(state, "held") == 0 || strcmp(state, "uncertain") == 0))
        is_settled = false;
    for (size_t i = asked->first; is_settled && i < asked->first + asked->count; i++) {
        struct batch_job *entry = &batch->jobs[i];
        if (!entry->is_settled && json_equals(id, entry->id))
            settle(batch, entry, job);
    }
    free(state);
}

/* The answer itself ends when the connection is used to fetch the result. */
static void take_copy(struct batch *batch, const struct asked *asked, const struct answer *answer)
{
    char *text = mem_strndup(answer->json, answer->json_length);
    struct json *doc = json_parse(text, answer->json_length, (struct json_limits){0}, NULL);
    if (doc)
        take_job(batch, asked, json_root(doc), false);
    json_free(doc);
    free(text);
}

static void forget(struct batch *batch, struct batch_job *entry, const struct answer *err)
{
    entry->is_settled = true;
    batch->counts.ended++;
    batch->counts.not_done++;
    batch->status = exit_worse(batch->status, EXIT_NOT_FOUND);
    batch_show_forgotten(batch, entry, err);
}

/* Of jobs too large for one line together, WAIT tells only id and state. */
static int look_at(struct batch *batch, const struct asked *asked, struct batch_job *entry)
{
    struct answer answer;
    struct call call = {.verb = "STATUS", .argument = entry->id};
    if (batch->side.fd < 0 &&
        connection_reopen(&batch->side, clock_after(batch->reconnect_ms)) != CONNECTION_OK)
        return call_failed(batch->ctl, &batch->side, CONNECTION_BROKEN);
    enum connection_result result = call_exchange(batch->ctl, &batch->side, &call, &answer);
    if (result != CONNECTION_OK) {
        connection_close(&batch->side);
        return result == CONNECTION_BROKEN ? EXIT_ALL_DONE
                                           : call_failed(batch->ctl, &batch->side, result);
    }
    if (answer.word == REPLY_OK)
        take_copy(batch, asked, &answer);
    else if (answer.word == REPLY_ERR)
        forget(batch, entry, &answer);
    return EXIT_ALL_DONE;
}

/* One by one, those of which nothing was heard. */
static int look_at_all(struct batch *batch, const struct asked *asked)
{
    int status = EXIT_ALL_DONE;
    for (size_t i = asked->first; i < asked->first + asked->count && status == EXIT_ALL_DONE; i++) {
        if (!batch->jobs[i].is_settled)
            status = look_at(batch, asked, &batch->jobs[i]);
    }
    return status;
}

static bool is_whole(struct json_value jobs)
{
    return json_type(json_get(json_at(jobs, 0), "created_at")) != JSON_NONE;
}

/* A time-out leaves jobs that haven't ended: they are asked for again, or the time is up. */
static int take_ok(struct waiting *waiting, struct asked *asked, const struct answer *answer)
{
    struct batch *batch = waiting->batch;
    struct json_value jobs = json_get(answer->value, "jobs");
    if (json_size(jobs) > 0 && !is_whole(jobs))
        return look_at_all(batch, asked);
    for (struct json_iter it = json_iter(jobs); json_next(&it);)
        take_job(batch, asked, it.value, false);
    return EXIT_ALL_DONE;
}

static struct asked *find_asked(struct waiting *waiting, const char *tag)
{
    for (size_t i = 0; i < WAITS_MAX; i++) {
        if (waiting->asked[i].is_sent && strcmp(waiting->asked[i].tag, tag) == 0)
            return &waiting->asked[i];
    }
    return NULL;
}

static void take_answer(struct waiting *waiting, const struct answer *answer, int *ret_status)
{
    struct batch *batch = waiting->batch;
    struct asked *asked = find_asked(waiting, answer->tag);
    if (strcmp(answer->tag, waiting->barrier) == 0)
        *waiting->barrier = '\0';
    if (!asked)
        return;
    if (answer->word == REPLY_EVENT) {
        take_job(batch, asked, answer->value, true);
        return;
    }
    asked->is_sent = false;
    if (answer->word == REPLY_OK) {
        *ret_status = take_ok(waiting, asked, answer);
    } else if (json_equals(json_get(answer->value, "code"), "not-found")) {
        *ret_status = look_at_all(batch, asked);
    } else {
        batch_draw_clear(batch);
        *ret_status = call_refused(batch->ctl, answer);
    }
}

static int64_t read_deadline(const struct waiting *waiting)
{
    int64_t tick = clock_after(PROGRESS_TICK_MS);
    return tick < waiting->deadline ? tick : waiting->deadline;
}

static enum connection_result wait_once(struct waiting *waiting, int *ret_status)
{
    struct answer answer;
    enum connection_result result =
        connection_read(&waiting->batch->connection, &answer, read_deadline(waiting));
    if (result == CONNECTION_TIMED_OUT)
        return CONNECTION_OK;
    if (result != CONNECTION_OK)
        return result;
    if (call_is_leaving(&answer))
        return CONNECTION_BROKEN;
    waiting->give_up_at = 0;
    take_answer(waiting, &answer, ret_status);
    return CONNECTION_OK;
}

static enum connection_result wait_all(struct waiting *waiting, int *ret_status)
{
    enum connection_result result = CONNECTION_OK;
    while (result == CONNECTION_OK && *ret_status == EXIT_ALL_DONE) {
        result = ask_next(waiting);
        if (result == CONNECTION_OK && waiting->asked_count == 0)
            break;
        if (result == CONNECTION_OK)
            result = wait_once(waiting, ret_status);
        if (result == CONNECTION_BROKEN)
            result = reconnect(waiting);
        batch_draw(waiting->batch);
        if (clock_left(waiting->deadline) == 0)
            break;
    }
    return result;
}

int batch_wait(struct batch *batch)
{
    struct waiting *waiting = mem_alloc(sizeof *waiting);
    int status = EXIT_ALL_DONE;
    waiting->batch = batch;
    waiting->deadline = clock_after(batch->wait_ms);
    enum connection_result result = wait_all(waiting, &status);
    bool is_late = waiting->deadline != CLOCK_NEVER && clock_left(waiting->deadline) == 0;
    free(waiting);
    batch_draw_clear(batch);
    if (is_late && batch->counts.ended < batch->job_count) {
        ctl_complain(batch->ctl, "timed out; the jobs go on");
        return EXIT_TIMED_OUT;
    }
    if (result != CONNECTION_OK)
        return call_failed(batch->ctl, &batch->connection, result);
    return status;
}
