#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "daemon/core/backoff.h"

static const struct backoff usual = {.base_ms = 1000, .max_ms = 10000};
#define ALMOST_ONE 0.9999999999

static void test_it_doubles_up_to_the_greatest(void **state)
{
    static const int64_t whole[] = {1000, 2000, 4000, 8000, 10000, 10000};
    (void)state;
    for (int i = 0; i < 6; i++) {
        assert_int_equal(backoff_delay(&usual, i, 0), whole[i] / 2);
        assert_int_equal(backoff_delay(&usual, i, 0.5), whole[i] * 3 / 4);
        assert_in_range(backoff_delay(&usual, i, ALMOST_ONE), whole[i] - 1, whole[i]);
    }
    assert_int_equal(backoff_delay(&usual, INT32_MAX, 0), 5000);
}

static void test_odd_bounds(void **state)
{
    static const struct backoff above = {.base_ms = 9, .max_ms = 5}, one = {1, 1}, zero = {0, 100},
                                great = {INT64_MAX / 2 + 1, INT64_MAX};
    (void)state;
    assert_int_equal(backoff_delay(&above, 0, 0), 2);
    assert_in_range(backoff_delay(&above, 3, ALMOST_ONE), 4, 5);
    assert_int_equal(backoff_delay(&one, 7, 0), 0);
    assert_int_equal(backoff_delay(&zero, INT32_MAX, 0.5), 0);
    assert_int_equal(backoff_delay(&great, 3, 0), INT64_MAX / 2);
}

/* A longer history never waits less, and chance never leads out of the bounds. */
static void test_it_grows(void **state)
{
    (void)state;
    for (int part = 0; part < 10; part++)
        for (int i = 0; i < 40; i++) {
            int64_t now = backoff_delay(&usual, i, part / 10.0);
            assert_in_range(now, usual.base_ms / 2, usual.max_ms);
            assert_true(backoff_delay(&usual, i + 1, part / 10.0) >= now);
        }
}

/* Two days of nothing but failures, with waits of up to a day: the last tries come minutes, then
 * seconds before it is too late. */
static void test_nothing_is_waited_for_until_it_is_gone(void **state)
{
    const struct backoff slow = {5000, 24 * 3600 * 1000LL};
    const int64_t end = 48 * 3600 * 1000LL;
    int64_t now = 0, last = 0;
    (void)state;
    for (int i = 0; i < 1000 && now < end; i++) {
        last = now;
        now += backoff_within(backoff_delay(&slow, i, ALMOST_ONE), end - now, 1000);
    }
    assert_in_range(end - last, 1, 8000);
    assert_int_equal(backoff_within(500, 8000, 1000), 500);
    assert_int_equal(backoff_within(5000, 16000, 1000), 2000);
    assert_int_equal(backoff_within(5000, 10, 1000), 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_it_doubles_up_to_the_greatest),
        cmocka_unit_test(test_odd_bounds),
        cmocka_unit_test(test_it_grows),
        cmocka_unit_test(test_nothing_is_waited_for_until_it_is_gone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
