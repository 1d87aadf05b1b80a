#include "daemon/io/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "systemd/sd.h"

static enum log_level threshold = LOG_LEVEL_INFO;
static bool to_journal;

void log_open(enum log_level most_verbose)
{
    threshold = most_verbose;
    to_journal = sd_stderr_is_journal();
}

/* A message is one line, whatever a provider or a client put into it. */
static void clean(char *text)
{
    for (; *text; text++)
        if ((unsigned char)*text < 0x20 || *text == 0x7f)
            *text = ' ';
}

static void write_journal(enum log_level level, const char *part, const struct log_field *fields,
                          size_t field_count, const char *message)
{
    char texts[LOG_FIELDS_MAX + 4][1200];
    struct iovec entry[LOG_FIELDS_MAX + 4];
    size_t count = 0;
    snprintf(texts[count++], sizeof(texts[0]), "MESSAGE=%s", message);
    snprintf(texts[count++], sizeof(texts[0]), "PRIORITY=%d", (int)level);
    snprintf(texts[count++], sizeof(texts[0]), "SYSLOG_IDENTIFIER=veod");
    snprintf(texts[count++], sizeof(texts[0]), "VEO_PART=%s", part);
    for (size_t i = 0; i < field_count && i < LOG_FIELDS_MAX; i++)
        if (fields[i].value)
            snprintf(texts[count++], sizeof(texts[0]), "%s=%s", fields[i].name, fields[i].value);
    for (size_t i = 0; i < count; i++)
        entry[i] = (struct iovec){.iov_base = texts[i], .iov_len = strlen(texts[i])};
    sd_journal_write(entry, count);
}

static void log_message(enum log_level level, const char *part, const struct log_field *fields,
                        size_t field_count, const char *format, va_list arguments)
{
    char message[1100];
    if (level > threshold)
        return;
    vsnprintf(message, sizeof(message), format, arguments);
    clean(message);
    if (to_journal)
        write_journal(level, part, fields, field_count, message);
    else
        fprintf(stderr, "[veod-%s] %s\n", part, message);
}

void log_line(enum log_level level, const char *part, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    log_message(level, part, NULL, 0, format, arguments);
    va_end(arguments);
}

void log_fields(enum log_level level, const char *part, const struct log_field *fields,
                size_t field_count, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    log_message(level, part, fields, field_count, format, arguments);
    va_end(arguments);
}
