#include "proto/ctl/commands.h"
#include "proto/ctl/output.h"
#include "proto/ctl/select.h"
#include "proto/ctl/wait.h"

static void show(struct ctl *ctl, const struct answer *answer, int status)
{
    ctl->output->waited(ctl, answer);
    wait_explain_held(ctl, answer);
    if (status == EXIT_TIMED_OUT)
        ctl_complain(ctl, "timed out; the jobs go on");
}

static int wait_for(struct ctl *ctl, struct connection *connection, char **words, size_t count,
                    const struct wait *limits)
{
    struct selection selection;
    struct answer answer;
    int status = select_full(ctl, connection, words, count, &selection);
    if (status == EXIT_ALL_DONE) {
        struct wait wait = *limits;
        wait.ids = selection.ids;
        wait.count = selection.count;
        status = wait_for_jobs(ctl, connection, &wait, &answer);
        if (status == EXIT_ALL_DONE) {
            status = wait_exit_status(&answer);
            show(ctl, &answer, status);
        }
    }
    select_free(&selection);
    return status;
}

int cmd_wait(struct ctl *ctl, struct args *args)
{
    struct connection connection;
    struct wait limits = {.reconnect_ms = RECONNECT_DEFAULT_MS};
    size_t count;
    for (enum option_id option; (option = args_next(args)) != OPTION_END;) {
        if (option == OPTION_BAD || args_duration(args, "reconnect", &limits.reconnect_ms) < 0)
            return EXIT_USAGE;
    }
    char **words = args_words(args, &count);
    limits.timeout_ms = ctl_take_timeout(ctl);
    int status = select_check(ctl, count);
    if (status != EXIT_ALL_DONE)
        return status;
    status = call_open(ctl, &connection);
    if (status == EXIT_ALL_DONE)
        status = wait_for(ctl, &connection, words, count, &limits);
    connection_close(&connection);
    return status;
}
