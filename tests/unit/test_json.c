#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "proto/buf.h"
#include "proto/json.h"
#include "proto/mem.h"

#define COUNT(rows) (sizeof(rows) / sizeof((rows)[0]))
#define TEXT(text)  (text), sizeof(text) - 1

static const struct json_limits defaults = {0, 0};

/* A parsed document with a text of its own that ends where its memory does, so that a read past
 * the end is seen by the sanitizer. */
struct owned {
    char *text;
    struct json *doc;
    struct error error;
};

static struct owned parse_n(const char *text, size_t length, struct json_limits limits)
{
    struct owned ret = {.text = malloc(length != 0 ? length : 1)};
    assert_non_null(ret.text);
    memcpy(ret.text, text, length);
    ret.doc = json_parse(ret.text, length, limits, &ret.error);
    return ret;
}

static struct owned parse(const char *text)
{
    struct owned ret = parse_n(text, strlen(text), defaults);
    if (ret.doc == NULL)
        fail_msg("%s: %s", text, ret.error.message);
    return ret;
}

static void drop(struct owned *owned)
{
    json_free(owned->doc);
    free(owned->text);
}

static void good_texts_are_taken(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum json_type type;
    } rows[] = {
        {"{}", JSON_OBJECT},
        {"[]", JSON_ARRAY},
        {" \t\r\n{ } \n", JSON_OBJECT},
        {"[ ]", JSON_ARRAY},
        {"\"\"", JSON_STRING},
        {"\"a\"", JSON_STRING},
        {"0", JSON_NUMBER},
        {"-0", JSON_NUMBER},
        {" -12.5e+10 ", JSON_NUMBER},
        {"1E-3", JSON_NUMBER},
        {"1e400", JSON_NUMBER},
        {"true", JSON_BOOL},
        {"false\n", JSON_BOOL},
        {"null", JSON_NULL},
        {"[null,true , false,1,\"\",{},[]]", JSON_ARRAY},
        {"{\"a\":1,\"b\":{\"a\":1},\"c\":[{\"a\":1},{\"a\":1}]}", JSON_OBJECT},
        {"{\"\":1}", JSON_OBJECT},
        {"{\"a\":1,\"A\":2,\"a \":3,\"aa\":4}", JSON_OBJECT},
        {"\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\\uD83D\\uDE00\"", JSON_STRING},
        {"\"\\u0000\"", JSON_STRING},
        {"\"\x7F caf\u00E9 \U0001F600 \uFFFF\"", JSON_STRING},
        {"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]", JSON_ARRAY},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct owned it = parse(rows[i].text);
        assert_int_equal(json_type(json_root(it.doc)), rows[i].type);
        drop(&it);
    }
}

static const struct {
    const char *text;
    size_t length;
    const char *reason; /* without "JSON: " */
} bad_texts[] = {
    {TEXT(""), "expected a value at byte 0, found the end"},
    {TEXT(" \n"), "expected a value at byte 2, found the end"},
    {TEXT("\xEF\xBB\xBF{}"), "expected a value at byte 0, found byte 0xEF"},
    {TEXT("\f{}"), "expected a value at byte 0, found byte 0x0C"},
    {TEXT("\0"), "expected a value at byte 0, found byte 0x00"},
    {TEXT("{}\0"), "expected nothing more at byte 2, found byte 0x00"},
    {TEXT("{}{}"), "expected nothing more at byte 2, found '{'"},
    {TEXT("1 2"), "expected nothing more at byte 2, found '2'"},
    {TEXT("{} x"), "expected nothing more at byte 3, found 'x'"},
    {TEXT("{},"), "expected nothing more at byte 2, found ','"},
    {TEXT("// x\n{}"), "expected a value at byte 0, found '/'"},

    {TEXT("{"), "expected a name in quotes or '}' at byte 1, found the end"},
    {TEXT("{,}"), "expected a name in quotes or '}' at byte 1, found ','"},
    {TEXT("{a:1}"), "expected a name in quotes or '}' at byte 1, found 'a'"},
    {TEXT("{'a':1}"), "expected a name in quotes or '}' at byte 1, found '''"},
    {TEXT("{1:1}"), "expected a name in quotes or '}' at byte 1, found '1'"},
    {TEXT("{null:1}"), "expected a name in quotes or '}' at byte 1, found 'n'"},
    {TEXT("{[]:1}"), "expected a name in quotes or '}' at byte 1, found '['"},
    {TEXT("{]"), "expected a name in quotes or '}' at byte 1, found ']'"},
    {TEXT("{\"a\"}"), "expected ':' at byte 4, found '}'"},
    {TEXT("{\"a\" 1}"), "expected ':' at byte 5, found '1'"},
    {TEXT("{\"a\",\"b\"}"), "expected ':' at byte 4, found ','"},
    {TEXT("{\"a\"\"b\"}"), "expected ':' at byte 4, found '\"'"},
    {TEXT("{\"a\""), "expected ':' at byte 4, found the end"},
    {TEXT("{\"a\":}"), "expected a value at byte 5, found '}'"},
    {TEXT("{\"a\":,"), "expected a value at byte 5, found ','"},
    {TEXT("{\"a\"::1}"), "expected a value at byte 5, found ':'"},
    {TEXT("{\"a\":"), "expected a value at byte 5, found the end"},
    {TEXT("{\"a\":1"), "expected ',' or '}' at byte 6, found the end"},
    {TEXT("{\"a\":1]"), "expected ',' or '}' at byte 6, found ']'"},
    {TEXT("{\"a\":1 \"b\":2}"), "expected ',' or '}' at byte 7, found '\"'"},
    {TEXT("{\"a\":1:2}"), "expected the value's end at byte 6, found ':'"},
    {TEXT("{\"a\":1 :2}"), "expected ',' or '}' at byte 7, found ':'"},
    {TEXT("{\"a\":\"b\":\"c\"}"), "expected ',' or '}' at byte 8, found ':'"},
    {TEXT("{\"a\":[]:1}"), "expected ',' or '}' at byte 7, found ':'"},
    {TEXT("{\"a\":1,}"), "expected a name in quotes at byte 7, found '}'"},
    {TEXT("{\"a\":1,,\"b\":2}"), "expected a name in quotes at byte 7, found ','"},
    {TEXT("{\"a\":1,2}"), "expected a name in quotes at byte 7, found '2'"},
    {TEXT("{\"a\":{}"), "expected ',' or '}' at byte 7, found the end"},
    {TEXT("{\"a\":1}}"), "expected nothing more at byte 7, found '}'"},
    {TEXT("{\"a\":1;\"b\":2}"), "expected the value's end at byte 6, found ';'"},

    {TEXT("["), "expected a value or ']' at byte 1, found the end"},
    {TEXT("[,]"), "expected a value or ']' at byte 1, found ','"},
    {TEXT("[}"), "expected a value or ']' at byte 1, found '}'"},
    {TEXT("[:1]"), "expected a value or ']' at byte 1, found ':'"},
    {TEXT("[1,]"), "expected a value at byte 3, found ']'"},
    {TEXT("[1,,2]"), "expected a value at byte 3, found ','"},
    {TEXT("[1 2]"), "expected ',' or ']' at byte 3, found '2'"},
    {TEXT("[\"a\"\"b\"]"), "expected ',' or ']' at byte 4, found '\"'"},
    {TEXT("[\"a\":1]"), "expected ',' or ']' at byte 4, found ':'"},
    {TEXT("[[]1]"), "expected ',' or ']' at byte 3, found '1'"},
    {TEXT("[1"), "expected ',' or ']' at byte 2, found the end"},
    {TEXT("[1}"), "expected ',' or ']' at byte 2, found '}'"},
    {TEXT("[[1]"), "expected ',' or ']' at byte 4, found the end"},
    {TEXT("[1]]"), "expected nothing more at byte 3, found ']'"},
    {TEXT("]"), "expected a value at byte 0, found ']'"},

    {TEXT("tru"), "expected true, false, or null at byte 0, found 't'"},
    {TEXT("True"), "expected a value at byte 0, found 'T'"},
    {TEXT("nul"), "expected true, false, or null at byte 0, found 'n'"},
    {TEXT("[nil]"), "expected true, false, or null at byte 1, found 'n'"},
    {TEXT("[undefined]"), "expected true, false, or null at byte 1, found 'u'"},
    {TEXT("truex"), "expected the value's end at byte 4, found 'x'"},
    {TEXT("[nulll]"), "expected the value's end at byte 5, found 'l'"},
    {TEXT("[true\0]"), "expected ',' or ']' at byte 5, found byte 0x00"},
    {TEXT("NaN"), "expected a value at byte 0, found 'N'"},
    {TEXT("Infinity"), "expected a value at byte 0, found 'I'"},
    {TEXT("01"), "expected the value's end at byte 1, found '1'"},
    {TEXT("-"), "expected a digit at byte 1, found the end"},
    {TEXT("[-]"), "expected a digit at byte 2, found ']'"},
    {TEXT("-a"), "expected a digit at byte 1, found 'a'"},
    {TEXT("--1"), "expected a digit at byte 1, found '-'"},
    {TEXT("+1"), "expected a value at byte 0, found '+'"},
    {TEXT(".5"), "expected a value at byte 0, found '.'"},
    {TEXT("[1.]"), "expected a digit after the point at byte 3, found ']'"},
    {TEXT("1.e5"), "expected a digit after the point at byte 2, found 'e'"},
    {TEXT("[1e]"), "expected a digit in the exponent at byte 3, found ']'"},
    {TEXT("1e+"), "expected a digit in the exponent at byte 3, found the end"},
    {TEXT("1e5.5"), "expected the value's end at byte 3, found '.'"},
    {TEXT("1.2.3"), "expected the value's end at byte 3, found '.'"},
    {TEXT("0x10"), "expected the value's end at byte 1, found 'x'"},
    {TEXT("1_000"), "expected the value's end at byte 1, found '_'"},
    {TEXT("12\xC3\xA9"), "expected nothing more at byte 2, found byte 0xC3"},
    {TEXT("-Infinity"), "expected a digit at byte 1, found 'I'"},

    {TEXT("\""), "string without an end at byte 1, found the end"},
    {TEXT("\"abc"), "string without an end at byte 4, found the end"},
    {TEXT("[\"abc]"), "string without an end at byte 6, found the end"},
    {TEXT("\"abc\\\""), "string without an end at byte 6, found the end"},
    {TEXT("\"abc\\"), "string without an end at byte 4, found '\\'"},
    {TEXT("{\"abc"), "string without an end at byte 5, found the end"},
    {TEXT("\"a\nb\""), "control character in a string at byte 2, found byte 0x0A"},
    {TEXT("\"a\tb\""), "control character in a string at byte 2, found byte 0x09"},
    {TEXT("\"a\0b\""), "control character in a string at byte 2, found byte 0x00"},
    {TEXT("{\"\x1F\":1}"), "control character in a string at byte 2, found byte 0x1F"},
    {TEXT("\"\\x41\""), "unknown escape at byte 1, found '\\'"},
    {TEXT("\"\\'\""), "unknown escape at byte 1, found '\\'"},
    {TEXT("\"a\\\0\""), "unknown escape at byte 2, found '\\'"},
    {TEXT("\"\\u12\""), "four hexadecimal digits must follow \\u at byte 1, found '\\'"},
    {TEXT("\"\\u12g4\""), "four hexadecimal digits must follow \\u at byte 1, found '\\'"},
    {TEXT("\"\\u 123\""), "four hexadecimal digits must follow \\u at byte 1, found '\\'"},
    {TEXT("\"\\u+123\""), "four hexadecimal digits must follow \\u at byte 1, found '\\'"},
    {TEXT("\"\\u12"), "four hexadecimal digits must follow \\u at byte 1, found '\\'"},
    {TEXT("\"\\U0041\""), "unknown escape at byte 1, found '\\'"},
    {TEXT("\"\\uD800\""), "lone surrogate at byte 1, found '\\'"},
    {TEXT("\"\\uDC00\""), "lone surrogate at byte 1, found '\\'"},
    {TEXT("\"\\uD83Dabcdef\""), "lone surrogate at byte 1, found '\\'"},
    {TEXT("\"\\uD83D\\n1234\""), "lone surrogate at byte 1, found '\\'"},
    {TEXT("\"\\uD83D\\uD83D\""), "lone surrogate at byte 1, found '\\'"},
    {TEXT("\"\\uDE00\\uD83D\""), "lone surrogate at byte 1, found '\\'"},
    {TEXT("\"\\uD83D\\uDE0"), "lone surrogate at byte 1, found '\\'"},
    {TEXT("\"a\xFF\""), "invalid UTF-8 at byte 2, found byte 0xFF"},
    {TEXT("\"\xC3\""), "invalid UTF-8 at byte 1, found byte 0xC3"},
    {TEXT("\"\xC0\x80\""), "invalid UTF-8 at byte 1, found byte 0xC0"},
    {TEXT("\"\xED\xA0\x80\""), "invalid UTF-8 at byte 1, found byte 0xED"},
    {TEXT("{\"\xF4\x90\x80\x80\":1}"), "invalid UTF-8 at byte 2, found byte 0xF4"},

    {TEXT("{\"a\":1,\"a\":2}"), "member \"a\" a second time at byte 7"},
    {TEXT("{\"a\":1,\"b\":2,\"\\u0061\":3}"), "member \"\\u0061\" a second time at byte 13"},
    {TEXT("{\"\\u00e9\":1,\"\xC3\xA9\":2}"), "member \"\u00E9\" a second time at byte 12"},
    {TEXT("{\"\\uD83D\\uDE00\":1,\"\U0001F600\":2}"),
     "member \"\U0001F600\" a second time at byte 18"},
    {TEXT("{\"/\":1,\"\\/\":2}"), "member \"\\/\" a second time at byte 7"},
    {TEXT("{\"\":1,\"\":2}"), "member \"\" a second time at byte 6"},
    {TEXT("[{\"x\":{\"a\":1,\"a\":2}}]"), "member \"a\" a second time at byte 13"},
    {TEXT("{\"a\":{\"b\":[1,2]},\"c\":[],\"a\":2}"), "member \"a\" a second time at byte 24"},
    {TEXT("[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]"),
     "more than 32 levels of nesting at byte 32"},
};

static void bad_texts_are_refused_with_the_reason_and_the_place(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(bad_texts); i++) {
        struct owned it = parse_n(bad_texts[i].text, bad_texts[i].length, defaults);
        if (it.doc != NULL)
            fail_msg("taken: %s", bad_texts[i].text);
        assert_int_equal(it.error.code, ERROR_BAD_REQUEST);
        assert_memory_equal(it.error.message, "JSON: ", 6);
        assert_string_equal(it.error.message + 6, bad_texts[i].reason);
        drop(&it);
    }
    assert_null(json_parse("{", 1, defaults, NULL));
    struct error error;
    assert_null(json_parse("", ((size_t)1 << 30) + 1, defaults, &error));
    assert_string_equal(error.message, "JSON: 1073741825 bytes, at most 1073741824 are read");
    json_free(NULL);
}

/* Cut anywhere, a document must be refused; whole, it is taken. */
static void no_prefix_of_a_document_is_one(void **state)
{
    (void)state;
    static const char text[] = "{\"a\":[1,-2.5e3,true,false,null,\"x\\n\\u00e9\\uD83D\\uDE00\"],"
                               "\"b\":{\"c\":{},\"d\":[[],[{}]]}}";
    size_t length = sizeof(text) - 1;
    for (size_t cut = 0; cut < length; cut++) {
        struct owned it = parse_n(text, cut, defaults);
        assert_null(it.doc);
        drop(&it);
    }
    struct owned it = parse(text);
    drop(&it);
}

static void limits_are_kept_to_the_last(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        struct json_limits limits;
        const char *message; /* NULL: taken */
    } rows[] = {
        {"[[1]]", {2, 0}, NULL},
        {"[[[1]]]", {2, 0}, "JSON: more than 2 levels of nesting at byte 2"},
        {"{\"a\":{\"b\":{}}}", {2, 0}, "JSON: more than 2 levels of nesting at byte 10"},
        {"[[],[],[[]]]", {3, 0}, NULL},
        {"[1,2,3]", {0, 4}, NULL},
        {"[1,2,3,4]", {0, 4}, "JSON: more than 4 names and values at byte 7"},
        {"[1,2,\"3\",[]]", {0, 4}, "JSON: more than 4 names and values at byte 9"},
        {"{\"a\":1}", {0, 3}, NULL},
        {"{\"a\":1,\"b\":2}", {0, 3}, "JSON: more than 3 names and values at byte 7"},
        {"1", {0, 1}, NULL},
        {"[1]", {0, 1}, "JSON: more than 1 names and values at byte 1"},
        {"[1,2,x,4]", {0, 3}, "JSON: expected true, false, or null at byte 5, found 'x'"},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct owned it = parse_n(rows[i].text, strlen(rows[i].text), rows[i].limits);
        if (rows[i].message == NULL)
            assert_non_null(it.doc);
        else
            assert_string_equal(it.error.message, rows[i].message);
        drop(&it);
    }
}

static struct owned parse_buf(struct buf *text, struct json_limits limits)
{
    assert_false(text->failed);
    struct owned ret = parse_n(text->data, text->length, limits);
    buf_free(text);
    return ret;
}

static void every_count_of_tokens_is_walked_right(void **state)
{
    (void)state;
    for (int count = 1; count < 1200; count += count < 70 ? 1 : 37) {
        struct buf text;
        buf_init(&text, 1 << 20);
        for (int i = 0; i < count; i++)
            buf_addf(&text, "%s{\"n%d\":[%d,\"%d\"]}", i == 0 ? "[" : ",", i, i, i);
        buf_add_text(&text, "]");
        struct owned it = parse_buf(&text, defaults);
        assert_non_null(it.doc);
        assert_int_equal(json_size(json_root(it.doc)), count);
        int seen = 0;
        for (struct json_iter at = json_iter(json_root(it.doc)); json_next(&at); seen++) {
            int64_t number;
            struct json_iter members = json_iter(at.value);
            assert_true(json_next(&members));
            assert_int_equal(json_int(json_at(members.value, 0), 0, count, &number), 0);
            assert_int_equal(number, seen);
            assert_false(json_next(&members));
        }
        assert_int_equal(seen, count);
        drop(&it);
    }
}

/* The work is counted in processor time and the bound is far above what it takes, and far below
 * what anything quadratic would. */
static void hostile_texts_cost_no_more_than_long_ones(void **state)
{
    (void)state;
    struct json_limits limits = {.depth = 0, .tokens = 200000};
    struct buf text;
    clock_t before = clock();

    buf_init(&text, 1 << 24);
    for (int i = 0; i < 60000; i++)
        buf_addf(&text, "%s\"common-prefix-of-a-member-%d\":0", i == 0 ? "{" : ",", i);
    size_t end = text.length;
    buf_add_text(&text, "}");
    struct owned it = parse_n(text.data, text.length, limits);
    assert_non_null(it.doc);
    assert_int_equal(json_size(json_root(it.doc)), 60000);
    drop(&it);
    text.length = end;
    buf_add_text(&text, ",\"common-prefix-of-a-member-30\\u0030\":1}");
    it = parse_buf(&text, limits);
    assert_non_null(strstr(it.error.message, "member \"common-prefix-of-a-member-30\\u0030\""));
    drop(&it);

    for (int half = 0; half < 2; half++) {
        for (int i = 0; i < 200000; i++)
            buf_add_text(&text, "[");
        for (int i = 0; half == 1 && i < 200000; i++)
            buf_add_text(&text, "]");
        it = parse_buf(&text, limits);
        assert_string_equal(it.error.message, "JSON: more than 32 levels of nesting at byte 32");
        drop(&it);
    }

    for (int i = 0; i < 100000; i++)
        buf_add_text(&text, i == 0 ? "[\"a\"" : ":\"a\"");
    for (int i = 0; i < 1000; i++)
        buf_add_text(&text, "]");
    it = parse_buf(&text, limits);
    assert_string_equal(it.error.message, "JSON: expected ',' or ']' at byte 4, found ':'");
    drop(&it);
    assert_true((double)(clock() - before) / CLOCKS_PER_SEC < 20);
}

static void members_are_found_by_name_and_path(void **state)
{
    (void)state;
    struct owned it = parse("{\"a\":{\"b\":[10,{\"c\":\"deep\"},[]]},\"x.y\":1,\"\\u0061b\":2,"
                            "\"0\":3,\"\":4,\"n\":null}");
    struct json_value root = json_root(it.doc);
    int64_t number = 0;
    assert_true(json_equals(json_path(root, "a.b.1.c"), "deep"));
    assert_int_equal(json_int(json_path(root, "a.b.0"), 0, 99, &number), 0);
    assert_int_equal(number, 10);
    assert_int_equal(json_int(json_get(root, "ab"), 0, 99, &number), 0);
    assert_int_equal(number, 2);
    assert_int_equal(json_int(json_get(root, "x.y"), 0, 99, &number), 0);
    assert_int_equal(json_int(json_path(root, "0"), 0, 99, &number), 0);
    assert_int_equal(number, 3);
    assert_int_equal(json_int(json_get(root, ""), 0, 99, &number), 0);
    assert_int_equal(number, 4);
    assert_int_equal(json_type(json_get(root, "n")), JSON_NULL);
    static const char *const absent[] = {
        "x.y",       "z",      "a.c",     "a.b.3", "a.b.x",           "a.b.-1",
        "a.b.1.c.d", "a.b.1.", "a.b.0.0", "a..b",  "a.b.99999999999", "a.b.18446744073709551616",
        "a.b.",      "A",      "n.x",
    };
    for (size_t i = 0; i < COUNT(absent); i++)
        assert_int_equal(json_type(json_path(root, absent[i])), JSON_NONE);
    drop(&it);
}

static void absent_values_can_be_asked_anything(void **state)
{
    (void)state;
    struct json_value none = json_root(NULL);
    int64_t number = 5;
    double real = 5;
    bool yes = true;
    size_t length = 5;
    struct json_iter it = json_iter(none);
    assert_int_equal(json_type(none), JSON_NONE);
    assert_int_equal(json_type(json_get(none, "a")), JSON_NONE);
    assert_int_equal(json_type(json_at(none, 0)), JSON_NONE);
    assert_int_equal(json_type(json_path(none, "a.0")), JSON_NONE);
    assert_int_equal(json_size(none), 0);
    assert_false(json_next(&it));
    assert_null(json_strdup(none, NULL));
    assert_false(json_equals(none, ""));
    assert_int_equal(json_int(none, 0, 9, &number), -1);
    assert_int_equal(json_double(none, 0, 9, &real), -1);
    assert_int_equal(json_bool(none, &yes), -1);
    assert_null(json_raw(none, &length));
    assert_int_equal(length, 0);
    assert_int_equal(number, 5);
    assert_true(yes);
    assert_string_equal(json_type_name(JSON_NONE), "absent");
    assert_string_equal(json_type_name(JSON_OBJECT), "object");
    assert_string_equal(json_type_name(JSON_NULL), "null");
}

static void scalars_have_no_members(void **state)
{
    (void)state;
    struct owned it = parse("[\"text\",12,true,null,{\"a\":1}]");
    struct json_value root = json_root(it.doc);
    for (size_t i = 0; i < 4; i++) {
        struct json_iter walk = json_iter(json_at(root, i));
        assert_false(json_next(&walk));
        assert_int_equal(json_size(json_at(root, i)), 0);
        assert_int_equal(json_type(json_get(json_at(root, i), "a")), JSON_NONE);
        assert_int_equal(json_type(json_at(json_at(root, i), 0)), JSON_NONE);
    }
    assert_int_equal(json_type(json_get(root, "a")), JSON_NONE);
    assert_int_equal(json_type(json_at(json_at(root, 4), 0)), JSON_NONE);
    assert_int_equal(json_type(json_at(root, 5)), JSON_NONE);
    drop(&it);
}

static void walking_gives_names_and_values_in_order(void **state)
{
    (void)state;
    struct owned it = parse("{\"b\":[1,[2,3],{\"x\":4}],\"a\":{\"y\":{\"z\":5}},\"c\":6}");
    static const char *const names[] = {"b", "a", "c"};
    static const enum json_type types[] = {JSON_ARRAY, JSON_OBJECT, JSON_NUMBER};
    struct json_iter walk = json_iter(json_root(it.doc));
    for (size_t i = 0; i < 3; i++) {
        assert_true(json_next(&walk));
        assert_true(json_equals(walk.name, names[i]));
        assert_int_equal(json_type(walk.value), types[i]);
    }
    assert_false(json_next(&walk));
    assert_false(json_next(&walk));
    walk = json_iter(json_get(json_root(it.doc), "b"));
    assert_true(json_next(&walk));
    assert_int_equal(json_type(walk.name), JSON_NONE);
    drop(&it);
}

static void strings_come_with_escapes_resolved(void **state)
{
    (void)state;
    static const struct {
        const char *json;
        const char *text; /* NULL: can't be a C string */
    } rows[] = {
        {"\"\"", ""},
        {"\"plain\"", "plain"},
        {"\"caf\u00E9\"", "caf\u00E9"},
        {"\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "\"\\/\b\f\n\r\t"},
        {"\"\\u0041\\u007f\\u00E9\\u07ff\\u0800\\u20ac\\uffff\"",
         "A\x7F\u00E9\u07FF\u0800\u20AC\uFFFF"},
        {"\"\\ud800\\udc00\\uD83D\\uDE00\\uDBFF\\uDFFF!\"", "\U00010000\U0001F600\U0010FFFF!"},
        {"\"\\\\u0041\"", "\\u0041"},
        {"\"a\\u0000b\"", NULL},
        {"\"\\u0000\"", NULL},
        {"12", NULL},
        {"null", NULL},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct owned it = parse(rows[i].json);
        size_t length = 77;
        char *text = json_strdup(json_root(it.doc), &length);
        if (rows[i].text == NULL) {
            assert_null(text);
            assert_false(json_equals(json_root(it.doc), ""));
        } else {
            assert_string_equal(text, rows[i].text);
            assert_int_equal(length, strlen(text));
            assert_true(json_equals(json_root(it.doc), text));
            char *longer = mem_format("%sx", text);
            assert_false(json_equals(json_root(it.doc), longer));
            longer[length > 0 ? length - 1 : 0] = '\0';
            assert_int_equal(json_equals(json_root(it.doc), longer), length == 0);
            free(longer);
        }
        free(text);
        drop(&it);
    }
}

static void integers_are_exact_or_refused(void **state)
{
    (void)state;
    static const struct {
        const char *json;
        int64_t value;
    } good[] = {
        {"0", 0},
        {"-0", 0},
        {"0.0", 0},
        {"0e999999999999999999999", 0},
        {"0.000e-5", 0},
        {"7", 7},
        {"-7", -7},
        {"4.0", 4},
        {"4.000000000000000000000000000000", 4},
        {"1e3", 1000},
        {"1E+3", 1000},
        {"1.5e1", 15},
        {"0.001e3", 1},
        {"120e-1", 12},
        {"100000000000000000000000e-20", 1000},
        {"9223372036854775807", INT64_MAX},
        {"-9223372036854775808", INT64_MIN},
        {"9.223372036854775807e18", INT64_MAX},
        {"9007199254740993", INT64_C(9007199254740993)},
        {"0.00000000000000000000000000000000000000001e41", 1},
        {"1010", 1010},
        {"10.10e2", 1010},
    };
    for (size_t i = 0; i < COUNT(good); i++) {
        struct owned it = parse(good[i].json);
        int64_t value = 99;
        if (json_int(json_root(it.doc), INT64_MIN, INT64_MAX, &value) < 0)
            fail_msg("%s was refused", good[i].json);
        assert_int_equal(value, good[i].value);
        drop(&it);
    }
    static const char *const bad[] = {
        "0.5",
        "-0.5",
        "1e-1",
        "1.05e1",
        "1e400",
        "1e19",
        "-1e19",
        "9223372036854775808",
        "-9223372036854775809",
        "18446744073709551616",
        "36893488147419103232",
        "1e99999999999999",
        "1e-99999999999999",
        "100000000000000000001e-20",
        "123456789012345678901234567890",
        "\"5\"",
        "true",
        "null",
        "[5]",
        "{}",
        "1e18446744073709551616",
    };
    for (size_t i = 0; i < COUNT(bad); i++) {
        struct owned it = parse(bad[i]);
        int64_t value = 99;
        if (json_int(json_root(it.doc), INT64_MIN, INT64_MAX, &value) != -1)
            fail_msg("%s was taken", bad[i]);
        assert_int_equal(value, 99);
        drop(&it);
    }
}

static void numbers_are_held_to_their_range(void **state)
{
    (void)state;
    struct owned it =
        parse("[5,0.25,1e400,-1e400,-1,\"1\",1e-400,0."
              "00000000000000000000000000000000000000000000000000000000000000000001]");
    struct json_value root = json_root(it.doc);
    int64_t number = 99;
    double real = 99;
    assert_int_equal(json_int(json_at(root, 0), 6, 10, &number), -1);
    assert_int_equal(json_int(json_at(root, 0), 1, 4, &number), -1);
    assert_int_equal(number, 99);
    assert_int_equal(json_int(json_at(root, 0), 5, 5, &number), 0);
    assert_int_equal(json_double(json_at(root, 1), 0.3, 1, &real), -1);
    assert_int_equal(json_double(json_at(root, 2), -INFINITY, INFINITY, &real), -1);
    assert_int_equal(json_double(json_at(root, 3), -INFINITY, INFINITY, &real), -1);
    assert_int_equal(json_double(json_at(root, 4), 0, 1, &real), -1);
    assert_int_equal(json_double(json_at(root, 4), NAN, NAN, &real), -1);
    assert_int_equal(json_double(json_at(root, 5), 0, 9, &real), -1);
    assert_true(real == 99);
    assert_int_equal(json_double(json_at(root, 1), 0.25, 0.25, &real), 0);
    assert_true(real == 0.25);
    assert_int_equal(json_double(json_at(root, 6), 0, 1, &real), 0);
    assert_true(real == 0);
    assert_int_equal(json_double(json_at(root, 7), 0, 1, &real), 0);
    assert_true(real == 1e-68);
    drop(&it);
}

static void booleans_and_raw_bytes(void **state)
{
    (void)state;
    struct owned it = parse(" [true, false, null ,\"a\\n\", {\"b\" : [1]} ,-1.5]");
    struct json_value root = json_root(it.doc);
    bool yes = false;
    assert_int_equal(json_bool(json_at(root, 0), &yes), 0);
    assert_true(yes);
    assert_int_equal(json_bool(json_at(root, 2), &yes), -1);
    assert_true(yes);
    assert_int_equal(json_bool(json_at(root, 1), &yes), 0);
    assert_false(yes);
    static const char *const raw[] = {"true", "false", "null", "\"a\\n\"", "{\"b\" : [1]}", "-1.5"};
    for (size_t i = 0; i < COUNT(raw); i++) {
        size_t length;
        const char *bytes = json_raw(json_at(root, i), &length);
        assert_int_equal(length, strlen(raw[i]));
        assert_memory_equal(bytes, raw[i], length);
    }
    drop(&it);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_texts_are_taken),
        cmocka_unit_test(bad_texts_are_refused_with_the_reason_and_the_place),
        cmocka_unit_test(no_prefix_of_a_document_is_one),
        cmocka_unit_test(limits_are_kept_to_the_last),
        cmocka_unit_test(every_count_of_tokens_is_walked_right),
        cmocka_unit_test(hostile_texts_cost_no_more_than_long_ones),
        cmocka_unit_test(members_are_found_by_name_and_path),
        cmocka_unit_test(absent_values_can_be_asked_anything),
        cmocka_unit_test(scalars_have_no_members),
        cmocka_unit_test(walking_gives_names_and_values_in_order),
        cmocka_unit_test(strings_come_with_escapes_resolved),
        cmocka_unit_test(integers_are_exact_or_refused),
        cmocka_unit_test(numbers_are_held_to_their_range),
        cmocka_unit_test(booleans_and_raw_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
