#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/core/sched.h"
#include "proto/mem.h"

#define BIT(n) (UINT64_C(1) << (n))

static const struct pace_limits wide = {
    .unanswered_max = 1000,
    .backoff = {.base_ms = 1000, .max_ms = 8000},
};

static struct sched *make(const unsigned *weights, size_t count, unsigned in_flight_max)
{
    struct sched_provider providers[SCHED_PROVIDERS_MAX];
    for (size_t i = 0; i < count; i++)
        providers[i] = (struct sched_provider){.weight = weights[i], .limits = wide};
    return sched_new(providers, count, in_flight_max);
}

static const unsigned even[] = {1, 1, 1, 1};

static struct sched_entry entry(const char *id, int priority, int64_t not_before, size_t provider)
{
    return (struct sched_entry){.id = id,
                                .model = "m",
                                .providers = BIT(provider),
                                .priority = priority,
                                .not_before = not_before};
}

/* Picked, and accepted at once. */
static struct sched_entry *pick(struct sched *sched, int64_t now, size_t *ret_provider)
{
    size_t provider;
    struct sched_entry *picked = sched_pick(sched, now, ret_provider ? ret_provider : &provider);
    if (picked)
        sched_accepted(sched, picked, now);
    return picked;
}

static void assert_pick(struct sched *sched, int64_t now, const char *id)
{
    const struct sched_entry *picked = pick(sched, now, NULL);
    if (!id)
        assert_null(picked);
    else if (!picked)
        fail_msg("nothing picked instead of %s", id);
    else
        assert_string_equal(picked->id, id);
}

static bool turn_away(struct sched *sched, struct sched_entry *picked, int64_t now, int64_t delay,
                      bool is_everywhere)
{
    const struct sched_refusal refusal = {
        .delay = delay, .is_everywhere = is_everywhere, .reason = "enough"};
    return sched_turned_away(sched, picked, now, &refusal);
}

/* Shuts a provider's model, or all of it, by an entry of its own. */
static void shut(struct sched *sched, size_t provider, const char *model, int64_t now,
                 int64_t delay, bool is_everywhere)
{
    struct sched_entry first = entry("", 1000, 0, provider);
    size_t picked;
    first.model = model;
    sched_add(sched, &first);
    assert_ptr_equal(sched_pick(sched, now, &picked), &first);
    assert_int_equal(picked, provider);
    assert_true(turn_away(sched, &first, now, delay, is_everywhere));
    sched_landed(sched, &first);
}

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

/* ---- several providers ---- */

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

/* ---- many ---- */

#define MANY   10000
#define MODELS 100

struct many {
    struct sched_entry entries[MANY];
    char ids[MANY][12];
    char models[MANY][16];
};

static void test_many_jobs_of_many_models(void **state)
{
    (void)state;
    struct many *many = mem_alloc(sizeof(*many));
    struct sched *sched = make(even, 4, MANY);
    for (int i = 0; i < MANY; i++) {
        snprintf(many->ids[i], sizeof(many->ids[i]), "%05d", i);
        snprintf(many->models[i], sizeof(many->models[i]), "model-%d", i % MODELS);
        many->entries[i] = entry(many->ids[i], i % 3, 0, 0);
        many->entries[i].model = many->models[i];
        many->entries[i].providers = (unsigned)i % 15 + 1;
        sched_add(sched, &many->entries[i]);
    }
    int picked = 0;
    int priority = 2;
    for (struct sched_entry *job; (job = pick(sched, 1000, NULL)); picked++) {
        assert_true(job->priority <= priority);
        priority = job->priority;
        assert_true(sched_next(sched, 1000) <= 1000 || picked == MANY - 1);
    }
    assert_int_equal(picked, MANY);
    for (int i = 0; i < MANY; i++)
        sched_landed(sched, &many->entries[i]);
    sched_free(sched);
    free(many);
}

/* Models are whatever the clients say. */
static void test_pairs_are_forgotten(void **state)
{
    (void)state;
    struct many *many = mem_alloc(sizeof(*many));
    struct sched *sched = make(even, 2, MANY);
    struct sched_view view;
    struct sched_entry waits = entry("b", -100, 0, 1);
    sched_set_ready(sched, 1, false);
    sched_add(sched, &waits);
    for (int i = 0; i < MANY; i++) {
        snprintf(many->models[i], sizeof(many->models[i]), "model-%d", i);
        many->entries[i] = entry("a", 0, 0, 0);
        many->entries[i].model = many->models[i];
        sched_add(sched, &many->entries[i]);
        assert_non_null(pick(sched, i, NULL));
        if (i != 7)
            sched_landed(sched, &many->entries[i]);
    }
    size_t count = 0;
    while (sched_look_at(sched, count, MANY, &view))
        count++;
    assert_in_range(count, 1, 2000);
    assert_true(sched_look(sched, 0, "model-7", MANY, &view)); /* in flight */
    assert_false(sched_look(sched, 0, "model-8", MANY, &view));
    sched_set_ready(sched, 1, true);
    assert_pick(sched, MANY, "b");
    sched_free(sched);
    free(many);
}

/* ---- against a model that looks at everything each time ---- */

#define ENTRIES   60
#define PROVIDERS 3
#define CAP       5

struct model {
    struct sched_entry entries[ENTRIES];
    char ids[ENTRIES][12];
    bool in[ENTRIES];
    bool flies[ENTRIES];
    int64_t shut_until[PROVIDERS];
    unsigned flying;
};

static bool model_may_go(const struct model *m, const struct sched_entry *e, int64_t now)
{
    for (size_t i = 0; i < PROVIDERS; i++)
        if ((e->providers & BIT(i)) && m->shut_until[i] <= now)
            return true;
    return false;
}

static const struct sched_entry *model_best(const struct model *m, int64_t now)
{
    const struct sched_entry *ret = NULL;
    for (int i = 0; i < ENTRIES && m->flying < CAP; i++) {
        const struct sched_entry *e = &m->entries[i];
        if (!m->in[i] || e->not_before > now || !model_may_go(m, e, now))
            continue;
        if (!ret || e->priority > ret->priority ||
            (e->priority == ret->priority && strcmp(e->id, ret->id) < 0))
            ret = e;
    }
    return ret;
}

/* The first moment from `now` on at which the model would pick something, within 300 ms. */
static int64_t model_next(const struct model *m, int64_t now)
{
    for (int64_t at = now; at < now + 300; at++)
        if (model_best(m, at))
            return at;
    return INT64_MAX;
}

static size_t model_waiting(const struct model *m)
{
    size_t ret = 0;
    for (int i = 0; i < ENTRIES; i++)
        ret += m->in[i];
    return ret;
}

static void model_land(struct model *m, struct sched *sched, int i)
{
    if (!m->flies[i])
        return;
    m->flies[i] = false;
    m->flying--;
    sched_landed(sched, &m->entries[i]);
}

static void model_add(struct model *m, struct sched *sched, int i, int64_t now, unsigned *seed)
{
    static const char *const names[] = {"m", "n", "o", "p"};
    if (m->in[i]) {
        sched_remove(sched, &m->entries[i]);
        m->in[i] = false;
        return;
    }
    model_land(m, sched, i);
    m->entries[i].priority = rand_r(seed) % 5 - 2;
    m->entries[i].not_before = now + rand_r(seed) % 100 - 50;
    m->entries[i].providers = (unsigned)rand_r(seed) % 7 + 1;
    m->entries[i].model = names[rand_r(seed) % 4];
    sched_add(sched, &m->entries[i]);
    m->in[i] = true;
}

/* Some of those that are picked find their provider shut. */
static void model_pick(struct model *m, struct sched *sched, int64_t now, unsigned *seed)
{
    size_t provider;
    const struct sched_entry *expected = model_best(m, now);
    struct sched_entry *picked = sched_pick(sched, now, &provider);
    assert_ptr_equal(picked, expected);
    if (!picked)
        return;
    int i = (int)(picked - m->entries);
    m->in[i] = false;
    m->flies[i] = true;
    m->flying++;
    assert_true(picked->providers & BIT(provider));
    assert_true(m->shut_until[provider] <= now);
    if (rand_r(seed) % 6 > 0) {
        sched_accepted(sched, picked, now);
        return;
    }
    int64_t delay = 1 + rand_r(seed) % 60;
    turn_away(sched, picked, now, delay, true);
    sched_accepted(sched, picked, now); /* too late */
    struct sched_view view;
    assert_true(sched_look(sched, provider, picked->model, now, &view));
    assert_true(view.shut_until >= now + delay);
    m->shut_until[provider] = view.shut_until;
    model_land(m, sched, i);
}

static void model_act(struct model *m, struct sched *sched, int64_t now, unsigned *seed)
{
    switch (rand_r(seed) % 10) {
    case 0:
    case 1:
    case 2:
        model_pick(m, sched, now, seed);
        break;
    case 3:
    case 4:
    case 5:
        model_land(m, sched, rand_r(seed) % ENTRIES);
        break;
    default:
        model_add(m, sched, rand_r(seed) % ENTRIES, now, seed);
    }
}

static void test_any_sequence_against_a_model(void **state)
{
    (void)state;
    struct model *m = mem_alloc(sizeof(*m));
    struct sched *sched = make(even, PROVIDERS, CAP);
    unsigned seed = 11;
    int64_t now = 1000;
    for (int i = 0; i < ENTRIES; i++) {
        snprintf(m->ids[i], sizeof(m->ids[i]), "%03d", i);
        m->entries[i].id = m->ids[i];
    }
    for (int round = 0; round < 20000; round++) {
        now += rand_r(&seed) % 4;
        model_act(m, sched, now, &seed);
        assert_int_equal(sched_waiting(sched), model_waiting(m));
        assert_int_equal(sched_in_flight(sched), m->flying);
        if (round % 8 == 0) {
            /* It may wake too early, when what ripens is behind a shut gate; never too late. */
            int64_t next = sched_next(sched, now), due = model_next(m, now);
            assert_true(next <= due || (due == now && next <= now));
            assert_true(m->flying < CAP || next == INT64_MAX);
        }
    }
    sched_free(sched);
    free(m);
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
        cmocka_unit_test(test_one_without_a_token_waits),
        cmocka_unit_test(test_one_of_weight_0_never_goes_before_an_open_one),
        cmocka_unit_test(test_a_provider_that_accepts_again_is_shut_shortly_the_next_time),
        cmocka_unit_test(test_what_lands_is_no_longer_waited_for),
        cmocka_unit_test(test_other_limits_count_at_once),
        cmocka_unit_test(test_remove_from_wherever_it_is),
        cmocka_unit_test(test_what_is_put_back_was_never_picked),
        cmocka_unit_test(test_the_turn_is_by_weight),
        cmocka_unit_test(test_who_is_shut_loses_its_turn),
        cmocka_unit_test(test_a_busy_provider_is_waited_for_a_moment),
        cmocka_unit_test(test_the_best_that_can_go),
        cmocka_unit_test(test_what_there_is_to_see),
        cmocka_unit_test(test_many_jobs_of_many_models),
        cmocka_unit_test(test_pairs_are_forgotten),
        cmocka_unit_test(test_any_sequence_against_a_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
