#include "proto/ctl/args.h"

#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "proto/ctl/commands.h"
#include "proto/ctl/output.h"
#include "proto/limits.h"
#include "proto/units.h"

const struct option_spec args_common[] = {
    {OPTION_SOCKET, "socket", "PATH", "where veod listens"},
    {OPTION_JSON, "json", NULL, "print the protocol's own objects, one a line"},
    {OPTION_TIMEOUT, "timeout", "D", "how long to wait for an answer (30s), or for the jobs"},
    {OPTION_HELP, "help", NULL, "this text"},
    {OPTION_VERSION, "version", NULL, "version of veoctl and of the protocol"},
    {0},
};

static const struct option_spec no_options[] = {{0}};

struct tables {
    char letters[3 * ARGS_OPTIONS_MAX + 3];
    struct option names[ARGS_OPTIONS_MAX + 1];
    size_t count;
};

static void add_table(struct tables *tables, const struct option_spec *spec)
{
    for (; spec->name && tables->count < ARGS_OPTIONS_MAX; spec++) {
        tables->names[tables->count++] = (struct option){
            .name = spec->name,
            .has_arg = spec->argument ? required_argument : no_argument,
            .val = (int)spec->id,
        };
        if (spec->id < 128) {
            char letter[3] = {(char)spec->id, spec->argument ? ':' : '\0', '\0'};
            strcat(tables->letters, letter);
        }
    }
}

static void make_tables(struct tables *tables, const struct args *args)
{
    memset(tables, 0, sizeof *tables);
    strcpy(tables->letters, args->command ? ":" : "+:");
    add_table(tables, args->options);
    add_table(tables, args_common);
}

void args_init(struct args *args, struct ctl *ctl, const struct ctl_command *command, int argc,
               char **argv)
{
    *args = (struct args){.ctl = ctl, .command = command, .argc = argc, .argv = argv};
    args->options = command && command->options ? command->options : no_options;
    optind = 0; /* starts getopt_long over */
    opterr = 0;
}

static enum option_id complain(const struct args *args, int result)
{
    const char *word = optind > 0 && optind <= args->argc ? args->argv[optind - 1] : "";
    if (result == ':')
        ctl_usage(args->ctl, "%s: an argument is missing", word);
    else if (optopt > 0 && optopt < 128)
        ctl_usage(args->ctl, "-%c: no such option", optopt);
    else if (optopt >= 128)
        ctl_usage(args->ctl, "%s: takes no argument", word);
    else
        ctl_usage(args->ctl, "%s: no such option", word);
    return OPTION_BAD;
}

/* True if the option was one of veoctl's own and the next one is wanted; a bad value turns
 * `result` into OPTION_BAD. */
static bool take_common(struct args *args, enum option_id *result)
{
    struct ctl *ctl = args->ctl;
    switch (*result) {
    case OPTION_JSON:
        ctl->json = true;
        ctl->output = &output_json;
        return true;
    case OPTION_SOCKET:
        ctl->socket_path = optarg;
        return true;
    case OPTION_HELP:
        if (args->command)
            commands_print_help_of(args->command);
        else
            commands_print_help();
        exit(fflush(stdout) == 0 ? EXIT_ALL_DONE : EXIT_PROTOCOL);
    case OPTION_VERSION:
        printf("veoctl %s (protocol %d)\n", VEOD_VERSION, PROTOCOL_VERSION);
        exit(fflush(stdout) == 0 ? EXIT_ALL_DONE : EXIT_PROTOCOL);
    case OPTION_TIMEOUT:
        if (args_duration(args, "timeout", &ctl->timeout_ms) == 0)
            return true;
        *result = OPTION_BAD;
        return false;
    default:
        return false;
    }
}

enum option_id args_next(struct args *args)
{
    struct tables tables;
    make_tables(&tables, args);
    for (;;) {
        int found = getopt_long(args->argc, args->argv, tables.letters, tables.names, NULL);
        if (found == -1)
            return OPTION_END;
        if (found == '?' || found == ':')
            return complain(args, found);
        enum option_id result = (enum option_id)found;
        args->value = optarg;
        if (!take_common(args, &result))
            return result;
    }
}

char **args_words(const struct args *args, size_t *ret_count)
{
    *ret_count = (size_t)(args->argc - optind);
    return args->argv + optind;
}

int args_take_none(struct args *args)
{
    struct ctl *ctl = args->ctl;
    size_t count;
    for (enum option_id option; (option = args_next(args)) != OPTION_END;) {
        if (option == OPTION_BAD)
            return EXIT_USAGE;
        if (option == OPTION_PLAIN)
            ctl->out.is_terminal = ctl->out.has_colour = false;
    }
    char **words = args_words(args, &count);
    return count > 0 ? ctl_usage(ctl, "%s: takes no argument", words[0]) : EXIT_ALL_DONE;
}

const char *args_name(const struct args *args, enum option_id option)
{
    const struct option_spec *spec = args->options;
    while (spec->name && spec->id != option)
        spec++;
    return spec->name ? spec->name : "";
}

int args_int(const struct args *args, const char *name, int64_t min, int64_t max, int64_t *ret)
{
    char *end;
    errno = 0;
    long long number = strtoll(args->value, &end, 10);
    if (errno || end == args->value || *end || number < min || number > max) {
        ctl_usage(args->ctl, "--%s: expected a number from %lld to %lld, got '%s'", name,
                  (long long)min, (long long)max, args->value);
        return -1;
    }
    *ret = number;
    return 0;
}

int args_duration(const struct args *args, const char *name, int64_t *ret_ms)
{
    if (units_parse_duration(args->value, ret_ms) == 0 && *ret_ms >= 0)
        return 0;
    ctl_usage(args->ctl, "--%s: expected a duration such as 90s, 10m or 1.5h, got '%s'", name,
              args->value);
    return -1;
}

static int parse_date(const char *text, int64_t *ret_unix_ms)
{
    char time[UNITS_TEXT];
    if (strlen(text) != strlen("2026-11-22"))
        return -1;
    snprintf(time, sizeof time, "%sT00:00:00Z", text);
    return units_parse_time(time, ret_unix_ms);
}

int args_time(const struct args *args, const char *name, int sign, int64_t *ret_unix_ms)
{
    int64_t ms;
    const char *duration = args->value + (*args->value == '+' ? 1 : 0);
    if (units_parse_time(args->value, ret_unix_ms) == 0 ||
        parse_date(args->value, ret_unix_ms) == 0)
        return 0;
    if (units_parse_duration(duration, &ms) == 0 && ms >= 0 && ms <= clock_unix_ms()) {
        *ret_unix_ms = clock_unix_ms() + sign * ms;
        return 0;
    }
    ctl_usage(args->ctl,
              "--%s: expected a time such as 2026-11-22T18:00:00Z, a date, or a duration such as "
              "2h, got '%s'",
              name, args->value);
    return -1;
}

void args_print_help(const struct option_spec *options)
{
    for (const struct option_spec *spec = options; spec && spec->name; spec++) {
        char left[64];
        char letter[5] = "    ";
        if (spec->id < 128)
            snprintf(letter, sizeof letter, "-%c, ", (char)spec->id);
        snprintf(left, sizeof left, "%s--%s%s%s", letter, spec->name, spec->argument ? " " : "",
                 spec->argument ? spec->argument : "");
        printf("  %-28s %s\n", left, spec->summary);
    }
}
