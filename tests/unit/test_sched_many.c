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
#include "tests/unit/sched_fixture.h"

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
        cmocka_unit_test(test_many_jobs_of_many_models),
        cmocka_unit_test(test_pairs_are_forgotten),
        cmocka_unit_test(test_any_sequence_against_a_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
