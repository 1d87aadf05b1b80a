/* The socket's file and the identity of who connects to it. */
#ifndef VEO_LISTEN_H
#define VEO_LISTEN_H

#include <stddef.h>
#include <sys/types.h>

#include "proto/error.h"

/* Binds and returns a descriptor; -1 with `error`. The file appears with its final mode and group.
 * One that nobody listens on is replaced. */
int listen_at(const char *path, mode_t mode, const char *group, struct error *error);

struct peer {
    uid_t uid;
    gid_t *groups; /* owned by the caller: all that the peer had at connect (SO_PEERGROUPS) */
    size_t group_count;
};

/* From the kernel (SO_PEERCRED, unix(7)). 0 or negative errno. */
int peer_of_socket(int fd, struct peer *ret);
struct peer peer_copy(const struct peer *peer); /* with groups of its own */

/* By name or number. */
int group_id(const char *group, gid_t *ret, struct error *error);

#endif
