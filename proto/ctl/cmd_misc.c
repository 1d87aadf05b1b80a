/* The commands that speak of the daemon itself. */
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "proto/ctl/call.h"
#include "proto/ctl/commands.h"
#include "proto/ctl/interrupt.h"
#include "proto/ctl/output.h"
#include "proto/ctl/text.h"
#include "proto/limits.h"

static void show_details(struct ctl *ctl, const struct answer *answer)
{
    ctl->output->details(ctl, answer);
}

int cmd_stats(struct ctl *ctl, struct args *args)
{
    int status = args_take_none(args);
    return status == EXIT_ALL_DONE ? call_and_show(ctl, "STATS", NULL, show_details) : status;
}

int cmd_hello(struct ctl *ctl, struct args *args)
{
    int status = args_take_none(args);
    return status == EXIT_ALL_DONE ? call_and_show(ctl, "HELLO", NULL, show_details) : status;
}

static void show_reloaded(struct ctl *ctl, const struct answer *answer)
{
    ctl->output->reloaded(ctl, answer);
}

int cmd_reload(struct ctl *ctl, struct args *args)
{
    int status = args_take_none(args);
    return status == EXIT_ALL_DONE ? call_and_show(ctl, "RELOAD", NULL, show_reloaded) : status;
}

static int64_t clock_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

int cmd_ping(struct ctl *ctl, struct args *args)
{
    struct connection connection;
    struct answer answer;
    int status = args_take_none(args);
    if (status != EXIT_ALL_DONE)
        return status;
    int64_t before = clock_us();
    status = call_open(ctl, &connection);
    if (status == EXIT_ALL_DONE)
        status = call_run(ctl, &connection, &(struct call){.verb = "PING"}, &answer);
    if (status == EXIT_ALL_DONE)
        ctl->output->pong(ctl, &answer, clock_us() - before);
    connection_close(&connection);
    return status;
}

int cmd_help(struct ctl *ctl, struct args *args)
{
    size_t count;
    if (args_next(args) != OPTION_END)
        return EXIT_USAGE;
    char **words = args_words(args, &count);
    if (count == 0) {
        commands_print_help();
        return EXIT_ALL_DONE;
    }
    const struct ctl_command *command = commands_find(words[0]);
    if (!command)
        return ctl_usage(ctl, "%s: no such command", words[0]);
    commands_print_help_of(command);
    return EXIT_ALL_DONE;
}
