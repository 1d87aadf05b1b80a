#include "daemon/io/store_dir.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/mem.h"

static int fail(struct error *error, const char *what, const char *path)
{
    return error_set(error, ERROR_UNAVAILABLE, NULL, "cannot %s %s: %s", what, path,
                     strerror(errno));
}

static int sync_folder(const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    int status = fsync(fd);
    close(fd);
    return status;
}

static int make_directory(const char *directory, struct error *error)
{
    if (mkdir(directory, 0700) < 0)
        return errno == EEXIST ? 0 : fail(error, "create", directory);
    char *parent = mem_format("%s/..", directory);
    int status = sync_folder(parent);
    free(parent);
    return status < 0 ? fail(error, "sync the folder of", directory) : 0;
}

static int refuse_second(int fd, const char *directory, struct error *error)
{
    if (errno != EWOULDBLOCK)
        return fail(error, "lock", directory);
    char text[16] = "";
    ssize_t length = pread(fd, text, sizeof(text) - 1, 0);
    int pid = length > 0 ? atoi(text) : 0;
    if (pid <= 0)
        return error_set(error, ERROR_UNAVAILABLE, NULL, "%s is in use by another veod", directory);
    return error_set(error, ERROR_UNAVAILABLE, NULL, "%s is in use by another veod (pid %d)",
                     directory, pid);
}

/* The pid is only for the message above; the lock itself goes away with the process. */
static void write_pid(int fd)
{
    if (ftruncate(fd, 0) == 0)
        dprintf(fd, "%d\n", (int)getpid());
}

int store_dir_lock(const char *directory, struct error *error)
{
    if (make_directory(directory, error) < 0)
        return -1;
    char *path = mem_format("%s/lock", directory);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        fail(error, "open", path);
    free(path);
    if (fd < 0)
        return -1;
    if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        refuse_second(fd, directory, error);
        close(fd);
        return -1;
    }
    write_pid(fd);
    return fd;
}

char *store_dir_database(const char *directory, struct error *error)
{
    char *path = mem_format("%s/jobs.db", directory);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) {
        fail(error, "open", path);
        free(path);
        return NULL;
    }
    close(fd);
    if (sync_folder(directory) < 0) {
        fail(error, "sync", directory);
        free(path);
        return NULL;
    }
    return path;
}
