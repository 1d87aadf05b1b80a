/* The commands that name jobs and get one answer. */
#include <stdlib.h>
#include <string.h>

#include "proto/ctl/commands.h"
#include "proto/ctl/job_view.h"
#include "proto/ctl/output.h"
#include "proto/ctl/select.h"
#include "proto/jsonw.h"
#include "proto/limits.h"

/* {"id":…} for one, {"ids":[…]} for several. */
static char *ids_argument(const struct selection *selection, bool files)
{
    struct buf text;
    struct jsonw w;
    buf_init(&text, LIMIT_LINE);
    jsonw_init(&w, &text);
    jsonw_object(&w);
    jsonw_name(&w, selection->count == 1 ? "id" : "ids");
    if (selection->count > 1)
        jsonw_array(&w);
    for (size_t i = 0; i < selection->count; i++)
        jsonw_string(&w, selection->ids[i]);
    if (selection->count > 1)
        jsonw_array_end(&w);
    if (files)
        jsonw_member_bool(&w, "files", true);
    jsonw_object_end(&w);
    return buf_steal(&text);
}

/* Of several jobs some may be refused while others are changed: `errors` in an OK. */
static int explain_refusals(struct ctl *ctl, struct json_value ok)
{
    enum exit_status status = EXIT_ALL_DONE;
    for (struct json_iter it = json_iter(json_get(ok, "errors")); json_next(&it);) {
        char *message = job_member(it.value, "message");
        ctl_complain(ctl, "%s", message ? message : "refused");
        status = exit_worse(status, (enum exit_status)call_error_status(it.value));
        free(message);
    }
    return (int)status;
}

static int send_for(struct ctl *ctl, const char *verb, char **words, size_t count, bool files,
                    void (*show)(struct ctl *, const struct answer *))
{
    struct connection connection;
    struct selection selection = {0};
    struct answer answer;
    int status = call_open(ctl, &connection);
    if (status == EXIT_ALL_DONE)
        status = select_words(ctl, &connection, words, count, &selection);
    if (status == EXIT_ALL_DONE) {
        char *argument = ids_argument(&selection, files);
        struct call call = {.verb = verb, .argument = argument};
        status = call_run(ctl, &connection, &call, &answer);
        free(argument);
    }
    if (status == EXIT_ALL_DONE) {
        show(ctl, &answer);
        status = explain_refusals(ctl, answer.value);
    }
    select_free(&selection);
    connection_close(&connection);
    return status;
}

static int run_on_jobs(struct ctl *ctl, struct args *args, const char *verb, bool one,
                       void (*show)(struct ctl *, const struct answer *))
{
    bool files = false;
    size_t count;
    for (enum option_id option; (option = args_next(args)) != OPTION_END;) {
        if (option == OPTION_BAD)
            return EXIT_USAGE;
        files = files || option == OPTION_FILES;
    }
    char **words = args_words(args, &count);
    if (count > 1 && one)
        return ctl_usage(ctl, "one job at a time, got %zu", count);
    int status = select_check(ctl, count);
    return status != EXIT_ALL_DONE ? status : send_for(ctl, verb, words, count, files, show);
}

static void show_changed(struct ctl *ctl, const struct answer *answer)
{
    ctl->output->changed(ctl, answer);
}

static void show_job(struct ctl *ctl, const struct answer *answer)
{
    ctl->output->job(ctl, answer);
}

static void show_why(struct ctl *ctl, const struct answer *answer)
{
    ctl->output->why(ctl, answer);
}

int cmd_status(struct ctl *ctl, struct args *args)
{
    return run_on_jobs(ctl, args, "STATUS", true, show_job);
}

int cmd_why(struct ctl *ctl, struct args *args)
{
    return run_on_jobs(ctl, args, "WHY", true, show_why);
}

int cmd_cancel(struct ctl *ctl, struct args *args)
{
    return run_on_jobs(ctl, args, "CANCEL", false, show_changed);
}

int cmd_retry(struct ctl *ctl, struct args *args)
{
    return run_on_jobs(ctl, args, "RETRY", false, show_changed);
}

int cmd_hold(struct ctl *ctl, struct args *args)
{
    return run_on_jobs(ctl, args, "HOLD", false, show_changed);
}

int cmd_release(struct ctl *ctl, struct args *args)
{
    return run_on_jobs(ctl, args, "RELEASE", false, show_changed);
}

int cmd_forget(struct ctl *ctl, struct args *args)
{
    return run_on_jobs(ctl, args, "FORGET", false, show_changed);
}
