/* How writes are put together into commits. */
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

#define MANY 3000

struct order {
    size_t next;
    bool done;
    struct store_write *writes;
};

static void on_ordered_write(struct store_write *write)
{
    struct order *order = write->context;
    MUST(write == &order->writes[order->next++]);
    MUST(write->status == 0);
    order->done = order->next == MANY;
}

static void test_writes_of_a_turn_share_a_commit(void **state)
{
    struct fixture *f = *state;
    struct job *job = make_job(f, 1, PLAIN);
    struct store_write *writes = mem_alloc(MANY * sizeof(*writes));
    struct order order = {.writes = writes};
    struct store_stats before, after;
    assert_int_equal(insert_job(f, job), 0);
    store_stats(f->store, &before);
    assert_int_equal(before.commits, 1);
    for (size_t i = 0; i < MANY; i++) {
        writes[i] = (struct store_write){.kind = STORE_UPDATE,
                                         .jobs = &job,
                                         .count = 1,
                                         .done = on_ordered_write,
                                         .context = &order};
        store_write(f->store, &writes[i]);
    }
    assert_int_equal(order.next, 0);
    store_stats(f->store, &after);
    assert_int_equal(after.waiting, MANY);
    fixture_run_until(f, &order.done);
    store_stats(f->store, &after);
    assert_int_equal(after.waiting, 0);
    assert_int_equal(after.commits - before.commits, 3); /* 1,024 at most in one */
    assert_int_equal(after.writes - before.writes, MANY);
    assert_true(after.commit_us_max <= after.commit_us_total);
    for (size_t i = 1; i < MANY; i++)
        assert_int_equal(writes[i].event, writes[i - 1].event + 1);
    assert_int_equal(store_last_event(f->store), writes[MANY - 1].event);
    free(writes);
    job_free(job);
}

/* A write that is submitted from `done` goes into a later batch, also from the last one's. */
struct chain {
    struct store *store;
    struct store_write write;
    int left;
    bool done;
};

static void on_chained_write(struct store_write *write)
{
    struct chain *chain = write->context;
    MUST(write->status == 0);
    chain->done = --chain->left == 0;
    if (!chain->done)
        store_write(chain->store, write);
}

static void test_writes_from_completions(void **state)
{
    struct fixture *f = *state;
    struct job *job = make_job(f, 1, PLAIN);
    assert_int_equal(insert_job(f, job), 0);
    struct chain chains[2];
    for (int i = 0; i < 2; i++) {
        chains[i] = (struct chain){.store = f->store, .left = 5};
        chains[i].write = (struct store_write){.kind = STORE_UPDATE,
                                               .jobs = &job,
                                               .count = 1,
                                               .done = on_chained_write,
                                               .context = &chains[i]};
        store_write(f->store, &chains[i].write);
    }
    fixture_run_until(f, &chains[0].done);
    fixture_run_until(f, &chains[1].done);
    struct store_stats stats;
    store_stats(f->store, &stats);
    assert_int_equal(stats.commits, 1 + 5);
    job_free(job);
}

struct from_prepare {
    struct store *store;
    struct store_write *write;
};

static void on_prepare(uv_prepare_t *prepare)
{
    struct from_prepare *data = prepare->data;
    store_write(data->store, data->write);
    uv_close((uv_handle_t *)prepare, NULL);
}

/* Nothing else happens on the loop: a write that didn't wake it would wait for the alarm. */
static void test_write_from_prepare_wakes_the_loop(void **state)
{
    struct fixture *f = *state;
    struct job *job = make_job(f, 1, PLAIN);
    bool done = false;
    struct store_write write = {
        .kind = STORE_INSERT, .jobs = &job, .count = 1, .done = on_write_done, .context = &done};
    struct from_prepare data = {f->store, &write};
    uv_prepare_t prepare;
    uv_prepare_init(&f->loop, &prepare);
    prepare.data = &data;
    uv_prepare_start(&prepare, on_prepare);
    fixture_run_until(f, &done);
    assert_int_equal(write.status, 0);
    job_free(job);
}

static void test_close_finishes_what_waits(void **state)
{
    struct fixture *f = *state;
    struct job *job = make_job(f, 1, PLAIN);
    bool written = false, was_read = false;
    struct store_write write = {
        .kind = STORE_INSERT, .jobs = &job, .count = 1, .done = on_write_done, .context = &written};
    struct store_read read = {
        .kind = STORE_LIST, .filter = {.owner = -1}, .done = on_read_done, .context = &was_read};
    store_write(f->store, &write);
    store_read(f->store, &read);
    fixture_reopen(f);
    assert_true(written && was_read);
    store_read_free(&read);
    assert_int_equal(write.status, 0);
    assert_true(has_job(f, job->id));
    job_free(job);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_writes_of_a_turn_share_a_commit),
        TEST(test_writes_from_completions),
        TEST(test_write_from_prepare_wakes_the_loop),
        TEST(test_close_finishes_what_waits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
