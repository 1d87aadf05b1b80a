/* The filter that takes video out of JSON as it arrives. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/provider/inline.h"
#include "proto/mem.h"

#define RUNS 4

/* Takes what the filter gives, and no more than it is told to. */
struct taker {
    struct buf bytes[RUNS];
    unsigned begun, ended;
    bool intact[RUNS];
    size_t room;       /* for each call of `data`; SIZE_MAX: all */
    unsigned refusals; /* every nth call takes nothing; 0: never */
    unsigned calls;
};

static void on_begin(void *arg, unsigned index)
{
    struct taker *taker = arg;
    assert_int_equal(index, taker->begun);
    assert_int_equal(taker->begun, taker->ended);
    assert_true(taker->begun++ < RUNS);
}

static size_t on_data(void *arg, unsigned index, const unsigned char *bytes, size_t length)
{
    struct taker *taker = arg;
    assert_int_equal(index + 1, taker->begun);
    assert_true(length > 0);
    if (taker->refusals && ++taker->calls % taker->refusals == 0)
        return 0;
    size_t taken = length < taker->room ? length : taker->room;
    buf_add(&taker->bytes[index], bytes, taken);
    return taken;
}

static void on_end(void *arg, unsigned index, bool intact)
{
    struct taker *taker = arg;
    assert_int_equal(index, taker->ended);
    taker->intact[taker->ended++] = intact;
}

static const struct inline_hooks hooks = {on_begin, on_data, on_end};

struct run {
    struct taker taker;
    struct buf document;
};

static void run_init(struct run *run, size_t room, unsigned refusals)
{
    memset(run, 0, sizeof(*run));
    run->taker.room = room;
    run->taker.refusals = refusals;
    buf_init(&run->document, 1 << 20);
    for (size_t i = 0; i < RUNS; i++)
        buf_init(&run->taker.bytes[i], 1 << 24);
}

static void run_free(struct run *run)
{
    buf_free(&run->document);
    for (size_t i = 0; i < RUNS; i++)
        buf_free(&run->taker.bytes[i]);
}

/* Feeds in pieces of `chunk` bytes, again and again what wasn't taken. */
static void run_feed(struct run *run, const char *text, size_t length, size_t chunk)
{
    struct inline_filter *filter = inline_new(&run->document, &hooks, &run->taker);
    unsigned stalls = 0;
    for (size_t at = 0; at < length;) {
        size_t piece = length - at < chunk ? length - at : chunk;
        size_t taken = inline_feed(filter, text + at, piece);
        assert_true(taken <= piece);
        stalls = taken ? 0 : stalls + 1;
        assert_true(stalls < 100000);
        at += taken;
    }
    inline_free(filter);
}

static void assert_document(struct run *run, const char *expected)
{
    assert_string_equal(buf_text(&run->document), expected);
}

/* RFC 4648, section 4. */
static char *encode(const unsigned char *bytes, size_t length, bool url_safe, bool padded)
{
    const char *alphabet = url_safe
                               ? "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
                               : "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    struct buf out;
    buf_init(&out, length * 2 + 8);
    for (size_t at = 0; at < length; at += 3) {
        size_t left = length - at < 3 ? length - at : 3;
        uint32_t bits = (uint32_t)bytes[at] << 16;
        if (left > 1)
            bits |= (uint32_t)bytes[at + 1] << 8;
        if (left > 2)
            bits |= bytes[at + 2];
        for (size_t i = 0; i < 4; i++)
            if (i <= left)
                buf_add_byte(&out, alphabet[bits >> (18 - 6 * i) & 63]);
            else if (padded)
                buf_add_byte(&out, '=');
    }
    return buf_steal(&out);
}

static unsigned char *sample(size_t length)
{
    unsigned char *bytes = mem_alloc(length + 1);
    uint32_t seed = 12345;
    for (size_t i = 0; i < length; i++) {
        seed = seed * 1664525 + 1013904223;
        bytes[i] = (unsigned char)(seed >> 24);
    }
    return bytes;
}

static void assert_bytes(struct buf *buf, const unsigned char *expected, size_t length)
{
    assert_int_equal(buf->length, length);
    assert_memory_equal(buf->data, expected, length);
}

static void test_ordinary_json_passes_unchanged(void **state)
{
    (void)state;
    static const char text[] = " {\"a\":[\"\",\"AAAA\",\"x\\\"y\\\\\",\"\\u00e4\\/\"],\"inline:0\":"
                               "-1.5e3,\"\\\\\":null}\n";
    for (size_t chunk = 1; chunk < sizeof(text); chunk++) {
        struct run run;
        run_init(&run, SIZE_MAX, 0);
        run_feed(&run, text, sizeof(text) - 1, chunk);
        assert_document(&run, text);
        assert_int_equal(run.taker.begun, 0);
        run_free(&run);
    }
}

/* In all lengths around the ends of groups, blocks and the threshold, and both alphabets. */
static void test_runs_are_decoded(void **state)
{
    (void)state;
    static const size_t lengths[] = {768, 769, 770, 771, 3071, 3072, 3073, 3840, 100000};
    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++)
        for (unsigned form = 0; form < 4; form++) {
            unsigned char *bytes = sample(lengths[i]);
            char *code = encode(bytes, lengths[i], form & 1, form & 2);
            char *text = mem_format("{\"data\":\"%s\",\"after\":\"x\"}", code);
            struct run run;
            run_init(&run, SIZE_MAX, 0);
            run_feed(&run, text, strlen(text), 16384);
            assert_document(&run, "{\"data\":\"inline:0\",\"after\":\"x\"}");
            assert_int_equal(run.taker.ended, 1);
            assert_true(run.taker.intact[0]);
            assert_bytes(&run.taker.bytes[0], bytes, lengths[i]);
            run_free(&run);
            free(text);
            free(code);
            free(bytes);
        }
}

static void test_the_threshold_is_exact(void **state)
{
    (void)state;
    for (size_t length = INLINE_THRESHOLD - 2; length <= INLINE_THRESHOLD + 1; length++) {
        char *text = mem_alloc(length + 3);
        memset(text, 'A', length + 2);
        text[0] = text[length + 1] = '"';
        struct run run;
        run_init(&run, SIZE_MAX, 0);
        run_feed(&run, text, length + 2, SIZE_MAX);
        assert_int_equal(run.taker.ended, length >= INLINE_THRESHOLD);
        assert_document(&run, length >= INLINE_THRESHOLD ? "\"inline:0\"" : text);
        run_free(&run);
        free(text);
    }
}

static void test_long_text_is_no_run(void **state)
{
    (void)state;
    static const char *const foreign[] = {" ",   "=",       "ä",       "\\\"",           "\\\\",
                                          "\\t", "\\u0020", "\\u00e4", "\\ud83c\\udfac", "\\u003d",
                                          "."};
    for (size_t i = 0; i < sizeof(foreign) / sizeof(foreign[0]); i++) {
        char words[INLINE_THRESHOLD];
        memset(words, 'a', sizeof(words) - 1);
        words[sizeof(words) - 1] = '\0';
        char *text = mem_format("[\"%s%s%s%s\",1]", words, foreign[i], words, words);
        for (size_t chunk = 1; chunk < 3000; chunk += 999) {
            struct run run;
            run_init(&run, SIZE_MAX, 0);
            run_feed(&run, text, strlen(text), chunk);
            assert_int_equal(run.taker.begun, 0);
            assert_document(&run, text);
            run_free(&run);
        }
        free(text);
    }
}

/* As some encoders write it: every '/', '+' and '=' escaped, a line end every 76 characters. */
static char *escape_all(const char *code)
{
    struct buf out;
    buf_init(&out, 1 << 22);
    for (size_t i = 0; code[i]; i++) {
        if (i % 76 == 75)
            buf_add_text(&out, i % 2 ? "\\r\\n" : "\\u000d\\u000A");
        if (code[i] == '/' && i % 2)
            buf_add_text(&out, "\\/");
        else if (strchr("/+=-_", code[i]) || i % 50 == 0)
            buf_addf(&out, i % 3 ? "\\u%04x" : "\\u%04X", (unsigned)code[i]);
        else
            buf_add_byte(&out, code[i]);
    }
    return buf_steal(&out);
}

static void test_escapes_inside_a_run(void **state)
{
    (void)state;
    size_t length = 5000;
    unsigned char *bytes = sample(length);
    char *code = encode(bytes, length, false, true);
    char *escaped = escape_all(code);
    char *text = mem_format("\"%s\"", escaped);
    static const size_t chunks[] = {1, 2, 3, 5, 7, 64, 1000, 1025, 4096, 1 << 20};
    for (size_t i = 0; i < sizeof(chunks) / sizeof(chunks[0]); i++) {
        struct run run;
        run_init(&run, SIZE_MAX, 0);
        run_feed(&run, text, strlen(text), chunks[i]);
        assert_true(run.taker.intact[0]);
        assert_bytes(&run.taker.bytes[0], bytes, length);
        assert_document(&run, "\"inline:0\"");
        run_free(&run);
    }
    free(text);
    free(escaped);
    free(code);
    free(bytes);
}

/* What may come after a sound beginning. */
static void test_damaged_runs_say_so(void **state)
{
    (void)state;
    static const struct {
        const char *tail;
        bool intact;
        size_t bytes; /* beyond the first 768 */
    } rows[] = {
        {"", true, 0},         {"AA==", true, 1},
        {"AA", true, 1},       {"AAA=", true, 2},
        {"AAA", true, 2},      {"AAAA", true, 3},
        {"AAAA\\n", true, 3},  {"AA\\n==", true, 1},
        {"AA=", false, 0},     {"AA===", false, 0},
        {"A", false, 0},       {"A===", false, 0},
        {"=", false, 0},       {"====", false, 0},
        {"AAAA=", false, 3},   {"AA==AAAA", false, 0},
        {"AA AAAA", false, 0}, {"AAA\\\"AAAA", false, 0},
        {"AAA\\\\", false, 0}, {"\\u00e4", false, 0},
        {"\\u12", false, 0},   {"\\u1\\\"AAAA", false, 0},
        {"\xff", false, 0},    {"\\x", false, 0},
    };
    char head[INLINE_THRESHOLD + 1];
    memset(head, 'A', INLINE_THRESHOLD);
    head[INLINE_THRESHOLD] = '\0';
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        for (size_t chunk = 1; chunk <= 2000; chunk += 1999) {
            char *text = mem_format("[\"%s%s\",\"b\"]", head, rows[i].tail);
            struct run run;
            run_init(&run, SIZE_MAX, 0);
            run_feed(&run, text, strlen(text), chunk);
            if (run.taker.ended != 1 || run.taker.intact[0] != rows[i].intact ||
                run.taker.bytes[0].length != 768 + rows[i].bytes)
                fail_msg("tail %s, chunk %zu: ended %u, intact %d, %zu bytes", rows[i].tail, chunk,
                         run.taker.ended, run.taker.intact[0], run.taker.bytes[0].length);
            assert_document(&run, "[\"inline:0\",\"b\"]");
            run_free(&run);
            free(text);
        }
}

static void test_damage_ends_with_its_run(void **state)
{
    (void)state;
    char head[INLINE_THRESHOLD + 1];
    memset(head, 'A', INLINE_THRESHOLD);
    head[INLINE_THRESHOLD] = '\0';
    char *text = mem_format("[\"%sA=.\",\"%sAAAA\"]", head, head);
    struct run run;
    run_init(&run, SIZE_MAX, 0);
    run_feed(&run, text, strlen(text), SIZE_MAX);
    assert_false(run.taker.intact[0]);
    assert_true(run.taker.intact[1]);
    assert_int_equal(run.taker.bytes[1].length, 771);
    assert_document(&run, "[\"inline:0\",\"inline:1\"]");
    run_free(&run);
    free(text);
}

/* A reader without room: nothing is lost, nothing comes twice, and the filter stands still. */
static void test_back_pressure(void **state)
{
    (void)state;
    size_t length = 20000;
    unsigned char *bytes = sample(length);
    char *code = encode(bytes, length, false, true);
    char *text = mem_format("{\"a\":\"%s\",\"b\":\"%s\"}", code, code);
    static const size_t rooms[] = {1, 7, 100, 3071, SIZE_MAX};
    static const size_t chunks[] = {1, 333, 16384, 1 << 20};
    for (size_t i = 0; i < sizeof(rooms) / sizeof(rooms[0]); i++)
        for (size_t k = 0; k < sizeof(chunks) / sizeof(chunks[0]); k++) {
            struct run run;
            run_init(&run, rooms[i], 2);
            run_feed(&run, text, strlen(text), chunks[k]);
            assert_int_equal(run.taker.ended, 2);
            for (unsigned n = 0; n < 2; n++) {
                assert_true(run.taker.intact[n]);
                assert_bytes(&run.taker.bytes[n], bytes, length);
            }
            assert_document(&run, "{\"a\":\"inline:0\",\"b\":\"inline:1\"}");
            run_free(&run);
        }
    free(text);
    free(code);
    free(bytes);
}

static void test_a_full_reader_stops_the_filter(void **state)
{
    (void)state;
    char text[40000];
    memset(text, 'A', sizeof(text));
    text[0] = '"';
    struct run run;
    run_init(&run, 0, 0);
    struct inline_filter *filter = inline_new(&run.document, &hooks, &run.taker);
    size_t taken = inline_feed(filter, text, sizeof(text));
    assert_true(taken > INLINE_THRESHOLD && taken < 2 * 4096);
    assert_int_equal(inline_feed(filter, text + taken, sizeof(text) - taken), 0);
    assert_int_equal(run.taker.bytes[0].length, 0);

    run.taker.room = SIZE_MAX;
    taken += inline_feed(filter, text + taken, sizeof(text) - taken);
    assert_int_equal(taken, sizeof(text));
    assert_int_equal(inline_feed(filter, "A\"", 2), 2);
    assert_int_equal(run.taker.bytes[0].length, 30000);
    assert_true(run.taker.intact[0]);
    inline_free(filter);
    run_free(&run);
}

/* Even the last bytes of a run must find their taker before its end is told. */
static void test_the_end_waits_for_the_last_bytes(void **state)
{
    (void)state;
    char text[1026 + 1];
    memset(text, 'A', sizeof(text));
    text[0] = '"';
    struct run run;
    run_init(&run, SIZE_MAX, 0);
    struct inline_filter *filter = inline_new(&run.document, &hooks, &run.taker);
    assert_int_equal(inline_feed(filter, text, sizeof(text)), sizeof(text));
    run.taker.room = 0;
    assert_int_equal(inline_feed(filter, "\"}", 2), 0);
    assert_int_equal(run.taker.ended, 0);
    assert_int_equal(inline_feed(filter, "\"}", 2), 0);
    run.taker.room = SIZE_MAX;
    assert_int_equal(inline_feed(filter, "\"}", 2), 2);
    assert_int_equal(run.taker.ended, 1);
    assert_int_equal(run.taker.bytes[0].length, 769);
    assert_document(&run, "\"inline:0\"}");
    inline_free(filter);
    run_free(&run);
}

static void test_a_run_that_is_cut_has_no_end(void **state)
{
    (void)state;
    char text[2000];
    memset(text, 'A', sizeof(text));
    text[0] = '"';
    struct run run;
    run_init(&run, SIZE_MAX, 0);
    run_feed(&run, text, sizeof(text), 100);
    assert_int_equal(run.taker.begun, 1);
    assert_int_equal(run.taker.ended, 0);
    assert_document(&run, "\"inline:0");
    run_free(&run);
}

/* A document over its limit fails; half of a string in it must not become half of a video. */
static void test_the_documents_limit_holds(void **state)
{
    (void)state;
    char text[4000];
    memset(text, 'A', sizeof(text));
    text[0] = text[sizeof(text) - 1] = '"';
    for (size_t chunk = 1; chunk <= 4000; chunk += 1333) {
        struct run run;
        run_init(&run, SIZE_MAX, 0);
        buf_init(&run.document, 500);
        run_feed(&run, text, sizeof(text), chunk);
        assert_true(run.document.failed);
        assert_true(run.document.length <= 500);
        assert_int_equal(run.taker.begun, 0);
        run_free(&run);
    }
}

static void test_placeholders(void **state)
{
    (void)state;
    assert_int_equal(inline_index("inline:0"), 0);
    assert_int_equal(inline_index("inline:42"), 42);
    assert_int_equal(inline_index("inline:999999999"), 999999999);
    static const char *const others[] = {"",          "inline:",  "inline:00",         "inline:-1",
                                         "inline:1x", "Inline:1", "inline:1000000000", "inline: 1",
                                         "xinline:1", "inline:01"};
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
        assert_int_equal(inline_index(others[i]), -1);
}

static void test_free_takes_null(void **state)
{
    (void)state;
    inline_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ordinary_json_passes_unchanged),
        cmocka_unit_test(test_runs_are_decoded),
        cmocka_unit_test(test_the_threshold_is_exact),
        cmocka_unit_test(test_long_text_is_no_run),
        cmocka_unit_test(test_escapes_inside_a_run),
        cmocka_unit_test(test_damaged_runs_say_so),
        cmocka_unit_test(test_damage_ends_with_its_run),
        cmocka_unit_test(test_back_pressure),
        cmocka_unit_test(test_a_full_reader_stops_the_filter),
        cmocka_unit_test(test_the_end_waits_for_the_last_bytes),
        cmocka_unit_test(test_a_run_that_is_cut_has_no_end),
        cmocka_unit_test(test_the_documents_limit_holds),
        cmocka_unit_test(test_placeholders),
        cmocka_unit_test(test_free_takes_null),
    };
    return cmocka_run_group_tests_name("inline", tests, NULL, NULL);
}
