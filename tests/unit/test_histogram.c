#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "daemon/core/histogram.h"

static const struct histogram_scale *const scales[] = {&histogram_moments, &histogram_answers,
                                                       &histogram_patience, &histogram_numbers};

static void test_bounds_ascend(void **state)
{
    (void)state;
    for (size_t s = 0; s < 4; s++) {
        assert_in_range(scales[s]->count, 1, HISTOGRAM_BUCKETS_MAX);
        assert_true(scales[s]->bounds[0] > 0);
        for (size_t i = 1; i < scales[s]->count; i++)
            assert_true(scales[s]->bounds[i] > scales[s]->bounds[i - 1]);
    }
}

/* Its own bound belongs to a bucket, and what is one above doesn't. */
static void test_each_value_is_in_its_bucket(void **state)
{
    (void)state;
    for (size_t s = 0; s < 4; s++)
        for (size_t i = 0; i < scales[s]->count; i++) {
            struct histogram histogram;
            histogram_init(&histogram, scales[s]);
            histogram_add(&histogram, scales[s]->bounds[i]);
            assert_int_equal(histogram_up_to(&histogram, i), 1);
            assert_int_equal(i > 0 ? histogram_up_to(&histogram, i - 1) : 0, 0);
            histogram_add(&histogram, scales[s]->bounds[i] + 1);
            assert_int_equal(histogram_up_to(&histogram, i), 1);
            assert_int_equal(histogram_up_to(&histogram, i + 1), 2);
        }
}

static void test_what_is_above_all_bounds_counts(void **state)
{
    struct histogram histogram;
    (void)state;
    histogram_init(&histogram, &histogram_numbers);
    histogram_add(&histogram, 5000);
    histogram_add(&histogram, 3);
    assert_int_equal(histogram.count, 2);
    assert_int_equal(histogram.sum, 5003);
    assert_int_equal(histogram_up_to(&histogram, histogram_numbers.count - 1), 1);
    assert_int_equal(histogram_up_to(&histogram, histogram_numbers.count), 2);
}

static void test_a_clock_set_back(void **state)
{
    struct histogram histogram;
    (void)state;
    histogram_init(&histogram, &histogram_patience);
    histogram_add(&histogram, -70000);
    histogram_add(&histogram, INT64_MIN);
    assert_int_equal(histogram_up_to(&histogram, 0), 2);
    assert_int_equal(histogram.sum, 0);
}

static void test_the_sum_never_falls(void **state)
{
    struct histogram histogram;
    (void)state;
    histogram_init(&histogram, &histogram_answers);
    for (uint64_t i = 0, before = 0; i < 5; i++, before = histogram.sum) {
        histogram_add(&histogram, INT64_MAX);
        assert_true(histogram.sum >= before);
    }
    assert_true(histogram.sum == UINT64_MAX);
    assert_int_equal(histogram.count, 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bounds_ascend),
        cmocka_unit_test(test_each_value_is_in_its_bucket),
        cmocka_unit_test(test_what_is_above_all_bounds_counts),
        cmocka_unit_test(test_a_clock_set_back),
        cmocka_unit_test(test_the_sum_never_falls),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
