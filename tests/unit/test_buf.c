#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proto/buf.h"
#include "proto/mem.h"

static void assert_content(const struct buf *buf, const char *expected)
{
    assert_int_equal(buf->length, strlen(expected));
    if (buf->length > 0)
        assert_memory_equal(buf->data, expected, buf->length);
}

static void additions_follow_each_other(void **state)
{
    (void)state;
    struct buf buf;
    buf_init(&buf, 100);
    buf_add(&buf, "abcd", 3);
    buf_add(&buf, NULL, 0);
    buf_add_text(&buf, "-de");
    buf_add_byte(&buf, 'f');
    buf_addf(&buf, "[%d %s]", 7, "x");
    assert_content(&buf, "abc-def[7 x]");
    assert_false(buf.failed);
    assert_string_equal(buf_text(&buf), "abc-def[7 x]");
    buf_free(&buf);
}

static void a_full_buffer_keeps_what_it_had(void **state)
{
    (void)state;
    struct buf buf;
    buf_init(&buf, 5);
    buf_add_text(&buf, "abcde");
    assert_false(buf.failed);
    buf_reset(&buf);
    buf_add_text(&buf, "abc");
    buf_add_text(&buf, "def");
    assert_true(buf.failed);
    buf_add_text(&buf, "g");
    buf_addf(&buf, "%c", 'h');
    assert_null(buf_reserve(&buf, 0));
    assert_content(&buf, "abc");
    assert_string_equal(buf_text(&buf), "abc");
    buf_reset(&buf);
    assert_false(buf.failed);
    buf_addf(&buf, "%s", "12345");
    assert_content(&buf, "12345");
    buf_addf(&buf, "%s", "6");
    assert_true(buf.failed);
    assert_content(&buf, "12345");
    buf_free(&buf);
    assert_int_equal(buf.max, 5);
    assert_false(buf.failed);
}

static void the_capacity_stays_near_max(void **state)
{
    (void)state;
    struct buf buf;
    buf_init(&buf, 1000);
    for (int i = 0; i < 2000; i++)
        buf_add_byte(&buf, 'x');
    assert_int_equal(buf.length, 1000);
    assert_in_range(buf.capacity, 1000, 1001);
    buf_free(&buf);
}

static void reserved_room_is_claimed_by_length(void **state)
{
    (void)state;
    struct buf buf;
    buf_init(&buf, SIZE_MAX);
    buf_add_text(&buf, "ab");
    char *to = buf_reserve(&buf, 1000);
    assert_non_null(to);
    memset(to, 'c', 1000);
    buf.length += 3;
    assert_content(&buf, "abccc");
    assert_null(buf_reserve(&buf, SIZE_MAX));
    assert_true(buf.failed);
    buf_free(&buf);
}

static void consuming_takes_from_the_front(void **state)
{
    (void)state;
    struct buf buf;
    buf_init(&buf, 100);
    buf_add_text(&buf, "abcdef");
    buf_consume(&buf, 2);
    assert_content(&buf, "cdef");
    buf_consume(&buf, 0);
    assert_content(&buf, "cdef");
    buf_consume(&buf, 99);
    assert_content(&buf, "");
    buf_consume(&buf, 1);
    buf_free(&buf);
}

static void text_and_steal_never_give_null(void **state)
{
    (void)state;
    struct buf buf;
    buf_init(&buf, 0);
    assert_string_equal(buf_text(&buf), "");
    char *empty = buf_steal(&buf);
    assert_string_equal(empty, "");
    free(empty);
    buf_add_byte(&buf, 'x');
    assert_true(buf.failed);
    empty = buf_steal(&buf);
    assert_string_equal(empty, "");
    free(empty);

    buf_init(&buf, 10);
    buf_add_text(&buf, "stolen");
    char *stolen = buf_steal(&buf);
    assert_string_equal(stolen, "stolen");
    assert_int_equal(buf.length, 0);
    buf_add_text(&buf, "new");
    assert_string_equal(stolen, "stolen");
    assert_content(&buf, "new");
    free(stolen);
    buf_free(&buf);
    buf_free(NULL);
}

static void memory_helpers_copy_and_format(void **state)
{
    (void)state;
    char *zeroed = mem_alloc(3);
    assert_memory_equal(zeroed, "\0\0\0", 3);
    zeroed = mem_resize(zeroed, 0, 1);
    zeroed = mem_resize(zeroed, 4, 2);
    memset(zeroed, 'x', 8);
    free(zeroed);
    assert_null(mem_strdup(NULL));
    assert_null(mem_strndup(NULL, 3));
    char *copy = mem_strdup("text");
    assert_string_equal(copy, "text");
    free(copy);
    copy = mem_strndup("text", 2);
    assert_string_equal(copy, "te");
    free(copy);
    copy = mem_format("%s-%d", "a", 5);
    assert_string_equal(copy, "a-5");
    free(copy);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(additions_follow_each_other),
        cmocka_unit_test(a_full_buffer_keeps_what_it_had),
        cmocka_unit_test(the_capacity_stays_near_max),
        cmocka_unit_test(reserved_room_is_claimed_by_length),
        cmocka_unit_test(consuming_takes_from_the_front),
        cmocka_unit_test(text_and_steal_never_give_null),
        cmocka_unit_test(memory_helpers_copy_and_format),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
