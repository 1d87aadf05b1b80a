#include "proto/ctl/remember.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/mem.h"

#define SESSION_FILE "session"

/* Fresh memory; NULL with errno. A relative one doesn't count, says the specification. */
static char *state_folder(void)
{
    const char *state = getenv("XDG_STATE_HOME");
    const char *home = getenv("HOME");
    if (state && *state == '/')
        return mem_format("%s/veoctl", state);
    if (home && *home == '/')
        return mem_format("%s/.local/state/veoctl", home);
    errno = ENOENT;
    return NULL;
}

/* With all that are missing above it. */
static int make_folder(char *path)
{
    for (char *slash = path; (slash = strchr(slash + 1, '/'));) {
        *slash = '\0';
        mkdir(path, 0700);
        *slash = '/';
    }
    return mkdir(path, 0700) < 0 && errno != EEXIST ? -1 : 0;
}

char *remember_path(const char *name)
{
    char *folder = state_folder();
    char *path = folder && make_folder(folder) == 0 ? mem_format("%s/%s", folder, name) : NULL;
    int error = errno;
    free(folder);
    errno = error;
    return path;
}

bool remember_is_session(const char *text)
{
    size_t length = strlen(text);
    return length > 0 && length <= SESSION_ID_MAX &&
           strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") ==
               length;
}

char *remember_session(void)
{
    char text[SESSION_ID_MAX + 2] = "";
    char *path = remember_path(SESSION_FILE);
    FILE *file = path ? fopen(path, "re") : NULL;
    free(path);
    if (!file)
        return NULL;
    bool is_read = fgets(text, sizeof text, file) != NULL;
    fclose(file);
    text[strcspn(text, "\r\n")] = '\0';
    errno = EINVAL;
    return is_read && remember_is_session(text) ? mem_strdup(text) : NULL;
}

/* Whole or not at all: another veoctl may be reading it. */
static int write_file(const char *path, const char *text)
{
    char *temporary = mem_format("%s.%ld", path, (long)getpid());
    int fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    int result = -1;
    if (fd >= 0) {
        ssize_t length = (ssize_t)strlen(text);
        bool is_written = write(fd, text, (size_t)length) == length;
        if (close(fd) == 0 && is_written)
            result = rename(temporary, path);
        int error = errno;
        if (result < 0)
            unlink(temporary);
        errno = error;
    }
    free(temporary);
    return result;
}

void remember_set_session(const struct ctl *ctl, const char *session)
{
    char *path = remember_path(SESSION_FILE);
    char *line = mem_format("%s\n", session);
    if (!path || write_file(path, line) < 0)
        ctl_complain(ctl, "note: '--session last' won't find this one: %s", strerror(errno));
    free(line);
    free(path);
}
