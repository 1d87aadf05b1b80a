#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "daemon/core/sched.h"
#include "tests/unit/sched_fixture.h"

/* How often each provider was chosen for `count` jobs that all may have. */
static void distribute(struct sched *sched, size_t providers, int count, int *ret)
{
    struct sched_entry job = entry("a", 0, 0, 0);
    job.providers = BIT(providers) - 1;
    for (int i = 0; i < count; i++) {
        size_t provider;
        sched_add(sched, &job);
        assert_ptr_equal(pick(sched, i, &provider), &job);
        sched_landed(sched, &job);
        ret[provider]++;
    }
}

static void test_the_turn_is_by_weight(void **state)
{
    (void)state;
    static const unsigned weights[] = {3, 1, 0};
    int got[3] = {0};
    struct sched *sched = make(weights, 3, 100);
    distribute(sched, 3, 400, got);
    assert_int_equal(got[0], 300);
    assert_int_equal(got[1], 100);
    assert_int_equal(got[2], 0);
    /* Smoothly: never is one more than a turn ahead. */
    int few[3] = {0};
    distribute(sched, 3, 4, few);
    assert_int_equal(few[0], 3);
    sched_free(sched);
}

static void test_who_is_shut_loses_its_turn(void **state)
{
    (void)state;
    static const unsigned weights[] = {3, 1, 0};
    int got[3] = {0}, later[3] = {0};
    struct sched *sched = make(weights, 3, 100);
    shut(sched, 0, "m", 0, 100000, true);
    distribute(sched, 3, 40, got);
    assert_int_equal(got[1], 40);
    shut(sched, 1, "m", 40, 100000, false);
    distribute(sched, 3, 40, later);
    assert_int_equal(later[2], 40); /* the one that stands in */
    shut(sched, 2, "m", 80, 100000, false);
    struct sched_entry job = entry("a", 0, 0, 0);
    job.providers = 7;
    sched_add(sched, &job);
    assert_null(pick(sched, 100, NULL));
    assert_int_equal(sched_next(sched, 100), 100000);
    sched_free(sched);
}

static void test_one_of_weight_0_never_goes_before_an_open_one(void **state)
{
    (void)state;
    static const unsigned weights[] = {0, 1, 3};
    int got[3] = {0};
    struct sched *sched = make(weights, 3, 100);
    distribute(sched, 3, 2, got); /* the second has just had its turn */
    assert_int_equal(got[1], 1);
    shut(sched, 2, "m", 10, 100000, false);
    distribute(sched, 3, 5, got);
    assert_int_equal(got[0], 0);
    assert_int_equal(got[1], 6);
    sched_free(sched);
}

/* With much to do the weights still count: an answer that comes soon is waited for, one that
 * doesn't isn't. */
static void test_a_busy_provider_is_waited_for_a_moment(void **state)
{
    (void)state;
    static const unsigned weights[] = {1000, 1};
    struct sched *sched = make(weights, 2, 1000);
    struct sched_entry jobs[20];
    char ids[20][12];
    size_t provider;
    unsigned first = 0;
    for (int i = 0; i < 20; i++) {
        snprintf(ids[i], sizeof(ids[i]), "%02d", i);
        jobs[i] = entry(ids[i], 0, 0, 0);
        jobs[i].providers = 3;
        sched_add(sched, &jobs[i]);
    }
    struct sched_entry *picked, *last = NULL;
    while ((picked = sched_pick(sched, 5000, &provider))) {
        assert_int_equal(provider, 0);
        last = picked;
        first++;
    }
    assert_in_range(first, 1, 10);
    sched_accepted(sched, last, 5100);
    assert_non_null(sched_pick(sched, 5100, &provider));
    assert_int_equal(provider, 0);
    while (sched_pick(sched, 5100, &provider))
        assert_int_equal(provider, 0);
    int64_t next = sched_next(sched, 5100);
    assert_in_range(next, 5101, 10000);
    assert_null(sched_pick(sched, next - 1, &provider));
    assert_non_null(sched_pick(sched, next, &provider));
    assert_int_equal(provider, 1);
    sched_free(sched);
}

/* The best of those that can go, goes: a job for a shut provider holds nobody up. */
static void test_the_best_that_can_go(void **state)
{
    (void)state;
    struct sched *sched = make(even, 3, 100);
    struct sched_entry a = entry("a", 50, 0, 0), b = entry("b", 10, 0, 0), c = entry("c", 20, 0, 1);
    size_t provider;
    shut(sched, 0, "m", 0, 1000, false);
    b.providers = BIT(0) | BIT(2);
    c.model = "another";
    sched_add(sched, &a);
    sched_add(sched, &b);
    sched_add(sched, &c);
    assert_ptr_equal(pick(sched, 0, &provider), &c);
    assert_ptr_equal(pick(sched, 0, &provider), &b);
    assert_int_equal(provider, 2);
    assert_null(pick(sched, 999, &provider));
    assert_ptr_equal(pick(sched, 1000, &provider), &a);
    sched_free(sched);
}

static void test_what_there_is_to_see(void **state)
{
    (void)state;
    struct pace_limits slow = wide;
    slow.per_minute = 30;
    const struct sched_provider providers[] = {{1, slow}, {1, wide}};
    struct sched *sched = sched_new(providers, 2, 100);
    struct sched_view view;
    struct sched_entry a = entry("a", 0, 0, 0);
    assert_false(sched_look_at(sched, 0, 0, &view));
    sched_add(sched, &a);
    assert_pick(sched, 1000, "a");
    assert_true(sched_look_at(sched, 0, 1000, &view));
    assert_int_equal(view.provider, 0);
    assert_string_equal(view.model, "m");
    assert_int_equal(view.in_flight, 1);
    assert_int_equal((int)view.per_minute, 30);
    assert_int_equal(view.opens, 3000);
    assert_null(view.reason);
    assert_true(view.is_ready);
    assert_false(sched_look_at(sched, 1, 1000, &view));
    sched_free(sched);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_turn_is_by_weight),
        cmocka_unit_test(test_who_is_shut_loses_its_turn),
        cmocka_unit_test(test_one_of_weight_0_never_goes_before_an_open_one),
        cmocka_unit_test(test_a_busy_provider_is_waited_for_a_moment),
        cmocka_unit_test(test_the_best_that_can_go),
        cmocka_unit_test(test_what_there_is_to_see),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
