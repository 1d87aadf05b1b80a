/* Blobs in a directory and a store of their own, on a real loop. */
#include <dirent.h>
#include <errno.h>
#include <setjmp.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "daemon/io/blob.h"
#include "tests/unit/store_fixture.h"

#define LIMIT 1000000
#define TOTAL 1500000
#define HOUR  INT64_C(3600000)

/* One that is on its way, and what it was told. */
struct putter {
    struct blob_put *put;
    int ready;
    bool done;
    struct store_blob blob;
    enum error_code code;
    char message[320];
};

struct world {
    struct fixture *f;
    char path[160];
    struct blobs *blobs;
};

static void open_blobs(struct world *world)
{
    const struct blobs_config config = {
        .directory = world->path, .blob_bytes = LIMIT, .total_bytes = TOTAL, .age_ms = HOUR};
    struct error error = {0};
    if (blobs_open(&world->f->loop, world->f->store, &config, &world->blobs, &error) < 0)
        fail_msg("%s", error.message);
}

static void close_blobs(struct world *world)
{
    bool closed = false;
    blobs_close(world->blobs, on_fixture_closed, &closed);
    fixture_run_until(world->f, &closed);
}

static int set_up(void **state)
{
    struct world *world = mem_alloc(sizeof(*world));
    *state = world;
    world->f = fixture_new();
    snprintf(world->path, sizeof(world->path), "%s/blobs", world->f->dir);
    open_blobs(world);
    return 0;
}

/* What is in the folder; each file that `remove` asks for is removed. */
static int count_files(const struct world *world, bool remove)
{
    DIR *folder = opendir(world->path);
    int count = 0;
    for (const struct dirent *entry; (entry = readdir(folder));) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        count++;
        if (remove)
            unlinkat(dirfd(folder), entry->d_name, 0);
    }
    closedir(folder);
    return count;
}

static int tear_down(void **state)
{
    struct world *world = *state;
    close_blobs(world);
    while (uv_run(&world->f->loop, UV_RUN_NOWAIT))
        continue;
    count_files(world, true);
    assert_int_equal(rmdir(world->path), 0);
    fixture_free(world->f);
    free(world);
    return 0;
}

/* ---- putting ---- */

static void on_ready(void *arg)
{
    ((struct putter *)arg)->ready++;
}

static void on_done(void *arg, const struct store_blob *blob, const struct error *error)
{
    struct putter *putter = arg;
    assert_false(putter->done);
    assert_true((blob != NULL) != (error != NULL));
    putter->done = true;
    putter->put = NULL;
    if (blob)
        putter->blob = *blob;
    if (error) {
        putter->code = error->code;
        snprintf(putter->message, sizeof(putter->message), "%s", error->message);
    }
}

static const struct blob_put_hooks hooks = {on_ready, on_done};

static enum error_code begin(struct world *world, struct putter *putter, uid_t owner,
                             uint64_t bytes, const char *type)
{
    struct error error = {0};
    *putter = (struct putter){0};
    putter->put = blob_put_begin(world->blobs, owner, bytes, type, NULL, &hooks, putter, &error);
    return putter->put ? ERROR_NONE : error.code;
}

/* Until all was taken or refused. */
static enum error_code write_all(struct world *world, struct putter *putter, const char *data,
                                 size_t length)
{
    struct error error = {0};
    alarm(WAIT_S);
    for (size_t done = 0; done < length;) {
        size_t taken = 0;
        if (blob_put_write(putter->put, data + done, length - done, &taken, &error) < 0) {
            blob_put_end(putter->put);
            return error.code;
        }
        assert_false(putter->done); /* never from inside */
        done += taken;
        for (int before = putter->ready; done < length && putter->ready == before;)
            uv_run(&world->f->loop, UV_RUN_ONCE);
    }
    return ERROR_NONE;
}

static char *make_jpeg(size_t length, char filler)
{
    char *data = mem_alloc(length + 1);
    memset(data, filler, length);
    memcpy(data, "\xff\xd8\xff\xe0", 4);
    return data;
}

/* A whole one; its name is in `putter`. */
static enum error_code put(struct world *world, struct putter *putter, uid_t owner, size_t length,
                           char filler)
{
    char *data = make_jpeg(length, filler);
    enum error_code code = begin(world, putter, owner, length, NULL);
    if (code == ERROR_NONE)
        code = write_all(world, putter, data, length);
    free(data);
    if (code != ERROR_NONE)
        return code;
    fixture_run_until(world->f, &putter->done);
    return putter->code;
}

static enum error_code find(struct world *world, uid_t owner, const char *name)
{
    struct putter putter = {0};
    blob_find(world->blobs, owner, name, "image", on_done, &putter);
    assert_false(putter.done);
    fixture_run_until(world->f, &putter.done);
    if (putter.code == ERROR_NONE)
        assert_string_equal(putter.blob.name, name);
    return putter.code;
}

static void test_one_is_kept(void **state)
{
    struct world *world = *state;
    struct putter one;
    struct stat about;
    char path[300];
    assert_int_equal(put(world, &one, 1, 500000, 'a'), ERROR_NONE);
    assert_true(blob_is_name(one.blob.name));
    assert_int_equal(one.blob.bytes, 500000);
    assert_string_equal(one.blob.mime_type, "image/jpeg");
    snprintf(path, sizeof(path), "%s/%s", world->path, one.blob.name);
    assert_int_equal(stat(path, &about), 0);
    assert_int_equal(about.st_size, 500000);
    assert_int_equal(about.st_mode & 0777, 0600);
    assert_int_equal(stat(world->path, &about), 0);
    assert_int_equal(about.st_mode & 0777, 0700);
    assert_int_equal(find(world, 1, one.blob.name), ERROR_NONE);
    assert_int_equal(find(world, 2, one.blob.name), ERROR_NOT_FOUND);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(find(world, 1, one.blob.name), ERROR_NOT_FOUND);
}

static void test_the_same_content_is_one_file(void **state)
{
    struct world *world = *state;
    struct putter one, two;
    assert_int_equal(put(world, &one, 1, 600000, 'a'), ERROR_NONE);
    assert_int_equal(put(world, &two, 2, 600000, 'a'), ERROR_NONE);
    assert_string_equal(one.blob.name, two.blob.name);
    assert_int_equal(count_files(world, false), 1);
    assert_int_equal(find(world, 2, one.blob.name), ERROR_NONE);
    /* It counts once: 600000 more fit below TOTAL, but no third. */
    assert_int_equal(put(world, &one, 1, 600000, 'b'), ERROR_NONE);
    assert_int_equal(put(world, &one, 1, 600000, 'c'), ERROR_TOO_MANY);
}

static void test_limits(void **state)
{
    struct world *world = *state;
    struct putter one, two;
    assert_int_equal(begin(world, &one, 1, LIMIT + 1, NULL), ERROR_TOO_LONG);
    assert_int_equal(begin(world, &one, 1, UINT64_MAX, NULL), ERROR_TOO_LONG);
    assert_int_equal(begin(world, &one, 1, 0, NULL), ERROR_INVALID_ARGUMENT);
    assert_int_equal(begin(world, &one, 1, LIMIT, NULL), ERROR_NONE);
    assert_int_equal(begin(world, &two, 1, TOTAL - LIMIT + 1, NULL), ERROR_TOO_MANY);
    assert_int_equal(begin(world, &two, 1, TOTAL - LIMIT, NULL), ERROR_NONE);
    blob_put_end(one.put);
    blob_put_end(two.put);
    assert_int_equal(begin(world, &two, 1, LIMIT, NULL), ERROR_NONE);
    blob_put_end(two.put);
}

static void test_kinds(void **state)
{
    struct world *world = *state;
    struct putter one;
    assert_int_equal(begin(world, &one, 1, 100, NULL), ERROR_NONE);
    assert_int_equal(write_all(world, &one, "0123456789012345", 16), ERROR_INVALID_ARGUMENT);
    assert_int_equal(begin(world, &one, 1, 3, NULL), ERROR_NONE);
    assert_int_equal(write_all(world, &one, "abc", 3), ERROR_INVALID_ARGUMENT);
    assert_int_equal(begin(world, &one, 1, 100, "image/png"), ERROR_NONE);
    assert_int_equal(write_all(world, &one, "\xff\xd8\xff\xe0xxxxxxxxxxxx", 16),
                     ERROR_INVALID_ARGUMENT);
    assert_int_equal(begin(world, &one, 1, 4, "IMAGE/JPEG"), ERROR_NONE);
    assert_int_equal(write_all(world, &one, "\xff\xd8\xff\xe0", 4), ERROR_NONE);
    fixture_run_until(world->f, &one.done);
    assert_string_equal(one.blob.mime_type, "image/jpeg");
}

/* At every point at which its sender can leave. */
static void test_leaving(void **state)
{
    struct world *world = *state;
    char *data = make_jpeg(400000, 'a');
    for (int turns = 0; turns < 12; turns++) {
        struct putter one;
        assert_int_equal(begin(world, &one, 1, 500000, NULL), ERROR_NONE);
        for (int i = 0; i < turns && !one.ready; i++)
            uv_run(&world->f->loop, UV_RUN_ONCE);
        if (one.ready)
            assert_int_equal(write_all(world, &one, data, (size_t)turns * 30000), ERROR_NONE);
        blob_put_end(one.put);
        assert_false(one.done);
    }
    close_blobs(world);
    while (uv_run(&world->f->loop, UV_RUN_NOWAIT))
        continue;
    assert_int_equal(count_files(world, false), 0);
    open_blobs(world);
    free(data);
}

/* All was sent before: it comes to its end. */
static void test_leaving_before_the_answer(void **state)
{
    struct world *world = *state;
    struct putter one;
    char *data = make_jpeg(1000, 'a');
    assert_int_equal(begin(world, &one, 1, 1000, NULL), ERROR_NONE);
    assert_int_equal(write_all(world, &one, data, 1000), ERROR_NONE);
    blob_put_end(one.put);
    close_blobs(world);
    assert_false(one.done);
    open_blobs(world);
    assert_int_equal(count_files(world, false), 1);
    assert_int_equal(put(world, &one, 2, 1000, 'a'), ERROR_NONE);
    assert_int_equal(find(world, 1, one.blob.name), ERROR_NONE);
    free(data);
}

/* ---- from elsewhere ---- */

static enum error_code put_base64(struct world *world, const char *base64, const char *type,
                                  struct putter *ret)
{
    *ret = (struct putter){0};
    blob_put_base64(world->blobs, 1, base64, type, "image", on_done, ret);
    fixture_run_until(world->f, &ret->done);
    return ret->code;
}

static void test_base64(void **state)
{
    struct world *world = *state;
    struct putter one;
    static const char *const bad[] = {"/9j/4A=",   "/9j/4A", "/9j/4A===", "/9j_4A==", "/9j/ 4A=",
                                      "/9j/4A==x", "====",   "/9j/\n4A=", "*"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(put_base64(world, bad[i], NULL, &one), ERROR_INVALID_ARGUMENT);
        assert_non_null(strstr(one.message, "not base64"));
    }
    assert_int_equal(put_base64(world, "/9j/4A==", "image/jpeg", &one), ERROR_NONE);
    assert_int_equal(one.blob.bytes, 4);
    assert_string_equal(one.blob.mime_type, "image/jpeg");
    assert_int_equal(put_base64(world, "/9j/4AA=", NULL, &one), ERROR_NONE);
    assert_int_equal(one.blob.bytes, 5);
    assert_int_equal(put_base64(world, "/9j/4AAA", NULL, &one), ERROR_NONE);
    assert_int_equal(one.blob.bytes, 6);
    assert_int_equal(put_base64(world, "/9j/4AAA", "image/png", &one), ERROR_INVALID_ARGUMENT);
    assert_int_equal(put_base64(world, "aGVsbG8=", NULL, &one), ERROR_INVALID_ARGUMENT);
}

static void test_many_paths_at_once(void **state)
{
    struct world *world = *state;
    struct putter putters[20] = {0}, one;
    gid_t group = getegid();
    const struct peer peer = {.uid = geteuid(), .groups = &group, .group_count = 1};
    char path[200];
    char *data = make_jpeg(200000, 'a');
    snprintf(path, sizeof(path), "%s/picture", world->f->dir);
    int fd = open(path, O_WRONLY | O_CREAT, 0600);
    assert_int_equal(write(fd, data, 200000), 200000);
    close(fd);
    for (size_t i = 0; i < 20; i++)
        blob_put_path(world->blobs, &peer, i == 7 ? "/nonexistent" : path, "image_path", on_done,
                      &putters[i]);
    for (size_t i = 0; i < 20; i++) {
        fixture_run_until(world->f, &putters[i].done);
        assert_int_equal(putters[i].code, i == 7 ? ERROR_NOT_FOUND : ERROR_NONE);
    }
    assert_int_equal(count_files(world, false), 1);
    assert_int_equal(put(world, &one, 3, 200000, 'a'), ERROR_NONE);
    assert_string_equal(one.blob.name, putters[0].blob.name);
    unlink(path);
    free(data);
}

/* ---- the sweep, at the start ---- */

static void make_old(const struct world *world)
{
    sqlite3 *db;
    char path[160];
    snprintf(path, sizeof(path), "%s/jobs.db", world->f->dir);
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(
        sqlite3_exec(db, "UPDATE blobs SET used_at = used_at - 7200000", NULL, NULL, NULL),
        SQLITE_OK);
    sqlite3_close(db);
}

static void test_a_put_during_the_sweep(void **state)
{
    struct world *world = *state;
    struct putter putters[40], again[40];
    for (int i = 0; i < 40; i++)
        assert_int_equal(put(world, &putters[i], 1, 100, (char)('0' + i)), ERROR_NONE);
    close_blobs(world);
    make_old(world);
    open_blobs(world);
    /* The sweep begins in the loop's first turn; each of these comes before, in, or after it. */
    for (int i = 0; i < 40; i++)
        assert_int_equal(put(world, &again[i], 1, 100, (char)('0' + i)), ERROR_NONE);
    for (int i = 0; i < 40; i++)
        assert_int_equal(find(world, 1, again[i].blob.name), ERROR_NONE);
    close_blobs(world);
    open_blobs(world);
    for (int i = 0; i < 40; i++)
        assert_int_equal(find(world, 1, again[i].blob.name), ERROR_NONE);
    assert_int_equal(count_files(world, false), 40);
}

static void test_the_sweep_gives_room(void **state)
{
    struct world *world = *state;
    struct putter one;
    assert_int_equal(put(world, &one, 1, LIMIT, 'a'), ERROR_NONE);
    assert_int_equal(put(world, &one, 1, LIMIT, 'b'), ERROR_TOO_MANY);
    close_blobs(world);
    make_old(world);
    open_blobs(world);
    alarm(WAIT_S);
    while (count_files(world, false) > 0)
        uv_run(&world->f->loop, UV_RUN_ONCE);
    while (put(world, &one, 1, LIMIT, 'b') == ERROR_TOO_MANY) /* until it was told of it */
        uv_run(&world->f->loop, UV_RUN_ONCE);
    assert_int_equal(one.code, ERROR_NONE);
}

static void test_names(void **state)
{
    (void)state;
    static const char good[] =
        "sha256-0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    assert_true(blob_is_name(good));
    assert_false(blob_is_name(good + 1));
    assert_false(blob_is_name(""));
    assert_false(blob_is_name("sha256-"));
    assert_false(
        blob_is_name("sha256-0123456789ABCDEF0123456789abcdef0123456789abcdef0123456789abcdef"));
    assert_false(
        blob_is_name("sha256-0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0"));
    assert_false(
        blob_is_name("sha256-../3456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_one_is_kept),
        TEST(test_the_same_content_is_one_file),
        TEST(test_limits),
        TEST(test_kinds),
        TEST(test_leaving),
        TEST(test_leaving_before_the_answer),
        TEST(test_base64),
        TEST(test_many_paths_at_once),
        TEST(test_a_put_during_the_sweep),
        TEST(test_the_sweep_gives_room),
        cmocka_unit_test(test_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
