#include "daemon/config_file.h"

#include <dirent.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <ini.h>

#include "proto/mem.h"

struct reading {
    config_set_fn *set;
    void *arg;
    struct error *error;
    FILE *file;
    int line;
    int failed; /* the line of the first error, which ends the reading */
};

static char *refuse_line(struct reading *reading, const char *why)
{
    error_set(reading->error, ERROR_INVALID_ARGUMENT, NULL, "%s", why);
    reading->failed = reading->line;
    return NULL;
}

/* Takes one line, or refuses it: libinih would go on with the rest of a long line as if that were
 * another, cut long names, and take an indented line for more of the value before. */
static char *read_line(char *line, int size, void *arg)
{
    struct reading *reading = arg;
    if (reading->failed || !fgets(line, size, reading->file))
        return NULL;
    reading->line++;
    size_t length = strlen(line), blank = strspn(line, " \t");
    bool whole = (length > 0 && line[length - 1] == '\n') || feof(reading->file) ||
                 (length + 1 == (size_t)size && getc(reading->file) == EOF);
    if (!whole)
        return refuse_line(reading, "the line is too long, or has a NUL");
    if (line[blank] == '[' && strcspn(line + blank, "]") > CONFIG_SECTION_MAX + 1)
        return refuse_line(reading, "the section's name is too long");
    return memmove(line, line + blank, length - blank + 1);
}

static int on_key(void *arg, const char *section, const char *name, const char *value)
{
    struct reading *reading = arg;
    if (reading->set(reading->arg, section, name, value, reading->error) == 0)
        return 1;
    reading->failed = reading->line;
    return 0;
}

static int read_open_file(struct reading *reading, const char *path)
{
    errno = 0;
    int line = ini_parse_stream(read_line, reading, on_key, reading);
    if (ferror(reading->file))
        return error_set(reading->error, ERROR_UNAVAILABLE, NULL, "%s: %s", path, strerror(errno));
    if (line == 0 && !reading->failed)
        return 0;
    bool is_syntax = !reading->failed || (line > 0 && line < reading->failed);
    struct error cause = {.code = ERROR_INVALID_ARGUMENT,
                          .message = "expected [section], key = value or a comment"};
    if (!is_syntax)
        cause = *reading->error;
    return error_set(reading->error, cause.code, cause.field, "%s:%d: %s", path,
                     is_syntax ? line : reading->failed, cause.message);
}

int config_file_read(const char *path, bool may_be_missing, config_set_fn *set, void *arg,
                     struct error *error)
{
    struct reading reading = {.set = set, .arg = arg, .error = error, .file = fopen(path, "re")};
    if (!reading.file) {
        if (errno == ENOENT && may_be_missing)
            return 0;
        return error_set(error, ERROR_UNAVAILABLE, NULL, "%s: %s", path, strerror(errno));
    }
    int status = read_open_file(&reading, path);
    fclose(reading.file);
    return status;
}

int config_text_read(const char *name, const void *text, size_t length, config_set_fn *set,
                     void *arg, struct error *error)
{
    struct reading reading = {.set = set, .arg = arg, .error = error};
    reading.file = fmemopen((void *)(uintptr_t)text, length, "r");
    if (!reading.file)
        return error_set(error, ERROR_INTERNAL, NULL, "%s: %s", name, strerror(errno));
    int status = read_open_file(&reading, name);
    fclose(reading.file);
    return status;
}

static int is_part(const struct dirent *entry)
{
    size_t length = strlen(entry->d_name);
    return entry->d_name[0] != '.' && length > 5 &&
           strcmp(entry->d_name + length - 5, ".conf") == 0;
}

int config_parts_read(const char *path, config_set_fn *set, void *arg, struct error *error)
{
    char *directory = mem_format("%s.d", path);
    struct dirent **parts = NULL;
    int count = scandir(directory, &parts, is_part, alphasort), status = 0;
    if (count < 0 && errno != ENOENT)
        status = error_set(error, ERROR_UNAVAILABLE, NULL, "%s: %s", directory, strerror(errno));
    for (int i = 0; i < count; i++) {
        char *part = mem_format("%s/%s", directory, parts[i]->d_name);
        if (status == 0)
            status = config_file_read(part, false, set, arg, error);
        free(part);
        free(parts[i]);
    }
    free(parts);
    free(directory);
    return status;
}
