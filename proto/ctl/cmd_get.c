#include <stdlib.h>
#include <string.h>

#include "proto/ctl/commands.h"
#include "proto/ctl/fetch.h"
#include "proto/ctl/select.h"

struct get {
    const char *output;
    int64_t file;
    int64_t reconnect_ms;
    bool overwrite;
};

static int parse(struct get *get, struct args *args)
{
    *get = (struct get){.reconnect_ms = RECONNECT_DEFAULT_MS};
    for (enum option_id option; (option = args_next(args)) != OPTION_END;) {
        int result = 0;
        if (option == OPTION_OUTPUT)
            get->output = args->value;
        else if (option == OPTION_OVERWRITE)
            get->overwrite = true;
        else if (option == OPTION_FILE)
            result = args_int(args, "file", 0, INT32_MAX, &get->file);
        else if (option == OPTION_RECONNECT)
            result = args_duration(args, "reconnect", &get->reconnect_ms);
        if (option == OPTION_BAD || result < 0)
            return EXIT_USAGE;
    }
    return EXIT_ALL_DONE;
}

/* A name that the user gave is for this result alone; one that we make tells which result it is. */
static char *target_of(const struct get *get, const char *id)
{
    char *plain = fetch_target(get->output, id, 0);
    if (get->output && strcmp(plain, get->output) == 0)
        return plain;
    free(plain);
    return fetch_target(get->output, id, (size_t)get->file);
}

static int get_result(struct ctl *ctl, struct connection *connection, const struct get *get,
                      const char *id)
{
    char *target = target_of(get, id);
    struct fetch fetch = {.id = id,
                          .file = (size_t)get->file,
                          .target = target,
                          .overwrite = get->overwrite,
                          .reconnect_ms = get->reconnect_ms};
    int status = fetch_check(ctl, target, id, 0, get->overwrite);
    if (status == EXIT_ALL_DONE)
        status = fetch_file(ctl, connection, &fetch);
    if (status == EXIT_ALL_DONE && strcmp(target, "-") != 0 && !ctl->json)
        puts(target);
    free(target);
    return status;
}

int cmd_get(struct ctl *ctl, struct args *args)
{
    struct get get;
    struct connection connection;
    struct selection selection = {0};
    size_t count;
    int status = parse(&get, args);
    if (status != EXIT_ALL_DONE)
        return status;
    char **words = args_words(args, &count);
    if (count != 1)
        return ctl_usage(ctl, "expected one job, got %zu", count);
    status = call_open(ctl, &connection);
    if (status == EXIT_ALL_DONE)
        status = select_full(ctl, &connection, words, count, &selection);
    if (status == EXIT_ALL_DONE)
        status = get_result(ctl, &connection, &get, selection.ids[0]);
    select_free(&selection);
    connection_close(&connection);
    return status;
}
