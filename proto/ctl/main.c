/* veoctl: the person's and the script's end of the socket. */
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/ctl/commands.h"
#include "proto/ctl/output.h"
#include "proto/limits.h"
#include "proto/mem.h"

/* Fresh memory. */
static char *default_socket(void)
{
    const char *given = getenv("VEOD_SOCKET");
    if (given && *given)
        return mem_strdup(given);
    const char *runtime = getenv("XDG_RUNTIME_DIR");
    if (runtime && *runtime) {
        char *own = mem_format("%s/veod/veod.sock", runtime);
        if (access(own, F_OK) == 0)
            return own;
        free(own);
    }
    return mem_strdup(DEFAULT_SOCKET);
}

static int run_command(struct ctl *ctl, const struct ctl_command *command, int argc, char **argv)
{
    struct args args;
    ctl->command = command->name;
    args_init(&args, ctl, command, argc, argv);
    return command->run(ctl, &args);
}

static int unknown_command(const struct ctl *ctl, const char *name)
{
    const struct ctl_command *nearest = commands_nearest(name);
    if (nearest)
        return ctl_usage(ctl, "%s: no such command; did you mean '%s'?", name, nearest->name);
    return ctl_usage(ctl, "%s: no such command", name);
}

static int dispatch(struct ctl *ctl, int argc, char **argv)
{
    struct args args;
    size_t count;
    args_init(&args, ctl, NULL, argc, argv);
    if (args_next(&args) != OPTION_END)
        return EXIT_USAGE;
    char **words = args_words(&args, &count);
    if (count == 0)
        return ctl_usage(ctl, "what should be done? Commands: generate, list, wait, get, …");
    const struct ctl_command *command = commands_find(words[0]);
    return command ? run_command(ctl, command, (int)count, words) : unknown_command(ctl, words[0]);
}

/* What couldn't be written was not shown. */
static int check_output(struct ctl *ctl, int status)
{
    if (fflush(stdout) == 0 && !ferror(stdout))
        return status;
    ctl_complain(ctl, "can't write to standard output");
    return status == EXIT_ALL_DONE ? EXIT_PROTOCOL : status;
}

int main(int argc, char **argv)
{
    struct ctl ctl;
    setlocale(LC_CTYPE, "C.UTF-8"); /* for the width of characters; text is UTF-8 everywhere */
    ctl_init(&ctl);
    char *socket_path = default_socket();
    ctl.socket_path = socket_path;
    ctl.output = &output_text;
    int status = check_output(&ctl, dispatch(&ctl, argc, argv));
    free(socket_path);
    return status;
}
