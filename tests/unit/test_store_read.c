/* What the store finds: by name, by filter, events, attempts, and what a start needs. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/store_fixture.h"

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

/* ---- STORE_FIND ---- */

static void assert_finds(struct fixture *f, const char *name, int64_t owner, const char *id)
{
    struct job *job = find_job(f, name, owner, NULL);
    assert_non_null(job);
    assert_string_equal(job->id, id);
    job_free(job);
}

static void assert_finds_none(struct fixture *f, const char *name, int64_t owner, int expected)
{
    int status;
    assert_null(find_job(f, name, owner, &status));
    assert_int_equal(status, expected);
}

static struct job *job_with_id(struct fixture *f, uid_t owner, const char *id)
{
    struct job *job = make_job(f, owner, PLAIN);
    memcpy(job->id, id, JOB_ID_LENGTH);
    assert_int_equal(insert_job(f, job), 0);
    return job;
}

static void test_find_by_id_and_prefix(void **state)
{
    struct fixture *f = *state;
    struct job *jobs[] = {
        job_with_id(f, 1, "01AAAA00000000000000000001"),
        job_with_id(f, 1, "01AAAB00000000000000000001"),
        job_with_id(f, 2, "01AAAB00000000000000000002"),
    };
    assert_finds(f, "01AAAA00000000000000000001", 1, jobs[0]->id);
    assert_finds(f, "01aaaa00000000000000000001", 1, jobs[0]->id);
    assert_finds(f, "01AAAA", -1, jobs[0]->id);
    assert_finds(f, "01aaab", 1, jobs[1]->id);
    assert_finds(f, "01AAAB", 2, jobs[2]->id);
    assert_finds(f, "01AA", 2, jobs[2]->id);
    assert_finds_none(f, "01AA", 1, -ENOTUNIQ);
    assert_finds_none(f, "01AAAB", -1, -ENOTUNIQ);
    assert_finds_none(f, "01A", 2, -ENOENT); /* too short */
    assert_finds_none(f, "01AAAC", -1, -ENOENT);
    assert_finds_none(f, "01AAAA00000000000000000001", 2, -ENOENT);
    assert_finds_none(f, "01AAAA", 2, -ENOENT);
    assert_finds_none(f, "01AA%", 2, -ENOENT);
    assert_finds_none(f, "", -1, -ENOENT);
    for (size_t i = 0; i < 3; i++)
        job_free(jobs[i]);
}

static void test_find_by_operation(void **state)
{
    struct fixture *f = *state;
    struct job *job = make_job(f, 1, PLAIN), *newer = make_job(f, 2, PLAIN);
    assert_int_equal(insert_job(f, job), 0);
    assert_int_equal(insert_job(f, newer), 0);
    job->operation = mem_strdup("models/veo/operations/Abc");
    newer->operation = mem_strdup("models/veo/operations/Abc");
    assert_int_equal(update_job(f, job), 0);
    assert_finds(f, "models/veo/operations/Abc", 1, job->id);
    assert_finds_none(f, "models/veo/operations/Abc", 2, -ENOENT);
    assert_finds_none(f, "models/veo/operations/abc", 1, -ENOENT);
    assert_finds_none(f, "models/veo/operations", 1, -ENOENT);
    assert_int_equal(update_job(f, newer), 0);
    assert_finds(f, "models/veo/operations/Abc", -1, newer->id);
    assert_finds(f, "models/veo/operations/Abc", 1, job->id);

    free(job->operation);
    job->operation = NULL; /* the next attempt has none yet */
    assert_int_equal(update_job(f, job), 0);
    assert_finds_none(f, "models/veo/operations/Abc", 1, -ENOENT);
    job_free(job);
    job_free(newer);
}

/* ---- STORE_LIST ---- */

#define LISTED 6

struct listed {
    struct job *jobs[LISTED];
};

static struct listed make_listed(struct fixture *f)
{
    static const struct {
        uid_t owner;
        enum job_state state;
        const char *json;
    } rows[LISTED] = {
        {1, JOB_DONE, "{\"model\":\"a\",\"prompt\":\"x\",\"labels\":{\"p\":\"1\",\"q\":\"1\"}}"},
        {1, JOB_QUEUED, "{\"model\":\"b\",\"prompt\":\"x\",\"labels\":{\"p\":\"2\"}}"},
        {2, JOB_DONE, "{\"model\":\"a\",\"prompt\":\"x\",\"labels\":{\"p\":\"1\"}}"},
        {2, JOB_FAILED, "{\"model\":\"b\",\"prompt\":\"x\"}"},
        {1, JOB_RUNNING, "{\"model\":\"a\",\"prompt\":\"x\"}"},
        {1, JOB_DONE, "{\"model\":\"a\",\"prompt\":\"x\",\"labels\":{\"q\":\"2\"}}"},
    };
    struct listed listed;
    for (size_t i = 0; i < LISTED; i++) {
        listed.jobs[i] = make_job(f, rows[i].owner, rows[i].json);
        listed.jobs[i]->state = rows[i].state;
        assert_int_equal(insert_job(f, listed.jobs[i]), 0);
    }
    return listed;
}

/* `expected`: the numbers of the rows above, as digits. */
static void assert_lists(struct fixture *f, const struct listed *listed, struct store_filter filter,
                         const char *expected)
{
    struct store_read read = {.kind = STORE_LIST, .filter = filter};
    assert_int_equal(read_and_wait(f, &read), 0);
    char found[LISTED + 1] = "";
    assert_true(read.job_count <= LISTED);
    for (size_t i = 0; i < read.job_count; i++)
        for (size_t k = 0; k < LISTED; k++)
            if (strcmp(read.jobs[i]->id, listed->jobs[k]->id) == 0)
                found[i] = (char)('0' + k);
    store_read_free(&read);
    assert_string_equal(found, expected);
}

#define LISTS(expected, ...) \
    assert_lists(f, &listed, (struct store_filter){.owner = -1, __VA_ARGS__}, expected)

static void test_list_filters(void **state)
{
    struct fixture *f = *state;
    struct listed listed = make_listed(f);
    LISTS("543210", .limit = 0);
    LISTS("54", .limit = 2);
    LISTS("21", .limit = 2, .after = listed.jobs[3]->id);
    LISTS("520", .states = 1u << JOB_DONE);
    LISTS("53210", .states = 1u << JOB_DONE | 1u << JOB_FAILED | 1u << JOB_QUEUED);
    LISTS("41", .states = 1u << JOB_RUNNING | 1u << JOB_QUEUED);
    LISTS("", .states = 1u << JOB_HELD);
    LISTS("5420", .model = "a");
    LISTS("", .model = "a' OR 1 --");
    LISTS("210", .label_name = "p");
    LISTS("20", .label_name = "p", .label_value = "1");
    LISTS("", .label_name = "p", .label_value = "");
    LISTS("5432", .since = listed.jobs[2]->created_at);
    LISTS("10", .until = listed.jobs[2]->created_at);
    LISTS("2", .since = listed.jobs[2]->created_at, .until = listed.jobs[3]->created_at);
    assert_lists(f, &listed, (struct store_filter){.owner = 2}, "32");
    assert_lists(f, &listed, (struct store_filter){.owner = 3}, "");
    assert_lists(f, &listed,
                 (struct store_filter){.owner = 1,
                                       .states = 1u << JOB_DONE | 1u << JOB_RUNNING,
                                       .model = "a",
                                       .label_name = "q",
                                       .since = listed.jobs[0]->created_at,
                                       .until = listed.jobs[5]->created_at + 1,
                                       .after = listed.jobs[5]->id,
                                       .limit = 5},
                 "0");
    for (size_t i = 0; i < LISTED; i++)
        job_free(listed.jobs[i]);
}

/* A read's results are filled in in the order of asking, and a job can be taken out of them. */
static void test_reads_are_in_order(void **state)
{
    struct fixture *f = *state;
    struct store_read reads[3];
    bool done[3] = {false};
    add_job(f, 1, PLAIN);
    for (size_t i = 0; i < 3; i++) {
        reads[i] = (struct store_read){
            .kind = STORE_LIST, .filter = {.owner = -1}, .done = on_read_done, .context = &done[i]};
        store_read(f->store, &reads[i]);
    }
    assert_false(done[0]);
    for (size_t i = 0; i < 3; i++) {
        fixture_run_until(f, &done[i]);
        assert_int_equal(reads[i].job_count, 1);
        job_free(reads[i].jobs[0]);
        reads[i].jobs[0] = NULL;
        store_read_free(&reads[i]);
    }
}

/* ---- STORE_EVENTS ---- */

static size_t read_events(struct fixture *f, int64_t from, size_t limit, struct store_read *read)
{
    *read = (struct store_read){.kind = STORE_EVENTS, .from = from, .filter = {.limit = limit}};
    assert_int_equal(read_and_wait(f, read), 0);
    return read->event_count;
}

static void test_events_in_pages(void **state)
{
    struct fixture *f = *state;
    struct store_read read;
    struct job *a = make_job(f, 7, PLAIN),
               *b = make_job(f, 8, "{\"model\":\"m\",\"prompt\":\"x\",\"labels\":{\"a\":\"1\"}}");
    assert_int_equal(insert_job(f, a), 0);
    assert_int_equal(insert_job(f, b), 0);
    a->state = JOB_SUBMITTING;
    a->updated_at = NOW + 5000;
    struct store_write write = {
        .kind = STORE_UPDATE, .jobs = &a, .count = 1, .detail = "{\"attempt\":1}"};
    assert_int_equal(write_and_wait(f, &write), 0);
    assert_int_equal(write.event, 3);

    assert_int_equal(read_events(f, 0, 2, &read), 2);
    assert_int_equal(read.events[0].number, 1);
    assert_string_equal(read.events[0].job, a->id);
    assert_string_equal(read.events[0].detail, "{}");
    assert_int_equal(read.events[0].state, JOB_QUEUED);
    assert_int_equal(read.events[1].number, 2);
    assert_int_equal(read.events[1].owner, 8);
    assert_string_equal(read.events[1].request->labels[0].value, "1");
    store_read_free(&read);

    assert_int_equal(read_events(f, 2, 2, &read), 1);
    assert_int_equal(read.events[0].number, 3);
    assert_string_equal(read.events[0].job, a->id);
    assert_int_equal(read.events[0].owner, 7);
    assert_int_equal(read.events[0].state, JOB_SUBMITTING);
    assert_int_equal(read.events[0].at, NOW + 5000);
    assert_string_equal(read.events[0].detail, "{\"attempt\":1}");
    store_read_free(&read);
    assert_int_equal(read_events(f, 3, 2, &read), 0);
    store_read_free(&read);
    job_free(a);
    job_free(b);
}

static void test_event_numbers_never_come_again(void **state)
{
    struct fixture *f = *state;
    struct store_read read;
    struct job *a = make_job(f, 1, PLAIN), *b = make_job(f, 1, PLAIN);
    assert_int_equal(insert_job(f, a), 0);
    assert_int_equal(insert_job(f, b), 0);
    assert_int_equal(update_job(f, b), 0);
    assert_int_equal(forget_job(f, b), 0);
    assert_false(has_job(f, b->id));
    assert_int_equal(read_events(f, 0, 10, &read), 1);
    store_read_free(&read);
    fixture_reopen(f);
    assert_int_equal(store_last_event(f->store), 3);
    assert_int_equal(update_job(f, a), 0);
    assert_int_equal(store_last_event(f->store), 4);
    fixture_reopen(f);
    assert_int_equal(store_last_event(f->store), 4);
    job_free(a);
    job_free(b);
}

/* ---- STORE_ATTEMPTS ---- */

static void step(struct fixture *f, struct job *job, enum job_state state, int64_t at,
                 const char *message)
{
    job->state = state;
    job->updated_at = at;
    struct job_error error = {.code = "x", .message = (char *)message};
    job_set_error(job, message ? &error : NULL);
    assert_int_equal(update_job(f, job), 0);
}

static void begin_attempt(struct fixture *f, struct job *job, int number, int64_t at)
{
    job->attempt = number;
    job->submitted_at = at;
    free(job->provider);
    job->provider = mem_format("provider%d", number);
    free(job->operation);
    job->operation = NULL;
    step(f, job, JOB_SUBMITTING, at, NULL);
}

static void assert_attempt(const struct store_attempt *attempt, struct store_attempt expected)
{
    assert_int_equal(attempt->number, expected.number);
    assert_string_equal(attempt->provider, expected.provider);
    assert_int_equal(attempt->started_at, expected.started_at);
    assert_int_equal(attempt->ended_at, expected.ended_at);
    const char *got[] = {attempt->operation, attempt->outcome, attempt->message};
    const char *want[] = {expected.operation, expected.outcome, expected.message};
    for (size_t i = 0; i < 3; i++)
        assert_string_equal(got[i] ? got[i] : "(none)", want[i] ? want[i] : "(none)");
}

static void read_attempts(struct fixture *f, const struct job *job, struct store_read *read)
{
    *read = (struct store_read){.kind = STORE_ATTEMPTS, .name = job->id};
    assert_int_equal(read_and_wait(f, read), 0);
}

static void test_attempts(void **state)
{
    struct fixture *f = *state;
    struct store_read read;
    struct job *job = make_job(f, 1, PLAIN);
    assert_int_equal(insert_job(f, job), 0);
    read_attempts(f, job, &read);
    assert_int_equal(read.attempt_count, 0);
    store_read_free(&read);

    begin_attempt(f, job, 1, 100);
    step(f, job, JOB_QUEUED, 200, "busy");
    begin_attempt(f, job, 1, 300); /* it didn't count: the same number again */
    job->operation = mem_strdup("op1");
    step(f, job, JOB_RUNNING, 400, NULL);
    step(f, job, JOB_UNCERTAIN, 500, "lost");
    step(f, job, JOB_CANCELLED, 600, "by its owner"); /* no attempt was left by that */
    step(f, job, JOB_QUEUED, 700, NULL);
    begin_attempt(f, job, 2, 800);
    read_attempts(f, job, &read);
    assert_int_equal(read.attempt_count, 2);
    assert_attempt(&read.attempts[0],
                   (struct store_attempt){1, "provider1", "op1", 300, 500, "uncertain", "lost"});
    assert_attempt(&read.attempts[1],
                   (struct store_attempt){2, "provider2", NULL, 800, 0, NULL, NULL});
    store_read_free(&read);
    assert_int_equal(forget_job(f, job), 0);
    read_attempts(f, job, &read);
    assert_int_equal(read.attempt_count, 0);
    store_read_free(&read);
    job_free(job);
}

/* ---- at startup ---- */

struct seen {
    char ids[JOB_STATE_COUNT][JOB_ID_SIZE];
    size_t count;
    char durations[128];
};

static void on_live(void *arg, struct job *job)
{
    struct seen *seen = arg;
    memcpy(seen->ids[seen->count++], job->id, JOB_ID_SIZE);
    job_free(job);
}

static void test_live_jobs_and_counts(void **state)
{
    struct fixture *f = *state;
    struct seen seen = {.count = 0};
    struct job *jobs[JOB_STATE_COUNT];
    uint64_t counts[JOB_STATE_COUNT];
    for (int i = 0; i < JOB_STATE_COUNT; i++) {
        jobs[i] = make_job(f, 1, PLAIN);
        assert_int_equal(insert_job(f, jobs[i]), 0);
    }
    for (int i = JOB_STATE_COUNT - 1; i >= 0; i--) {
        jobs[i]->state = (enum job_state)i;
        assert_int_equal(update_job(f, jobs[i]), 0);
    }
    fixture_reopen(f);
    assert_int_equal(store_each_live(f->store, on_live, &seen, NULL), 0);
    size_t next = 0;
    for (int i = 0; i < JOB_STATE_COUNT; i++)
        if (!(job_state_flags((enum job_state)i) & JOB_ENDED))
            assert_string_equal(seen.ids[next++], jobs[i]->id);
    assert_int_equal(next, seen.count);

    add_job(f, 1, PLAIN);
    assert_int_equal(store_count_states(f->store, counts, NULL), 0);
    for (int i = 0; i < JOB_STATE_COUNT; i++) {
        assert_int_equal(counts[i], i == JOB_QUEUED ? 2 : 1);
        job_free(jobs[i]);
    }
}

static void on_duration(void *arg, const char *model, int64_t ms)
{
    struct seen *seen = arg;
    size_t used = strlen(seen->durations);
    snprintf(seen->durations + used, sizeof(seen->durations) - used, "%s:%d ", model, (int)ms);
}

static void test_durations(void **state)
{
    static const struct {
        const char *json;
        enum job_state state;
        int64_t running_at, noticed_at;
    } rows[] = {
        {"{\"model\":\"b\",\"prompt\":\"x\"}", JOB_DONE, 1000, 1900},
        {"{\"model\":\"a\",\"prompt\":\"x\"}", JOB_DONE, 1000, 9000},
        {"{\"model\":\"a\",\"prompt\":\"x\"}", JOB_DONE, 1000, 3000},
        {"{\"model\":\"a\",\"prompt\":\"x\"}", JOB_FETCHING, 1000, 8000},
        {"{\"model\":\"a\",\"prompt\":\"x\"}", JOB_FAILED, 1000, 8500},
        {"{\"model\":\"a\",\"prompt\":\"x\"}", JOB_RUNNING, 1000, 0},
        {"{\"model\":\"a\",\"prompt\":\"x\"}", JOB_DONE, 0, 8600},
    };
    struct fixture *f = *state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct job *job = make_job(f, 1, rows[i].json);
        assert_int_equal(insert_job(f, job), 0);
        job->state = rows[i].state;
        job->running_at = rows[i].running_at;
        job->noticed_at = rows[i].noticed_at;
        assert_int_equal(update_job(f, job), 0);
        job_free(job);
    }
    struct seen all = {.count = 0}, two = {.count = 0};
    assert_int_equal(store_each_duration(f->store, 10, on_duration, &all, NULL), 0);
    assert_string_equal(all.durations, "a:2000 a:7000 a:8000 b:900 ");
    assert_int_equal(store_each_duration(f->store, 2, on_duration, &two, NULL), 0);
    assert_string_equal(two.durations, "a:7000 a:8000 b:900 ");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_find_by_id_and_prefix),
        TEST(test_find_by_operation),
        TEST(test_list_filters),
        TEST(test_reads_are_in_order),
        TEST(test_events_in_pages),
        TEST(test_event_numbers_never_come_again),
        TEST(test_attempts),
        TEST(test_live_jobs_and_counts),
        TEST(test_durations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
