#include "daemon/agent/path.h"

#include <stdbool.h>
#include <string.h>

#include "proto/buf.h"
#include "proto/mem.h"

#define PATH_BYTES 4095

static bool is_name(const char *part, size_t length)
{
    return length > 0 && !(length == 1 && part[0] == '.');
}

static bool is_parent(const char *part, size_t length)
{
    return length == 2 && part[0] == '.' && part[1] == '.';
}

/* -1: it leads out. */
static int add_parts(struct buf *out, const char *path)
{
    for (size_t length; *path; path += length) {
        path += strspn(path, "/");
        length = strcspn(path, "/");
        if (is_parent(path, length))
            return -1;
        if (!is_name(path, length))
            continue;
        buf_add_byte(out, '/');
        buf_add(out, path, length);
    }
    return 0;
}

static void add_directory(struct buf *out, const char *directory)
{
    size_t length = strlen(directory);
    while (length > 0 && directory[length - 1] == '/')
        length--;
    buf_add(out, directory, length);
}

char *path_join(const char *directory, const char *path, const char *field, struct error *error)
{
    struct buf out;
    if (path[0] == '/')
        return mem_strdup(path);
    if (!directory) {
        error_set(error, ERROR_INVALID_ARGUMENT, field,
                  "%s must be an absolute path: \"%.80s\" is relative, and no directory was given "
                  "that it could start from",
                  field, path);
        return NULL;
    }
    buf_init(&out, PATH_BYTES);
    add_directory(&out, directory);
    if (add_parts(&out, path) == 0 && !out.failed)
        return buf_steal(&out);
    error_set(error, ERROR_INVALID_ARGUMENT, field,
              out.failed ? "%s: \"%.80s\" is too long"
                         : "%s: \"%.80s\" has \"..\"; expected a path without",
              field, path);
    buf_free(&out);
    return NULL;
}
