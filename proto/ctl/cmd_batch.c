#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/ctl/batch.h"
#include "proto/ctl/commands.h"
#include "proto/ctl/interrupt.h"

static int take_option(struct batch *batch, const struct args *args, enum option_id option)
{
    switch (option) {
    case OPTION_KEY:
        batch->name = args->value;
        return *args->value ? 0 : -1;
    case OPTION_OUTPUT:
        batch->folder = args->value;
        batch->waits = true;
        return 0;
    case OPTION_WAIT:
        batch->waits = true;
        return 0;
    case OPTION_DRY_RUN:
        batch->dry_run = true;
        return 0;
    case OPTION_OVERWRITE:
        batch->overwrite = true;
        return 0;
    case OPTION_RECONNECT:
        return args_duration(args, "reconnect", &batch->reconnect_ms);
    default:
        return -1;
    }
}

static int parse(struct batch *batch, struct args *args)
{
    size_t count;
    for (enum option_id option; (option = args_next(args)) != OPTION_END;) {
        if (option == OPTION_BAD || take_option(batch, args, option) < 0)
            return EXIT_USAGE;
    }
    char **words = args_words(args, &count);
    if (count != 1) {
        ctl_usage(batch->ctl, "expected one file, or - for standard input");
        return EXIT_USAGE;
    }
    batch->file = words[0];
    batch->waits = batch->waits && !batch->dry_run;
    batch->wait_ms = batch->waits ? ctl_take_timeout(batch->ctl) : -1;
    return EXIT_ALL_DONE;
}

/* A folder that isn't there yet is made. */
static int check_folder(struct batch *batch)
{
    struct stat info;
    const char *folder = batch->folder;
    if (!folder || batch->dry_run)
        return EXIT_ALL_DONE;
    if (mkdir(folder, 0777) < 0 && errno != EEXIST)
        return ctl_usage(batch->ctl, "--output: %s: %m", folder);
    if (stat(folder, &info) < 0 || !S_ISDIR(info.st_mode))
        return ctl_usage(batch->ctl, "--output: %s: expected a folder", folder);
    if (access(folder, W_OK | X_OK) < 0)
        return ctl_usage(batch->ctl, "--output: can't write in %s: %m", folder);
    return EXIT_ALL_DONE;
}

static const char *name_of(const char *file)
{
    const char *slash = strrchr(file, '/');
    return slash ? slash + 1 : file;
}

static int open_file(struct batch *batch, int *ret_fd)
{
    struct stat info;
    bool is_input = strcmp(batch->file, "-") == 0;
    *ret_fd = is_input ? STDIN_FILENO : open(batch->file, O_RDONLY | O_CLOEXEC);
    if (*ret_fd < 0)
        return ctl_usage(batch->ctl, "%s: %m", batch->file);
    if (fstat(*ret_fd, &info) == 0 && S_ISDIR(info.st_mode)) {
        close(*ret_fd);
        return ctl_usage(batch->ctl, "%s: expected a file, not a folder", batch->file);
    }
    if (S_ISREG(info.st_mode))
        batch->size = (uint64_t)info.st_size;
    if (!batch->name)
        batch->name = is_input ? "stdin" : name_of(batch->file);
    return EXIT_ALL_DONE;
}

/* How many commands the daemon works on at a time; one place stays free. */
static int ask_for_limits(struct batch *batch)
{
    struct answer answer;
    int64_t commands = BATCH_COMMANDS;
    struct call call = {.verb = "HELLO"};
    enum connection_result result = call_exchange(batch->ctl, &batch->connection, &call, &answer);
    if (result != CONNECTION_OK)
        return call_failed(batch->ctl, &batch->connection, result);
    if (answer.word == REPLY_OK)
        (void)json_int(json_path(answer.value, "limits.commands"), 1, INT64_MAX, &commands);
    if (commands > 1)
        commands--;
    batch->commands = commands < BATCH_COMMANDS ? (size_t)commands : BATCH_COMMANDS;
    return EXIT_ALL_DONE;
}

static void run(struct batch *batch, int fd)
{
    struct ctl *ctl = batch->ctl;
    ctl->farewell = batch->dry_run
                        ? NULL
                        : "interrupted; the jobs go on, and the same command goes on from here";
    interrupt_catch();
    int status = call_open(ctl, &batch->connection);
    if (status == EXIT_ALL_DONE)
        status = ask_for_limits(batch);
    if (status == EXIT_ALL_DONE) {
        status = batch_send(batch, fd);
        if (status != EXIT_ALL_DONE)
            ctl_complain(ctl, "the same command goes on where it stopped");
    }
    if (status == EXIT_ALL_DONE && batch->waits)
        status = batch_wait(batch);
    batch->status = exit_worse(batch->status, (enum exit_status)status);
    fflush(stdout);
    batch_sum_up(batch);
}

static void clean_up(struct batch *batch)
{
    connection_close(&batch->connection);
    connection_close(&batch->side);
    uploads_free(batch->uploads);
    batch_seen_free(batch->seen);
    free(batch->jobs);
}

int cmd_batch(struct ctl *ctl, struct args *args)
{
    struct batch batch = {.ctl = ctl, .reconnect_ms = RECONNECT_DEFAULT_MS};
    int fd;
    int status = parse(&batch, args);
    if (status == EXIT_ALL_DONE)
        status = check_folder(&batch);
    if (status == EXIT_ALL_DONE)
        status = open_file(&batch, &fd);
    if (status != EXIT_ALL_DONE)
        return status;
    connection_init(&batch.connection, ctl->socket_path);
    connection_init(&batch.side, ctl->socket_path);
    batch.uploads = uploads_new(ctl);
    run(&batch, fd);
    clean_up(&batch);
    if (fd != STDIN_FILENO)
        close(fd);
    return (int)batch.status;
}
