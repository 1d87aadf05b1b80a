/* The words after a command's name. Options come from the command's own table, which its --help is
 * made from as well; those of veoctl itself are taken here, in any place. */
#ifndef VEO_CTL_ARGS_H
#define VEO_CTL_ARGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/ctl/ctl.h"

/* An option with a short form is its letter. */
enum option_id {
    OPTION_END = -1, /* only words are left */
    OPTION_BAD = -2, /* a usage error; it was said */
    OPTION_HELP = 'h',
    OPTION_MODEL = 'm',
    OPTION_PROVIDER = 'p',
    OPTION_IMAGE = 'i',
    OPTION_ASPECT = 'a',
    OPTION_RESOLUTION = 'r',
    OPTION_DURATION = 'd',
    OPTION_NEGATIVE = 'n',
    OPTION_OUTPUT = 'o',
    OPTION_STATE = 's',
    OPTION_LABEL = 'l',
    OPTION_CONTINUE = 'c',
    OPTION_JSON = 256,
    OPTION_SOCKET,
    OPTION_TIMEOUT,
    OPTION_VERSION,
    OPTION_SEED,
    OPTION_SAMPLES,
    OPTION_LAST_FRAME,
    OPTION_REFERENCE,
    OPTION_VIDEO,
    OPTION_EXTEND,
    OPTION_EDIT,
    OPTION_PERSON,
    OPTION_AUDIO,
    OPTION_NO_AUDIO,
    OPTION_ENHANCE,
    OPTION_NO_ENHANCE,
    OPTION_OUTPUT_NAME,
    OPTION_PRIORITY,
    OPTION_KEY,
    OPTION_DEADLINE,
    OPTION_NOT_BEFORE,
    OPTION_MAX_ATTEMPTS,
    OPTION_DRY_RUN,
    OPTION_FORCE,
    OPTION_WAIT,
    OPTION_OVERWRITE,
    OPTION_RECONNECT,
    OPTION_OWNER,
    OPTION_SINCE,
    OPTION_UNTIL,
    OPTION_BY,
    OPTION_CSV,
    OPTION_LIMIT,
    OPTION_ALL,
    OPTION_PLAIN,
    OPTION_FROM,
    OPTION_FILE,
    OPTION_FILES,
    OPTION_WAIT_FOR,
    OPTION_SESSION,
    OPTION_TEXTFILE,
};

struct option_spec {
    enum option_id id;
    const char *name;
    const char *argument; /* NULL: takes none */
    const char *summary;
};

#define ARGS_OPTIONS_MAX 48

extern const struct option_spec args_common[]; /* ends with a NULL name */

struct ctl_command;

struct args {
    struct ctl *ctl;
    const struct ctl_command *command; /* NULL: before it, where the first word ends the options */
    int argc;
    char **argv; /* [0] is the command's name */
    const struct option_spec *options;
    const char *value; /* of the last option */
};

void args_init(struct args *args, struct ctl *ctl, const struct ctl_command *command, int argc,
               char **argv);

/* The next option of the command's own. --help and --version end the program here. */
enum option_id args_next(struct args *args);

/* What is left: the words. Valid after OPTION_END. */
char **args_words(const struct args *args, size_t *ret_count);

/* For commands that take no words, and no options but --plain. EXIT_ALL_DONE, or EXIT_USAGE. */
int args_take_none(struct args *args);

/* The long name of one of the command's options. */
const char *args_name(const struct args *args, enum option_id option);

/* The last option's value: 0, or -1 after saying what that option expects. */
int args_int(const struct args *args, const char *name, int64_t min, int64_t max, int64_t *ret);
int args_duration(const struct args *args, const char *name, int64_t *ret_ms);

/* A time as RFC 3339, or a date, which begins at midnight UTC; or now plus `sign` times a duration.
 */
int args_time(const struct args *args, const char *name, int sign, int64_t *ret_unix_ms);

void args_print_help(const struct option_spec *options);

#endif
