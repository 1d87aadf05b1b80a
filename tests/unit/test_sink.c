#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemon/io/sink.h"
#include "proto/mem.h"

#define BIG     (5 * SINK_BUFFER + 77)
#define BIG_SHA "eb1a4623ce2b8d069fbb4edd12796ec17e5fafc60186436b3eb72f52735b7e23"
#define SMALL    \
    "\0\0\0\x10" \
    "ftypisom"   \
    "\0\0\0\0"
#define SMALL_LEN 16
#define SMALL_SHA "aeca4ec81179e906402b14b4a58f8f3c8fbf2d71356cd3f116b43d72555e7208"

struct world {
    uv_loop_t loop;
    char root[64];
    struct sink *sink;
    int opened, drained, finished;
    int open_status, finish_status;
    uint64_t offset;
};

static void on_opened(void *arg, int status, uint64_t offset)
{
    struct world *world = arg;
    world->opened++;
    world->open_status = status;
    world->offset = offset;
}

static void on_drained(void *arg)
{
    struct world *world = arg;
    world->drained++;
}

static void on_finished(void *arg, int status)
{
    struct world *world = arg;
    world->finished++;
    world->finish_status = status;
}

static const struct sink_hooks hooks = {on_opened, on_drained, on_finished};

static void run_until(struct world *world, const int *count, int wanted)
{
    while (*count < wanted && uv_run(&world->loop, UV_RUN_ONCE) != 0)
        ;
    assert_int_equal(*count, wanted);
}

static int open_sink(struct world *world, const char *name, bool resume)
{
    world->sink = sink_open(&world->loop, world->root, name, "tag", resume, &hooks, world);
    int before = world->opened;
    assert_int_equal(sink_write(world->sink, "x", 1), 0); /* not yet */
    run_until(world, &world->opened, before + 1);
    return world->open_status;
}

static void write_all(struct world *world, const char *data, size_t length)
{
    for (size_t done = 0; done < length;) {
        int drained = world->drained;
        size_t taken = sink_write(world->sink, data + done, length - done);
        assert_true(taken <= length - done);
        done += taken;
        assert_int_equal(world->drained, drained); /* never from inside */
        if (done < length)
            run_until(world, &world->drained, drained + 1);
    }
}

static int finish(struct world *world, int64_t expected)
{
    int before = world->finished;
    sink_finish(world->sink, expected);
    assert_int_equal(world->finished, before);
    run_until(world, &world->finished, before + 1);
    return world->finish_status;
}

static void close_sink(struct world *world, bool remove)
{
    sink_close(world->sink, remove);
    world->sink = NULL;
    uv_run(&world->loop, UV_RUN_DEFAULT);
}

static char *below(struct world *world, const char *name)
{
    static char path[256];
    snprintf(path, sizeof(path), "%s/%s", world->root, name);
    return path;
}

/* Bytes in the file, -1 if there is none. */
static long size_of(struct world *world, const char *name)
{
    struct stat about;
    return lstat(below(world, name), &about) == 0 ? (long)about.st_size : -1;
}

static void put_file(struct world *world, const char *name, const void *data, size_t length)
{
    FILE *file = fopen(below(world, name), "we");
    assert_non_null(file);
    assert_int_equal(fwrite(data, 1, length, file), length);
    fclose(file);
}

static char *big_video(void)
{
    char *data = mem_alloc(BIG);
    for (size_t i = 0; i < BIG; i++)
        data[i] = (char)(i * i >> 3);
    memcpy(data, SMALL, SMALL_LEN);
    return data;
}

static void assert_holds(struct world *world, const char *name, const char *data, size_t length)
{
    char *read = mem_alloc(length + 1);
    FILE *file = fopen(below(world, name), "re");
    assert_non_null(file);
    assert_int_equal(fread(read, 1, length + 1, file), length);
    assert_memory_equal(read, data, length);
    fclose(file);
    free(read);
}

static void test_whole(void **state)
{
    struct world *world = *state;
    char *data = big_video();
    assert_int_equal(open_sink(world, "a/b/c.mp4", false), 0);
    assert_int_equal(world->offset, 0);
    assert_int_equal(size_of(world, "a/b/.c.mp4.tag.part"), 0);
    write_all(world, data, BIG);
    assert_true(world->drained > 0);
    assert_int_equal(sink_bytes(world->sink), BIG);
    assert_int_equal(size_of(world, "a/b/c.mp4"), -1);
    assert_int_equal(finish(world, BIG), 0);
    assert_string_equal(sink_sha256(world->sink), BIG_SHA);
    assert_string_equal(sink_path(world->sink), below(world, "a/b/c.mp4"));
    close_sink(world, true);
    assert_int_equal(size_of(world, "a/b/.c.mp4.tag.part"), -1);
    assert_holds(world, "a/b/c.mp4", data, BIG);
    struct stat about;
    stat(below(world, "a/b/c.mp4"), &about);
    assert_int_equal(about.st_mode & 0777, 0640);
    stat(below(world, "a/b"), &about);
    assert_int_equal(about.st_mode & 0777, 0750);
    free(data);
}

/* What is held is bounded: two buffers, however much is offered. */
static void test_bounded(void **state)
{
    struct world *world = *state;
    char *data = big_video();
    assert_int_equal(open_sink(world, "c.mp4", false), 0);
    assert_int_equal(sink_write(world->sink, data, BIG), 2 * SINK_BUFFER);
    assert_int_equal(sink_write(world->sink, data, BIG), 0);
    run_until(world, &world->drained, 1);
    assert_true(sink_write(world->sink, data, 1) == 1);
    close_sink(world, true);
    assert_int_equal(size_of(world, ".c.mp4.tag.part"), -1);
    free(data);
}

static void test_resume(void **state)
{
    struct world *world = *state;
    char *data = big_video();
    size_t first = 3 * SINK_BUFFER + 5;
    assert_int_equal(open_sink(world, "c.mp4", false), 0);
    write_all(world, data, first);
    close_sink(world, false); /* with bytes that are still in memory */
    assert_int_equal(size_of(world, ".c.mp4.tag.part"), first);
    assert_int_equal(open_sink(world, "c.mp4", true), 0);
    assert_int_equal(world->offset, first);
    write_all(world, data + first, BIG - first);
    assert_int_equal(finish(world, BIG), 0);
    assert_string_equal(sink_sha256(world->sink), BIG_SHA);
    close_sink(world, false);
    assert_holds(world, "c.mp4", data, BIG);
    free(data);
}

static void test_not_resumed(void **state)
{
    struct world *world = *state;
    put_file(world, ".c.mp4.tag.part", "old bytes, more than the new ones", 33);
    assert_int_equal(open_sink(world, "c.mp4", false), 0);
    assert_int_equal(world->offset, 0);
    write_all(world, SMALL, SMALL_LEN);
    assert_int_equal(finish(world, -1), 0);
    assert_string_equal(sink_sha256(world->sink), SMALL_SHA);
    close_sink(world, false);
    assert_holds(world, "c.mp4", SMALL, SMALL_LEN);
}

static void test_restart(void **state)
{
    struct world *world = *state;
    char *data = big_video();
    put_file(world, ".c.mp4.tag.part", data, 1000);
    assert_int_equal(open_sink(world, "c.mp4", true), 0);
    assert_int_equal(world->offset, 1000);
    assert_int_equal(sink_write(world->sink, data, BIG), 2 * SINK_BUFFER);
    sink_restart(world->sink); /* with one buffer under way and one full */
    assert_int_equal(sink_bytes(world->sink), 0);
    write_all(world, SMALL, SMALL_LEN);
    assert_int_equal(sink_bytes(world->sink), SMALL_LEN);
    assert_int_equal(finish(world, SMALL_LEN), 0);
    assert_string_equal(sink_sha256(world->sink), SMALL_SHA);
    close_sink(world, false);
    assert_holds(world, "c.mp4", SMALL, SMALL_LEN);
    free(data);
}

static void test_refused_content(void **state)
{
    static const struct {
        const char *data;
        size_t length;
        int64_t expected;
        int status;
    } cases[] = {
        {"<!doctype html>....", 19, 19, -EBADMSG},
        {"<!doctype html>....", 19, -1, -EBADMSG},
        {SMALL, 7, -1, -EBADMSG},
        {"", 0, 0, -EBADMSG},
        {SMALL, SMALL_LEN, SMALL_LEN + 1, -EMSGSIZE},
        {SMALL, SMALL_LEN, SMALL_LEN - 1, -EMSGSIZE},
    };
    struct world *world = *state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(open_sink(world, "c.mp4", false), 0);
        write_all(world, cases[i].data, cases[i].length);
        assert_int_equal(finish(world, cases[i].expected), cases[i].status);
        close_sink(world, false);
        assert_int_equal(size_of(world, "c.mp4"), -1);
        assert_int_equal(size_of(world, ".c.mp4.tag.part"), cases[i].length);
    }
}

static int finish_small(struct world *world)
{
    assert_int_equal(open_sink(world, "c.mp4", false), 0);
    write_all(world, SMALL, SMALL_LEN);
    return finish(world, SMALL_LEN);
}

static void test_name_is_taken(void **state)
{
    struct world *world = *state;
    put_file(world, "c.mp4",
             "\0\0\0\x10"
             "ftypisom"
             "\0\0\0\1",
             SMALL_LEN);
    assert_int_equal(finish_small(world), -EEXIST);
    close_sink(world, false);
    assert_int_equal(size_of(world, ".c.mp4.tag.part"), SMALL_LEN);
    unlink(below(world, "c.mp4"));
    assert_int_equal(symlink("elsewhere", below(world, "c.mp4")), 0);
    assert_int_equal(finish_small(world), -EEXIST);
    close_sink(world, true);
    assert_int_equal(size_of(world, "elsewhere"), -1);
    assert_int_equal(size_of(world, ".c.mp4.tag.part"), -1);
}

/* A crash after the rename: the same bytes are there under the name. */
static void test_was_there_already(void **state)
{
    struct world *world = *state;
    put_file(world, "c.mp4", SMALL, SMALL_LEN);
    assert_int_equal(finish_small(world), 0);
    close_sink(world, false);
    assert_holds(world, "c.mp4", SMALL, SMALL_LEN);
    assert_int_equal(size_of(world, ".c.mp4.tag.part"), -1);
}

static void test_names(void **state)
{
    static const struct {
        const char *name;
        int status;
    } cases[] = {
        {"../c.mp4", -EINVAL},
        {"/etc/c.mp4", -EINVAL},
        {"a/../../c.mp4", -EINVAL},
        {"a//c.mp4", -EINVAL},
        {"", -EINVAL},
        {"a/", -EINVAL},
        {"..", -EINVAL},
        {"./c.mp4", -EINVAL},
        {"link/c.mp4", -ELOOP},
        {"inner/c.mp4", -ELOOP},
        {"file/c.mp4", -ENOTDIR},
    };
    struct world *world = *state;
    char outside[80];
    snprintf(outside, sizeof(outside), "%s-outside", world->root);
    mkdir(outside, 0700);
    assert_int_equal(symlink(outside, below(world, "link")), 0);
    mkdir(below(world, "real"), 0700);
    assert_int_equal(symlink("real", below(world, "inner")), 0);
    put_file(world, "file", "x", 1);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        if (open_sink(world, cases[i].name, false) != cases[i].status)
            fail_msg("%s: %d", cases[i].name, world->open_status);
        assert_int_equal(sink_write(world->sink, SMALL, SMALL_LEN), SMALL_LEN); /* dropped */
        assert_int_equal(sink_status(world->sink), cases[i].status);
        assert_int_equal(finish(world, SMALL_LEN), cases[i].status);
        close_sink(world, true);
        assert_int_equal(sink_remove(world->root, cases[i].name), cases[i].status);
    }
    assert_int_equal(rmdir(outside), 0); /* nothing was made in it */
}

static void test_odd_parts(void **state)
{
    struct world *world = *state;
    assert_int_equal(symlink("target", below(world, ".a.mp4.tag.part")), 0);
    assert_int_equal(open_sink(world, "a.mp4", true), -ELOOP);
    close_sink(world, true);
    assert_int_equal(size_of(world, "target"), -1);
    assert_int_equal(mkfifo(below(world, ".b.mp4.tag.part"), 0600), 0);
    assert_int_equal(open_sink(world, "b.mp4", true), -EINVAL);
    close_sink(world, false);
    char root[sizeof(world->root)];
    snprintf(root, sizeof(root), "%s", world->root);
    snprintf(world->root, sizeof(world->root), "%.50s/missing", root);
    assert_int_equal(open_sink(world, "c.mp4", false), -ENOENT);
    close_sink(world, true);
    snprintf(world->root, sizeof(world->root), "%s", root);
}

/* At each moment; ASan and the loop's end see what is left. */
static void test_close_at_any_time(void **state)
{
    struct world *world = *state;
    char *data = big_video();
    for (int stage = 0; stage < 6; stage++) {
        struct world was;
        world->sink = sink_open(&world->loop, world->root, "c.mp4", "tag", false, &hooks, world);
        if (stage > 0)
            run_until(world, &world->opened, world->opened + 1);
        if (stage > 1)
            assert_true(sink_write(world->sink, data, stage == 2 ? 100 : BIG) > 0);
        if (stage > 3)
            sink_restart(world->sink);
        if (stage > 4)
            sink_finish(world->sink, -1);
        was = *world;
        close_sink(world, true);
        assert_int_equal(world->opened, was.opened);
        assert_int_equal(world->drained, was.drained);
        assert_int_equal(world->finished, was.finished);
        assert_int_equal(size_of(world, ".c.mp4.tag.part"), -1);
        assert_int_equal(size_of(world, "c.mp4"), -1);
    }
    assert_int_equal(finish_small(world), 0);
    close_sink(world, true);
    assert_int_equal(size_of(world, "c.mp4"), SMALL_LEN);
    sink_close(NULL, true);
    free(data);
}

static void close_when_opened(void *arg, int status, uint64_t offset)
{
    struct world *world = arg;
    on_opened(arg, status, offset);
    sink_close(world->sink, true);
}

static void close_when_drained(void *arg)
{
    struct world *world = arg;
    on_drained(arg);
    sink_close(world->sink, true);
}

static void close_when_finished(void *arg, int status)
{
    struct world *world = arg;
    on_finished(arg, status);
    sink_close(world->sink, true);
}

static void test_close_in_hooks(void **state)
{
    struct world *world = *state;
    char *data = big_video();
    for (int which = 0; which < 3; which++) {
        struct sink_hooks closing = hooks;
        if (which == 0)
            closing.opened = close_when_opened;
        if (which == 1)
            closing.drained = close_when_drained;
        if (which == 2)
            closing.finished = close_when_finished;
        world->sink = sink_open(&world->loop, world->root, "c.mp4", "tag", false, &closing, world);
        run_until(world, &world->opened, which + 1);
        if (which == 1)
            sink_write(world->sink, data, BIG);
        if (which == 2)
            write_all(world, SMALL, SMALL_LEN);
        if (which == 2)
            sink_finish(world->sink, -1);
        uv_run(&world->loop, UV_RUN_DEFAULT);
        world->sink = NULL;
    }
    assert_int_equal(world->drained, 1);
    assert_int_equal(world->finished, 1);
    assert_int_equal(size_of(world, "c.mp4"), SMALL_LEN);
    free(data);
}

static void test_remove(void **state)
{
    struct world *world = *state;
    mkdir(below(world, "a"), 0700);
    put_file(world, "a/c.mp4", "x", 1);
    put_file(world, "kept", "x", 1);
    assert_int_equal(symlink("../kept", below(world, "a/link")), 0);
    assert_int_equal(sink_remove(world->root, "a/c.mp4"), 0);
    assert_int_equal(sink_remove(world->root, "a/c.mp4"), -ENOENT);
    assert_int_equal(sink_remove(world->root, "a/link"), 0);
    assert_int_equal(size_of(world, "kept"), 1);
    assert_int_equal(sink_remove(world->root, "a"), -EISDIR);
    assert_int_equal(sink_remove(world->root, "b/c.mp4"), -ENOENT);
}

static int open_world(void **state)
{
    struct world *world = mem_alloc(sizeof(*world));
    snprintf(world->root, sizeof(world->root), "/tmp/veod-sink-XXXXXX");
    assert_non_null(mkdtemp(world->root));
    uv_loop_init(&world->loop);
    umask(022);
    *state = world;
    return 0;
}

static int remove_one(const char *path, const struct stat *about, int type, struct FTW *where)
{
    (void)about;
    (void)type;
    (void)where;
    return remove(path);
}

static int close_world(void **state)
{
    struct world *world = *state;
    sink_close(world->sink, true);
    uv_run(&world->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&world->loop), 0);
    nftw(world->root, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    free(world);
    return 0;
}

#ifdef VEOD_FAULTS
/* The faults are read once in a process, so each case has its own. */
static int finish_in_child(struct world *world, const char *fault)
{
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        setenv("VEOD_FAULT", fault, 1);
        world->sink = sink_open(&world->loop, world->root, "c.mp4", "tag", false, &hooks, world);
        while (world->opened == 0)
            uv_run(&world->loop, UV_RUN_ONCE);
        sink_write(world->sink, SMALL, SMALL_LEN);
        sink_finish(world->sink, SMALL_LEN);
        while (world->finished == 0)
            uv_run(&world->loop, UV_RUN_ONCE);
        _exit(world->finish_status == sink_status(world->sink) ? -world->finish_status : 255);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFSIGNALED(status) ? WTERMSIG(status) + 1000 : WEXITSTATUS(status);
}

static void test_faults(void **state)
{
    static const char *const points[] = {"sink.open", "sink.write", "sink.sync", "sink.rename",
                                         "sink.renamed"};
    struct world *world = *state;
    char fault[64];
    for (size_t i = 0; i < sizeof(points) / sizeof(points[0]); i++) {
        snprintf(fault, sizeof(fault), "%s=ENOSPC", points[i]);
        assert_int_equal(finish_in_child(world, fault), ENOSPC);
        assert_int_equal(size_of(world, "c.mp4"), -1);
        assert_int_equal(size_of(world, ".c.mp4.tag.part"), i == 0 ? -1 : i == 1 ? 0 : SMALL_LEN);
    }
    assert_int_equal(finish_in_child(world, "sink.rename=kill"), 1000 + SIGKILL);
    assert_int_equal(size_of(world, "c.mp4"), -1);
    assert_int_equal(finish_in_child(world, "sink.renamed=kill"), 1000 + SIGKILL);
    assert_int_equal(size_of(world, "c.mp4"), SMALL_LEN);
    assert_int_equal(size_of(world, ".c.mp4.tag.part"), -1);
    assert_int_equal(finish_in_child(world, ""), 0);
}
#else
static void test_faults(void **state)
{
    (void)state;
    skip();
}
#endif

#define WITH_WORLD(test) cmocka_unit_test_setup_teardown(test, open_world, close_world)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_WORLD(test_faults), /* first: it forks, and no fault point was passed yet */
        WITH_WORLD(test_whole),
        WITH_WORLD(test_bounded),
        WITH_WORLD(test_resume),
        WITH_WORLD(test_not_resumed),
        WITH_WORLD(test_restart),
        WITH_WORLD(test_refused_content),
        WITH_WORLD(test_name_is_taken),
        WITH_WORLD(test_was_there_already),
        WITH_WORLD(test_names),
        WITH_WORLD(test_odd_parts),
        WITH_WORLD(test_close_at_any_time),
        WITH_WORLD(test_close_in_hooks),
        WITH_WORLD(test_remove),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
