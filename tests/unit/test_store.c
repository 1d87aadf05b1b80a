/* The store's contract: what is written comes back, what is refused leaves no trace. */
#include <errno.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/stat.h>

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

/* ---- round trips ---- */

static void assert_same_text(const char *a, const char *b)
{
    if (a && b)
        assert_string_equal(a, b);
    else
        assert_ptr_equal(a, b);
}

static void assert_same_request(const struct request *a, const struct request *b)
{
    char *first = request_to_json(a), *second = request_to_json(b);
    assert_string_equal(first, second);
    free(first);
    free(second);
}

static void assert_same_results(const struct job *a, const struct job *b)
{
    assert_int_equal(a->uri_count, b->uri_count);
    for (size_t i = 0; i < a->uri_count; i++)
        assert_string_equal(a->uris[i], b->uris[i]);
    assert_int_equal(a->inline_result, b->inline_result);
    assert_int_equal(a->file_count, b->file_count);
    for (size_t i = 0; i < a->file_count; i++) {
        assert_same_text(a->files[i].path, b->files[i].path);
        assert_int_equal(a->files[i].bytes, b->files[i].bytes);
        assert_string_equal(a->files[i].sha256, b->files[i].sha256);
        assert_same_text(a->files[i].mime_type, b->files[i].mime_type);
    }
}

static void assert_same_job(const struct job *a, const struct job *b)
{
    assert_string_equal(a->id, b->id);
    assert_int_equal(a->state, b->state);
    assert_int_equal(a->owner, b->owner);
    assert_same_request(a->request, b->request);
    assert_same_text(a->provider, b->provider);
    assert_int_equal(a->attempt, b->attempt);
    assert_int_equal(a->attempts_counted, b->attempts_counted);
    assert_int_equal(a->attempts_allowed, b->attempts_allowed);
    assert_int_equal(a->polls, b->polls);
    assert_same_text(a->operation, b->operation);
    assert_same_results(a, b);
    assert_same_text(a->error.code, b->error.code);
    assert_same_text(a->error.message, b->error.message);
    assert_int_equal(a->error.retryable, b->error.retryable);
    assert_same_text(a->error.provider, b->error.provider);
    assert_int_equal(a->created_at, b->created_at);
    assert_int_equal(a->updated_at, b->updated_at);
    assert_int_equal(a->deadline_at, b->deadline_at);
    assert_int_equal(a->not_before, b->not_before);
    assert_int_equal(a->unreachable_at, b->unreachable_at);
    assert_int_equal(a->submitted_at, b->submitted_at);
    assert_int_equal(a->running_at, b->running_at);
    assert_int_equal(a->noticed_at, b->noticed_at);
    assert_int_equal(a->ended_at, b->ended_at);
    assert_int_equal(a->backoffs, b->backoffs);
}

static void assert_stored_as(struct fixture *f, const struct job *job)
{
    struct job *stored = find_job(f, job->id, -1, NULL);
    assert_non_null(stored);
    assert_same_job(job, stored);
    job_free(stored);
}

/* Every member has a value of its own, so that two that were swapped are noticed. */
static void fill(struct job *job)
{
    job->state = JOB_FAILED;
    job->provider = mem_strdup("gemini");
    job->attempt = 4;
    job->attempts_counted = 5;
    job->attempts_allowed = 6;
    job->polls = UINT32_MAX;
    job->operation = mem_strdup("models/veo/operations/é\"'\\");
    job->uris = mem_alloc(2 * sizeof(*job->uris));
    job->uris[0] = mem_strdup("https://a/\"quoted\"\\?x=1&y=%20");
    job->uris[1] = mem_strdup("");
    job->uri_count = 2;
    job->inline_result = true;
    job->files = mem_alloc(2 * sizeof(*job->files));
    job->file_count = 2;
    job->files[0].path = mem_strdup("/videos/1.mp4");
    job->files[0].bytes = UINT64_C(1) << 40;
    memset(job->files[0].sha256, 'a', 64);
    job->files[0].mime_type = mem_strdup("video/mp4");
    job->files[1].path = mem_strdup("/videos/1-1.mp4");
    job->error =
        (struct job_error){mem_strdup("quota"), mem_strdup("a\tb 日本"), true, mem_strdup("other")};
    int64_t *times[] = {&job->updated_at,     &job->deadline_at,  &job->not_before,
                        &job->unreachable_at, &job->submitted_at, &job->running_at,
                        &job->noticed_at,     &job->ended_at};
    for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++)
        *times[i] = NOW + 1000 * (int64_t)i;
    job->backoffs = 7;
}

#define FULL                                                                                     \
    "{\"model\":\"veo\",\"prompt\":\"a "                                                         \
    "\\\"dog\\\"\\n日\",\"provider\":\"p\",\"aspect_ratio\":\"9:16\","                          \
    "\"resolution\":\"1080p\",\"negative_prompt\":\"cats\",\"person_generation\":\"allow_all\"," \
    "\"duration_seconds\":7.5,\"seed\":0,\"sample_count\":2,\"generate_audio\":false,"           \
    "\"enhance_prompt\":true,\"priority\":-3,\"labels\":{\"a\":\"1\",\"b\":\"2\"},"              \
    "\"key\":\"k\",\"output\":\"x/y.mp4\",\"not_before\":\"2030-01-01T00:00:00Z\","              \
    "\"deadline_seconds\":60,\"max_attempts\":9,\"force\":true}"

static void test_full_job_survives(void **state)
{
    struct fixture *f = *state;
    struct job *job = make_job(f, UINT32_MAX - 1, FULL);
    fill(job);
    assert_int_equal(insert_job(f, job), 0);
    assert_stored_as(f, job);
    fixture_reopen(f);
    assert_stored_as(f, job);
    job_free(job);
}

static void test_empty_job_survives(void **state)
{
    struct fixture *f = *state;
    struct job *job = make_job(f, 0, PLAIN);
    assert_int_equal(insert_job(f, job), 0);
    assert_stored_as(f, job);
    job_free(job);
}

static void test_update_replaces_everything(void **state)
{
    struct fixture *f = *state;
    struct job *job = make_job(f, 1000, PLAIN);
    struct job *empty = job_copy(job);
    assert_int_equal(insert_job(f, job), 0);
    fill(job);
    assert_int_equal(update_job(f, job), 0);
    assert_stored_as(f, job);
    assert_int_equal(update_job(f, empty), 0);
    assert_stored_as(f, empty);
    job_free(job);
    job_free(empty);
}

/* An empty text is not an absent one. */
static void test_empty_texts_survive(void **state)
{
    struct fixture *f = *state;
    struct job *job = make_job(f, 1000, PLAIN);
    job->provider = mem_strdup("");
    job->operation = mem_strdup("");
    job_set_error(job, &(struct job_error){.code = "", .message = "", .provider = ""});
    assert_int_equal(insert_job(f, job), 0);
    assert_stored_as(f, job);
    job_free(job);
}

/* ---- all or none, keys, outputs ---- */

static int insert_jobs(struct fixture *f, struct job **jobs, size_t count,
                       char (*existing)[JOB_ID_SIZE], struct store_write *write)
{
    *write = (struct store_write){
        .kind = STORE_INSERT, .jobs = jobs, .count = count, .existing = existing};
    return write_and_wait(f, write);
}

static void free_jobs(struct job **jobs, size_t count)
{
    for (size_t i = 0; i < count; i++)
        job_free(jobs[i]);
}

static void test_insert_is_all_or_none(void **state)
{
    struct fixture *f = *state;
    struct store_write write;
    struct job *jobs[] = {
        make_job(f, 1, PLAIN),
        make_job(f, 1, "{\"model\":\"m\",\"prompt\":\"x\",\"output\":\"a.mp4\"}"),
        make_job(f, 1, "{\"model\":\"m\",\"prompt\":\"y\",\"output\":\"a.mp4\"}"),
    };
    assert_int_equal(insert_jobs(f, jobs, 3, NULL, &write), -EEXIST);
    assert_int_equal(write.at_fault, 2);
    assert_false(write.key_at_fault);
    assert_int_equal(write.event, 0);
    assert_int_equal(store_last_event(f->store), 0);
    for (size_t i = 0; i < 3; i++)
        assert_false(has_job(f, jobs[i]->id));

    assert_int_equal(insert_jobs(f, jobs, 2, NULL, &write), 0);
    assert_int_equal(write.event, 1);
    assert_int_equal(store_last_event(f->store), 2);
    assert_true(has_job(f, jobs[0]->id) && has_job(f, jobs[1]->id));
    free_jobs(jobs, 3);
}

#define KEY_1  "{\"model\":\"m\",\"prompt\":\"x\",\"key\":\"one\"}"
#define KEY_1B "{\"model\":\"m\",\"prompt\":\"another\",\"key\":\"one\"}"
#define KEY_2  "{\"model\":\"m\",\"prompt\":\"x\",\"key\":\"two\"}"

static void test_key_names_the_same_job(void **state)
{
    struct fixture *f = *state;
    struct store_write write;
    char existing[2][JOB_ID_SIZE];
    struct job *first = make_job(f, 1, KEY_1);
    assert_int_equal(insert_job(f, first), 0);

    struct job *again[] = {make_job(f, 1, KEY_1), make_job(f, 1, KEY_2)};
    assert_int_equal(insert_jobs(f, again, 2, existing, &write), 0);
    assert_string_equal(existing[0], first->id);
    assert_string_equal(existing[1], "");
    assert_int_equal(write.event, 2);
    assert_false(has_job(f, again[0]->id));
    assert_true(has_job(f, again[1]->id));

    /* Both are there: no event, and nothing to write. */
    assert_int_equal(insert_jobs(f, again, 2, existing, &write), 0);
    assert_string_equal(existing[1], again[1]->id);
    assert_int_equal(write.event, 0);
    free_jobs(again, 2);
    job_free(first);
}

static void test_key_with_another_request(void **state)
{
    struct fixture *f = *state;
    struct store_write write;
    char existing[2][JOB_ID_SIZE];
    struct job *first = make_job(f, 1, KEY_1);
    assert_int_equal(insert_job(f, first), 0);

    struct job *other[] = {make_job(f, 1, KEY_2), make_job(f, 1, KEY_1B)};
    assert_int_equal(insert_jobs(f, other, 2, existing, &write), -EEXIST);
    assert_int_equal(write.at_fault, 1);
    assert_true(write.key_at_fault);
    assert_false(has_job(f, other[0]->id));

    /* A key is its owner's, and lives as long as its job. */
    struct job *elsewhere = make_job(f, 2, KEY_1B);
    assert_int_equal(insert_job(f, elsewhere), 0);
    assert_int_equal(forget_job(f, first), 0);
    assert_int_equal(insert_jobs(f, other, 2, existing, &write), 0);
    free_jobs(other, 2);
    job_free(elsewhere);
    job_free(first);
}

static void test_key_twice_in_one_insert(void **state)
{
    struct fixture *f = *state;
    struct store_write write;
    char existing[2][JOB_ID_SIZE];
    struct job *jobs[] = {make_job(f, 1, KEY_1), make_job(f, 1, KEY_1)};
    for (int round = 0; round < 2; round++) {
        assert_int_equal(insert_jobs(f, jobs, 2, existing, &write), -EEXIST);
        assert_int_equal(write.at_fault, 1);
        assert_true(write.key_at_fault);
        assert_string_equal(existing[0], "");
        if (round == 0) /* the second time, both name a job that is there already */
            assert_int_equal(insert_job(f, jobs[0]), 0);
    }
    free_jobs(jobs, 2);
}

static void test_output_is_free_after_a_failure(void **state)
{
    static const struct {
        enum job_state state;
        int status;
    } cases[] = {{JOB_QUEUED, -EEXIST}, {JOB_DONE, -EEXIST}, {JOB_UNCERTAIN, -EEXIST},
                 {JOB_HELD, -EEXIST},   {JOB_FAILED, 0},     {JOB_CANCELLED, 0},
                 {JOB_EXPIRED, 0},      {JOB_FILTERED, 0}};
    struct fixture *f = *state;
    const char *json = "{\"model\":\"m\",\"prompt\":\"x\",\"output\":\"a.mp4\"}";
    struct job *first = make_job(f, 1, json);
    assert_int_equal(insert_job(f, first), 0);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        first->state = cases[i].state;
        assert_int_equal(update_job(f, first), 0);
        struct job *second = make_job(f, 1, json);
        assert_int_equal(insert_job(f, second), cases[i].status);
        if (cases[i].status == 0)
            assert_int_equal(forget_job(f, second), 0);
        job_free(second);
    }
    add_job(f, 2, json);
    job_free(first);
}

static void test_unknown_job_is_its_own_fault(void **state)
{
    struct fixture *f = *state;
    struct job *known = make_job(f, 1, PLAIN), *unknown = make_job(f, 1, PLAIN);
    struct job *also = make_job(f, 1, PLAIN);
    assert_int_equal(insert_job(f, known), 0);
    bool done[4] = {false};
    struct store_write writes[] = {
        {.kind = STORE_UPDATE, .jobs = &unknown, .count = 1},
        {.kind = STORE_UPDATE, .jobs = &known, .count = 1},
        {.kind = STORE_FORGET, .jobs = &unknown, .count = 1},
        {.kind = STORE_INSERT, .jobs = &also, .count = 1},
    };
    for (size_t i = 0; i < 4; i++) {
        writes[i].done = on_write_done;
        writes[i].context = &done[i];
        store_write(f->store, &writes[i]);
    }
    fixture_run_until(f, &done[3]);
    assert_int_equal(writes[0].status, -ENOENT);
    assert_int_equal(writes[1].status, 0);
    assert_int_equal(writes[2].status, -ENOENT);
    assert_int_equal(writes[3].status, 0);
    assert_int_equal(writes[3].event, writes[1].event + 1);
    assert_true(has_job(f, also->id));
    job_free(known);
    job_free(unknown);
    job_free(also);
}

/* The same id twice is a defect elsewhere; it must not stand in the way of the others. */
static void test_same_id_twice(void **state)
{
    struct fixture *f = *state;
    struct job *job = make_job(f, 1, PLAIN);
    assert_int_equal(insert_job(f, job), 0);
    assert_int_equal(insert_job(f, job), -EINVAL);
    assert_int_equal(update_job(f, job), 0);
    job_free(job);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_full_job_survives),
        TEST(test_empty_job_survives),
        TEST(test_update_replaces_everything),
        TEST(test_empty_texts_survive),
        TEST(test_insert_is_all_or_none),
        TEST(test_key_names_the_same_job),
        TEST(test_key_with_another_request),
        TEST(test_key_twice_in_one_insert),
        TEST(test_output_is_free_after_a_failure),
        TEST(test_unknown_job_is_its_own_fault),
        TEST(test_same_id_twice),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
