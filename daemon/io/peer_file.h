/* Files that a client names, opened only if it could read them itself. */
#ifndef VEO_PEER_FILE_H
#define VEO_PEER_FILE_H

#include <stdint.h>

#include "daemon/io/listen.h"
#include "proto/error.h"

/* Opens the regular file at an absolute path for reading if `peer` may search every folder on the
 * way and read the file, by their modes: the owner's bits if the uid is its own, else the group's
 * if one of its groups is, else the others'. Where there is an access control list only the owner
 * may; uid 0 may all. No symbolic link is followed and no ".." taken, and what was judged is what
 * is opened, whatever is moved meanwhile. Blocks: for a worker. 0, or -1 with `error` (`field`). */
int peer_file_open(const char *path, const struct peer *peer, uint64_t max_bytes, const char *field,
                   int *ret_fd, uint64_t *ret_bytes, struct error *error);

#endif
