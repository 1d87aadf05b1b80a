#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "daemon/core/sched.h"
#include "tests/unit/sched_fixture.h"

static void test_priority_then_age(void **state)
{
    (void)state;
    struct sched *sched = make(even, 2, 100);
    struct sched_entry entries[] = {entry("5", 0, 0, 0),   entry("2", 0, 0, 1),
                                    entry("9", 100, 0, 1), entry("1", -100, 0, 0),
                                    entry("3", 0, 0, 0),   entry("8", 100, 0, 0)};
    static const char *const order[] = {"8", "9", "2", "3", "5", "1"};
    for (size_t i = 0; i < 6; i++)
        sched_add(sched, &entries[i]);
    assert_int_equal(sched_waiting(sched), 6);
    for (size_t i = 0; i < 6; i++)
        assert_pick(sched, 0, order[i]);
    assert_pick(sched, 0, NULL);
    assert_int_equal(sched_waiting(sched), 0);
    assert_int_equal(sched_in_flight(sched), 6);
    sched_free(sched);
    sched_free(NULL);
}

static void test_not_before(void **state)
{
    (void)state;
    struct sched *sched = make(even, 1, 100);
    struct sched_entry soon = entry("1", 0, 500, 0), late = entry("2", 100, 900, 0),
                       now = entry("3", -5, 0, 0);
    assert_true(sched_next(sched, 0) == INT64_MAX);
    sched_add(sched, &late);
    sched_add(sched, &soon);
    assert_int_equal(sched_next(sched, 0), 500);
    assert_pick(sched, 499, NULL);
    sched_add(sched, &now);
    assert_true(sched_next(sched, 499) <= 499);
    assert_pick(sched, 499, "3");
    assert_pick(sched, 500, "1");
    assert_int_equal(sched_next(sched, 500), 900);
    assert_pick(sched, 10000, "2");
    assert_true(sched_next(sched, 10000) == INT64_MAX);
    sched_free(sched);
}

static void test_the_in_flight_cap_of_all(void **state)
{
    (void)state;
    struct sched *sched = make(even, 2, 2);
    struct sched_entry a = entry("a", 0, 0, 0), b = entry("b", 0, 0, 1), c = entry("c", 0, 900, 1),
                       before = entry("0", 0, 0, 0);
    sched_add(sched, &a);
    sched_add(sched, &b);
    sched_add(sched, &c);
    assert_int_equal(sched_in_flight_max(sched), 2);
    sched_took_off(sched, &before, 1);
    sched_took_off(sched, &before, 1); /* once is enough */
    assert_int_equal(sched_in_flight(sched), 1);
    assert_pick(sched, 0, "a");
    assert_pick(sched, 0, NULL);
    assert_true(sched_next(sched, 0) == INT64_MAX); /* time alone changes nothing */
    sched_landed(sched, &before);
    sched_landed(sched, &before);
    assert_int_equal(sched_in_flight(sched), 1);
    assert_true(sched_next(sched, 0) <= 0);
    assert_pick(sched, 0, "b");
    sched_landed(sched, &a);
    assert_int_equal(sched_next(sched, 0), 900);
    assert_pick(sched, 900, "c");
    sched_free(sched);
}

/* More in flight after a restart than a lowered cap allows. */
static void test_above_the_cap(void **state)
{
    (void)state;
    struct sched *sched = make(even, 1, 1);
    struct sched_entry a = entry("a", 0, 0, 0),
                       before[] = {entry("1", 0, 0, 0), entry("2", 0, 0, 0), entry("3", 0, 0, 0)};
    sched_add(sched, &a);
    for (int i = 0; i < 3; i++)
        sched_took_off(sched, &before[i], 0);
    for (int i = 0; i < 3; i++) {
        assert_pick(sched, 0, NULL);
        sched_landed(sched, &before[i]);
    }
    assert_pick(sched, 0, "a");
    sched_free(sched);
}

static void test_the_in_flight_cap_of_one_model_of_one_provider(void **state)
{
    (void)state;
    struct pace_limits capped = wide;
    capped.in_flight_max = 2;
    const struct sched_provider providers[] = {{1, capped}, {0, wide}};
    struct sched *sched = sched_new(providers, 2, 100);
    struct sched_entry jobs[5], before = entry("0", 0, 0, 0), other = entry("x", -1, 0, 0);
    static const char *const ids[] = {"1", "2", "3", "4", "5"};
    sched_took_off(sched, &before, 0); /* since before a restart */
    for (int i = 0; i < 5; i++) {
        jobs[i] = entry(ids[i], 0, 0, 0);
        sched_add(sched, &jobs[i]);
    }
    other.model = "another";
    sched_add(sched, &other);
    assert_pick(sched, 0, "1");
    assert_pick(sched, 0, "x"); /* of another model */
    assert_pick(sched, 0, NULL);
    struct sched_view view;
    assert_true(sched_look(sched, 0, "m", 0, &view));
    assert_int_equal(view.in_flight, 2);
    sched_landed(sched, &before);
    assert_pick(sched, 0, "2");
    assert_pick(sched, 0, NULL);
    sched_remove(sched, &jobs[2]);
    jobs[2].providers = BIT(0) | BIT(1);
    sched_add(sched, &jobs[2]);
    size_t provider = 9;
    assert_ptr_equal(pick(sched, 0, &provider), &jobs[2]); /* the other one stands in */
    assert_int_equal(provider, 1);
    sched_free(sched);
}

static void test_a_shut_gate_blocks_only_its_model(void **state)
{
    (void)state;
    struct sched *sched = make(even, 2, 100);
    struct sched_entry best = entry("a", 100, 0, 0), other = entry("b", 0, 0, 1),
                       third = entry("c", 0, 0, 0);
    shut(sched, 0, "m", 0, 5000, false);
    shut(sched, 1, "m", 0, 10, false);
    third.model = "another";
    sched_add(sched, &best);
    sched_add(sched, &other);
    sched_add(sched, &third);
    assert_pick(sched, 0, "c");
    assert_int_equal(sched_next(sched, 0), 10); /* not at once: nothing can be picked */
    assert_pick(sched, 0, NULL);
    struct sched_view view;
    assert_true(sched_look(sched, 0, "m", 1, &view));
    assert_int_equal(view.shut_until, 5000);
    assert_int_equal(view.opens, 5000);
    assert_string_equal(view.reason, "enough");
    assert_false(sched_look(sched, 1, "another", 1, &view));
    assert_pick(sched, 10, "b");
    assert_pick(sched, 4999, NULL);
    assert_int_equal(sched_next(sched, 4999), 5000);
    assert_pick(sched, 5000, "a");
    sched_free(sched);
}

static void test_a_shut_provider_blocks_all_its_models(void **state)
{
    (void)state;
    struct sched *sched = make(even, 2, 100);
    struct sched_entry a = entry("a", 0, 0, 0), b = entry("b", 0, 0, 0);
    shut(sched, 0, "m", 0, 5000, true);
    b.model = "another";
    sched_add(sched, &a);
    sched_add(sched, &b);
    assert_pick(sched, 4999, NULL);
    assert_int_equal(sched_next(sched, 4999), 5000);
    assert_pick(sched, 5000, "a");
    assert_pick(sched, 5000, "b");
    sched_free(sched);
}

static void test_a_shut_gate_without_jobs_wakes_nobody(void **state)
{
    (void)state;
    struct sched *sched = make(even, 2, 100);
    struct sched_entry late = entry("a", 0, 7000, 1);
    shut(sched, 0, "m", 0, 500, false);
    sched_add(sched, &late);
    assert_int_equal(sched_next(sched, 0), 7000);
    sched_free(sched);
}

/* Those under way come back with the same news: no reason to wait longer. */
static void test_a_provider_is_shut_once_for_all_that_say_so(void **state)
{
    (void)state;
    static const int64_t waits[] = {500, 1000, 2000, 4000, 4000}; /* random 0: the certain half */
    struct sched *sched = make(even, 1, 100);
    struct sched_entry jobs[2] = {entry("1", 0, 0, 0), entry("2", 0, 0, 0)};
    int64_t now = 100;
    size_t provider;
    for (int i = 0; i < 5; i++) {
        for (int j = 0; j < 2; j++) {
            sched_add(sched, &jobs[j]);
            assert_ptr_equal(sched_pick(sched, now, &provider), &jobs[j]);
        }
        assert_true(turn_away(sched, &jobs[0], now, -1, true));
        assert_false(turn_away(sched, &jobs[1], now + 1, -1, true));
        assert_false(turn_away(sched, &jobs[1], now + 1, 99999, true)); /* it has answered */
        struct sched_view view;
        assert_true(sched_look(sched, 0, "m", now, &view));
        assert_int_equal(view.shut_until, now + waits[i]);
        sched_landed(sched, &jobs[0]);
        sched_landed(sched, &jobs[1]);
        now += waits[i];
    }
    sched_free(sched);
}

static void test_a_provider_that_accepts_again_is_shut_shortly_the_next_time(void **state)
{
    (void)state;
    struct sched *sched = make(even, 1, 100);
    struct sched_entry job = entry("a", 0, 0, 0);
    struct sched_view view;
    shut(sched, 0, "m", 100, -1, true);
    shut(sched, 0, "m", 1000, -1, true);
    sched_add(sched, &job);
    assert_pick(sched, 5000, "a");
    shut(sched, 0, "m", 5000, -1, true);
    assert_true(sched_look(sched, 0, "m", 5000, &view));
    assert_int_equal(view.shut_until, 5500);
    sched_free(sched);
}

/* A job can be taken back at any moment; its place is free again. */
static void test_what_lands_is_no_longer_waited_for(void **state)
{
    (void)state;
    struct sched *sched = make(even, 1, 100);
    struct sched_entry job = entry("a", 0, 0, 0);
    size_t provider;
    for (int i = 0; i < 100; i++) {
        sched_add(sched, &job);
        assert_ptr_equal(sched_pick(sched, 1000, &provider), &job);
        sched_landed(sched, &job);
    }
    sched_free(sched);
}

static void test_other_limits_count_at_once(void **state)
{
    (void)state;
    struct sched_provider providers[] = {{1, wide}, {1, wide}};
    struct sched *sched = sched_new(providers, 2, 100);
    struct sched_entry jobs[] = {entry("1", 0, 0, 0), entry("2", 0, 0, 0), entry("3", 0, 0, 0)};
    for (int i = 0; i < 3; i++)
        sched_add(sched, &jobs[i]);
    assert_pick(sched, 0, "1");
    providers[0].limits.in_flight_max = 1;
    sched_set_limits(sched, providers, 100);
    assert_pick(sched, 0, NULL);
    providers[0].limits.in_flight_max = 2;
    sched_set_limits(sched, providers, 1);
    assert_pick(sched, 0, NULL);
    sched_set_limits(sched, providers, 100);
    assert_pick(sched, 0, "2");
    assert_pick(sched, 0, NULL);
    sched_free(sched);
}

static void test_one_without_a_token_waits(void **state)
{
    (void)state;
    struct sched *sched = make(even, 2, 100);
    struct sched_entry a = entry("a", 0, 0, 0), b = entry("b", 0, 0, 0);
    b.providers = BIT(0) | BIT(1);
    sched_set_ready(sched, 0, false);
    sched_add(sched, &a);
    sched_add(sched, &b);
    size_t provider;
    assert_ptr_equal(pick(sched, 0, &provider), &b);
    assert_int_equal(provider, 1);
    assert_pick(sched, 0, NULL);
    assert_true(sched_next(sched, 0) == INT64_MAX);
    sched_set_ready(sched, 0, true);
    assert_pick(sched, 0, "a");
    sched_free(sched);
}

static void test_remove_from_wherever_it_is(void **state)
{
    (void)state;
    struct sched *sched = make(even, 1, 100);
    struct sched_entry a = entry("a", 0, 0, 0), b = entry("b", 0, 0, 0), c = entry("c", 0, 900, 0);
    sched_remove(sched, &a);
    sched_add(sched, &a);
    sched_add(sched, &b);
    sched_add(sched, &c);
    sched_remove(sched, &c); /* delayed */
    (void)sched_next(sched, 0);
    sched_remove(sched, &a); /* ready */
    sched_remove(sched, &a);
    assert_int_equal(sched_waiting(sched), 1);
    assert_pick(sched, 1000, "b");
    sched_remove(sched, &b); /* picked */
    assert_int_equal(sched_in_flight(sched), 1);
    assert_pick(sched, 1000, NULL);
    sched_free(sched);
}

static void test_what_is_put_back_was_never_picked(void **state)
{
    (void)state;
    struct pace_limits slow = wide;
    slow.per_minute = 60;
    const struct sched_provider providers[] = {{1, slow}, {1, wide}};
    struct sched *sched = sched_new(providers, 2, 100);
    struct sched_entry a = entry("a", 0, 0, 0);
    for (int i = 0; i < 10; i++) {
        size_t provider;
        sched_add(sched, &a);
        assert_ptr_equal(sched_pick(sched, 0, &provider), &a);
        sched_put_back(sched, &a);
        sched_put_back(sched, &a);
    }
    assert_int_equal(sched_in_flight(sched), 0);
    sched_add(sched, &a);
    assert_pick(sched, 0, "a");
    sched_free(sched);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_priority_then_age),
        cmocka_unit_test(test_not_before),
        cmocka_unit_test(test_the_in_flight_cap_of_all),
        cmocka_unit_test(test_above_the_cap),
        cmocka_unit_test(test_the_in_flight_cap_of_one_model_of_one_provider),
        cmocka_unit_test(test_a_shut_gate_blocks_only_its_model),
        cmocka_unit_test(test_a_shut_provider_blocks_all_its_models),
        cmocka_unit_test(test_a_shut_gate_without_jobs_wakes_nobody),
        cmocka_unit_test(test_a_provider_is_shut_once_for_all_that_say_so),
        cmocka_unit_test(test_a_provider_that_accepts_again_is_shut_shortly_the_next_time),
        cmocka_unit_test(test_what_lands_is_no_longer_waited_for),
        cmocka_unit_test(test_other_limits_count_at_once),
        cmocka_unit_test(test_one_without_a_token_waits),
        cmocka_unit_test(test_remove_from_wherever_it_is),
        cmocka_unit_test(test_what_is_put_back_was_never_picked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
