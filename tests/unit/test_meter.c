/* What is counted of a job's changes, and of answers. */
#include "tests/unit/job_fixture.h"

#include "daemon/engine/meter.h"
#include "daemon/io/http.h"

static size_t code(const char *name)
{
    size_t index = 0;
    while (meter_code(index) && strcmp(meter_code(index), name) != 0)
        index++;
    assert_non_null(meter_code(index));
    return index;
}

/* Takes the event, and has it counted. */
static void step(struct meter *meter, struct job *job, const struct job_event *event)
{
    struct job *before = job_copy(job);
    assert_int_equal(job_step(job, event, &policy, NULL), 0);
    meter_changed(meter, before, job, 0);
    job_free(before);
}

static void test_a_life(void **state)
{
    struct meter *meter = meter_new(1);
    struct job *job = new_job("{\"prompt\":\"a dog\"}");
    char *uris[] = {(char *)(uintptr_t) "https://x/y"};
    const struct job_file file = {.path = (char *)(uintptr_t) "/v/x.mp4", .bytes = 7};
    (void)state;
    step(meter, job, &(struct job_event){.type = JOB_SUBMIT, .now = T0 + 3000, .provider = "veo"});
    step(meter, job,
         &(struct job_event){.type = JOB_ACCEPTED, .now = T0 + 4000, .operation = OPERATION});
    step(meter, job,
         &(struct job_event){
             .type = JOB_RESULT, .now = T0 + 64000, .uris = uris, .uri_count = 1, .charge = 5});
    step(meter, job,
         &(struct job_event){
             .type = JOB_FETCHED, .now = T0 + 66000, .files = &file, .file_count = 1});
    const enum job_state path[] = {JOB_SUBMITTING, JOB_RUNNING, JOB_FETCHING, JOB_DONE};
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(meter->became[path[i]], 1);
    assert_int_equal(meter->became[JOB_QUEUED] + meter->became[JOB_FAILED], 0);
    assert_int_equal(meter->queue_ms.sum, 3000);
    assert_int_equal(meter->providers[0].generation_ms.sum, 60000);
    assert_int_equal(meter->fetch_ms.sum, 2000);
    assert_int_equal(meter->done_ms.sum, 66000);
    assert_int_equal(meter->providers[0].charged, 5);
    assert_int_equal(meter->providers[0].credited, 0);
    job_free(job);
    meter_free(meter);
}

/* The wait that was asked for is none of the queue's. */
static void test_a_wait_that_was_asked_for(void **state)
{
    struct meter *meter = meter_new(1);
    struct job *job = new_job("{\"prompt\":\"a dog\"}");
    (void)state;
    job->not_before = T0 + 10000;
    step(meter, job, &(struct job_event){.type = JOB_SUBMIT, .now = T0 + 11000, .provider = "veo"});
    assert_int_equal(meter->queue_ms.sum, 1000);
    job_free(job);
    meter_free(meter);
}

static void test_errors_have_their_codes(void **state)
{
    static const char *const known = "no-answer", *const foreign = "xyzzy-4711";
    struct meter *meter = meter_new(1);
    (void)state;
    for (int i = 0; i < 3; i++) {
        struct job *job = job_in(JOB_SUBMITTING);
        const char *said = i == 0 ? known : i == 1 ? foreign : NULL;
        step(meter, job,
             &(struct job_event){.type = JOB_UNHEARD,
                                 .now = T0 + 2000,
                                 .error = {.code = (char *)(uintptr_t)said}});
        job_free(job);
    }
    struct job *job = job_in(JOB_SUBMITTING);
    step(meter, job,
         &(struct job_event){.type = JOB_REJECTED,
                             .now = T0 + 2000,
                             .error = {.code = (char *)(uintptr_t) "invalid-argument"}});
    job_free(job);
    assert_int_equal(meter->uncertain[code("no-answer")], 1);
    assert_int_equal(meter->uncertain[code("other")], 2);
    assert_int_equal(meter->failed[code("invalid-argument")], 1);
    assert_int_equal(meter->became[JOB_UNCERTAIN], 3);
    assert_int_equal(meter->became[JOB_FAILED], 1);
    assert_null(meter_code(code("other") + 1));
    meter_free(meter);
}

/* What was charged and is not after all counts upward too. */
static void test_money_goes_both_ways(void **state)
{
    struct meter *meter = meter_new(2);
    struct job *charged = job_in(JOB_DONE), *uncharged = job_copy(charged);
    (void)state;
    charged->charged = 30;
    meter_changed(meter, uncharged, charged, 1);
    meter_changed(meter, charged, uncharged, 1);
    meter_changed(meter, uncharged, charged, SIZE_MAX);
    assert_int_equal(meter->providers[1].charged, 30);
    assert_int_equal(meter->providers[1].credited, 30);
    assert_int_equal(meter->providers[2].charged, 30);
    assert_int_equal(meter->became[JOB_DONE], 0);
    job_free(uncharged);
    job_free(charged);
    meter_free(meter);
}

static void test_answers(void **state)
{
    static const struct {
        enum http_end end;
        int status;
        enum http_class class;
    } rows[] = {
        {HTTP_ANSWERED, 200, HTTP_CLASS_2XX},      {HTTP_STOPPED, 206, HTTP_CLASS_2XX},
        {HTTP_TOO_LARGE, 299, HTTP_CLASS_2XX},     {HTTP_ANSWERED, 302, HTTP_CLASS_3XX},
        {HTTP_ANSWERED, 404, HTTP_CLASS_4XX},      {HTTP_ANSWERED, 428, HTTP_CLASS_4XX},
        {HTTP_ANSWERED, 429, HTTP_CLASS_429},      {HTTP_ANSWERED, 503, HTTP_CLASS_5XX},
        {HTTP_NOT_SENT, 0, HTTP_CLASS_UNSENT},     {HTTP_NO_ANSWER, 0, HTTP_CLASS_UNHEARD},
        {HTTP_NO_ANSWER, 200, HTTP_CLASS_UNHEARD}, {HTTP_ANSWERED, 999, HTTP_CLASS_UNHEARD},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const struct http_reply reply = {.end = rows[i].end, .status = rows[i].status};
        bool is_answer = rows[i].class < HTTP_CLASS_UNSENT;
        struct http_tally tally;
        http_tally_init(&tally);
        http_tally_add(&tally, &reply, 12);
        assert_int_equal(tally.answers[rows[i].class], 1);
        assert_int_equal(tally.ms.sum, is_answer ? 12 : 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_life),
        cmocka_unit_test(test_a_wait_that_was_asked_for),
        cmocka_unit_test(test_errors_have_their_codes),
        cmocka_unit_test(test_money_goes_both_ways),
        cmocka_unit_test(test_answers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
