#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/core/ulid.h"

#define T0 INT64_C(1790000000000)

static const uint8_t zeros[10], ones[10] = {255, 255, 255, 255, 255, 255, 255, 255, 255, 255};

/* Read back by the specification: 10 characters of time, 16 of chance, base 32. */
static void decode(const char *id, int64_t *ret_ms, uint8_t ret_random[10])
{
    static const char alphabet[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
    assert_int_equal(strlen(id), 26);
    *ret_ms = 0;
    for (int i = 0; i < 10; i++)
        *ret_ms = *ret_ms * 32 + (strchr(alphabet, id[i]) - alphabet);
    memset(ret_random, 0, 10);
    for (int bit = 0; bit < 80; bit++) {
        long digit = strchr(alphabet, id[10 + bit / 5]) - alphabet;
        if (digit >> (4 - bit % 5) & 1)
            ret_random[bit / 8] |= (uint8_t)(1 << (7 - bit % 8));
    }
}

static void test_known_texts(void **state)
{
    (void)state;
    char id[ULID_SIZE];
    struct ulid_source source = {0};
    /* 1469918176385 is the specification's example: 01ARYZ6S41. */
    ulid_next(&source, INT64_C(1469918176385), zeros, id);
    assert_string_equal(id, "01ARYZ6S410000000000000000");
    ulid_next(&source, INT64_C(1469918176386), ones, id);
    assert_string_equal(id, "01ARYZ6S42FZZZZZZZZZZZZZZZ");
    ulid_next(&source, (INT64_C(1) << 48) - 1, zeros, id);
    assert_string_equal(id, "7ZZZZZZZZZ0000000000000000");
}

static void test_time_and_chance_are_all_in_it(void **state)
{
    unsigned seed = 3;
    (void)state;
    for (int round = 0; round < 2000; round++) {
        struct ulid_source source = {0};
        uint8_t random[10], found[10];
        char id[ULID_SIZE];
        int64_t ms = T0 + rand_r(&seed), found_ms;
        for (int i = 0; i < 10; i++)
            random[i] = (uint8_t)rand_r(&seed);
        ulid_next(&source, ms, random, id);
        decode(id, &found_ms, found);
        random[0] &= 0x7f;
        assert_int_equal(found_ms, ms);
        assert_memory_equal(found, random, 10);
    }
}

static void test_ids_always_rise(void **state)
{
    struct ulid_source source = {0};
    char last[ULID_SIZE] = "", id[ULID_SIZE];
    unsigned seed = 5;
    int64_t ms = T0;
    (void)state;
    for (int round = 0; round < 20000; round++) {
        uint8_t random[10];
        for (int i = 0; i < 10; i++)
            random[i] = (uint8_t)rand_r(&seed);
        ms += rand_r(&seed) % 5 - 2; /* stands still and goes back as well */
        ulid_next(&source, ms, random, id);
        assert_true(strcmp(id, last) > 0);
        memcpy(last, id, sizeof(id));
    }
}

static void test_within_a_millisecond_they_count(void **state)
{
    struct ulid_source source = {0};
    char id[ULID_SIZE];
    (void)state;
    ulid_next(&source, T0, ones, id);
    assert_string_equal(id + 10, "FZZZZZZZZZZZZZZZ");
    ulid_next(&source, T0, zeros, id); /* carries all the way */
    assert_string_equal(id + 10, "G000000000000000");
    ulid_next(&source, T0 - 99999, zeros, id); /* the clock went back */
    assert_string_equal(id + 10, "G000000000000001");
    int64_t ms;
    uint8_t random[10];
    decode(id, &ms, random);
    assert_int_equal(ms, T0);
    ulid_next(&source, T0 + 1, zeros, id);
    assert_string_equal(id + 10, "0000000000000000");
}

static void test_prefixes(void **state)
{
    static const char *const bad[] = {
        "",     "01K",  "01KI", "01KL",        "01KO",
        "01KU", "01K-", "01K ", "01K\xc3\xa4", "01KAQ3ZZZZ0123456789ABCDEF0"};
    char ret[ULID_SIZE];
    (void)state;
    assert_true(ulid_prefix("01ka", 4, ret));
    assert_string_equal(ret, "01KA");
    assert_true(ulid_prefix("01kaq3zzzz0123456789abcdef", 4, ret));
    assert_string_equal(ret, "01KAQ3ZZZZ0123456789ABCDEF");
    assert_true(ulid_prefix("0123456789abcdefghjkmnpqrs", 26, ret));
    assert_true(ulid_prefix("tvwxyz", 4, ret));
    assert_string_equal(ret, "TVWXYZ");
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(ulid_prefix(bad[i], 4, ret));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_known_texts),
        cmocka_unit_test(test_time_and_chance_are_all_in_it),
        cmocka_unit_test(test_ids_always_rise),
        cmocka_unit_test(test_within_a_millisecond_they_count),
        cmocka_unit_test(test_prefixes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
