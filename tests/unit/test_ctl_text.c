/* veoctl's sources are its own program's; this takes in the ones under test. */
#include "proto/ctl/exit.c"
#include "proto/ctl/text.c"

#include <locale.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

typedef void clean_function(struct buf *out, const char *text, size_t length);

static void check(clean_function *function, const char *text, size_t length, const char *expected)
{
    struct buf out;
    buf_init(&out, 1024);
    function(&out, text, length);
    assert_string_equal(buf_text(&out), expected);
    buf_free(&out);
}

#define CHECK(function, text, expected) check(function, text, sizeof(text) - 1, expected)

static void clean_leaves_plain_text(void **state)
{
    (void)state;
    CHECK(text_clean, "", "");
    CHECK(text_clean, "a dog, ein Hündchen, 犬, \xf0\x9f\x90\x95",
          "a dog, ein Hündchen, 犬, \xf0\x9f\x90\x95");
    CHECK(text_clean, "\xc2\xa0|\xe2\x80\xa6|\xf4\x8f\xbf\xbf",
          "\xc2\xa0|\xe2\x80\xa6|\xf4\x8f\xbf\xbf");
}

static void clean_replaces_what_commands_a_terminal(void **state)
{
    (void)state;
    CHECK(text_clean, "\x1b[2J\x07\x7f\0", "?[2J???");
    CHECK(text_clean, "a\tb\nc\rd", "a b c d");
    CHECK(text_clean, "\xc2\x80|\xc2\x9b|\xc2\x9f", "?|?|?");
    CHECK(text_clean, "\xe2\x80\xae|\xe2\x81\xa6|\xe2\x80\x8f|\xd8\x9c", "?|?|?|?");
    CHECK(text_clean, "\xe2\x80\xa8|\xe2\x80\xa9", " | ");
}

static void clean_replaces_what_is_not_utf8(void **state)
{
    (void)state;
    CHECK(text_clean, "\xff|\x80|\xc3|\xe2\x80", "?|?|?|??");
    CHECK(text_clean, "\xc0\xaf\xed\xa0\x80\xf5\x80\x80\x80", "?????????");
}

static void json_keeps_its_meaning(void **state)
{
    (void)state;
    CHECK(text_json, "{\"a\":\"\\u001b \xc3\xa9\"}", "{\"a\":\"\\u001b \xc3\xa9\"}");
    CHECK(text_json, "\x7f\xc2\x9b\xe2\x80\xae\xe2\x80\xa8", "\\u007f\\u009b\\u202e\\u2028");
}

static void check_cut(const char *text, size_t columns, const char *expected)
{
    struct buf out;
    buf_init(&out, 1024);
    text_cut(&out, text, strlen(text), columns);
    assert_string_equal(buf_text(&out), expected);
    assert_true(text_width(out.data, out.length) <= columns);
    buf_free(&out);
}

static void cut_counts_columns(void **state)
{
    (void)state;
    check_cut("abc", 3, "abc");
    check_cut("abcd", 3, "ab…");
    check_cut("abc", 1, "…");
    check_cut("abc", 0, "");
    check_cut("犬犬犬", 6, "犬犬犬");
    check_cut("犬犬犬", 5, "犬犬…");
    check_cut("犬犬犬", 4, "犬…");
    check_cut("\x1b[31mab", 4, "?[3…");
    check_cut("e\xcc\x81xy", 3, "e\xcc\x81xy");
}

static void every_error_has_a_status(void **state)
{
    (void)state;
    for (int code = ERROR_NONE + 1; code < ERROR_CODES_END; code++)
        assert_true(exit_of_error((enum error_code)code) > EXIT_JOB_FAILED);
    assert_int_equal(exit_of_error(ERROR_NONE), EXIT_PROTOCOL);
}

static void every_status_has_a_weight(void **state)
{
    (void)state;
    for (int status = EXIT_ALL_DONE; status <= EXIT_PROTOCOL; status++) {
        enum exit_status it = (enum exit_status)status;
        assert_int_equal(exit_worse(it, EXIT_ALL_DONE), it);
        assert_int_equal(exit_worse(EXIT_ALL_DONE, it), it);
    }
    assert_int_equal(exit_worse(EXIT_JOB_FAILED, EXIT_UNCERTAIN), EXIT_UNCERTAIN);
    assert_int_equal(exit_worse(EXIT_TIMED_OUT, EXIT_JOB_FAILED), EXIT_JOB_FAILED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(clean_leaves_plain_text),
        cmocka_unit_test(clean_replaces_what_commands_a_terminal),
        cmocka_unit_test(clean_replaces_what_is_not_utf8),
        cmocka_unit_test(json_keeps_its_meaning),
        cmocka_unit_test(cut_counts_columns),
        cmocka_unit_test(every_error_has_a_status),
        cmocka_unit_test(every_status_has_a_weight),
    };
    setlocale(LC_CTYPE, "C.UTF-8");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
