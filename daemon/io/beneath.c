#include "daemon/io/beneath.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "daemon/io/grant.h"
#include "daemon/io/sink.h"
#include "proto/mem.h"

/* Where openat2 is missing O_NOFOLLOW says the same, as `name` is neither a path nor "..". */
int beneath_open(int folder, const char *name, int flags, mode_t mode)
{
    struct open_how how = {.flags = (unsigned)(flags | O_CLOEXEC),
                           .mode = mode,
                           .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS};
    long fd = syscall(SYS_openat2, folder, name, &how, sizeof(how));
    if (fd < 0 && errno == ENOSYS)
        fd = openat(folder, name, flags | O_CLOEXEC | O_NOFOLLOW, mode);
    return fd < 0 ? -errno : (int)fd;
}

static bool is_plain_name(const char *name)
{
    return name[0] != '\0' && strcmp(name, ".") != 0 && strcmp(name, "..") != 0;
}

/* Closed to veod's group, whose members are its clients, before it is granted to its owner: what
 * comes in between may be a crash. A set-group-ID bit would be lost with another mode later. */
static mode_t mode_of(int parent, const uid_t *owner)
{
    struct stat about;
    bool is_shared = fstat(parent, &about) == 0 && about.st_mode & S_ISGID;
    return owner && !is_shared ? 0700 : 0750;
}

/* One at a time, so that nothing is made in a folder before that is granted: it would stay closed
 * to the owner. */
static int open_or_make(int parent, const char *name, const uid_t *owner, bool *ret_made)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    pthread_mutex_lock(&lock);
    int folder = beneath_open(parent, name, O_RDONLY | O_DIRECTORY, 0);
    if (folder == -ENOENT) {
        *ret_made = mkdirat(parent, name, mode_of(parent, owner)) == 0;
        folder = *ret_made || errno == EEXIST
                     ? beneath_open(parent, name, O_RDONLY | O_DIRECTORY, 0)
                     : -errno;
    }
    if (folder >= 0 && *ret_made && owner)
        grant_owner(folder, *owner);
    pthread_mutex_unlock(&lock);
    return folder;
}

/* Steps into one folder, which is made if it is missing, and lets go of the one before. `owner`:
 * who may read in it if it is; or none. */
static int enter_folder(int folder, const char *name, bool make, const uid_t *owner)
{
    bool made = false;
    if (!is_plain_name(name)) {
        close(folder);
        return -EINVAL;
    }
    int next = make ? open_or_make(folder, name, owner, &made)
                    : beneath_open(folder, name, O_RDONLY | O_DIRECTORY, 0);
    if (next >= 0 && made && fsync(folder) < 0) {
        int status = -errno;
        close(next);
        next = status;
    }
    close(folder);
    return next;
}

/* The first folder is named by its owner. */
static bool owner_of(const char *name, uid_t *ret)
{
    char *end;
    unsigned long number = strtoul(name, &end, 10);
    *ret = (uid_t)number;
    return isdigit((unsigned char)name[0]) && *end == '/' && number < UINT32_MAX;
}

int beneath_open_folder(const char *root, const char *name, bool make)
{
    uid_t owner;
    bool is_owned = owner_of(name, &owner);
    int folder = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0)
        return -errno;
    char *copy = mem_strdup(name);
    char *at = copy;
    for (char *slash; folder >= 0 && (slash = strchr(at, '/')); at = slash + 1) {
        *slash = '\0';
        folder = enter_folder(folder, at, make, at == copy && is_owned ? &owner : NULL);
    }
    if (folder >= 0 && !is_plain_name(at)) {
        close(folder);
        folder = -EINVAL;
    }
    free(copy);
    return folder;
}

static bool is_own(int folder, const char *base, uint64_t bytes, int64_t before)
{
    struct stat file;
    return fstatat(folder, base, &file, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(file.st_mode) &&
           (uint64_t)file.st_size == bytes &&
           (int64_t)file.st_mtim.tv_sec * 1000 + file.st_mtim.tv_nsec / 1000000 < before;
}

int sink_remove_own(const char *root, const char *name, uint64_t bytes, int64_t before)
{
    const char *slash = strrchr(name, '/');
    const char *base = slash ? slash + 1 : name;
    int folder = beneath_open_folder(root, name, false);
    if (folder < 0)
        return folder;
    int status = 0;
    if (faccessat(folder, base, F_OK, AT_SYMLINK_NOFOLLOW) == 0 &&
        !is_own(folder, base, bytes, before))
        status = -ESTALE;
    else if (unlinkat(folder, base, 0) < 0)
        status = -errno;
    close(folder);
    return status;
}

int sink_remove(const char *root, const char *name)
{
    const char *slash = strrchr(name, '/');
    int folder = beneath_open_folder(root, name, false);
    if (folder < 0)
        return folder;
    int status = unlinkat(folder, slash ? slash + 1 : name, 0) < 0 ? -errno : 0;
    close(folder);
    return status;
}
