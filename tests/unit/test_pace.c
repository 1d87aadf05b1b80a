#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/pace_fixture.h"

/* How many go at once, each one unanswered. */
static unsigned take_all(struct pace *pace, int64_t now)
{
    unsigned count = 0;
    for (; is_open(pace, now) && count < 1000; count++)
        (void)pace_take(pace, now);
    return count;
}

static void test_the_window_grows_with_what_is_accepted(void **state)
{
    (void)state;
    struct pace pace = make(0, 0);
    struct pace young = pace;
    unsigned first = take_all(&young, 0);
    assert_in_range(first, 1, 8);
    assert_true(pace_is_busy(&young));
    assert_true(pace_opens(&young, 0) == INT64_MAX); /* no time helps */
    for (int i = 0; i < 5000; i++)
        accept_one(&pace, i);
    assert_int_equal(take_all(&pace, 5000), ANSWERS);
    assert_true(pace_per_minute(&pace) <= 0);
}

static void test_the_in_flight_cap(void **state)
{
    (void)state;
    struct pace pace = make(0, 3);
    for (int i = 0; i < 2; i++)
        pace_accepted(&pace, pace_take(&pace, i), i);
    pace_took_off(&pace);
    assert_true(pace_opens(&pace, 9) == INT64_MAX);
    assert_false(pace_is_busy(&pace));
    pace_landed(&pace);
    assert_true(is_open(&pace, 9));
}

static void test_the_ceiling(void **state)
{
    (void)state;
    struct pace pace = make(60, 0);
    unsigned sent = 0;
    for (int64_t now = 1000; now < 1000 + 10 * MINUTE; now += 7)
        if (is_open(&pace, now)) {
            accept_one(&pace, now);
            sent++;
        }
    assert_in_range(sent, 590, 603);
    assert_int_equal((int)pace_per_minute(&pace), 60);
    /* And the next moment is told, not guessed. */
    while (is_open(&pace, 1000 + 10 * MINUTE))
        accept_one(&pace, 1000 + 10 * MINUTE);
    int64_t opens = pace_opens(&pace, 1000 + 10 * MINUTE);
    assert_false(is_open(&pace, opens - 1));
    assert_true(is_open(&pace, opens));
}

static void test_a_gate_shuts_as_long_as_it_says(void **state)
{
    (void)state;
    struct pace pace = make(0, 0);
    accept_one(&pace, 1000);
    refuse_one(&pace, 2000, 7000, true);
    assert_int_equal(pace_opens(&pace, 3000), 9000);
    assert_false(is_open(&pace, 8999));
    assert_int_equal(take_all(&pace, 9000), 1); /* one first */
    assert_true(pace_is_busy(&pace));
}

static void test_all_of_it_within_one_millisecond(void **state)
{
    (void)state;
    struct pace pace = make(0, 0);
    accept_one(&pace, 1000);
    refuse_one(&pace, 1000, 0, true);
    accept_one(&pace, 1000);
    assert_in_range((unsigned)pace_per_minute(&pace), 1, MINUTE);
}

static void test_a_gate_that_says_nothing_is_shut_longer_each_time(void **state)
{
    (void)state;
    struct pace pace = make(0, 0);
    static const int64_t waits[] = {2500, 5000, 10000, 20000, 40000, 80000, 150000, 150000};
    int64_t now = 1000;
    for (size_t i = 0; i < sizeof(waits) / sizeof(waits[0]); i++) {
        refuse_one(&pace, now, NO_DELAY, false);
        assert_int_equal(pace_opens(&pace, now), now + waits[i]);
        now += waits[i];
    }
    accept_one(&pace, now);
    refuse_one(&pace, now, NO_DELAY, false);
    assert_int_equal(pace_opens(&pace, now), now + 2500);
}

/* A quota of a minute is tried again when a minute is over, whatever the back-off says. */
static void test_a_minute_is_tried_when_it_is_over(void **state)
{
    (void)state;
    struct pace pace = make(0, 0);
    accept_one(&pace, 1000);
    int64_t now = 2000;
    for (int i = 0; i < 4; i++) {
        refuse_one(&pace, now, NO_DELAY, true);
        now = pace_opens(&pace, now);
    }
    refuse_one(&pace, now, NO_DELAY, true); /* at 39.5 s, for 40 s */
    assert_int_equal(pace_opens(&pace, now), 1000 + MINUTE);
    now = 1000 + MINUTE;
    refuse_one(&pace, now, NO_DELAY, true); /* then it isn't one of a minute */
    assert_int_equal(pace_opens(&pace, now), now + 80000);
}

/* Those that were under way when the gate was shut bring no news. */
static void test_old_answers_change_nothing(void **state)
{
    (void)state;
    struct pace pace = make(0, 0);
    for (int i = 0; i < 100; i++)
        accept_one(&pace, i);
    struct pace_ticket tickets[6];
    for (int i = 0; i < 6; i++)
        tickets[i] = pace_take(&pace, 200);
    pace_turned_away(&pace, tickets[0], 300, NO_DELAY, false, 0);
    int64_t opens = pace.gate.shut_until;
    for (int i = 1; i < 4; i++)
        pace_turned_away(&pace, tickets[i], 310, NO_DELAY, false, 0.9);
    pace_turned_away(&pace, tickets[4], 320, 100, false, 0.9);
    pace_accepted(&pace, tickets[5], 330);
    assert_int_equal(pace.gate.shut_until, opens);
    assert_int_equal(take_all(&pace, opens), 1);
}

static void test_an_old_answer_can_say_that_it_takes_longer(void **state)
{
    (void)state;
    struct pace pace = make(0, 0);
    struct pace_ticket a = pace_take(&pace, 100), b = pace_take(&pace, 100);
    pace_turned_away(&pace, a, 200, 1000, true, 0);
    pace_turned_away(&pace, b, 300, 9000, true, 0);
    assert_int_equal(pace_opens(&pace, 400), 9300);
}

static void test_a_delay_that_is_always_too_short_is_not_believed_for_ever(void **state)
{
    (void)state;
    struct pace pace = make(0, 0);
    int64_t now = 1000;
    for (int i = 0; i < 12; i++) {
        refuse_one(&pace, now, 100, false);
        now = pace_opens(&pace, now);
    }
    assert_true(now > 5 * MINUTE);
}

static void test_too_many_of_everybodys_is_not_too_many_of_ours(void **state)
{
    (void)state;
    struct pace pace = make(0, 0);
    for (int i = 0; i < 50; i++)
        accept_one(&pace, i);
    refuse_one(&pace, 100, 1000, false);
    accept_one(&pace, 1100);
    assert_true(pace_per_minute(&pace) <= 0);
    assert_true(take_all(&pace, 1100) > 1);
}

static void test_what_was_not_sent_leaves_no_trace(void **state)
{
    (void)state;
    struct pace pace = make(60, 0);
    accept_one(&pace, 1000);
    assert_true(is_open(&pace, 2000));
    for (int i = 0; i < 100; i++) {
        (void)pace_take(&pace, 2000);
        pace_put_back(&pace);
    }
    assert_true(is_open(&pace, 2000));
    assert_int_equal(pace.in_flight, 0);
    assert_int_equal(pace.unanswered, 0);
}

static void test_a_measure_of_few_is_soon_left_behind(void **state)
{
    (void)state;
    struct pace pace = make(0, 0);
    int64_t now = 1000;
    for (int i = 0; i < 60; i++)
        accept_one(&pace, now++);
    refuse_one(&pace, now, 100, true);
    for (int i = 0; i < 2; i++)
        accept_one(&pace, now += 200);
    refuse_one(&pace, now += 200, 100, true);
    accept_one(&pace, now += 500);
    double before = pace_per_minute(&pace);
    for (int i = 0; i < 40; i++) {
        now = pace_opens(&pace, now) > now ? pace_opens(&pace, now) : now;
        accept_one(&pace, now);
    }
    assert_true(pace_per_minute(&pace) > 2 * before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_window_grows_with_what_is_accepted),
        cmocka_unit_test(test_the_in_flight_cap),
        cmocka_unit_test(test_the_ceiling),
        cmocka_unit_test(test_a_gate_shuts_as_long_as_it_says),
        cmocka_unit_test(test_all_of_it_within_one_millisecond),
        cmocka_unit_test(test_a_gate_that_says_nothing_is_shut_longer_each_time),
        cmocka_unit_test(test_a_minute_is_tried_when_it_is_over),
        cmocka_unit_test(test_old_answers_change_nothing),
        cmocka_unit_test(test_an_old_answer_can_say_that_it_takes_longer),
        cmocka_unit_test(test_a_delay_that_is_always_too_short_is_not_believed_for_ever),
        cmocka_unit_test(test_too_many_of_everybodys_is_not_too_many_of_ours),
        cmocka_unit_test(test_what_was_not_sent_leaves_no_trace),
        cmocka_unit_test(test_a_measure_of_few_is_soon_left_behind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
