/* Opening a store: its directory, its lock, files that it must not touch, and the schema. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "daemon/io/store_schema.h"
#include "tests/unit/store_fixture.h"

static int set_up(void **state)
{
    *state = fixture_new();
    return 0;
}

static int tear_down(void **state)
{
    fixture_free(*state);
    return 0;
}

static void path_in(const char *dir, const char *name, char ret[160])
{
    snprintf(ret, 160, "%s/%s", dir, name);
}

/* Opens a store that must be refused; its message is that after "DIR". */
static void assert_refused(struct fixture *f, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void assert_refused(struct fixture *f, const char *format, ...)
{
    struct store *store = NULL;
    struct error error = {0};
    char expected[256];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(expected, sizeof(expected), format, arguments);
    va_end(arguments);
    assert_int_equal(store_open(f->dir, &f->loop, &store, &error), -1);
    assert_null(store);
    assert_int_equal(strncmp(error.message, f->dir, strlen(f->dir)), 0);
    assert_string_equal(error.message + strlen(f->dir), expected);
}

static void write_file(const char *dir, const char *name, long offset, const void *data,
                       size_t length)
{
    char path[160];
    path_in(dir, name, path);
    int fd = open(path, O_WRONLY | O_CREAT, 0600);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, data, length, offset), length);
    close(fd);
}

static void read_file(const char *dir, const char *name, long offset, void *ret, size_t length)
{
    char path[160];
    path_in(dir, name, path);
    int fd = open(path, O_RDONLY);
    assert_true(fd >= 0);
    assert_int_equal(pread(fd, ret, length, offset), length);
    close(fd);
}

static void test_two_on_one_directory(void **state)
{
    struct fixture *f = *state;
    assert_refused(f, " is in use by another veod (pid %d)", (int)getpid());
    add_job(f, 1, PLAIN);
    fixture_reopen(f);
}

/* The version is at byte 60 of the file, big-endian (sqlite.org/fileformat2.html, 1.3). */
static void test_newer_version_is_refused(void **state)
{
    struct fixture *f = *state;
    const uint8_t newer[] = {0, 0, 0, 99};
    uint8_t ours[4];
    fixture_close_store(f);
    read_file(f->dir, "jobs.db", 60, ours, 4);
    write_file(f->dir, "jobs.db", 60, newer, 4);
    assert_refused(f, "/jobs.db was written by a newer veod (schema 99, this one knows %d)",
                   ours[3]);
    write_file(f->dir, "jobs.db", 60, ours, 4);
    fixture_open_store(f);
}

static void test_other_files_are_refused(void **state)
{
    struct fixture *f = *state;
    const uint8_t other[] = {1, 2, 3, 4}, veod[] = "veod";
    char path[160], garbage[4096];
    memset(garbage, 'x', sizeof(garbage));
    fixture_close_store(f);
    write_file(f->dir, "jobs.db", 68, other, 4);
    assert_refused(f, "/jobs.db is a database, but not one of veod");
    write_file(f->dir, "jobs.db", 68, veod, 4);
    fixture_open_store(f);

    fixture_close_store(f);
    write_file(f->dir, "jobs.db", 0, garbage, sizeof(garbage));
    assert_refused(f, "/jobs.db is not a database of veod");
    path_in(f->dir, "jobs.db", path);
    assert_int_equal(truncate(path, 0), 0);
    fixture_open_store(f);
}

static void test_missing_directory(void **state)
{
    struct fixture *f = *state;
    struct store *store = NULL;
    struct error error = {0};
    char path[160];
    struct stat status;
    path_in(f->dir, "new", path);
    struct fixture *inner = fixture_at(path);
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0700);
    fixture_free(inner);

    path_in(f->dir, "a/b", path);
    assert_int_equal(store_open(path, &f->loop, &store, &error), -1);
    assert_non_null(strstr(error.message, "/a/b: No such file or directory"));
}

static void test_files_are_private(void **state)
{
    static const char *const names[] = {"lock", "jobs.db", "jobs.db-wal", "jobs.db-shm"};
    struct fixture *f = *state;
    add_job(f, 1, PLAIN);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        char path[160];
        struct stat status;
        path_in(f->dir, names[i], path);
        assert_int_equal(stat(path, &status), 0);
        assert_int_equal(status.st_mode & 0777, 0600);
    }
}

/* ---- migrations ---- */

static const char *const steps[] = {
    "CREATE TABLE a (x); INSERT INTO a VALUES (1)",
    "ALTER TABLE a ADD COLUMN y; UPDATE a SET y = x + 1",
    "CREATE TABLE b (z); CREATE TABLE a (x)", /* can't be: a is there */
};

static int query(sqlite3 *db, const char *sql)
{
    sqlite3_stmt *statement;
    int number = -1;
    assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &statement, NULL), SQLITE_OK);
    if (sqlite3_step(statement) == SQLITE_ROW)
        number = sqlite3_column_int(statement, 0);
    sqlite3_finalize(statement);
    return number;
}

static void test_migrations(void **state)
{
    (void)state;
    sqlite3 *db;
    struct error error = {0};
    assert_int_equal(sqlite3_open(":memory:", &db), SQLITE_OK);
    assert_int_equal(store_schema_upgrade(db, "x", steps, 1, &error), 0);
    assert_int_equal(query(db, "PRAGMA user_version"), 1);
    assert_int_equal(query(db, "PRAGMA application_id"), 0x76656f64);

    assert_int_equal(store_schema_upgrade(db, "x", steps, 2, &error), 0);
    assert_int_equal(query(db, "PRAGMA user_version"), 2);
    assert_int_equal(query(db, "SELECT y FROM a"), 2);
    assert_int_equal(store_schema_upgrade(db, "x", steps, 2, &error), 0);
    assert_int_equal(query(db, "SELECT count(*) FROM a"), 1);

    assert_int_equal(store_schema_upgrade(db, "x", steps, 3, &error), -1);
    assert_string_equal(error.message, "cannot bring x to schema 3: table a already exists");
    assert_int_equal(query(db, "PRAGMA user_version"), 2);
    assert_int_equal(query(db, "SELECT count(*) FROM sqlite_schema WHERE name = 'b'"), 0);

    assert_int_equal(store_schema_upgrade(db, "x", steps, 1, &error), -1);
    assert_string_equal(error.message,
                        "x was written by a newer veod (schema 2, this one knows 1)");
    sqlite3_close(db);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_two_on_one_directory),    TEST(test_newer_version_is_refused),
        TEST(test_other_files_are_refused), TEST(test_missing_directory),
        TEST(test_files_are_private),       cmocka_unit_test(test_migrations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
