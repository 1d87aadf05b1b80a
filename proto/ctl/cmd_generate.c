#include <stdlib.h>
#include <string.h>

#include "proto/ctl/commands.h"
#include "proto/ctl/fetch.h"
#include "proto/ctl/generate.h"
#include "proto/ctl/job_view.h"
#include "proto/ctl/money.h"
#include "proto/ctl/output.h"
#include "proto/ctl/wait.h"
#include "proto/limits.h"

/* Sends it until there is an answer, or says how to go on without buying twice. */
static int submit(struct generate *g, struct connection *connection, struct answer *ret)
{
    struct call call = {.verb = "GENERATE", .argument = buf_text(&g->request)};
    ret->word = REPLY_UNKNOWN;
    int status = call_run_again(g->ctl, connection, &call, ret);
    bool unheard = status != EXIT_ALL_DONE && ret->word != REPLY_ERR;
    if (unheard && g->key)
        ctl_complain(g->ctl,
                     "the job may have been accepted; the same command with --key %s asks "
                     "again without buying twice",
                     g->key);
    return status;
}

static void print_paths(struct json_value job)
{
    struct json_value files = json_get(job, "files");
    for (size_t i = 0; i < json_size(files); i++) {
        char *path = job_member(json_at(files, i), "path");
        if (path)
            puts(path);
        free(path);
    }
}

/* For a person; scripts have `status`. */
static void tell_cost(const struct generate *g, struct json_value job)
{
    char cost[MONEY_TEXT];
    money_of_job(job, cost);
    if (!g->ctl->err.is_terminal || g->ctl->json || !*cost)
        return;
    fflush(stdout);
    bool is_estimate = *cost == '~';
    fprintf(g->ctl->err.file, "%s: %s\n", is_estimate ? "estimated price" : "charged",
            is_estimate ? cost + 1 : cost);
}

static int fetch_results(struct generate *g, struct connection *connection, const char *id,
                         size_t count)
{
    int status = EXIT_ALL_DONE;
    for (size_t i = 0; i < count && status == EXIT_ALL_DONE; i++) {
        char *target = fetch_target(g->output, id, i);
        struct fetch fetch = {.id = id,
                              .file = i,
                              .target = target,
                              .overwrite = g->overwrite,
                              .reconnect_ms = g->reconnect_ms};
        status = fetch_file(g->ctl, connection, &fetch);
        if (status == EXIT_ALL_DONE && !g->ctl->json && strcmp(target, "-") != 0)
            puts(target);
        free(target);
    }
    if (status != EXIT_ALL_DONE)
        ctl_complain(g->ctl, "the video is there all the same: veoctl get %s", id);
    return status;
}

static int show_end(struct generate *g, struct connection *connection, const char *id,
                    const struct answer *ok)
{
    struct buf line;
    struct json_value job = json_at(json_get(ok->value, "jobs"), 0);
    size_t files = json_size(json_get(job, "files"));
    int status = wait_exit_status(ok);
    if (g->ctl->json)
        g->ctl->output->waited(g->ctl, ok);
    if (status == EXIT_ALL_DONE) {
        if (!g->ctl->json && !g->output)
            print_paths(job);
        tell_cost(g, job);
        return g->output ? fetch_results(g, connection, id, files) : status;
    }
    buf_init(&line, LIMIT_REPLY_LINE);
    job_line(&line, job);
    ctl_complain(g->ctl, "%s%s", status == EXIT_TIMED_OUT ? "timed out: " : "", buf_text(&line));
    buf_free(&line);
    return status;
}

static int wait_for_end(struct generate *g, struct connection *connection, const char *id)
{
    char *ids[] = {(char *)id};
    struct answer answer;
    struct wait wait = {
        .ids = ids, .count = 1, .timeout_ms = g->wait_ms, .reconnect_ms = g->reconnect_ms};
    int status = wait_for_jobs(g->ctl, connection, &wait, &answer);
    return status == EXIT_ALL_DONE ? show_end(g, connection, id, &answer) : status;
}

static int go_on(struct generate *g, struct connection *connection, const struct answer *answer)
{
    struct ctl *ctl = g->ctl;
    if (g->dry_run) {
        ctl->output->dry_run(ctl, answer);
        return EXIT_ALL_DONE;
    }
    char *id = job_member(answer->value, "id");
    int status = EXIT_ALL_DONE;
    if (!g->waits || ctl->json)
        ctl->output->accepted(ctl, answer);
    if (!g->waits) {
        tell_cost(g, answer->value);
        wait_explain_held(ctl, answer);
    } else if (id) {
        status = wait_for_end(g, connection, id);
    } else {
        ctl_complain(ctl, "the daemon's answer to GENERATE has no id");
        status = EXIT_PROTOCOL;
    }
    free(id);
    return status;
}

int cmd_generate(struct ctl *ctl, struct args *args)
{
    struct generate g;
    struct connection connection;
    struct answer answer;
    int status = generate_parse(&g, ctl, args);
    if (status == EXIT_ALL_DONE) {
        status = call_open(ctl, &connection);
        if (status == EXIT_ALL_DONE)
            status = generate_complete(&g, &connection);
        if (status == EXIT_ALL_DONE)
            status = submit(&g, &connection, &answer);
        if (status == EXIT_ALL_DONE)
            status = go_on(&g, &connection, &answer);
        connection_close(&connection);
    }
    generate_free(&g);
    return status;
}
