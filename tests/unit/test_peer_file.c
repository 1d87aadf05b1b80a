/* Files of clients, with credentials of nobody's: what they may open is told by modes alone. */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cmocka.h>

#include "daemon/io/peer_file.h"

#define OTHER_UID 4321
#define OTHER_GID 5432

struct world {
    char root[64];
    uid_t owner;
    gid_t group;
    struct error error;
};

static int set_up(void **state)
{
    struct world *world = calloc(1, sizeof(*world));
    *state = world;
    strcpy(world->root, "/tmp/veod-peer-XXXXXX");
    world->owner = geteuid() == 0 ? 1234 : geteuid();
    world->group = geteuid() == 0 ? 2345 : getegid();
    return mkdtemp(world->root) && chmod(world->root, 0755) == 0 ? 0 : -1;
}

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *at)
{
    (void)status;
    (void)type;
    (void)at;
    return remove(path);
}

static int tear_down(void **state)
{
    struct world *world = *state;
    nftw(world->root, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    free(world);
    return 0;
}

static const char *below(const struct world *world, const char *name)
{
    static char path[256];
    snprintf(path, sizeof(path), "%s/%s", world->root, name);
    return path;
}

/* Owned by the world's owner, as far as we may give things away. */
static void own(const struct world *world, const char *path, mode_t mode)
{
    if (geteuid() == 0)
        assert_int_equal(chown(path, world->owner, world->group), 0);
    assert_int_equal(chmod(path, mode), 0);
}

static void make_file(const struct world *world, const char *name, mode_t mode)
{
    (void)unlink(below(world, name));
    int fd = open(below(world, name), O_WRONLY | O_CREAT | O_EXCL, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "content", 7), 7);
    close(fd);
    own(world, below(world, name), mode);
}

static void make_folder(const struct world *world, const char *name, mode_t mode)
{
    assert_int_equal(mkdir(below(world, name), 0700), 0);
    own(world, below(world, name), mode);
}

/* 0, or the code of the error. */
static int try_path(struct world *world, const char *path, uid_t uid, gid_t gid)
{
    gid_t groups[] = {gid, 77};
    const struct peer peer = {.uid = uid, .groups = groups, .group_count = 2};
    int fd = -1;
    uint64_t bytes = 0;
    char content[8] = "";
    memset(&world->error, 0, sizeof(world->error));
    if (peer_file_open(path, &peer, 100, "image_path", &fd, &bytes, &world->error) < 0) {
        assert_int_equal(fd, -1);
        assert_string_equal(world->error.field, "image_path");
        return (int)world->error.code;
    }
    assert_int_equal(bytes, 7);
    assert_int_equal(read(fd, content, sizeof(content)), 7);
    assert_string_equal(content, "content");
    assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    close(fd);
    return 0;
}

static int try_file(struct world *world, const char *name, uid_t uid, gid_t gid)
{
    return try_path(world, below(world, name), uid, gid);
}

static void test_the_bits_that_count(void **state)
{
    struct world *world = *state;
    static const struct {
        mode_t mode;
        bool owner, group, others;
    } cases[] = {
        {0600, true, false, false}, {0400, true, false, false}, {0640, true, true, false},
        {0644, true, true, true},   {0604, true, false, true},  {0606, true, false, true},
        {0660, true, true, false},  {0711, true, false, false},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        make_file(world, "a", cases[i].mode);
        assert_int_equal(try_file(world, "a", world->owner, OTHER_GID) == 0, cases[i].owner);
        assert_int_equal(try_file(world, "a", world->owner, world->group) == 0, cases[i].owner);
        assert_int_equal(try_file(world, "a", OTHER_UID, world->group) == 0, cases[i].group);
        assert_int_equal(try_file(world, "a", OTHER_UID, OTHER_GID) == 0, cases[i].others);
        assert_int_equal(try_file(world, "a", 0, 0), 0);
    }
}

/* Others' bits are no help to the owner or the group. */
static void test_the_first_that_fits_decides(void **state)
{
    struct world *world = *state;
    make_file(world, "a", 0044);
    assert_int_equal(try_file(world, "a", world->owner, world->group), ERROR_INVALID_ARGUMENT);
    make_file(world, "b", 0404);
    assert_int_equal(try_file(world, "b", OTHER_UID, world->group), ERROR_INVALID_ARGUMENT);
    assert_non_null(strstr(world->error.message, "/b is a file that you may not read"));
    assert_int_equal(try_file(world, "b", OTHER_UID, OTHER_GID), 0);
}

static void test_every_folder_must_be_searchable(void **state)
{
    struct world *world = *state;
    make_folder(world, "x", 0755);
    make_folder(world, "x/y", 0755);
    make_file(world, "x/y/f", 0644);
    assert_int_equal(try_file(world, "x/y/f", OTHER_UID, OTHER_GID), 0);
    assert_int_equal(chmod(below(world, "x"), 0766), 0);
    assert_int_equal(try_file(world, "x/y/f", OTHER_UID, OTHER_GID), ERROR_INVALID_ARGUMENT);
    assert_non_null(strstr(world->error.message, "/x is a folder that you may not search"));
    assert_int_equal(try_file(world, "x/nothing", OTHER_UID, OTHER_GID), ERROR_INVALID_ARGUMENT);
    assert_int_equal(try_file(world, "x/y/f", world->owner, OTHER_GID), 0);
    assert_int_equal(chmod(below(world, "x"), 0710), 0);
    assert_int_equal(try_file(world, "x/y/f", OTHER_UID, world->group), 0);
    assert_int_equal(try_file(world, "x/y/f", OTHER_UID, OTHER_GID), ERROR_INVALID_ARGUMENT);
}

static void test_no_links(void **state)
{
    struct world *world = *state;
    char target[256];
    make_folder(world, "x", 0755);
    make_file(world, "x/f", 0644);
    snprintf(target, sizeof(target), "%s", below(world, "x/f"));
    assert_int_equal(symlink(target, below(world, "link")), 0);
    assert_int_equal(symlink("x", below(world, "folder")), 0);
    static const char *const names[] = {"link", "folder", "folder/f"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        assert_int_equal(try_file(world, names[i], 0, 0), ERROR_INVALID_ARGUMENT);
        assert_non_null(strstr(world->error.message, "is a symbolic link"));
    }
}

static void test_forms_of_paths(void **state)
{
    struct world *world = *state;
    make_folder(world, "x", 0755);
    make_file(world, "x/f", 0644);
    assert_int_equal(try_file(world, "x//f", OTHER_UID, OTHER_GID), 0);
    assert_int_equal(try_file(world, "./x/./f", OTHER_UID, OTHER_GID), 0);
    assert_int_equal(try_file(world, "x/../x/f", 0, 0), ERROR_INVALID_ARGUMENT);
    assert_int_equal(try_file(world, "x/f/", 0, 0), ERROR_INVALID_ARGUMENT);
    assert_int_equal(try_file(world, "x/f/g", 0, 0), ERROR_NOT_FOUND);
    assert_int_equal(try_file(world, "x/g", 0, 0), ERROR_NOT_FOUND);
    assert_non_null(strstr(world->error.message, "/x/g does not exist where"));
    assert_int_equal(try_path(world, "/", 0, 0), ERROR_INVALID_ARGUMENT);
}

static void test_only_regular_files(void **state)
{
    struct world *world = *state;
    assert_int_equal(mkfifo(below(world, "fifo"), 0666), 0);
    make_folder(world, "x", 0755);
    assert_int_equal(try_file(world, "fifo", 0, 0), ERROR_INVALID_ARGUMENT);
    assert_int_equal(try_file(world, "x", 0, 0), ERROR_INVALID_ARGUMENT);
    assert_int_equal(try_path(world, "/dev/null", 0, 0), ERROR_INVALID_ARGUMENT);
    assert_non_null(strstr(world->error.message, "/dev/null is not a regular file"));
}

static void test_what_is_too_large(void **state)
{
    struct world *world = *state;
    make_file(world, "f", 0644);
    assert_int_equal(truncate(below(world, "f"), 101), 0);
    assert_int_equal(try_file(world, "f", 0, 0), ERROR_TOO_LONG);
    assert_non_null(strstr(world->error.message, "101 bytes; [limits] blob_bytes is 100"));
}

/* acl(5) as linux/posix_acl_xattr.h has it: user::rw-, user:4321:r--, group::---, mask::r--,
 * other::---. */
static int add_acl(const char *path)
{
    static const uint8_t acl[] = {
        2,    0, 0, 0,                         /* the version */
        1,    0, 6, 0, 0xff, 0xff, 0xff, 0xff, /* ACL_USER_OBJ */
        2,    0, 4, 0, 0xe1, 0x10, 0,    0,    /* ACL_USER */
        4,    0, 0, 0, 0xff, 0xff, 0xff, 0xff, /* ACL_GROUP_OBJ */
        0x10, 0, 4, 0, 0xff, 0xff, 0xff, 0xff, /* ACL_MASK */
        0x20, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, /* ACL_OTHER */
    };
    return setxattr(path, "system.posix_acl_access", acl, sizeof(acl), 0);
}

/* Its group's bits are the mask then, which would let in whom the list keeps out. */
static void test_access_control_lists_are_for_owners(void **state)
{
    struct world *world = *state;
    make_file(world, "f", 0640);
    if (add_acl(below(world, "f")) < 0) {
        assert_int_equal(errno, ENOTSUP);
        return;
    }
    assert_int_equal(try_file(world, "f", world->owner, OTHER_GID), 0);
    assert_int_equal(try_file(world, "f", OTHER_UID, world->group), ERROR_INVALID_ARGUMENT);
    assert_non_null(strstr(world->error.message, "access control list"));
    assert_int_equal(try_file(world, "f", 0, 0), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_the_bits_that_count),
        TEST(test_the_first_that_fits_decides),
        TEST(test_every_folder_must_be_searchable),
        TEST(test_no_links),
        TEST(test_forms_of_paths),
        TEST(test_only_regular_files),
        TEST(test_what_is_too_large),
        TEST(test_access_control_lists_are_for_owners),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
