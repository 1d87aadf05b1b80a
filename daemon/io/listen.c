#include "daemon/io/listen.h"

#include <errno.h>
#include <grp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "proto/mem.h"

#ifndef SO_PEERGROUPS
#define SO_PEERGROUPS 59
#endif

/* Replacing the file of a living veod would steal its clients: ask first. */
static int remove_stale(const struct sockaddr_un *address, struct error *error)
{
    struct stat status;
    if (lstat(address->sun_path, &status) < 0)
        return 0;
    if (!S_ISSOCK(status.st_mode))
        return error_set(error, ERROR_UNAVAILABLE, NULL, "%s exists and is no socket",
                         address->sun_path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return error_set(error, ERROR_UNAVAILABLE, NULL, "socket: %s", strerror(errno));
    int answered = connect(fd, (const struct sockaddr *)address, sizeof(*address));
    int reason = errno;
    close(fd);
    if (answered == 0 || reason == EAGAIN)
        return error_set(error, ERROR_UNAVAILABLE, NULL, "another process answers at %s",
                         address->sun_path);
    if (reason != ECONNREFUSED && reason != ENOENT)
        return error_set(error, ERROR_UNAVAILABLE, NULL, "cannot tell whether %s is in use: %s",
                         address->sun_path, strerror(reason));
    if (unlink(address->sun_path) < 0 && errno != ENOENT)
        return error_set(error, ERROR_UNAVAILABLE, NULL, "cannot remove the stale %s: %s",
                         address->sun_path, strerror(errno));
    return 0;
}

static int give_access(const char *path, mode_t mode, const char *group, struct error *error)
{
    gid_t gid = (gid_t)-1;
    if (group && group_id(group, &gid, error) < 0)
        return -1;
    if (group && chown(path, (uid_t)-1, gid) < 0)
        return error_set(error, ERROR_UNAVAILABLE, NULL, "cannot give %s to the group %s: %s", path,
                         group, strerror(errno));
    if (chmod(path, mode) < 0)
        return error_set(error, ERROR_UNAVAILABLE, NULL, "chmod %s: %s", path, strerror(errno));
    return 0;
}

int listen_at(const char *path, mode_t mode, const char *group, struct error *error)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof(address.sun_path))
        return error_set(error, ERROR_UNAVAILABLE, NULL,
                         "the socket's path has %zu bytes, and the system takes at most %zu: %s",
                         strlen(path), sizeof(address.sun_path) - 1, path);
    strcpy(address.sun_path, path);
    if (remove_stale(&address, error) < 0)
        return -1;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return error_set(error, ERROR_UNAVAILABLE, NULL, "socket: %s", strerror(errno));
    mode_t before = umask(0177); /* nobody gets in between bind and chmod */
    int status = bind(fd, (const struct sockaddr *)&address, sizeof(address));
    int reason = errno;
    umask(before);
    if (status < 0) {
        close(fd);
        return error_set(error, ERROR_UNAVAILABLE, NULL, "cannot listen at %s: %s", path,
                         strerror(reason));
    }
    if (give_access(path, mode, group, error) < 0) {
        close(fd);
        unlink(path);
        return -1;
    }
    return fd;
}

int peer_of_socket(int fd, struct peer *ret)
{
    struct ucred credentials;
    socklen_t size = sizeof(credentials);
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &size) < 0)
        return -errno;
    *ret = (struct peer){.uid = credentials.uid};

    size = 0;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, NULL, &size) == 0 || errno != ERANGE)
        size = 0;
    ret->groups = mem_alloc(size + sizeof(gid_t));
    if (size > 0 && getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, ret->groups, &size) < 0)
        size = 0;
    ret->group_count = size / sizeof(gid_t);
    ret->groups[ret->group_count++] = credentials.gid;
    return 0;
}

struct peer peer_copy(const struct peer *peer)
{
    struct peer copy = *peer;
    copy.groups = mem_alloc((peer->group_count + 1) * sizeof(gid_t));
    if (peer->group_count > 0)
        memcpy(copy.groups, peer->groups, peer->group_count * sizeof(gid_t));
    return copy;
}

int group_id(const char *group, gid_t *ret, struct error *error)
{
    char *end;
    unsigned long number = strtoul(group, &end, 10);
    const struct group *entry = getgrnam(group);
    if (entry)
        *ret = entry->gr_gid;
    else if (*group && !*end && number < (gid_t)-1)
        *ret = (gid_t)number;
    else
        return error_set(error, ERROR_UNAVAILABLE, NULL, "there is no group \"%s\"", group);
    return 0;
}
