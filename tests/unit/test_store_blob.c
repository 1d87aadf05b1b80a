/* The records of blobs, and what jobs need. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/store_fixture.h"

#define WITH_IMAGE(name)                                                            \
    "{\"model\":\"m\",\"prompt\":\"p\",\"image\":{\"blob\":\"" name                 \
    "\",\"mime_type\":\"image/png\",\"bytes\":10},\"last_frame\":{\"blob\":\"" name \
    "\",\"mime_type\":\"image/png\",\"bytes\":10}}"

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

/* 1 if it is new. */
static int put(struct fixture *f, uid_t owner, const char *name, int64_t at)
{
    struct store_blob blob = {.bytes = 10, .mime_type = "image/png"};
    snprintf(blob.name, sizeof(blob.name), "%s", name);
    struct store_write write = {
        .kind = STORE_PUT_BLOB, .blobs = &blob, .count = 1, .owner = owner, .at = at};
    assert_int_equal(write_and_wait(f, &write), 0);
    return (int)write.blob_count;
}

static int find(struct fixture *f, int64_t owner, const char *name)
{
    struct store_read read = {.kind = STORE_BLOB, .name = name, .filter = {.owner = owner}};
    int status = read_and_wait(f, &read);
    if (status == 0) {
        assert_string_equal(read.blob.name, name);
        assert_string_equal(read.blob.mime_type, "image/png");
        assert_int_equal(read.blob.bytes, 10);
    }
    store_read_free(&read);
    return status;
}

/* The names, with a blank after each. */
static const char *sweep(struct fixture *f, int64_t at, size_t most)
{
    static char names[1000];
    struct store_blob blobs[8];
    struct store_write write = {.kind = STORE_SWEEP_BLOBS, .blobs = blobs, .count = most, .at = at};
    assert_int_equal(write_and_wait(f, &write), 0);
    assert_in_range(write.blob_count, 0, most);
    names[0] = '\0';
    for (size_t i = 0; i < write.blob_count; i++) {
        strcat(names, blobs[i].name);
        strcat(names, " ");
    }
    return names;
}

static void on_blob(void *arg, const struct store_blob *blob)
{
    strcat(strcat(arg, blob->name), " ");
}

static void test_put_and_find(void **state)
{
    struct fixture *f = *state;
    char all[100] = "";
    assert_int_equal(put(f, 1, "b", NOW), 1);
    assert_int_equal(put(f, 2, "b", NOW), 0);
    assert_int_equal(put(f, 2, "b", NOW), 0);
    assert_int_equal(put(f, 1, "a", NOW), 1);
    assert_int_equal(find(f, 1, "b"), 0);
    assert_int_equal(find(f, 2, "b"), 0);
    assert_int_equal(find(f, 3, "b"), -ENOENT);
    assert_int_equal(find(f, 2, "a"), -ENOENT);
    assert_int_equal(find(f, -1, "a"), -ENOENT); /* admins are no exception */
    fixture_reopen(f);
    assert_int_equal(store_each_blob(f->store, on_blob, all, NULL), 0);
    assert_string_equal(all, "a b ");
    assert_int_equal(find(f, 2, "b"), 0);
}

static void test_the_oldest_are_swept_first(void **state)
{
    struct fixture *f = *state;
    put(f, 1, "young", NOW);
    put(f, 1, "old", NOW - 3000);
    put(f, 1, "older", NOW - 4000);
    put(f, 1, "again", NOW - 5000);
    put(f, 2, "again", NOW);
    put(f, 1, "again", NOW - 6000); /* a clock that was set back makes nothing old */
    assert_string_equal(sweep(f, NOW - 4000, 8), "");
    assert_string_equal(sweep(f, NOW - 1000, 1), "older ");
    assert_string_equal(sweep(f, NOW - 1000, 8), "old ");
    assert_string_equal(sweep(f, NOW - 1000, 8), "");
    assert_int_equal(find(f, 1, "old"), -ENOENT);
    assert_int_equal(find(f, 2, "again"), 0);
    assert_int_equal(put(f, 3, "old", NOW), 1);
    assert_int_equal(find(f, 1, "old"), -ENOENT); /* its owners went with it */
}

static void test_what_a_job_needs_is_not_swept(void **state)
{
    struct fixture *f = *state;
    put(f, 1, "b", NOW - 5000);
    struct job *job = make_job(f, 1, WITH_IMAGE("b"));
    assert_int_equal(insert_job(f, job), 0);
    assert_string_equal(sweep(f, INT64_MAX, 8), "");
    for (int state_of = 0; state_of < JOB_STATE_COUNT; state_of++) {
        if (state_of == JOB_DONE)
            continue;
        job->state = (enum job_state)state_of;
        assert_int_equal(update_job(f, job), 0);
        assert_string_equal(sweep(f, INT64_MAX, 8), "");
    }
    job->state = JOB_DONE;
    assert_int_equal(update_job(f, job), 0);
    assert_string_equal(sweep(f, NOW - 1000, 8), ""); /* the job used it */
    assert_string_equal(sweep(f, INT64_MAX, 8), "b ");

    put(f, 1, "b", NOW);
    struct job *other = make_job(f, 1, WITH_IMAGE("b"));
    assert_int_equal(insert_job(f, other), 0);
    assert_string_equal(sweep(f, INT64_MAX, 8), "");
    assert_int_equal(forget_job(f, other), 0);
    assert_string_equal(sweep(f, INT64_MAX, 8), "b ");
    job_free(job);
    job_free(other);
}

static void test_what_is_gone_makes_no_job(void **state)
{
    struct fixture *f = *state;
    put(f, 1, "b", NOW);
    struct job *jobs[] = {make_job(f, 1, PLAIN), make_job(f, 1, WITH_IMAGE("b")),
                          make_job(f, 1, WITH_IMAGE("gone"))};
    struct store_write write = {.kind = STORE_INSERT, .jobs = jobs, .count = 3};
    assert_int_equal(write_and_wait(f, &write), -ENOENT);
    assert_int_equal(write.at_fault, 2);
    for (int i = 0; i < 3; i++) {
        assert_false(has_job(f, jobs[i]->id));
        job_free(jobs[i]);
    }
    assert_string_equal(sweep(f, INT64_MAX, 8), "b "); /* nothing of it is left */
}

static struct job *with_result(struct fixture *f, const struct job *of, const char *path)
{
    char *json = mem_format("{\"model\":\"m\",\"prompt\":\"p\",\"video\":{\"job\":\"%s\","
                            "\"file\":\"%s\",\"mime_type\":\"video/mp4\",\"bytes\":5}}",
                            of->id, path);
    struct job *job = make_job(f, 1, json);
    free(json);
    return job;
}

static int insert_with_result(struct fixture *f, const struct job *of, const char *path)
{
    struct job *job = with_result(f, of, path);
    int status = insert_job(f, job);
    job_free(job);
    return status;
}

static void test_results_that_are_there(void **state)
{
    struct fixture *f = *state;
    struct job_file file = {.path = (char *)(uintptr_t) "/v/a.mp4", .bytes = 5};
    struct job *job = make_job(f, 1, PLAIN);
    assert_int_equal(insert_job(f, job), 0);
    assert_int_equal(insert_with_result(f, job, "/v/a.mp4"), -ENOENT);
    job->state = JOB_DONE;
    job->files = &file;
    job->file_count = 1;
    assert_int_equal(update_job(f, job), 0);
    assert_int_equal(insert_with_result(f, job, "/v/a.mp4"), 0);
    assert_int_equal(insert_with_result(f, job, "/v/b.mp4"), -ENOENT);
    file.removed_at = NOW;
    assert_int_equal(update_job(f, job), 0);
    assert_int_equal(insert_with_result(f, job, "/v/a.mp4"), -ENOENT);
    job->files = NULL;
    job->file_count = 0;
    job_free(job);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_put_and_find),
        TEST(test_the_oldest_are_swept_first),
        TEST(test_what_a_job_needs_is_not_swept),
        TEST(test_what_is_gone_makes_no_job),
        TEST(test_results_that_are_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
