#include "daemon/io/peer_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "proto/mem.h"

/* A walk along a path: the descriptor (O_PATH) of where it has come to, and what is there. */
struct walk {
    const char *path;
    const char *field;
    const struct peer *peer;
    struct error *error;
    int fd;
    struct stat at;
    int length; /* of the part of `path` that was gone */
};

static int refuse(const struct walk *walk, enum error_code code, const char *what)
{
    return error_set(walk->error, code, walk->field, "%s: %.*s %s", walk->field, walk->length,
                     walk->path, what);
}

static int refuse_errno(const struct walk *walk, int reason)
{
    if (reason == ENOENT)
        return refuse(walk, ERROR_NOT_FOUND,
                      "does not exist where veod looks; PUT or veoctl send a file of yours");
    if (reason == ENOTDIR)
        return refuse(walk, ERROR_NOT_FOUND, "does not exist: something before it is no folder");
    if (reason == EACCES || reason == EPERM)
        return refuse(walk, ERROR_UNAVAILABLE,
                      "can't be reached: veod itself may not read it; send the file with PUT or "
                      "veoctl");
    return refuse(walk, ERROR_UNAVAILABLE, strerror(reason));
}

static bool has_group(const struct peer *peer, gid_t gid)
{
    for (size_t i = 0; i < peer->group_count; i++)
        if (peer->groups[i] == gid)
            return true;
    return false;
}

/* The one that the kernel would look at decides, even where another one would grant more. */
static bool mode_grants(const struct stat *at, const struct peer *peer, mode_t bit)
{
    if (at->st_uid == peer->uid)
        return at->st_mode & (bit << 6);
    if (has_group(peer, at->st_gid))
        return at->st_mode & (bit << 3);
    return at->st_mode & bit;
}

static void proc_path(int fd, char ret[32])
{
    snprintf(ret, 32, "/proc/self/fd/%d", fd);
}

static bool has_acl(int fd)
{
    char path[32];
    proc_path(fd, path);
    return getxattr(path, "system.posix_acl_access", NULL, 0) >= 0 ||
           (errno != ENODATA && errno != ENOTSUP);
}

static int check_access(const struct walk *walk, mode_t bit)
{
    const struct peer *peer = walk->peer;
    if (peer->uid == 0)
        return 0;
    if (!mode_grants(&walk->at, peer, bit))
        return refuse(walk, ERROR_INVALID_ARGUMENT,
                      bit == S_IXOTH ? "is a folder that you may not search"
                                     : "is a file that you may not read");
    if (walk->at.st_uid != peer->uid && has_acl(walk->fd))
        return refuse(walk, ERROR_INVALID_ARGUMENT,
                      "has an access control list; veod reads such only for their owner: send the "
                      "file with PUT or veoctl");
    return 0;
}

static void move_to(struct walk *walk, int fd)
{
    close(walk->fd);
    walk->fd = fd;
}

/* Into `name`, if the peer may search the folder where the walk has come to. */
static int step(struct walk *walk, const char *name, int length)
{
    if (check_access(walk, S_IXOTH) < 0)
        return -1;
    walk->length = length;
    if (strcmp(name, "..") == 0)
        return refuse(walk, ERROR_INVALID_ARGUMENT, "has \"..\"; expected a path without");
    int fd = openat(walk->fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return refuse_errno(walk, errno);
    move_to(walk, fd);
    if (fstat(fd, &walk->at) < 0)
        return refuse_errno(walk, errno);
    if (S_ISLNK(walk->at.st_mode))
        return refuse(walk, ERROR_INVALID_ARGUMENT,
                      "is a symbolic link; expected a path without such");
    return 0;
}

static int walk_to_end(struct walk *walk)
{
    const char *at = walk->path;
    while (*(at += strspn(at, "/"))) {
        size_t length = strcspn(at, "/");
        char *name = mem_strndup(at, length);
        at += length;
        int status = strcmp(name, ".") == 0 ? 0 : step(walk, name, (int)(at - walk->path));
        free(name);
        if (status < 0)
            return -1;
    }
    return 0;
}

static int check_file(const struct walk *walk, uint64_t max_bytes)
{
    if (!S_ISREG(walk->at.st_mode) || walk->path[strlen(walk->path) - 1] == '/')
        return refuse(walk, ERROR_INVALID_ARGUMENT, "is not a regular file");
    if (check_access(walk, S_IROTH) < 0)
        return -1;
    if ((uint64_t)walk->at.st_size > max_bytes)
        return error_set(walk->error, ERROR_TOO_LONG, walk->field,
                         "%s: %s has %llu bytes; [limits] blob_bytes is %llu", walk->field,
                         walk->path, (unsigned long long)walk->at.st_size,
                         (unsigned long long)max_bytes);
    return 0;
}

/* Through the descriptor, so that it is the file that was judged. */
static int reopen(const struct walk *walk, int *ret_fd)
{
    char path[32];
    proc_path(walk->fd, path);
    *ret_fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    return *ret_fd < 0 ? refuse_errno(walk, errno) : 0;
}

int peer_file_open(const char *path, const struct peer *peer, uint64_t max_bytes, const char *field,
                   int *ret_fd, uint64_t *ret_bytes, struct error *error)
{
    struct walk walk = {.path = path, .field = field, .peer = peer, .error = error, .length = 1};
    walk.fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (walk.fd < 0 || fstat(walk.fd, &walk.at) < 0)
        return refuse_errno(&walk, errno);
    int status = walk_to_end(&walk);
    if (status == 0)
        status = check_file(&walk, max_bytes);
    if (status == 0)
        status = reopen(&walk, ret_fd);
    *ret_bytes = (uint64_t)walk.at.st_size;
    close(walk.fd);
    return status;
}
