#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "daemon/core/pace.h"
#include "tests/unit/quota_fixture.h"

#define MINUTE   60000
#define ANSWERS  64 /* at once */
#define NO_DELAY (-1)

static const struct pace_limits free_limits = {
    .unanswered_max = ANSWERS,
    .backoff = {.base_ms = 5000, .max_ms = 300000},
};

/* ---- one at a time ---- */

static struct pace make(double per_minute, unsigned in_flight_max)
{
    struct pace pace;
    struct pace_limits limits = free_limits;
    limits.per_minute = per_minute;
    limits.in_flight_max = in_flight_max;
    pace_init(&pace, &limits);
    return pace;
}

static bool is_open(const struct pace *pace, int64_t now)
{
    return pace_opens(pace, now) <= now;
}

static void accept_one(struct pace *pace, int64_t now)
{
    assert_true(is_open(pace, now));
    pace_accepted(pace, pace_take(pace, now), now);
    pace_landed(pace);
}

static void refuse_one(struct pace *pace, int64_t now, int64_t delay, bool slows)
{
    assert_true(is_open(pace, now));
    pace_turned_away(pace, pace_take(pace, now), now, delay, slows, 0);
    pace_landed(pace);
}

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

/* ---- against quotas ---- */

struct answer {
    int64_t at;
    struct pace_ticket ticket;
};

struct run {
    struct quota_state provider;
    bool tells; /* RetryInfo */
    int64_t answer_ms;
    struct pace pace;
    struct answer answers[ANSWERS];
    size_t answer_count;
    unsigned seed;
    int left; /* to be submitted */
    int accepted;
    int refused;
    int64_t now;
};

static double chance(struct run *run)
{
    return rand_r(&run->seed) / (RAND_MAX + 1.0);
}

static void submit(struct run *run)
{
    double ms = (double)run->answer_ms * (0.5 + chance(run));
    struct answer *answer = &run->answers[run->answer_count++];
    *answer = (struct answer){run->now + (int64_t)ms, pace_take(&run->pace, run->now)};
    run->left--;
}

static void answer(struct run *run, size_t which)
{
    struct answer answer = run->answers[which];
    run->answers[which] = run->answers[--run->answer_count];
    int64_t wait = quota_submit(&run->provider, run->now);
    pace_landed(&run->pace);
    if (wait == 0) {
        run->accepted++;
        pace_accepted(&run->pace, answer.ticket, run->now);
        return;
    }
    run->refused++;
    run->left++;
    pace_turned_away(&run->pace, answer.ticket, run->now, run->tells ? wait : NO_DELAY, true,
                     chance(run));
}

/* The answer that comes first, and when; or when the next submission may go. */
static void step(struct run *run)
{
    while (run->left > 0 && is_open(&run->pace, run->now))
        submit(run);
    int64_t next = run->left > 0 ? pace_opens(&run->pace, run->now) : INT64_MAX;
    size_t first = run->answer_count;
    for (size_t i = 0; i < run->answer_count; i++)
        if (run->answers[i].at < next) {
            next = run->answers[i].at;
            first = i;
        }
    assert_true(next < INT64_MAX && next > run->now - 1);
    run->now = next;
    if (first < run->answer_count)
        answer(run, first);
}

static void run_jobs(struct run *run, int jobs)
{
    run->left += jobs;
    int until = run->accepted + jobs;
    while (run->accepted < until)
        step(run);
}

static struct run *new_run(const struct quota *quota, bool tells, int64_t answer_ms, unsigned seed)
{
    struct run *run = mem_alloc(sizeof(*run));
    run->provider.quota = *quota;
    run->tells = tells;
    run->answer_ms = answer_ms;
    run->seed = seed;
    run->now = 1000;
    pace_init(&run->pace, &free_limits);
    return run;
}

static void free_run(struct run *run)
{
    free(run->provider.ends);
    free(run);
}

struct scene {
    const char *name;
    struct quota quota;
    int jobs;
    double best_seconds;
    double slower_at_most; /* than the best possible */
    double refused_at_most;
};

static void play(const struct scene *scene, bool tells, int64_t answer_ms)
{
    double longest = 0, most = 0;
    for (unsigned seed = 1; seed <= 20; seed++) {
        struct run *run = new_run(&scene->quota, tells, answer_ms, seed);
        run_jobs(run, scene->jobs);
        double slower = (double)(run->now - 1000) / 1000 / scene->best_seconds;
        double refused = (double)run->refused / (run->refused + run->accepted);
        longest = slower > longest ? slower : longest;
        most = refused > most ? refused : most;
        free_run(run);
    }
    print_message("%s%s, answers after %lld ms: %.3f of the best time, %.1f %% turned away\n",
                  scene->name, tells ? " with RetryInfo" : "", (long long)answer_ms, longest,
                  100 * most);
    if (longest > 1 + scene->slower_at_most || most > scene->refused_at_most)
        fail_msg("too slow, or too many turned away");
}

static void play_all(const struct scene *scenes, size_t count)
{
    static const int64_t answer_ms[] = {50, 400, 1000};
    for (size_t i = 0; i < count; i++)
        for (size_t j = 0; j < sizeof(answer_ms) / sizeof(answer_ms[0]); j++)
            for (int tells = 0; tells < 2; tells++)
                play(&scenes[i], tells, answer_ms[j]);
}

/* 500 jobs at once and 60 a minute: what was asked for. The best possible is to use each window, or
 * what the bucket lets through, to the last. */
static void test_sixty_a_minute(void **state)
{
    (void)state;
    static const struct scene scenes[] = {
        {"60 in windows", {QUOTA_WINDOW, 60, MINUTE, 0, 0, 0, 0}, 500, 480, 0.10, 0.05},
        {"60 in a bucket", {QUOTA_BUCKET, 60, MINUTE, 0, 0, 0, 0}, 500, 440, 0.10, 0.05},
        {"60 by the clock", {QUOTA_ALIGNED, 60, MINUTE, 25000, 0, 0, 0}, 500, 455, 0.25, 0.05},
    };
    play_all(scenes, sizeof(scenes) / sizeof(scenes[0]));
}

static void test_other_quotas(void **state)
{
    (void)state;
    static const struct scene scenes[] = {
        {"10 in windows", {QUOTA_WINDOW, 10, MINUTE, 0, 0, 0, 0}, 500, 2940, 0.10, 0.06},
        {"10 in a bucket", {QUOTA_BUCKET, 10, MINUTE, 0, 0, 0, 0}, 500, 2940, 0.10, 0.06},
        {"600 in windows", {QUOTA_WINDOW, 600, MINUTE, 0, 0, 0, 0}, 5000, 480, 0.25, 0.02},
        {"600 in a bucket", {QUOTA_BUCKET, 600, MINUTE, 0, 0, 0, 0}, 5000, 440, 0.10, 0.02},
    };
    play_all(scenes, sizeof(scenes) / sizeof(scenes[0]));
}

/* Of another period: nothing counts in minutes. */
static void test_sixty_in_six_seconds(void **state)
{
    (void)state;
    static const struct scene scenes[] = {
        {"60 in 6 s, in windows", {QUOTA_WINDOW, 60, 6000, 0, 0, 0, 0}, 500, 48, 0.15, 0.05},
        {"60 in 6 s, in a bucket", {QUOTA_BUCKET, 60, 6000, 0, 0, 0, 0}, 500, 44, 0.15, 0.05},
    };
    for (size_t i = 0; i < sizeof(scenes) / sizeof(scenes[0]); i++) {
        play(&scenes[i], true, 20);
        play(&scenes[i], true, 60);
        play(&scenes[i], true, 200);
    }
}

/* Not a rate at all, but the pace finds the one that comes of it. */
static void test_ten_at_once(void **state)
{
    (void)state;
    static const struct scene scenes[] = {
        {"10 at once", {QUOTA_RUNNING, 10, 0, 0, MINUTE, 0, 0}, 500, 2940, 0.15, 0.07},
    };
    play_all(scenes, 1);
}

static void test_a_quota_that_changes(void **state)
{
    (void)state;
    static const struct scene scenes[] = {
        {"60, then 120 in windows",
         {QUOTA_WINDOW, 60, MINUTE, 0, 0, 480000, 120},
         1500,
         480 + 540,
         0.25,
         0.03},
        {"60, then 120 in a bucket",
         {QUOTA_BUCKET, 60, MINUTE, 0, 0, 480000, 120},
         1500,
         480 + 480,
         0.25,
         0.03},
        {"60, then 30 in windows",
         {QUOTA_WINDOW, 60, MINUTE, 0, 0, 480000, 30},
         1000,
         480 + 1040,
         0.10,
         0.05},
        {"60, then 30 in a bucket",
         {QUOTA_BUCKET, 60, MINUTE, 0, 0, 480000, 30},
         1000,
         480 + 920,
         0.10,
         0.05},
    };
    play_all(scenes, sizeof(scenes) / sizeof(scenes[0]));
}

/* Nobody stays slow because of what was long ago. */
static void test_a_rate_is_forgotten(void **state)
{
    (void)state;
    const struct quota quota = {QUOTA_BUCKET, 60, MINUTE, 0, 0, 600000, 6000};
    struct run *run = new_run(&quota, true, 400, 7);
    run_jobs(run, 200);
    assert_true(pace_per_minute(&run->pace) > 0);
    run->now += 11 * MINUTE;
    run_jobs(run, 1);
    assert_true(pace_per_minute(&run->pace) <= 0);
    int64_t begun = run->now;
    run_jobs(run, 1000);
    assert_true(run->now - begun < MINUTE);
    free_run(run);
}

/* Nothing can be measured across an overload, but the rate was too high all the same. */
static void test_a_rate_falls_without_a_measure(void **state)
{
    (void)state;
    const struct quota quota = {QUOTA_WINDOW, 60, MINUTE, 0, 0, 0, 0};
    struct run *run = new_run(&quota, true, 400, 5);
    run_jobs(run, 200);
    struct pace *pace = &run->pace;
    double before = pace_per_minute(pace);
    int64_t now = run->now + 3000;
    refuse_one(pace, now, 1000, false);
    accept_one(pace, now += 1000);
    refuse_one(pace, now += 2000, 1000, true);
    accept_one(pace, now += 2000);
    assert_true(pace_per_minute(pace) < before);
    free_run(run);
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

/* Pauses between bursts are nothing that was measured. */
static void test_a_pause_is_no_low_quota(void **state)
{
    (void)state;
    const struct quota quota = {QUOTA_WINDOW, 60, MINUTE, 0, 0, 0, 0};
    struct run *run = new_run(&quota, true, 400, 3);
    for (int i = 0; i < 6; i++) {
        run_jobs(run, 70);
        run->now += 4 * MINUTE;
    }
    int64_t begun = run->now;
    run_jobs(run, 180);
    assert_true(run->now - begun < 4 * MINUTE);
    free_run(run);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_window_grows_with_what_is_accepted),
        cmocka_unit_test(test_the_in_flight_cap),
        cmocka_unit_test(test_the_ceiling),
        cmocka_unit_test(test_a_gate_shuts_as_long_as_it_says),
        cmocka_unit_test(test_a_gate_that_says_nothing_is_shut_longer_each_time),
        cmocka_unit_test(test_a_minute_is_tried_when_it_is_over),
        cmocka_unit_test(test_old_answers_change_nothing),
        cmocka_unit_test(test_an_old_answer_can_say_that_it_takes_longer),
        cmocka_unit_test(test_a_delay_that_is_always_too_short_is_not_believed_for_ever),
        cmocka_unit_test(test_too_many_of_everybodys_is_not_too_many_of_ours),
        cmocka_unit_test(test_what_was_not_sent_leaves_no_trace),
        cmocka_unit_test(test_sixty_a_minute),
        cmocka_unit_test(test_other_quotas),
        cmocka_unit_test(test_sixty_in_six_seconds),
        cmocka_unit_test(test_ten_at_once),
        cmocka_unit_test(test_a_quota_that_changes),
        cmocka_unit_test(test_a_rate_is_forgotten),
        cmocka_unit_test(test_a_rate_falls_without_a_measure),
        cmocka_unit_test(test_a_measure_of_few_is_soon_left_behind),
        cmocka_unit_test(test_a_pause_is_no_low_quota),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
