/* What names an input, what it comes to, and what the first bytes of a file say. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/core/input.h"
#include "proto/mem.h"

static struct input *parse(const char *json, bool stored, struct error *error)
{
    struct json *doc = json_parse(json, strlen(json), (struct json_limits){0}, NULL);
    assert_non_null(doc);
    struct input *input = input_parse(json_root(doc), "image", stored, error);
    json_free(doc);
    return input;
}

static void test_names_and_data(void **state)
{
    (void)state;
    struct input *input = parse("\"01M8\"", false, NULL);
    assert_string_equal(input->name, "01M8");
    assert_false(input_is_resolved(input));
    assert_false(input_has_bytes(input));
    input_free(input);

    input = parse("{\"mime_type\":\"image/png\",\"data\":\"AAAA\"}", false, NULL);
    assert_string_equal(input->data, "AAAA");
    assert_string_equal(input->mime_type, "image/png");
    assert_false(input_is_resolved(input));
    input_free(input);
    input_free(NULL);
}

static void test_what_is_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "\"\"",
        "7",
        "null",
        "[]",
        "true",
        "\"two words\"",
        "{}",
        "{\"data\":\"\"}",
        "{\"data\":7}",
        "{\"mime_type\":\"image/png\"}",
        "{\"data\":\"AAAA\",\"what\":1}",
        "{\"blob\":\"sha256-1\"}",
        ("{\"data\":\"AAAA\",\"mime_type\":"
         "\"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\"}"),
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct error error = {0};
        assert_null(parse(bad[i], false, &error));
        assert_int_equal(error.code, ERROR_INVALID_ARGUMENT);
        assert_string_equal(error.field, "image");
    }
}

static void assert_kept(const char *json)
{
    struct input *input = parse(json, true, NULL);
    struct buf out;
    struct jsonw w;
    assert_non_null(input);
    assert_true(input_is_resolved(input));
    buf_init(&out, 10000);
    jsonw_init(&w, &out);
    input_write(input, &w);
    assert_string_equal(buf_text(&out), json);
    buf_free(&out);
    input_free(input);
}

static void test_resolved_ones_are_kept(void **state)
{
    (void)state;
    assert_kept("{\"blob\":\"sha256-1\",\"mime_type\":\"image/png\",\"bytes\":70}");
    assert_kept(
        "{\"job\":\"01\",\"file\":\"/v/1.mp4\",\"mime_type\":\"video/mp4\","
        "\"provider\":\"p\",\"operation\":\"o\",\"uri\":\"https://x\",\"bytes\":9000000000}");
    assert_kept("{\"uri\":\"gs://bucket/x\"}");
    assert_kept("{\"provider\":\"p\",\"operation\":\"o\"}");
    assert_null(parse("{}", true, NULL));
    assert_null(parse("{\"mime_type\":\"image/png\",\"bytes\":70}", true, NULL));
}

#define BYTES(text) (text), sizeof(text) - 1

static void test_first_bytes(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t length;
        const char *type;
    } cases[] = {
        {BYTES("\xff\xd8\xff\xe0"), "image/jpeg"},
        {BYTES("\xff\xd8\xff"), "image/jpeg"},
        {BYTES("\xff\xd8"), NULL},
        {BYTES("\x89PNG\r\n\x1a\nx"), "image/png"},
        {BYTES("\x89PNG\r\n\x1a"), NULL},
        {BYTES("RIFF\x10\0\0\0WEBPVP8 "), "image/webp"},
        {BYTES("RIFF\x10\0\0\0WAVEfmt "), NULL},
        {BYTES("XXXX\x10\0\0\0WEBPVP8 "), NULL},
        {BYTES("GIF89a"), "image/gif"},
        {BYTES("GIF87a"), "image/gif"},
        {BYTES("GIFT for you"), NULL},
        {BYTES("GIF8 is no version"), NULL},
        {BYTES("\x1a\x45\xdf\xa3"), "video/webm"},
        {BYTES("\0\0\0\x18"
               "ftypheic"),
         "image/heic"},
        {BYTES("\0\0\0\x18"
               "ftypmif1"),
         "image/heic"},
        {BYTES("\0\0\0\x18"
               "ftypqt  "),
         "video/quicktime"},
        {BYTES("\0\0\0\x18"
               "ftypisom"),
         "video/mp4"},
        {BYTES("\0\0\0\x18"
               "ftypavif"),
         NULL},
        {BYTES("\0\0\0\x18"
               "ftypM4A "),
         NULL},
        {BYTES("\0\0\0\x18"
               "moov"),
         NULL},
        {BYTES(""), NULL},
        {BYTES("%PDF-1.7"), NULL},
        {BYTES("<svg xmlns=\"http"), NULL},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        /* Exactly as much memory as there are bytes. */
        char *copy = mem_resize(NULL, 1, cases[i].length + 1);
        copy = mem_resize(copy, 1, cases[i].length ? cases[i].length : 1);
        memcpy(copy, cases[i].bytes, cases[i].length);
        const char *type = input_sniff(copy, cases[i].length);
        if (cases[i].type)
            assert_string_equal(type, cases[i].type);
        else
            assert_null(type);
        free(copy);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names_and_data),
        cmocka_unit_test(test_what_is_refused),
        cmocka_unit_test(test_resolved_ones_are_kept),
        cmocka_unit_test(test_first_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
