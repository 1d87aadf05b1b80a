/* Generations simulated under a clock of our own, with fixed seeds. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/core/learn.h"
#include "proto/mem.h"

static const struct learn_bounds bounds = {.min_ms = 500, .max_ms = 30000};
#define FIXED_MS 5000

struct trial {
    struct learn *learn;
    unsigned seed;
    int count, polls, fixed_polls;
    double lags[8192]; /* ms */
};

static double chance(struct trial *t)
{
    return rand_r(&t->seed) / (RAND_MAX + 1.0);
}

static double uniform(struct trial *t, double from, double to)
{
    return 1000 * (from + (to - from) * chance(t));
}

static double lognormal(struct trial *t, double median, double sigma)
{
    double normal = sqrt(-2 * log(1 - chance(t))) * cos(2 * M_PI * chance(t));
    return 1000 * median * exp(sigma * normal);
}

static void generate(struct trial *t, double duration_ms)
{
    int64_t at = 0, running = 0;
    assert_true(t->count < 8192);
    for (;;) {
        int64_t wait = learn_wait(t->learn, "m", &bounds, at, chance(t));
        assert_in_range(wait, bounds.min_ms, bounds.max_ms);
        at += wait;
        t->polls++;
        if ((double)at >= duration_ms)
            break;
        running = at;
    }
    learn_add(t->learn, "m", running, at);
    t->fixed_polls += (int)ceil(duration_ms / FIXED_MS);
    t->lags[t->count++] = (double)at - duration_ms;
}

static int compare(const void *a, const void *b)
{
    double left = *(const double *)a, right = *(const double *)b;
    return (left > right) - (left < right);
}

static double lag(struct trial *t, double part)
{
    qsort(t->lags, (size_t)t->count, sizeof(t->lags[0]), compare);
    return t->lags[(int)(part * (t->count - 1))];
}

static struct trial *begin(unsigned seed)
{
    struct trial *t = mem_alloc(sizeof(*t));
    t->learn = learn_new();
    t->seed = seed;
    return t;
}

/* From here on is judged. */
static void judge_from_now(struct trial *t)
{
    t->count = t->polls = t->fixed_polls = 0;
}

static void end(struct trial *t, double median_lag_max, double high_lag_max)
{
    if (lag(t, 0.5) > median_lag_max || lag(t, 0.95) > high_lag_max)
        fail_msg("lag: median %.0f ms, 95 %% %.0f ms", lag(t, 0.5), lag(t, 0.95));
    if (t->polls > t->fixed_polls)
        fail_msg("%d polls, and %d at a fixed interval", t->polls, t->fixed_polls);
    learn_free(t->learn);
    free(t);
}

static void test_between_20_and_40_seconds(void **state)
{
    (void)state;
    for (unsigned seed = 1; seed <= 5; seed++) {
        struct trial *t = begin(seed);
        for (int i = 0; i < 3000; i++)
            generate(t, uniform(t, 20, 40));
        assert_in_range(learn_median(t->learn, "m"), 26000, 34000);
        end(t, 1200, 2600);
    }
}

static void test_lognormal(void **state)
{
    (void)state;
    struct trial *t = begin(1);
    for (int i = 0; i < 3000; i++)
        generate(t, lognormal(t, 45, 0.4));
    end(t, 2600, 9500);
}

static void test_minutes(void **state)
{
    (void)state;
    struct trial *t = begin(1);
    for (int i = 0; i < 1000; i++)
        generate(t, uniform(t, 200, 400));
    assert_true(3 * t->polls < t->fixed_polls);
    end(t, 5000, 11000);
}

static void test_always_the_same(void **state)
{
    (void)state;
    struct trial *t = begin(1);
    for (int i = 0; i < 2000; i++)
        generate(t, 30000);
    end(t, 600, 1500);
}

static void test_two_kinds(void **state)
{
    (void)state;
    struct trial *t = begin(1);
    for (int i = 0; i < 3000; i++)
        generate(t, i % 2 ? uniform(t, 10, 12) : uniform(t, 100, 120));
    end(t, 4000, 16000);
}

static void test_a_model_becomes_faster(void **state)
{
    (void)state;
    struct trial *t = begin(1);
    for (int i = 0; i < 500; i++)
        generate(t, uniform(t, 60, 80));
    judge_from_now(t);
    for (int i = 0; i < 40; i++) /* while it is learned again */
        generate(t, uniform(t, 10, 15));
    assert_true(lag(t, 0.5) < 3000);
    judge_from_now(t);
    for (int i = 0; i < 1000; i++)
        generate(t, uniform(t, 10, 15));
    assert_in_range(learn_median(t->learn, "m"), 11000, 14000);
    end(t, 900, 1800);
}

static void test_a_model_becomes_slower(void **state)
{
    (void)state;
    struct trial *t = begin(1);
    for (int i = 0; i < 500; i++)
        generate(t, uniform(t, 10, 15));
    judge_from_now(t);
    for (int i = 0; i < 40; i++)
        generate(t, uniform(t, 60, 80));
    assert_true(lag(t, 0.5) < 6000);
    judge_from_now(t);
    for (int i = 0; i < 1000; i++)
        generate(t, uniform(t, 60, 80));
    assert_in_range(learn_median(t->learn, "m"), 65000, 75000);
    end(t, 900, 1800);
}

static void test_an_unknown_model(void **state)
{
    (void)state;
    struct learn *learn = learn_new();
    assert_int_equal(learn_median(learn, "m"), 0);
    assert_int_equal(learn_count(learn, "m"), 0);
    assert_int_equal(learn_wait(learn, "m", &bounds, 0, 0.5), bounds.min_ms);
    assert_int_equal(learn_wait(learn, "m", &bounds, 40000, 0.5), 10000);
    assert_int_equal(learn_wait(learn, "m", &bounds, 400000, 0.5), bounds.max_ms);
    for (int i = 1; i < LEARN_ENOUGH; i++)
        learn_add(learn, "m", 1, 3);
    assert_int_equal(learn_count(learn, "m"), LEARN_ENOUGH - 1);
    assert_int_equal(learn_median(learn, "m"), 0);
    assert_int_equal(learn_wait(learn, "m", &bounds, 40000, 0.5), 10000);
    learn_add(learn, "m", 1, 3);
    assert_int_equal(learn_median(learn, "m"), 2);
    assert_int_equal(learn_wait(learn, "other", &bounds, 40000, 0.5), 10000);
    learn_free(learn);
    learn_free(NULL);
}

static void test_chance_spreads_those_that_began_together(void **state)
{
    (void)state;
    struct learn *learn = learn_new();
    int64_t early = learn_wait(learn, "m", &bounds, 80000, 0),
            late = learn_wait(learn, "m", &bounds, 80000, 0.999999);
    assert_in_range(early, 18000, 19999);
    assert_in_range(late, 20001, 22000);
    learn_free(learn);
}

static void test_only_the_newest_count(void **state)
{
    (void)state;
    struct learn *learn = learn_new();
    for (int i = 0; i < 100; i++)
        learn_add(learn, "m", 1000, 3000);
    for (int i = 0; i < LEARN_SAMPLES; i++) {
        assert_int_equal(learn_count(learn, "m"), LEARN_SAMPLES);
        learn_add(learn, "m", 999, 4001);
    }
    assert_int_equal(learn_median(learn, "m"), 2500);
    assert_int_equal(learn_wait(learn, "m", &(struct learn_bounds){1, 100000}, 0, 0.5), 2500);
    learn_free(learn);
}

static void test_what_makes_no_sense_is_left_out(void **state)
{
    (void)state;
    struct learn *learn = learn_new();
    learn_add(learn, "m", 5000, 4999);
    learn_add(learn, "m", 0, -1);
    learn_add(learn, "m", -5, -1);
    assert_int_equal(learn_count(learn, "m"), 0);
    learn_add(learn, "m", 0, 0);
    assert_int_equal(learn_count(learn, "m"), 1);
    learn_free(learn);
}

/* Any history, any moment. */
static void test_never_outside_the_bounds(void **state)
{
    (void)state;
    struct learn *learn = learn_new();
    unsigned seed = 9;
    for (int i = 0; i < 20000; i++) {
        int64_t noticed = (int64_t)rand_r(&seed) << (rand_r(&seed) % 12);
        learn_add(learn, "m", rand_r(&seed) % 3 ? noticed / (1 + rand_r(&seed) % 9) : 0, noticed);
        int64_t elapsed = (int64_t)rand_r(&seed) << (rand_r(&seed) % 12);
        int64_t wait = learn_wait(learn, "m", &bounds, elapsed, rand_r(&seed) / (RAND_MAX + 1.0));
        assert_in_range(wait, bounds.min_ms, bounds.max_ms);
    }
    learn_free(learn);
}

static void test_only_so_many_models(void **state)
{
    (void)state;
    struct learn *learn = learn_new();
    for (int i = 0; i < LEARN_MODELS + 10; i++) {
        char name[20];
        snprintf(name, sizeof(name), "model-%d", i);
        learn_add(learn, name, 10, 20);
        assert_int_equal(learn_count(learn, name), i < LEARN_MODELS);
        assert_int_equal(learn_wait(learn, name, &bounds, 40000, 0.5), 10000);
    }
    learn_add(learn, "model-0", 10, 20);
    assert_int_equal(learn_count(learn, "model-0"), 2);
    learn_free(learn);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_between_20_and_40_seconds),
        cmocka_unit_test(test_lognormal),
        cmocka_unit_test(test_minutes),
        cmocka_unit_test(test_always_the_same),
        cmocka_unit_test(test_two_kinds),
        cmocka_unit_test(test_a_model_becomes_faster),
        cmocka_unit_test(test_a_model_becomes_slower),
        cmocka_unit_test(test_an_unknown_model),
        cmocka_unit_test(test_chance_spreads_those_that_began_together),
        cmocka_unit_test(test_only_the_newest_count),
        cmocka_unit_test(test_what_makes_no_sense_is_left_out),
        cmocka_unit_test(test_never_outside_the_bounds),
        cmocka_unit_test(test_only_so_many_models),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
