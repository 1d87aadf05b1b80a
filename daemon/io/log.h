/* What an operator reads: structured entries in the journal under systemd, and elsewhere plain
 * lines on stderr that say which part speaks: "[veod-http] …". Never a prompt, never a secret. */
#ifndef VEO_LOG_H
#define VEO_LOG_H

#include <stdbool.h>
#include <stddef.h>

enum log_level {
    LOG_LEVEL_ERROR = 3,
    LOG_LEVEL_WARNING = 4,
    LOG_LEVEL_INFO = 6,
    LOG_LEVEL_DEBUG = 7
};

/* A journal field; a NULL value leaves it out. At most LOG_FIELDS_MAX. */
struct log_field {
    const char *name; /* "VEO_JOB" */
    const char *value;
};
#define LOG_FIELDS_MAX 8

/* Once, before the first line. */
void log_open(enum log_level most_verbose);

void log_line(enum log_level level, const char *part, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The same with fields. */
void log_fields(enum log_level level, const char *part, const struct log_field *fields,
                size_t field_count, const char *format, ...) __attribute__((format(printf, 5, 6)));

#define log_error(part, ...)   log_line(LOG_LEVEL_ERROR, part, __VA_ARGS__)
#define log_warning(part, ...) log_line(LOG_LEVEL_WARNING, part, __VA_ARGS__)
#define log_info(part, ...)    log_line(LOG_LEVEL_INFO, part, __VA_ARGS__)
#define log_debug(part, ...)   log_line(LOG_LEVEL_DEBUG, part, __VA_ARGS__)

#endif
