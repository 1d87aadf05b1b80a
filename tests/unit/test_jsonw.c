#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proto/json.h"
#include "proto/jsonw.h"

#define COUNT(rows) (sizeof(rows) / sizeof((rows)[0]))

static void commas_and_colons_are_where_they_belong(void **state)
{
    (void)state;
    struct buf out;
    struct jsonw w;
    buf_init(&out, 1000);
    jsonw_init(&w, &out);
    jsonw_object(&w);
    jsonw_member_string(&w, "s", "text");
    jsonw_member_string(&w, "left out", NULL);
    jsonw_member_int(&w, "i", INT64_MIN);
    jsonw_member_uint(&w, "u", UINT64_MAX);
    jsonw_member_double(&w, "d", 0.5);
    jsonw_member_bool(&w, "b", true);
    jsonw_member_time(&w, "t", 1500);
    jsonw_member_time(&w, "never", 0);
    jsonw_name(&w, "list");
    jsonw_array(&w);
    jsonw_array(&w);
    jsonw_array_end(&w);
    jsonw_object(&w);
    jsonw_object_end(&w);
    jsonw_int(&w, -1);
    jsonw_uint(&w, 2);
    jsonw_double(&w, 3);
    jsonw_bool(&w, false);
    jsonw_string(&w, "");
    jsonw_raw(&w, "{\"raw\":null}extra", 12);
    jsonw_array(&w);
    jsonw_int(&w, 1);
    jsonw_array_end(&w);
    jsonw_array_end(&w);
    jsonw_name(&w, "o\"o");
    jsonw_object(&w);
    jsonw_member_int(&w, "x", 1);
    jsonw_object_end(&w);
    jsonw_object_end(&w);
    assert_string_equal(buf_text(&out),
                        "{\"s\":\"text\",\"i\":-9223372036854775808,\"u\":18446744073709551615,"
                        "\"d\":0.5,\"b\":true,\"t\":\"1970-01-01T00:00:01.500Z\","
                        "\"list\":[[],{},-1,2,3,false,\"\",{\"raw\":null},[1]],"
                        "\"o\\\"o\":{\"x\":1}}");
    struct json *doc = json_parse(out.data, out.length, (struct json_limits){0}, NULL);
    assert_non_null(doc);
    json_free(doc);
    buf_free(&out);
}

static void strings_are_escaped_and_made_valid(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t length;
        const char *json;
    } rows[] = {
        {"plain", 5, "\"plain\""},
        {"", 0, "\"\""},
        {"\"\\/\b\f\n\r\t", 8, "\"\\\"\\\\/\\b\\f\\n\\r\\t\""},
        {"\0\x01\x1F", 3, "\"\\u0000\\u0001\\u001f\""},
        {"\x7F", 1, "\"\\u007f\""},
        {"caf\u00E9 \u20AC \U0001F600", 14, "\"caf\u00E9 \u20AC \U0001F600\""},
        {"\xC2\x80\xC2\x9B\xC2\x9F\xC2\xA0", 8, "\"\\u0080\\u009b\\u009f\u00A0\""},
        {"a\xFFz", 3, "\"a\uFFFDz\""},
        {"\xC2", 1, "\"\uFFFD\""},
        {"\xC2z", 2, "\"\uFFFDz\""},
        {"\xC0\x80", 2, "\"\uFFFD\uFFFD\""},
        {"\xED\xA0\x80!", 4, "\"\uFFFD\uFFFD\uFFFD!\""},
        {"\xE2\x82", 2, "\"\uFFFD\uFFFD\""},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct buf out;
        struct jsonw w;
        buf_init(&out, 1000);
        jsonw_init(&w, &out);
        jsonw_string_n(&w, rows[i].text, rows[i].length);
        assert_string_equal(buf_text(&out), rows[i].json);
        buf_free(&out);
    }
}

/* Each byte by itself and each pair after a lead byte: always JSON, and what was valid comes back
 * as it was. */
static void every_byte_comes_back_or_is_replaced(void **state)
{
    (void)state;
    for (int first = 0; first < 256; first++) {
        for (int second = 0; second < 256; second++) {
            struct buf out;
            struct jsonw w;
            char text[2] = {(char)first, (char)second};
            buf_init(&out, 100);
            jsonw_init(&w, &out);
            jsonw_string_n(&w, text, 2);
            struct json *doc = json_parse(out.data, out.length, (struct json_limits){0}, NULL);
            assert_non_null(doc);
            char *back = json_strdup(json_root(doc), NULL);
            if (first == 0 || second == 0)
                assert_null(back);
            else if ((first < 0x80 && second < 0x80) ||
                     (first >= 0xC2 && first < 0xE0 && second >= 0x80 && second < 0xC0))
                assert_memory_equal(back, text, 2);
            else
                assert_non_null(strstr(back, "\uFFFD"));
            free(back);
            json_free(doc);
            buf_free(&out);
        }
    }
}

static const char *written(struct buf *out, double number)
{
    struct jsonw w;
    buf_reset(out);
    jsonw_init(&w, out);
    jsonw_double(&w, number);
    return buf_text(out);
}

static void doubles_are_short_and_exact(void **state)
{
    (void)state;
    static const struct {
        double number;
        const char *json;
    } rows[] = {
        {0, "0"},
        {-0.0, "-0"},
        {8, "8"},
        {0.1, "0.1"},
        {0.4, "0.4"},
        {3.2, "3.2"},
        {0.1 + 0.2, "0.30000000000000004"},
        {1.0 / 3, "0.3333333333333333"},
        {1e21, "1e+21"},
        {123456789.125, "123456789.125"},
        {DBL_MAX, "1.7976931348623157e+308"},
        {-DBL_MIN, "-2.2250738585072014e-308"},
        {5e-324, "4.94065645841247e-324"},
        {NAN, "null"},
        {INFINITY, "null"},
        {-INFINITY, "null"},
    };
    struct buf out;
    buf_init(&out, 100);
    for (size_t i = 0; i < COUNT(rows); i++) {
        assert_string_equal(written(&out, rows[i].number), rows[i].json);
        struct json *doc = json_parse(out.data, out.length, (struct json_limits){0}, NULL);
        double back = NAN;
        assert_non_null(doc);
        if (isfinite(rows[i].number)) {
            assert_int_equal(json_double(json_root(doc), -DBL_MAX, DBL_MAX, &back), 0);
            assert_true(back == rows[i].number);
        }
        json_free(doc);
    }
    buf_free(&out);
}

static void what_does_not_fit_marks_the_buffer(void **state)
{
    (void)state;
    struct buf out;
    struct jsonw w;
    buf_init(&out, 12);
    jsonw_init(&w, &out);
    jsonw_array(&w);
    jsonw_string(&w, "12345678");
    assert_false(out.failed);
    jsonw_array_end(&w);
    assert_false(out.failed);
    assert_int_equal(out.length, 12);
    jsonw_int(&w, 1);
    assert_true(out.failed);
    assert_string_equal(buf_text(&out), "[\"12345678\"]");
    buf_free(&out);
}

static void dollars_have_no_needless_digits(void **state)
{
    (void)state;
    struct buf out;
    struct jsonw w;
    buf_init(&out, 1000);
    jsonw_init(&w, &out);
    jsonw_member_usd(&w, "a", 0);
    jsonw_member_usd(&w, "b", 800000);
    jsonw_member_usd(&w, "c", INT64_C(25000000));
    jsonw_member_usd(&w, "d", 1);
    jsonw_member_usd(&w, "e", -101360);
    jsonw_member_usd(&w, "f", INT64_MAX);
    assert_string_equal(buf_text(&out), "\"a\":0,\"b\":0.8,\"c\":25,\"d\":0.000001,"
                                        "\"e\":-0.10136,\"f\":9223372036854.775807");
    buf_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(commas_and_colons_are_where_they_belong),
        cmocka_unit_test(dollars_have_no_needless_digits),
        cmocka_unit_test(strings_are_escaped_and_made_valid),
        cmocka_unit_test(every_byte_comes_back_or_is_replaced),
        cmocka_unit_test(doubles_are_short_and_exact),
        cmocka_unit_test(what_does_not_fit_marks_the_buffer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
