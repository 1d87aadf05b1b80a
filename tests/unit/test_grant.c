/* Who may read in an owner's folder; as root, with children that become others. */
#include <fcntl.h>
#include <grp.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cmocka.h>

#include "daemon/io/beneath.h"

#define OWNER 4711
#define OTHER 4712

/* In veod's own group as well. */
static bool can_read(const char *path, uid_t uid)
{
    pid_t child = fork();
    const gid_t own = getegid();
    if (child == 0)
        _exit(setgroups(1, &own) == 0 && setgid(uid) == 0 && setuid(uid) == 0 &&
                      open(path, O_RDONLY) >= 0
                  ? 0
                  : 1);
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    return status == 0;
}

/* In root/name, with `mode`, as a sink does. */
static void make_file(const char *root, const char *name, mode_t mode)
{
    int folder = beneath_open_folder(root, name, true);
    assert_true(folder >= 0);
    int fd = beneath_open(folder, "a", O_CREAT | O_RDWR, mode);
    assert_true(fd >= 0);
    close(fd);
    close(folder);
}

static void test_owner_reads(void **state)
{
    char root[] = "/tmp/veod-grant-XXXXXX", path[64], command[64];
    (void)state;
    if (geteuid() != 0)
        skip();
    umask(0027);
    assert_non_null(mkdtemp(root));
    chmod(root, 0711);
    make_file(root, "4711/a", 0640);
    make_file(root, "4711/of/4712/a", 0640);
    make_file(root, "0/a", 0640);
    make_file(root, "else/4711/a", 0640);
    static const struct {
        const char *name;
        bool owner, other;
    } cases[] = {{"4711", true, false},           {"4711/a", true, false}, {"4711/of", true, false},
                 {"4711/of/4712/a", true, false}, {"0", false, false},     {"0/a", false, false},
                 {"else/4711/a", true, true}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        snprintf(path, sizeof(path), "%s/%s", root, cases[i].name);
        assert_int_equal(can_read(path, OWNER), cases[i].owner);
        assert_int_equal(can_read(path, OTHER), cases[i].other);
    }
    struct stat about;
    snprintf(path, sizeof(path), "%s/4711/a", root);
    assert_int_equal(stat(path, &about), 0);
    assert_int_equal(about.st_mode & 0777, 0640);
    snprintf(command, sizeof(command), "rm -rf %s", root);
    assert_int_equal(system(command), 0);
}

/* Where an operator has files go to a group, they still do. */
static void test_a_groups_folder(void **state)
{
    char root[] = "/tmp/veod-grant-XXXXXX", path[64], command[64];
    struct stat about;
    (void)state;
    if (geteuid() != 0)
        skip();
    assert_non_null(mkdtemp(root));
    assert_int_equal(chown(root, 0, OTHER), 0);
    chmod(root, 02750);
    make_file(root, "4711/a", 0640);
    snprintf(path, sizeof(path), "%s/4711/a", root);
    assert_int_equal(stat(path, &about), 0);
    assert_int_equal(about.st_gid, OTHER);
    assert_true(can_read(path, OTHER));
    assert_false(can_read(path, OWNER));
    snprintf(command, sizeof(command), "rm -rf %s", root);
    assert_int_equal(system(command), 0);
}

static void die_at(unsigned call)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, call, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    const struct sock_fprog program = {sizeof(code) / sizeof(code[0]), code};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0)
        _exit(EXIT_FAILURE);
}

/* It leaves a folder that nobody else can read, nor those in veod's group. */
static void test_a_crash_before_it_is_granted(void **state)
{
    char root[] = "/tmp/veod-grant-XXXXXX", path[64];
    struct stat about;
    int status;
    (void)state;
    umask(0027);
    assert_non_null(mkdtemp(root));
    pid_t child = fork();
    if (child == 0) {
        die_at(SYS_fsetxattr);
        _exit(beneath_open_folder(root, "4711/a", true) < 0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS);
    snprintf(path, sizeof(path), "%s/4711", root);
    assert_int_equal(stat(path, &about), 0);
    assert_int_equal(about.st_mode & 0777, 0700);
    assert_int_equal(rmdir(path), 0);
    assert_int_equal(rmdir(root), 0);
}

/* In libc's place: others have time to come in between. */
int fsetxattr(int fd, const char *name, const void *value, size_t size, int flags)
{
    usleep(2000);
    return (int)syscall(SYS_fsetxattr, fd, name, value, size, flags);
}

struct writer {
    pthread_t thread;
    pthread_barrier_t *all;
    const char *root;
    bool is_granted;
};

static void *write_first(void *arg)
{
    struct writer *writer = arg;
    char name[16];
    pthread_barrier_wait(writer->all);
    int folder = beneath_open_folder(writer->root, "4711/a", true);
    snprintf(name, sizeof(name), "%d", gettid());
    int fd = beneath_open(folder, name, O_CREAT | O_RDWR, 0640);
    writer->is_granted = fgetxattr(fd, "system.posix_acl_access", NULL, 0) > 0;
    close(fd);
    close(folder);
    return NULL;
}

/* Many at once, in libuv's pool: the first makes the folder, and all are to be read by the owner.
 */
static void test_all_of_the_first_files(void **state)
{
    char root[] = "/tmp/veod-grant-XXXXXX", command[64];
    (void)state;
    assert_non_null(mkdtemp(root));
    snprintf(command, sizeof(command), "rm -rf %s/4711", root);
    for (int round = 0; round < 5; round++) {
        struct writer writers[8];
        pthread_barrier_t all;
        pthread_barrier_init(&all, NULL, 8);
        for (size_t i = 0; i < 8; i++) {
            writers[i] = (struct writer){.all = &all, .root = root};
            assert_int_equal(pthread_create(&writers[i].thread, NULL, write_first, &writers[i]), 0);
        }
        for (size_t i = 0; i < 8; i++) {
            pthread_join(writers[i].thread, NULL);
            assert_true(writers[i].is_granted);
        }
        pthread_barrier_destroy(&all);
        assert_int_equal(system(command), 0);
    }
    assert_int_equal(rmdir(root), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_owner_reads),
        cmocka_unit_test(test_a_groups_folder),
        cmocka_unit_test(test_a_crash_before_it_is_granted),
        cmocka_unit_test(test_all_of_the_first_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
