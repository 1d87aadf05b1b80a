#include "daemon/io/grant.h"

#include <endian.h>
#include <linux/posix_acl.h>
#include <linux/posix_acl_xattr.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

/* As the kernel takes it from setxattr(2), entries in the order of their tags. */
struct list {
    struct posix_acl_xattr_header header;
    struct posix_acl_xattr_entry entries[5];
};

static struct posix_acl_xattr_entry entry(uint16_t tag, unsigned permissions, uint32_t id)
{
    return (struct posix_acl_xattr_entry){
        .e_tag = htole16(tag), .e_perm = htole16((uint16_t)permissions), .e_id = htole32(id)};
}

static bool set_lists(int folder, uid_t owner)
{
    const uint32_t none = (uint32_t)ACL_UNDEFINED_ID;
    const unsigned read = ACL_READ | ACL_EXECUTE;
    const struct list list = {
        .header = {htole32(POSIX_ACL_XATTR_VERSION)},
        .entries = {entry(ACL_USER_OBJ, read | ACL_WRITE, none), entry(ACL_USER, read, owner),
                    entry(ACL_GROUP_OBJ, 0, none), entry(ACL_MASK, read, none),
                    entry(ACL_OTHER, 0, none)},
    };
    return fsetxattr(folder, "system.posix_acl_default", &list, sizeof(list), 0) == 0 &&
           fsetxattr(folder, "system.posix_acl_access", &list, sizeof(list), 0) == 0;
}

void grant_owner(int folder, uid_t owner)
{
    struct stat about;
    if (fstat(folder, &about) < 0 || about.st_mode & S_ISGID)
        return;
    if (owner == 0 || owner == geteuid() || !set_lists(folder, owner))
        (void)fchmod(folder, 0700);
}
