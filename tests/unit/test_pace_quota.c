#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tests/unit/pace_fixture.h"
#include "tests/unit/quota_fixture.h"

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
    accept_one(pace, now + 2000);
    assert_true(pace_per_minute(pace) < before);
    free_run(run);
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
        cmocka_unit_test(test_sixty_a_minute),
        cmocka_unit_test(test_other_quotas),
        cmocka_unit_test(test_sixty_in_six_seconds),
        cmocka_unit_test(test_ten_at_once),
        cmocka_unit_test(test_a_quota_that_changes),
        cmocka_unit_test(test_a_rate_is_forgotten),
        cmocka_unit_test(test_a_rate_falls_without_a_measure),
        cmocka_unit_test(test_a_pause_is_no_low_quota),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
