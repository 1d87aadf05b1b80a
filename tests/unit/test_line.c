#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proto/line.h"

/* What a reader reports, as one text: lines in angle brackets, bodies in parentheses. A line
 * "BODY n" makes it expect a body. */
struct transcript {
    struct line_reader reader;
    struct buf text;
    bool in_body;
};

static void note(struct transcript *t, enum line_event event, struct line_piece piece)
{
    if (!t->in_body && (event == LINE_BODY || event == LINE_BODY_END))
        buf_add_byte(&t->text, '(');
    t->in_body = event == LINE_BODY;
    switch (event) {
    case LINE_MORE:
        break;
    case LINE_TEXT:
        assert_int_equal(piece.data[piece.length], '\0');
        buf_addf(&t->text, "<%s>", piece.data);
        if (strncmp(piece.data, "BODY ", 5) == 0)
            line_expect_body(&t->reader, strtoull(piece.data + 5, NULL, 10));
        break;
    case LINE_TOO_LONG:
        buf_addf(&t->text, "long:%zu ", piece.length);
        break;
    case LINE_BAD_TEXT:
        assert_int_equal(strlen(piece.data), piece.length);
        buf_addf(&t->text, "bad:%zu:%s ", piece.length, piece.data);
        break;
    case LINE_BODY:
        buf_add(&t->text, piece.data, piece.length);
        break;
    case LINE_BODY_END:
        buf_add_byte(&t->text, ')');
        break;
    }
}

static void feed(struct transcript *t, const char *data, size_t length)
{
    enum line_event event;
    do {
        struct line_piece piece;
        bool was_in_body = t->in_body;
        event = line_next(&t->reader, &data, &length, &piece);
        if (event == LINE_MORE)
            t->in_body = was_in_body;
        else
            note(t, event, piece);
    } while (event != LINE_MORE);
    assert_int_equal(length, 0);
}

static void assert_transcript(const char *input, size_t length, size_t max_line, size_t chunk,
                              const char *expected)
{
    struct transcript t = {.in_body = false};
    line_init(&t.reader, max_line);
    buf_init(&t.text, 100000);
    for (size_t at = 0; at < length; at += chunk)
        feed(&t, input + at, length - at < chunk ? length - at : chunk);
    assert_string_equal(buf_text(&t.text), expected);
    line_free(&t.reader);
    buf_free(&t.text);
}

#define INPUT(text) (text), sizeof(text) - 1

static void bytes_become_lines_however_they_come(void **state)
{
    (void)state;
    static const struct {
        const char *input;
        size_t length;
        const char *expected;
    } rows[] = {
        {INPUT("one\n"), "<one>"},
        {INPUT("one\r\n"), "<one>"},
        {INPUT("\n\r\n\n"), "<><><>"},
        {INPUT("one\ntwo\r\nthr"), "<one><two>"},
        {INPUT("a\rb\n"), "<a\rb>"},
        {INPUT("a\r\r\n"), "<a\r>"},
        {INPUT("12345678\n"), "<12345678>"},
        {INPUT("12345678\r\n"), "<12345678>"},
        {INPUT("123456789\nnext\n"), "long:9 <next>"},
        {INPUT("12345678\r9\n"), "long:10 "},
        {INPUT("12345678\r\r\n"), "long:10 "},
        {INPUT("123456789\r\nx\n"), "long:10 <x>"},
        {INPUT("1234567890123456789012345\nx\n"), "long:25 <x>"},
        {INPUT("12345678901234567890"), ""},
        {INPUT("long, but it is skipped\nand again too long\n\n"), "long:23 long:18 <>"},
        {INPUT("a\0b\nx\n"), "bad:1:a <x>"},
        {INPUT("\0\nx\n"), "bad:0: <x>"},
        {INPUT("ab\xFF\nx\n"), "bad:2:ab <x>"},
        {INPUT("ab\xC3\nx\n"), "bad:2:ab <x>"},
        {INPUT("\xC3\xA9\n"), "<\xC3\xA9>"},
        {INPUT("12345678\xFF\n"), "long:9 "},
        {INPUT("BODY 5\nab\ncdx\n"), "<BODY 5>(ab\ncd)<x>"},
        {INPUT("BODY 0\nx\n"), "<BODY 0>()<x>"},
        {INPUT("BODY 3\r\n\xFF\nzx\n"), "<BODY 3>(\xFF\nz)<x>"},
        {INPUT("BODY 3\nab"), "<BODY 3>(ab"},
        {INPUT("BODY 20\n01234567890123456789BODY 1\n\n\n"),
         "<BODY 20>(01234567890123456789)<BODY 1>(\n)<>"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        for (size_t chunk = 1; chunk <= rows[i].length; chunk++)
            assert_transcript(rows[i].input, rows[i].length, 8, chunk, rows[i].expected);
}

static void a_reader_holds_no_memory_when_idle(void **state)
{
    (void)state;
    struct transcript t = {.in_body = false};
    line_init(&t.reader, 100);
    buf_init(&t.text, 1000);
    assert_null(t.reader.partial.data);
    feed(&t, INPUT("some"));
    assert_int_equal(line_pending(&t.reader), 4);
    assert_non_null(t.reader.partial.data);
    feed(&t, INPUT(" line\nand\n"));
    assert_int_equal(line_pending(&t.reader), 0);
    assert_null(t.reader.partial.data);
    feed(&t, INPUT("BODY 10\n123"));
    assert_null(t.reader.partial.data);
    feed(&t, INPUT("4567890"));
    char large[300];
    memset(large, 'x', sizeof(large));
    feed(&t, large, sizeof(large));
    assert_int_equal(line_pending(&t.reader), 0);
    assert_null(t.reader.partial.data);
    feed(&t, INPUT("\n"));
    assert_string_equal(buf_text(&t.text), "<some line><and><BODY 10>(1234567890)long:300 ");
    line_free(&t.reader);
    line_free(NULL);
    buf_free(&t.text);
}

static void an_endless_line_costs_no_more_than_the_limit(void **state)
{
    (void)state;
    struct line_reader reader;
    line_init(&reader, 5000);
    char block[999];
    memset(block, 'x', sizeof(block));
    for (int i = 0; i < 1000; i++) {
        const char *data = block;
        size_t length = sizeof(block);
        struct line_piece piece;
        assert_int_equal(line_next(&reader, &data, &length, &piece), LINE_MORE);
        assert_in_range(line_pending(&reader), 0, 5000);
        assert_in_range(reader.partial.capacity, 0, 5002);
    }
    line_free(&reader);
}

static void a_line_stays_until_the_next_call(void **state)
{
    (void)state;
    struct line_reader reader;
    struct line_piece piece;
    line_init(&reader, 100);
    char input[] = "keep\nnext";
    const char *data = input;
    size_t length = strlen(input);
    assert_int_equal(line_next(&reader, &data, &length, &piece), LINE_TEXT);
    memset(input, '!', sizeof(input));
    line_expect_body(&reader, 4);
    assert_string_equal(piece.data, "keep");
    assert_ptr_equal(data, input + 5);
    assert_int_equal(length, 4);
    assert_int_equal(line_next(&reader, &data, &length, &piece), LINE_BODY);
    assert_ptr_equal(piece.data, input + 5);
    assert_int_equal(line_next(&reader, &data, &length, &piece), LINE_BODY_END);
    line_free(&reader);
}

/* The boundaries of RFC 3629's table, each behind 0 to 9 ASCII bytes so that the fast path and
 * the slow one meet at every offset. */
static void utf8_is_what_rfc_3629_says(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t valid;
    } rows[] = {
        {"", 0},
        {"plain ASCII text", 16},
        {"\x7F", 1},
        {"\xC2\x80", 2},
        {"\xDF\xBF", 2},
        {"\xE0\xA0\x80", 3},
        {"\xED\x9F\xBF", 3},
        {"\xEE\x80\x80", 3},
        {"\xEF\xBF\xBF", 3},
        {"\xF0\x90\x80\x80", 4},
        {"\xF4\x8F\xBF\xBF", 4},
        {"\x80", 0},
        {"\xBF", 0},
        {"\xC0\x80", 0},
        {"\xC1\xBF", 0},
        {"\xC2", 0},
        {"\xC2\x7F", 0},
        {"\xC2\xC0", 0},
        {"\xE0\x9F\xBF", 0},
        {"\xE2\x82", 0},
        {"\xE2\x82\x41", 0},
        {"\xED\xA0\x80", 0},
        {"\xED\xBF\xBF", 0},
        {"\xF0\x8F\xBF\xBF", 0},
        {"\xF0\x9F\x98", 0},
        {"\xF0\x9F\x41\x80", 0},
        {"\xF4\x90\x80\x80", 0},
        {"\xF5\x80\x80\x80", 0},
        {"\xFE", 0},
        {"\xFF", 0},
        {"\xC3\xA9\xC3", 2},
        {"abcdefgh\xE2\x82\xAC\xF0\x9F\x98\x80 abcdefgh\x80", 24},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        for (size_t shift = 0; shift < 10; shift++) {
            char text[64];
            size_t length = strlen(rows[i].text);
            memset(text, 'a', shift);
            memcpy(text + shift, rows[i].text, length);
            assert_int_equal(utf8_valid_prefix(text, shift + length), shift + rows[i].valid);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_become_lines_however_they_come),
        cmocka_unit_test(a_reader_holds_no_memory_when_idle),
        cmocka_unit_test(an_endless_line_costs_no_more_than_the_limit),
        cmocka_unit_test(a_line_stays_until_the_next_call),
        cmocka_unit_test(utf8_is_what_rfc_3629_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
