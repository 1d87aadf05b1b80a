#include <stdlib.h>
#include <string.h>

#include "proto/ctl/ask.h"
#include "proto/ctl/ask_line.h"
#include "proto/ctl/fetch.h"
#include "proto/ctl/job_view.h"
#include "proto/ctl/output.h"
#include "proto/ctl/text.h"
#include "proto/ctl/wait.h"
#include "proto/limits.h"
#include "proto/mem.h"

/* The results to fetch, copied: the next answer takes the place of this one. */
struct wanted {
    char **ids;
    size_t *files; /* which of that job's */
    size_t count;
};

static const struct {
    const char *finish;
    enum exit_status status;
    const char *message; /* where the daemon gives none */
} finishes[] = {
    {"answer", EXIT_ALL_DONE, NULL},
    {"cancelled", EXIT_CANCELLED, "the turn was cancelled"},
    {"rounds", EXIT_JOB_FAILED, "the turn was stopped: too many rounds"},
    {"tokens", EXIT_JOB_FAILED, "the turn was stopped: too many tokens"},
    {"time", EXIT_JOB_FAILED, "the turn was stopped: it took too long"},
    {"length", EXIT_JOB_FAILED, "the answer was cut"},
    {"refused", EXIT_JOB_FAILED, "the model refused"},
};

/* Says how the turn ended, where it isn't by an answer. */
static enum exit_status explain_finish(struct ctl *ctl, struct json_value ok)
{
    enum exit_status status = EXIT_JOB_FAILED;
    const char *otherwise = "the turn ended without an answer";
    char *message = job_member(ok, "message");
    for (size_t i = 0; i < sizeof finishes / sizeof finishes[0]; i++) {
        if (json_equals(json_get(ok, "finish"), finishes[i].finish)) {
            status = finishes[i].status;
            otherwise = finishes[i].message;
        }
    }
    if (message || otherwise)
        ctl_complain(ctl, "%s", message ? message : otherwise);
    free(message);
    return status;
}

static void put_answer(const struct ctl *ctl, struct json_value ok)
{
    struct buf text;
    char *words = job_member(ok, "text");
    if (!words || !*words) {
        free(words);
        return;
    }
    buf_init(&text, 2 * LIMIT_REPLY_LINE);
    text_clean_lines(&text, words, strlen(words));
    bool has_end = text.data[text.length - 1] == '\n';
    if (ctl->out.is_terminal && ctl->err.is_terminal)
        fputs("\n", ctl->err.file);
    fflush(ctl->err.file);
    printf("%s%s", buf_text(&text), has_end ? "" : "\n");
    fflush(stdout);
    buf_free(&text);
    free(words);
}

/* ---- the videos ---- */

static void put_files(void *arg, struct json_value job)
{
    const struct ctl *ctl = arg;
    for (struct json_iter it = json_iter(json_get(job, "files")); json_next(&it);) {
        struct buf line;
        buf_init(&line, LIMIT_REPLY_LINE);
        ask_line_file(&line, it.value);
        fprintf(ctl->err.file, "%s\n", buf_text(&line));
        buf_free(&line);
    }
}

static void want(struct wanted *wanted, const char *id, size_t file)
{
    wanted->ids = mem_resize(wanted->ids, wanted->count + 1, sizeof *wanted->ids);
    wanted->files = mem_resize(wanted->files, wanted->count + 1, sizeof *wanted->files);
    wanted->ids[wanted->count] = mem_strdup(id);
    wanted->files[wanted->count++] = file;
}

/* Where the answer was too long to tell the files there is one at least. */
static void want_job(void *arg, struct json_value job)
{
    char *id = job_member(job, "id");
    size_t files = json_size(json_get(job, "files"));
    bool is_done = json_equals(json_get(job, "state"), "done");
    for (size_t i = 0; id && is_done && i < (files ? files : 1); i++)
        want(arg, id, i);
    free(id);
}

/* In a folder each has its job's name; with one name for all of them, the later ones are
 * numbered. */
static char *target_of(const struct ask *ask, const struct wanted *wanted, size_t i)
{
    char *plain = fetch_target(ask->output, wanted->ids[i], 0);
    bool is_file = strcmp(plain, ask->output) == 0;
    free(plain);
    return fetch_target(ask->output, wanted->ids[i], is_file ? i : wanted->files[i]);
}

static void put_target(const struct ctl *ctl, const char *target)
{
    struct buf line;
    buf_init(&line, LIMIT_REPLY_LINE);
    text_clean(&line, target, strlen(target));
    if (!ctl->json)
        fprintf(ctl->err.file, "%s\n", buf_text(&line));
    buf_free(&line);
}

static int fetch_one(const struct ask *ask, struct connection *connection,
                     const struct wanted *wanted, size_t i)
{
    char *target = target_of(ask, wanted, i);
    struct fetch fetch = {.id = wanted->ids[i],
                          .file = wanted->files[i],
                          .target = target,
                          .overwrite = ask->overwrite,
                          .reconnect_ms = ask->reconnect_ms};
    int status = fetch_file(ask->ctl, connection, &fetch);
    if (status == EXIT_ALL_DONE)
        put_target(ask->ctl, target);
    else
        ctl_complain(ask->ctl, "the video is there all the same: veoctl get %s", wanted->ids[i]);
    free(target);
    return status;
}

static int fetch_all(const struct ask *ask, struct connection *connection,
                     const struct wanted *wanted)
{
    enum exit_status status = EXIT_ALL_DONE;
    for (size_t i = 0; i < wanted->count && status != EXIT_CANCELLED; i++)
        status = exit_worse(status, (enum exit_status)fetch_one(ask, connection, wanted, i));
    return (int)status;
}

static void wanted_free(struct wanted *wanted)
{
    for (size_t i = 0; i < wanted->count; i++)
        free(wanted->ids[i]);
    free(wanted->ids);
    free(wanted->files);
}

/* ---- jobs that go on ---- */

struct unfinished {
    char **ids; /* of all jobs, once one of them goes on */
    size_t count;
    bool any;
};

static void look_at_job(void *arg, struct json_value job)
{
    struct unfinished *jobs = arg;
    char *id = job_member(job, "id");
    char *state = job_member(job, "state");
    if (id) {
        jobs->any = jobs->any || (state && !job_is_settled(state));
        jobs->ids = mem_resize(jobs->ids, jobs->count + 1, sizeof *jobs->ids);
        jobs->ids[jobs->count++] = id;
    }
    free(state);
}

/* Whoever wants the videos here wants those as well that the model didn't wait for. `jobs` becomes
 * WAIT's answer then, which is as good as that of the turn. */
static int await_videos(const struct ask *ask, struct connection *connection,
                        const struct answer **jobs, struct answer *ret)
{
    struct unfinished all = {0};
    int status = EXIT_ALL_DONE;
    job_each((*jobs)->value, look_at_job, &all);
    if (all.any) {
        struct wait wait = {.ids = all.ids,
                            .count = all.count,
                            .timeout_ms = ask->timeout_ms,
                            .reconnect_ms = ask->reconnect_ms};
        status = wait_for_jobs(ask->ctl, connection, &wait, ret);
        *jobs = ret;
    }
    for (size_t i = 0; i < all.count; i++)
        free(all.ids[i]);
    free(all.ids);
    return status;
}

/* ---- all of it ---- */

static void explain_unfinished(void *arg, struct json_value job)
{
    struct ctl *ctl = arg;
    char *id = job_member(job, "id");
    char *state = job_member(job, "state");
    if (id && state && !job_is_settled(state))
        ctl_complain(ctl, "%s is still %s: veoctl wait %s", id, state, id);
    else if (id && state && strcmp(state, "uncertain") == 0)
        ctl_complain(ctl, "%s is uncertain: veoctl why %s", id, id);
    free(id);
    free(state);
}

/* The jobs: what became of them, and their videos. */
static enum exit_status end_jobs(const struct ask *ask, struct connection *connection,
                                 const struct answer *ok)
{
    struct ctl *ctl = ask->ctl;
    struct wanted wanted = {0};
    enum exit_status status = (enum exit_status)job_exit_status(ok->value);
    wait_explain_held(ctl, ok);
    job_each(ok->value, explain_unfinished, ctl);
    if (ask->output)
        job_each(ok->value, want_job, &wanted);
    else if (!ctl->json)
        job_each(ok->value, put_files, ctl);
    status = exit_worse(status, (enum exit_status)fetch_all(ask, connection, &wanted));
    wanted_free(&wanted);
    return status;
}

int ask_end(struct ask *ask, struct connection *connection, const struct answer *ok)
{
    struct answer waited;
    if (ask->ctl->json)
        ask->ctl->output->waited(ask->ctl, ok);
    else
        put_answer(ask->ctl, ok->value);
    enum exit_status status = explain_finish(ask->ctl, ok->value);
    if (ask->output && status == EXIT_ALL_DONE) {
        int result = await_videos(ask, connection, &ok, &waited);
        if (result != EXIT_ALL_DONE)
            return result;
    }
    return (int)exit_worse(status, end_jobs(ask, connection, ok));
}
