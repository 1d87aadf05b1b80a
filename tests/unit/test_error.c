#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "proto/error.h"
#include "proto/line.h"

#define MESSAGE_MAX (sizeof((struct error *)0)->message - 1)

static void setting_fills_all_and_fails(void **state)
{
    (void)state;
    struct error error;
    assert_int_equal(error_set(&error, ERROR_CONFLICT, "key", "taken by %s", "job 7"), -1);
    assert_int_equal(error.code, ERROR_CONFLICT);
    assert_string_equal(error.field, "key");
    assert_string_equal(error.message, "taken by job 7");
    assert_int_equal(error_set(&error, ERROR_BUSY, NULL, "x"), -1);
    assert_string_equal(error.field, "");
    assert_string_equal(error.message, "x");
    assert_int_equal(error_set(NULL, ERROR_BUSY, "f", "%d", 1), -1);
}

static void an_error_can_be_wrapped_in_itself(void **state)
{
    (void)state;
    struct error error;
    error_set(&error, ERROR_BUSY, "f", "inner");
    error_set(&error, error.code, error.field, "outer: %s", error.message);
    assert_string_equal(error.message, "outer: inner");
    assert_string_equal(error.field, "f");
}

static void what_is_not_printable_becomes_a_question_mark(void **state)
{
    (void)state;
    static const struct {
        const char *given;
        const char *expected;
    } rows[] = {
        {"a\nb\rc\td", "a?b?c?d"},
        {"\x1B[31mred\x7F", "?[31mred?"},
        {"caf\u00E9 \U0001F600", "caf\u00E9 \U0001F600"},
        {"bad \xFF\xC3 end", "bad ?? end"},
        {"surrogate \xED\xA0\x80", "surrogate ???"},
        {"8-bit \xC2\x9B"
         "31m",
         "8-bit ??31m"},
        {"no-break\u00A0space", "no-break\u00A0space"},
        {"ends \xC3", "ends ?"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct error error;
        error_set(&error, ERROR_INTERNAL, rows[i].given, "%s", rows[i].given);
        assert_string_equal(error.message, rows[i].expected);
        assert_string_equal(error.field, rows[i].expected);
    }
}

/* Characters of 1 to 4 bytes, at every offset to the cut. */
static void long_messages_are_cut_between_characters(void **state)
{
    (void)state;
    static const char *const characters[] = {"x", "\u00E9", "\u20AC", "\U0001F600"};
    for (size_t c = 0; c < 4; c++) {
        for (size_t shift = 0; shift < 5; shift++) {
            char text[1024] = "";
            memset(text, '.', shift);
            while (strlen(text) + 5 < sizeof(text))
                strcat(text, characters[c]);
            struct error error;
            error_set(&error, ERROR_INTERNAL, NULL, "%s", text);
            size_t length = strlen(error.message);
            assert_memory_equal(error.message, text, length);
            assert_int_equal(utf8_valid_prefix(error.message, length), length);
            assert_int_equal((length - shift) % strlen(characters[c]), 0);
            assert_in_range(length, MESSAGE_MAX - 3, MESSAGE_MAX);
        }
    }
}

static void long_fields_are_cut_too(void **state)
{
    (void)state;
    char field[200] = "";
    while (strlen(field) < 100)
        strcat(field, "\u20AC");
    struct error error;
    error_set(&error, ERROR_INTERNAL, field, "x");
    assert_int_equal(strlen(error.field), 63);
    assert_memory_equal(error.field, field, 63);
    memmove(field + 1, field, 120);
    field[0] = '.';
    error_set(&error, ERROR_INTERNAL, field, "x");
    assert_int_equal(strlen(error.field), 61);
    assert_memory_equal(error.field, field, 61);
}

static void names_and_codes_map_both_ways(void **state)
{
    (void)state;
    assert_string_equal(error_code_name(ERROR_NONE), "none");
    assert_string_equal(error_code_name(ERROR_INVALID_ARGUMENT), "invalid-argument");
    assert_string_equal(error_code_name(ERROR_BUDGET_EXCEEDED), "budget-exceeded");
    assert_string_equal(error_code_name((enum error_code)999), "internal");
    for (enum error_code code = ERROR_NONE + 1; code < ERROR_CODES_END; code++) {
        const char *name = error_code_name(code);
        assert_int_equal(error_code_from_name(name, strlen(name)), code);
        assert_int_equal(error_code_from_name(name, strlen(name) - 1), ERROR_NONE);
    }
    assert_int_equal(error_code_from_name("none", 4), ERROR_NONE);
    assert_int_equal(error_code_from_name("", 0), ERROR_NONE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(setting_fills_all_and_fails),
        cmocka_unit_test(an_error_can_be_wrapped_in_itself),
        cmocka_unit_test(what_is_not_printable_becomes_a_question_mark),
        cmocka_unit_test(long_messages_are_cut_between_characters),
        cmocka_unit_test(long_fields_are_cut_too),
        cmocka_unit_test(names_and_codes_map_both_ways),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
