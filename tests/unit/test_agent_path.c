/* Paths that a model names: where they start, and that they lead nowhere else. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/agent/path.h"
#include "proto/mem.h"

static void joins(const char *directory, const char *path, const char *expected)
{
    struct error error;
    char *joined = path_join(directory, path, "image_path", &error);
    assert_non_null(joined);
    assert_string_equal(joined, expected);
    free(joined);
}

static void refuses(const char *directory, const char *path, const char *said)
{
    struct error error;
    assert_null(path_join(directory, path, "image_path", &error));
    assert_int_equal(error.code, ERROR_INVALID_ARGUMENT);
    assert_string_equal(error.field, "image_path");
    if (!strstr(error.message, said))
        fail_msg("\"%s\" does not say \"%s\"", error.message, said);
}

static void test_absolute_paths_stay(void **state)
{
    (void)state;
    joins(NULL, "/a/b.png", "/a/b.png");
    joins("/home/u", "/a/../b.png", "/a/../b.png"); /* whoever opens it judges that */
    joins("/home/u", "//a", "//a");
}

static void test_relative_paths_start_at_the_directory(void **state)
{
    (void)state;
    joins("/home/u", "a.png", "/home/u/a.png");
    joins("/home/u/", "a/b.png", "/home/u/a/b.png");
    joins("/home/u///", "./a.png", "/home/u/a.png");
    joins("/", "a.png", "/a.png");
    joins("/home/u", "././a//b/./c.png", "/home/u/a/b/c.png");
    joins("/home/u", "..a/b../...", "/home/u/..a/b../...");
    joins("/home/u", ".hidden", "/home/u/.hidden");
    joins("/home/u", "~/a.png", "/home/u/~/a.png");
    joins("/home/u", ".", "/home/u");
}

static void test_nothing_leads_out(void **state)
{
    (void)state;
    refuses("/home/u", "../v/a.png", "has \"..\"");
    refuses("/home/u", "..", "has \"..\"");
    refuses("/home/u", "a/../../b", "has \"..\"");
    refuses("/home/u", "a/..", "has \"..\"");
    refuses("/home/u", "./..//b", "has \"..\"");
}

static void test_without_a_directory_a_path_is_absolute(void **state)
{
    (void)state;
    refuses(NULL, "a.png", "must be an absolute path: \"a.png\" is relative");
    refuses(NULL, "./a.png", "must be an absolute path");
    refuses(NULL, "../a.png", "must be an absolute path");
}

static void test_what_is_too_long_is_refused(void **state)
{
    (void)state;
    char *path = mem_alloc(5001);
    memset(path, 'a', 5000);
    refuses("/home/u", path, "is too long");
    free(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_absolute_paths_stay),
        cmocka_unit_test(test_relative_paths_start_at_the_directory),
        cmocka_unit_test(test_nothing_leads_out),
        cmocka_unit_test(test_without_a_directory_a_path_is_absolute),
        cmocka_unit_test(test_what_is_too_long_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
