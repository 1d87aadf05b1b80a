#include <grp.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "tests/unit/client_fixture.h"

/* Binds, and listens if `backlog` is not negative. */
static int occupy(const char *path, int type, int backlog)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
    strcpy(address.sun_path, path);
    assert_int_equal(bind(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
    if (backlog >= 0)
        assert_int_equal(listen(fd, backlog), 0);
    return fd;
}

static void assert_refused(const char *path, const char *group, const char *fragment)
{
    struct error error = {0};
    assert_int_equal(listen_at(path, 0600, group, &error), -1);
    assert_int_equal(error.code, ERROR_UNAVAILABLE);
    if (!strstr(error.message, fragment))
        fail_msg("\"%s\" lacks \"%s\"", error.message, fragment);
}

static void test_mode_and_group(void **state)
{
    static const mode_t modes[] = {0660, 0600, 0666, 0000};
    struct room *room = *state;
    char group[20];
    snprintf(group, sizeof(group), "%u", (unsigned)getgid());
    for (size_t i = 0; i < 4; i++) {
        struct error error = {0};
        struct stat status;
        mode_t before = umask(0027);
        int fd = listen_at(room->path, modes[i], i % 2 ? group : NULL, &error);
        assert_int_equal(umask(before), 0027); /* as it was */
        assert_true(fd >= 0);
        assert_int_equal(lstat(room->path, &status), 0);
        assert_true(S_ISSOCK(status.st_mode));
        assert_int_equal(status.st_mode & 07777, modes[i]);
        assert_int_equal(status.st_gid, getgid());
        close(fd); /* and leaves a stale file for the next */
    }
}

static void test_a_stale_file_is_replaced(void **state)
{
    struct room *room = *state;
    struct error error = {0};
    close(occupy(room->path, SOCK_STREAM, 5));
    int fd = listen_at(room->path, 0600, NULL, &error);
    assert_true(fd >= 0);
    assert_int_equal(listen(fd, 5), 0);
    int peer = dial(room->path);
    assert_true(peer >= 0);
    close(peer);
    close(fd);
}

static void test_a_living_one_is_left_alone(void **state)
{
    struct room *room = *state;
    int fd = occupy(room->path, SOCK_STREAM, 0);
    assert_refused(room->path, NULL, "another process answers at");
    /* Full: it can't answer now, and lives. */
    int peers[4];
    for (int i = 0; i < 4; i++)
        peers[i] = dial(room->path);
    assert_int_equal(peers[3], -1);
    assert_refused(room->path, NULL, "another process answers at");
    assert_int_equal(access(room->path, F_OK), 0);
    for (int i = 0; i < 4; i++)
        if (peers[i] >= 0)
            close(peers[i]);
    close(fd);
}

/* Whoever can't find out must not take the file away. */
static void test_doubt_removes_nothing(void **state)
{
    struct room *room = *state;
    struct rlimit limit, none;
    int fd = occupy(room->path, SOCK_DGRAM, -1);
    assert_refused(room->path, NULL, "cannot tell whether");
    close(fd);
    unlink(room->path);
    fd = occupy(room->path, SOCK_STREAM, 5);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    none = (struct rlimit){.rlim_cur = 0, .rlim_max = limit.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    struct error error = {0};
    int status = listen_at(room->path, 0600, NULL, &error);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    assert_int_equal(status, -1);
    assert_string_equal(error.message, "socket: Too many open files");
    assert_int_equal(access(room->path, F_OK), 0);
    close(fd);
}

static void test_what_is_no_socket_stays(void **state)
{
    struct room *room = *state;
    FILE *file = fopen(room->path, "w");
    assert_non_null(file);
    fclose(file);
    assert_refused(room->path, NULL, "exists and is no socket");
    assert_int_equal(access(room->path, F_OK), 0);
    unlink(room->path);
    assert_int_equal(symlink("/dev/null", room->path), 0);
    assert_refused(room->path, NULL, "exists and is no socket");
    assert_int_equal(unlink(room->path), 0);
}

static void test_paths_and_groups(void **state)
{
    struct room *room = *state;
    char path[200];
    memset(path, 'x', sizeof(path));
    path[0] = path[50] = '/';
    path[108] = '\0';
    assert_refused(path, NULL, "has 108 bytes, and the system takes at most 107: /xxx");
    path[107] = '\0';
    assert_refused(path, NULL, ": No such file"); /* short enough */
    assert_refused(room->path, "no such group", "there is no group \"no such group\"");
    assert_int_equal(access(room->path, F_OK), -1); /* nothing is left */
}

static void test_group_ids(void **state)
{
    static const char *const bad[] = {"", " ", "-1", "12x", "4294967295", "99999999999999999999"};
    struct error error = {0};
    gid_t gid = 1;
    (void)state;
    const struct group *own = getgrgid(getgid());
    if (own) {
        assert_int_equal(group_id(own->gr_name, &gid, &error), 0);
        assert_int_equal(gid, getgid());
    }
    assert_int_equal(group_id("4294967294", &gid, &error), 0);
    assert_int_equal(gid, 4294967294u);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(group_id(bad[i], &gid, &error), -1);
}

static void test_the_peer(void **state)
{
    int pair[2];
    struct peer peer;
    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    assert_int_equal(peer_of_socket(pair[0], &peer), 0);
    assert_int_equal(peer.uid, getuid());
    gid_t groups[1000];
    int count = getgroups(1000, groups);
    assert_int_equal(peer.group_count, count + 1);
    assert_int_equal(peer.groups[count], getgid());
    assert_memory_equal(peer.groups, groups, (size_t)count * sizeof(gid_t));
    free(peer.groups);
    close(pair[0]);
    close(pair[1]);
    assert_int_equal(peer_of_socket(pair[0], &peer), -EBADF);
}

static void test_the_daemons_own_user_is_an_operator(void **state)
{
    struct room *room = *state;
    struct seat *seat;
    room_open(room);
    int fd = join(room, &seat);
    assert_int_equal(client_uid(seat->client), getuid());
    assert_true(client_is_admin(seat->client));
    close(fd);
}

#define STRANGER 65534
#define ADMINS   4242

/* Somebody else connects, a member of `group`, and stays until it is killed. */
static pid_t stranger(const char *path, gid_t group)
{
    pid_t pid = fork();
    if (pid != 0)
        return pid;
    int fd = -1;
    if (setgroups(1, &group) == 0 && setgid(STRANGER) == 0 && setuid(STRANGER) == 0)
        fd = dial(path);
    alarm(WAIT_S);
    if (fd >= 0)
        pause();
    _exit(1);
}

static void assert_stranger(struct room *room, gid_t group, bool is_admin)
{
    int before = room->seated;
    pid_t pid = stranger(room->path, group);
    UNTIL(room, room->seated > before);
    const struct client *client = room->seats[before].client;
    assert_int_equal(client_uid(client), STRANGER);
    assert_int_equal(client_is_admin(client), is_admin);
    kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static void test_others_are_what_the_kernel_says(void **state)
{
    struct room *room = *state;
    if (getuid() != 0)
        skip();
    room_open(room);
    assert_stranger(room, ADMINS, false); /* no admin_group is set */
    room_close(room);
    room->closed = false;
    room->config.admin_group = "4242";
    room_open(room);
    assert_stranger(room, ADMINS, true);
    assert_stranger(room, ADMINS + 1, false);
}

static void test_a_descriptor_from_outside(void **state)
{
    struct room *room = *state;
    struct seat *seat;
    struct error error = {0};
    int fd = listen_at(room->path, 0600, NULL, &error);
    assert_true(fd >= 0);
    room->config.path = "/nowhere";
    assert_int_equal(
        clients_open(&room->loop, &room->config, fd, &hooks, room, &room->clients, &error), 0);
    int peer = join(room, &seat);
    say(room, peer, "x\n");
    UNTIL(room, seat->lines == 1);
    close(peer);
}

static void test_what_cannot_be_opened(void **state)
{
    struct room *room = *state;
    struct error error = {0};
    room->config.admin_group = "no such group";
    assert_int_equal(
        clients_open(&room->loop, &room->config, -1, &hooks, room, &room->clients, &error), -1);
    assert_string_equal(error.message, "there is no group \"no such group\"");
    room->config.admin_group = NULL;
    room->config.path = "/nowhere/at/all";
    assert_int_equal(
        clients_open(&room->loop, &room->config, -1, &hooks, room, &room->clients, &error), -1);
    assert_non_null(strstr(error.message, "cannot listen at /nowhere/at/all: No such file"));
}

static void test_stop_listening(void **state)
{
    struct room *room = *state;
    struct seat *seat;
    room_open(room);
    int fd = join(room, &seat);
    clients_stop_listening(room->clients);
    clients_stop_listening(room->clients);
    settle(room);
    assert_int_equal(dial(room->path), -1);
    assert_int_equal(errno, ECONNREFUSED);
    say(room, fd, "still here\n");
    UNTIL(room, seat->lines == 1);
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_mode_and_group, room_set_up, room_tear_down),
        cmocka_unit_test_setup_teardown(test_a_stale_file_is_replaced, room_set_up, room_tear_down),
        cmocka_unit_test_setup_teardown(test_a_living_one_is_left_alone, room_set_up,
                                        room_tear_down),
        cmocka_unit_test_setup_teardown(test_doubt_removes_nothing, room_set_up, room_tear_down),
        cmocka_unit_test_setup_teardown(test_what_is_no_socket_stays, room_set_up, room_tear_down),
        cmocka_unit_test_setup_teardown(test_paths_and_groups, room_set_up, room_tear_down),
        cmocka_unit_test_setup_teardown(test_group_ids, room_set_up, room_tear_down),
        cmocka_unit_test_setup_teardown(test_the_peer, room_set_up, room_tear_down),
        cmocka_unit_test_setup_teardown(test_the_daemons_own_user_is_an_operator, room_set_up,
                                        room_tear_down),
        cmocka_unit_test_setup_teardown(test_others_are_what_the_kernel_says, room_set_up,
                                        room_tear_down),
        cmocka_unit_test_setup_teardown(test_a_descriptor_from_outside, room_set_up,
                                        room_tear_down),
        cmocka_unit_test_setup_teardown(test_what_cannot_be_opened, room_set_up, room_tear_down),
        cmocka_unit_test_setup_teardown(test_stop_listening, room_set_up, room_tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
