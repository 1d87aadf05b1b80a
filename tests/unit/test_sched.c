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

static const struct backoff backoff = {.base_ms = 1000, .max_ms = 8000};

static struct sched_entry entry(const char *id, int priority, int64_t not_before, size_t lane)
{
    return (struct sched_entry){
        .id = id, .priority = priority, .not_before = not_before, .lane = lane};
}

static void assert_pick(struct sched *sched, int64_t now, const char *id)
{
    const struct sched_entry *picked = sched_pick(sched, now);
    if (!id)
        assert_null(picked);
    else if (!picked)
        fail_msg("nothing picked instead of %s", id);
    else
        assert_string_equal(picked->id, id);
}

static void test_priority_then_age(void **state)
{
    (void)state;
    struct sched *sched = sched_new(2, 100);
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
    struct sched *sched = sched_new(1, 100);
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

static void test_the_in_flight_cap(void **state)
{
    (void)state;
    struct sched *sched = sched_new(2, 2);
    struct sched_entry a = entry("a", 0, 0, 0), b = entry("b", 0, 0, 1), c = entry("c", 0, 900, 1);
    sched_add(sched, &a);
    sched_add(sched, &b);
    sched_add(sched, &c);
    assert_int_equal(sched_in_flight_max(sched), 2);
    sched_took_off(sched);
    assert_pick(sched, 0, "a");
    assert_int_equal(sched_in_flight(sched), 2);
    assert_pick(sched, 0, NULL);
    assert_true(sched_next(sched, 0) == INT64_MAX); /* time alone changes nothing */
    sched_landed(sched);
    assert_true(sched_next(sched, 0) <= 0);
    assert_pick(sched, 0, "b");
    sched_landed(sched);
    assert_int_equal(sched_next(sched, 0), 900);
    assert_pick(sched, 900, "c");
    sched_free(sched);
}

/* More in flight after a restart than a lowered cap allows. */
static void test_above_the_cap(void **state)
{
    (void)state;
    struct sched *sched = sched_new(1, 1);
    struct sched_entry a = entry("a", 0, 0, 0);
    sched_add(sched, &a);
    for (int i = 0; i < 3; i++)
        sched_took_off(sched);
    for (int i = 0; i < 3; i++) {
        assert_pick(sched, 0, NULL);
        sched_landed(sched);
    }
    assert_pick(sched, 0, "a");
    sched_free(sched);
}

static void test_a_shut_lane_blocks_only_itself(void **state)
{
    (void)state;
    struct sched *sched = sched_new(2, 100);
    struct sched_entry best = entry("a", 100, 0, 0), other = entry("b", 0, 0, 1);
    sched_add(sched, &best);
    sched_add(sched, &other);
    sched_shut(sched, 0, 0, 5000, &backoff, 0.5);
    sched_shut(sched, 1, 0, 10, &backoff, 0.5);
    assert_int_equal(sched_next(sched, 0), 10); /* not at once: nothing can be picked */
    assert_pick(sched, 0, NULL);
    assert_int_equal(sched_shut_until(sched, 0), 5000);
    assert_pick(sched, 10, "b");
    assert_pick(sched, 4999, NULL);
    assert_int_equal(sched_next(sched, 4999), 5000);
    assert_pick(sched, 5000, "a");
    sched_free(sched);
}

static void test_a_shut_lane_without_jobs_wakes_nobody(void **state)
{
    (void)state;
    struct sched *sched = sched_new(2, 100);
    struct sched_entry late = entry("a", 0, 7000, 1);
    sched_add(sched, &late);
    sched_shut(sched, 0, 0, 500, &backoff, 0.5);
    assert_int_equal(sched_next(sched, 0), 7000);
    sched_free(sched);
}

static void test_a_given_delay_never_shortens(void **state)
{
    (void)state;
    struct sched *sched = sched_new(1, 100);
    sched_shut(sched, 0, 1000, 5000, &backoff, 0);
    sched_shut(sched, 0, 2000, 100, &backoff, 0);
    assert_int_equal(sched_shut_until(sched, 0), 6000);
    sched_shut(sched, 0, 3000, 9000, &backoff, 0);
    assert_int_equal(sched_shut_until(sched, 0), 12000);
    sched_shut(sched, 0, 12500, 0, &backoff, 0);
    assert_int_equal(sched_shut_until(sched, 0), 12500);
    sched_free(sched);
}

static void test_without_a_delay_it_grows_until_opened(void **state)
{
    static const int64_t waits[] = {500, 1000, 2000, 4000, 4000}; /* random 0: the certain half */
    int64_t now = 100;
    (void)state;
    struct sched *sched = sched_new(1, 100);
    for (int i = 0; i < 5; i++) {
        sched_shut(sched, 0, now, -1, &backoff, 0);
        assert_int_equal(sched_shut_until(sched, 0), now + waits[i]);
        /* Ten more were under way and hear the same: no reason to wait longer. */
        for (int again = 0; again < 10; again++)
            sched_shut(sched, 0, now + again, -1, &backoff, 0.9);
        assert_int_equal(sched_shut_until(sched, 0), now + waits[i]);
        now += waits[i];
    }
    sched_opened(sched, 0);
    sched_shut(sched, 0, now, -1, &backoff, 0.5);
    assert_int_equal(sched_shut_until(sched, 0), now + 750);
    sched_free(sched);
}

static void test_remove_from_both_heaps(void **state)
{
    (void)state;
    struct sched *sched = sched_new(1, 100);
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

/* ---- against a model that looks at everything each time ---- */

#define ENTRIES 60
#define LANES   3
#define CAP     5

struct model {
    struct sched_entry entries[ENTRIES];
    char ids[ENTRIES][12];
    bool in[ENTRIES];
    int64_t shut_until[LANES];
    unsigned flying;
};

static const struct sched_entry *model_best(const struct model *m, int64_t now)
{
    const struct sched_entry *ret = NULL;
    for (int i = 0; i < ENTRIES && m->flying < CAP; i++) {
        const struct sched_entry *e = &m->entries[i];
        if (!m->in[i] || e->not_before > now || m->shut_until[e->lane] > now)
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

static void model_add(struct model *m, struct sched *sched, int i, int64_t now, unsigned *seed)
{
    if (m->in[i]) {
        sched_remove(sched, &m->entries[i]);
        m->in[i] = false;
        return;
    }
    m->entries[i].priority = rand_r(seed) % 5 - 2;
    m->entries[i].not_before = now + rand_r(seed) % 100 - 50;
    m->entries[i].lane = (size_t)rand_r(seed) % LANES;
    sched_add(sched, &m->entries[i]);
    m->in[i] = true;
}

static void model_pick(struct model *m, struct sched *sched, int64_t now)
{
    const struct sched_entry *expected = model_best(m, now);
    const struct sched_entry *picked = sched_pick(sched, now);
    assert_ptr_equal(picked, expected);
    if (!picked)
        return;
    m->in[picked - m->entries] = false;
    m->flying++;
}

static void model_act(struct model *m, struct sched *sched, int64_t now, unsigned *seed)
{
    size_t lane = (size_t)rand_r(seed) % LANES;
    switch (rand_r(seed) % 10) {
    case 0:
    case 1:
        model_pick(m, sched, now);
        break;
    case 2:
    case 3:
        if (m->flying) {
            m->flying--;
            sched_landed(sched);
        }
        break;
    case 4:
        sched_shut(sched, lane, now, rand_r(seed) % 60, &backoff, 0);
        m->shut_until[lane] = sched_shut_until(sched, lane);
        break;
    default:
        model_add(m, sched, rand_r(seed) % ENTRIES, now, seed);
    }
}

static void test_any_sequence_against_a_model(void **state)
{
    (void)state;
    struct model *m = mem_alloc(sizeof(*m));
    struct sched *sched = sched_new(LANES, CAP);
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
            /* It may wake too early, when what ripens is behind a shut lane; never too late. */
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
        cmocka_unit_test(test_the_in_flight_cap),
        cmocka_unit_test(test_above_the_cap),
        cmocka_unit_test(test_a_shut_lane_blocks_only_itself),
        cmocka_unit_test(test_a_shut_lane_without_jobs_wakes_nobody),
        cmocka_unit_test(test_a_given_delay_never_shortens),
        cmocka_unit_test(test_without_a_delay_it_grows_until_opened),
        cmocka_unit_test(test_remove_from_both_heaps),
        cmocka_unit_test(test_any_sequence_against_a_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
