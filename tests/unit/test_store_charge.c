/* What the store knows of charges: one for each attempt, whatever becomes of its job. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/store_fixture.h"

#define DAY INT64_C(86400000)

static int set_up(void **state)
{
    *state = fixture_new();
    return 0;
}

static int tear_down(void **state)
{
    fixture_free(*state);
    return 0;
}

static void charge(struct fixture *f, struct job *job, int attempt, int64_t amount, bool presumed,
                   int64_t at)
{
    job->attempt = attempt;
    job->attempt_charge = amount;
    job->charged_at = at;
    job->presumed = presumed;
    assert_int_equal(update_job(f, job), 0);
}

static struct job *charged_job(struct fixture *f, uid_t owner, const char *json,
                               const char *provider, int64_t amount, int64_t at)
{
    struct job *job = make_job(f, owner, json);
    assert_int_equal(insert_job(f, job), 0);
    job->provider = mem_strdup(provider);
    charge(f, job, 1, amount, false, at);
    return job;
}

/* "key jobs charged presumed" of each row, and of all. */
static char *sums(struct fixture *f, struct store_read read)
{
    struct buf text;
    buf_init(&text, 100000);
    read.kind = STORE_COSTS;
    assert_int_equal(read_and_wait(f, &read), 0);
    for (size_t i = 0; i < read.cost_count; i++)
        buf_addf(&text, "%s %llu %lld %lld, ", read.costs[i].key ? read.costs[i].key : "-",
                 (unsigned long long)read.costs[i].jobs, (long long)read.costs[i].charged,
                 (long long)read.costs[i].presumed);
    buf_addf(&text, "all %llu %lld %lld", (unsigned long long)read.cost.jobs,
             (long long)read.cost.charged, (long long)read.cost.presumed);
    store_read_free(&read);
    return buf_steal(&text);
}

static void assert_sums(struct fixture *f, struct store_read read, const char *expected)
{
    char *text = sums(f, read);
    assert_string_equal(text, expected);
    free(text);
}

static const struct store_read everything = {.filter.owner = -1};

static void test_none(void **state)
{
    assert_sums(*state, everything, "all 0 0 0");
}

static void test_one_for_each_attempt(void **state)
{
    struct fixture *f = *state;
    struct job *job = charged_job(f, 1, PLAIN, "p", 500, NOW);
    charge(f, job, 1, 500, false, NOW); /* again: the job went on */
    charge(f, job, 1, 400, true, NOW);  /* in its place */
    assert_sums(f, everything, "2026-09-21 1 400 400, all 1 400 400");
    charge(f, job, 2, 0, false, 0); /* another attempt, nothing booked yet */
    charge(f, job, 2, 30, false, NOW + DAY);
    assert_sums(f, everything, "2026-09-21 1 400 400, 2026-09-22 1 30 0, all 1 430 400");
    charge(f, job, 2, 0, false, NOW + DAY); /* it came to nothing after all */
    assert_sums(f, everything, "2026-09-21 1 400 400, all 1 400 400");
    job_free(job);
}

static void test_it_stays_when_the_job_goes(void **state)
{
    struct fixture *f = *state;
    struct job *job = charged_job(f, 1, PLAIN, "p", 500, NOW);
    assert_int_equal(forget_job(f, job), 0);
    job_free(job);
    struct job *uncertain = make_job(f, 1, PLAIN);
    assert_int_equal(insert_job(f, uncertain), 0);
    uncertain->attempt = 1;
    uncertain->attempt_charge = 70; /* given up by being forgotten */
    uncertain->presumed = true;
    uncertain->charged_at = NOW;
    assert_int_equal(forget_job(f, uncertain), 0);
    assert_int_equal(forget_job(f, uncertain), -ENOENT);
    job_free(uncertain);
    fixture_reopen(f);
    assert_sums(f, everything, "2026-09-21 2 570 70, all 2 570 70");
}

static void test_by_and_filters(void **state)
{
    struct fixture *f = *state;
    struct job *jobs[] = {
        charged_job(f, 1, "{\"model\":\"a\",\"prompt\":\"x\",\"labels\":{\"p\":\"q\"}}", "one", 10,
                    NOW),
        charged_job(f, 1,
                    "{\"model\":\"b\",\"prompt\":\"x\",\"labels\":{\"p\":\"it's \\\"q\\\"\"}}",
                    "two", 200, NOW - DAY),
        charged_job(f, 2, "{\"model\":\"b\",\"prompt\":\"x\",\"labels\":{\"o\":\"q\"}}", NULL, 3000,
                    NOW + DAY),
    };
    struct store_read by = everything;
    assert_sums(f, by, "2026-09-20 1 200 0, 2026-09-21 1 10 0, 2026-09-22 1 3000 0, all 3 3210 0");
    by.by = STORE_BY_OWNER;
    assert_sums(f, by, "2 1 3000 0, 1 2 210 0, all 3 3210 0");
    by.by = STORE_BY_MODEL;
    assert_sums(f, by, "b 2 3200 0, a 1 10 0, all 3 3210 0");
    by.by = STORE_BY_PROVIDER;
    assert_sums(f, by, "- 1 3000 0, two 1 200 0, one 1 10 0, all 3 3210 0");
    by.by = STORE_BY_LABEL;
    by.name = "p";
    assert_sums(f, by, "- 1 3000 0, it's \"q\" 1 200 0, q 1 10 0, all 3 3210 0");
    by = (struct store_read){.filter = {.owner = 1, .since = NOW, .until = NOW + DAY}};
    assert_sums(f, by, "2026-09-21 1 10 0, all 1 10 0");
    by.filter = (struct store_filter){.owner = -1, .until = NOW};
    assert_sums(f, by, "2026-09-20 1 200 0, all 1 200 0");
    for (size_t i = 0; i < 3; i++)
        job_free(jobs[i]);
}

struct seen {
    char text[200];
};

static void on_charge(void *arg, uid_t owner, const char *provider, int64_t amount)
{
    struct seen *seen = arg;
    size_t length = strlen(seen->text);
    snprintf(seen->text + length, sizeof(seen->text) - length, "%u %s %lld, ", (unsigned)owner,
             provider ? provider : "-", (long long)amount);
}

static void test_what_a_start_needs(void **state)
{
    struct fixture *f = *state;
    struct job *jobs[] = {
        charged_job(f, 1, PLAIN, "p", 10, NOW),      charged_job(f, 1, PLAIN, "p", 20, NOW + 5),
        charged_job(f, 1, PLAIN, "q", 40, NOW),      charged_job(f, 2, PLAIN, "p", 80, NOW),
        charged_job(f, 2, PLAIN, "p", 160, NOW - 1),
    };
    struct seen seen = {""};
    struct error error;
    assert_int_equal(store_each_charge(f->store, NOW, on_charge, &seen, &error), 0);
    assert_string_equal(seen.text, "1 p 30, 1 q 40, 2 p 80, ");
    for (size_t i = 0; i < sizeof(jobs) / sizeof(jobs[0]); i++)
        job_free(jobs[i]);
}

static void test_at_most_so_many(void **state)
{
    struct fixture *f = *state;
    struct job *job = charged_job(f, 1, PLAIN, "p", 1, NOW);
    for (int i = 1; i <= 1010; i++)
        charge(f, job, i, i, false, NOW + i * DAY);
    struct store_read read = everything;
    read.kind = STORE_COSTS;
    assert_int_equal(read_and_wait(f, &read), 0);
    assert_int_equal(read.cost_count, 1000);
    assert_int_equal(read.cost.charged, 1010 * 1011 / 2);
    store_read_free(&read);
    job_free(job);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_none),
        TEST(test_one_for_each_attempt),
        TEST(test_it_stays_when_the_job_goes),
        TEST(test_by_and_filters),
        TEST(test_what_a_start_needs),
        TEST(test_at_most_so_many),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
