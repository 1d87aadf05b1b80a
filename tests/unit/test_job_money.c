/* What a job's life costs: which step books what, and what is kept in reserve. */
#include "tests/unit/job_fixture.h"

#define PRICE 3200000

static const struct job_policy resubmits = {
    .max_attempts = 3, .connect_for_ms = 1000, .resubmit_uncertain = true};

static struct job *priced_job(void)
{
    struct job *job = new_job("{\"prompt\":\"a dog\"}");
    job->estimate = PRICE;
    return job;
}

static int64_t clock_ms;

/* Steps one event on, a second later. */
static void step(struct job *job, struct job_event event, const struct job_policy *with)
{
    struct error error = {0};
    event.now = clock_ms += 1000;
    if (!event.error.code)
        event.error = (struct job_error){.code = "c", .message = "m"};
    if (job_step(job, &event, with, &error) < 0)
        fail_msg("%s", error.message);
}

static void go(struct job *job, enum job_event_type type)
{
    step(job, (struct job_event){.type = type, .provider = "veo", .operation = OPERATION}, &policy);
}

static void get_result(struct job *job, int64_t charge)
{
    static char *const uris[] = {"https://x/1"};
    step(job,
         (struct job_event){.type = JOB_RESULT, .uris = uris, .uri_count = 1, .charge = charge},
         &policy);
}

static void fail_with(struct job *job, const char *code)
{
    step(job,
         (struct job_event){.type = JOB_OPERATION_FAILED,
                            .error = {.code = (char *)(uintptr_t)code, .message = "m"}},
         &policy);
}

/* All attempts' charges, the current one's, and what is kept in reserve. */
static void assert_money(const struct job *job, int64_t charged, int64_t attempt, bool presumed,
                         int64_t reserved)
{
    assert_int_equal(job->charged, charged);
    assert_int_equal(job->attempt_charge, attempt);
    assert_int_equal(job->presumed, presumed);
    assert_int_equal(job_reserved(job), reserved);
}

static struct job *running_job(void)
{
    struct job *job = priced_job();
    assert_money(job, 0, 0, false, PRICE);
    go(job, JOB_SUBMIT);
    assert_money(job, 0, 0, false, PRICE);
    go(job, JOB_ACCEPTED);
    assert_money(job, 0, 0, false, PRICE);
    return job;
}

static void test_a_result_is_charged(void **state)
{
    (void)state;
    struct job *job = running_job();
    get_result(job, 1230000);
    assert_int_equal(job->state, JOB_FETCHING);
    assert_money(job, 1230000, 1230000, false, 0);
    assert_int_equal(job->charged_at, clock_ms);
    go(job, JOB_FETCHED);
    assert_money(job, 1230000, 1230000, false, 0);
    job_free(job);
}

static void test_the_estimate_stands_in(void **state)
{
    (void)state;
    struct job *job = running_job();
    get_result(job, -1);
    assert_money(job, PRICE, PRICE, false, 0);
    go(job, JOB_FETCH_FAILED);
    assert_money(job, PRICE, PRICE, false, 0); /* the video was made all the same */
    job_free(job);
}

static void test_what_comes_to_nothing_costs_nothing(void **state)
{
    (void)state;
    struct job *filtered = running_job(), *failed = running_job(), *rejected = priced_job();
    go(filtered, JOB_FILTERED_OUT);
    assert_money(filtered, 0, 0, false, 0);
    fail_with(failed, "internal");
    assert_money(failed, 0, 0, false, 0);
    go(rejected, JOB_SUBMIT);
    go(rejected, JOB_REFUSED);
    assert_money(rejected, 0, 0, false, PRICE);
    go(rejected, JOB_SUBMIT);
    go(rejected, JOB_NO_CREDIT);
    assert_int_equal(rejected->state, JOB_HELD);
    assert_money(rejected, 0, 0, false, 0);
    go(rejected, JOB_RELEASE);
    go(rejected, JOB_SUBMIT);
    go(rejected, JOB_REJECTED);
    assert_money(rejected, 0, 0, false, 0);
    job_free(filtered);
    job_free(failed);
    job_free(rejected);
}

static void test_cancelled_while_running_is_presumed(void **state)
{
    (void)state;
    struct job *job = running_job();
    go(job, JOB_CANCEL);
    assert_money(job, PRICE, PRICE, true, 0);
    go(job, JOB_RETRY); /* another one, and that one's charge stays */
    assert_money(job, PRICE, PRICE, true, PRICE);
    go(job, JOB_SUBMIT);
    assert_int_equal(job->attempt, 2);
    assert_money(job, PRICE, 0, false, PRICE);
    go(job, JOB_ACCEPTED);
    get_result(job, 1000000);
    assert_money(job, PRICE + 1000000, 1000000, false, 0);
    go(job, JOB_CANCEL); /* the download; the charge stays */
    assert_money(job, PRICE + 1000000, 1000000, false, 0);
    job_free(job);
}

static void cancel_submission(struct job *job, bool sent)
{
    go(job, JOB_SUBMIT);
    step(job, (struct job_event){.type = JOB_CANCEL, .counts = sent}, &policy);
    assert_int_equal(job->state, JOB_CANCELLED);
}

static void test_cancelled_before_it_was_sent(void **state)
{
    (void)state;
    struct job *job = priced_job();
    cancel_submission(job, false);
    assert_money(job, 0, 0, false, 0);
    job_free(job);
}

/* Cancelled between request and answer: the answer settles it. */
static void test_cancelled_between_request_and_answer(void **state)
{
    static const struct {
        enum job_event_type answer;
        int64_t charge;
        bool presumed;
    } answers[] = {
        {JOB_REFUSED, 0, false},     {JOB_UNREACHABLE, 0, false},  {JOB_REJECTED, 0, false},
        {JOB_NO_CREDIT, 0, false},   {JOB_FILTERED_OUT, 0, false}, {JOB_OPERATION_FAILED, 0, false},
        {JOB_ACCEPTED, PRICE, true},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
        struct job *job = priced_job();
        cancel_submission(job, true);
        assert_money(job, PRICE, PRICE, true, 0);
        go(job, answers[i].answer);
        assert_int_equal(job->state, JOB_CANCELLED);
        assert_money(job, answers[i].charge, answers[i].charge, answers[i].presumed, 0);
        job_free(job);
    }
    struct job *job = priced_job();
    cancel_submission(job, true);
    get_result(job, 500000);
    assert_money(job, 500000, 500000, false, 0);
    go(job, JOB_RETRY); /* its number isn't used again, nor its charge overwritten */
    go(job, JOB_SUBMIT);
    assert_int_equal(job->attempt, 2);
    assert_money(job, 500000, 0, false, PRICE);
    job_free(job);
}

/* It left while the cancellation was being made durable. */
static void test_sent_although_cancelled(void **state)
{
    (void)state;
    struct job *accepted = priced_job(), *unheard = priced_job();
    cancel_submission(accepted, false);
    go(accepted, JOB_ACCEPTED);
    assert_money(accepted, PRICE, PRICE, true, 0);
    cancel_submission(unheard, false);
    go(unheard, JOB_UNHEARD);
    assert_money(unheard, PRICE, PRICE, true, 0);
    go(unheard, JOB_RETRY);
    go(unheard, JOB_SUBMIT);
    assert_int_equal(unheard->attempt, 2);
    job_free(accepted);
    job_free(unheard);
}

static void test_an_expired_one_is_presumed_until_it_is_known(void **state)
{
    (void)state;
    struct job *made = running_job(), *filtered = running_job(), *gone = running_job();
    go(made, JOB_DEADLINE);
    assert_int_equal(made->state, JOB_EXPIRED);
    assert_money(made, PRICE, PRICE, true, 0);
    int64_t booked_at = made->charged_at;
    go(made, JOB_RETRY);
    assert_int_equal(made->state, JOB_RUNNING);
    assert_money(made, PRICE, PRICE, true, 0); /* nothing more to reserve */
    get_result(made, 2000000);
    assert_money(made, 2000000, 2000000, false, 0);
    assert_int_equal(made->charged_at, booked_at); /* on the day when it was booked */
    go(filtered, JOB_DEADLINE);
    go(filtered, JOB_RETRY);
    go(filtered, JOB_FILTERED_OUT);
    assert_money(filtered, 0, 0, false, 0);
    go(gone, JOB_DEADLINE);
    go(gone, JOB_RETRY);
    fail_with(gone, "not-found"); /* that says nothing of its end */
    assert_money(gone, PRICE, PRICE, true, 0);
    job_free(made);
    job_free(filtered);
    job_free(gone);
}

static void test_expired_in_the_queue_costs_nothing(void **state)
{
    (void)state;
    struct job *job = priced_job();
    go(job, JOB_DEADLINE);
    assert_money(job, 0, 0, false, 0);
    job_free(job);
}

static struct job *uncertain_job(void)
{
    struct job *job = priced_job();
    go(job, JOB_SUBMIT);
    go(job, JOB_UNHEARD);
    assert_int_equal(job->state, JOB_UNCERTAIN);
    assert_money(job, 0, 0, false, PRICE); /* stays reserved */
    return job;
}

static void test_uncertain_until_somebody_decides(void **state)
{
    (void)state;
    struct job *cancelled = uncertain_job(), *retried = uncertain_job(),
               *forgotten = uncertain_job();
    go(cancelled, JOB_CANCEL);
    assert_money(cancelled, PRICE, PRICE, true, 0);
    go(retried, JOB_RETRY);
    assert_money(retried, PRICE, PRICE, true, PRICE); /* the lost one, and one more */
    go(retried, JOB_SUBMIT);
    assert_money(retried, PRICE, 0, false, PRICE);
    job_give_up(forgotten, clock_ms);
    assert_int_equal(forgotten->state, JOB_UNCERTAIN);
    assert_money(forgotten, PRICE, PRICE, true, 0);
    job_give_up(retried, clock_ms); /* only of uncertain ones */
    assert_money(retried, PRICE, 0, false, PRICE);
    job_free(cancelled);
    job_free(retried);
    job_free(forgotten);
}

static void test_submitted_again_by_itself(void **state)
{
    (void)state;
    struct job *job = priced_job();
    go(job, JOB_SUBMIT);
    step(job, (struct job_event){.type = JOB_UNHEARD}, &resubmits);
    assert_int_equal(job->state, JOB_QUEUED);
    assert_money(job, PRICE, PRICE, true, PRICE);
    go(job, JOB_SUBMIT);
    step(job, (struct job_event){.type = JOB_UNHEARD}, &resubmits);
    assert_money(job, 2 * PRICE, PRICE, true, PRICE);
    go(job, JOB_SUBMIT);
    step(job, (struct job_event){.type = JOB_UNHEARD}, &resubmits);
    assert_int_equal(job->state, JOB_FAILED);
    assert_money(job, 3 * PRICE, PRICE, true, 0);
    job_free(job);
}

/* A result that couldn't be fetched is paid for, whatever is said of it later. */
static void test_what_was_made_stays_charged(void **state)
{
    (void)state;
    struct job *job = running_job();
    get_result(job, 700000);
    go(job, JOB_FETCH_FAILED);
    go(job, JOB_RETRY);
    assert_int_equal(job->state, JOB_RUNNING);
    fail_with(job, "internal");
    assert_money(job, 700000, 700000, false, 0);
    job_free(job);
}

static void test_without_a_price(void **state)
{
    (void)state;
    struct job *job = new_job("{\"prompt\":\"a dog\"}");
    go(job, JOB_SUBMIT);
    go(job, JOB_ACCEPTED);
    go(job, JOB_CANCEL);
    assert_money(job, 0, 0, false, 0);
    assert_int_equal(job->charged_at, 0);
    job_free(job);
}

static void test_how_it_is_shown(void **state)
{
    (void)state;
    struct job *job = running_job();
    char *text = dump(job);
    assert_non_null(strstr(text, "\"cost\":{\"estimate_usd\":3.2},"));
    free(text);
    go(job, JOB_CANCEL);
    text = dump(job);
    assert_non_null(
        strstr(text, "\"cost\":{\"estimate_usd\":3.2,\"charged_usd\":3.2,\"presumed\":true},"));
    free(text);
    job_free(job);
    job = running_job();
    go(job, JOB_FILTERED_OUT);
    text = dump(job);
    assert_non_null(strstr(text, "\"cost\":{\"estimate_usd\":3.2,\"charged_usd\":0},"));
    free(text);
    job_free(job);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_result_is_charged),
        cmocka_unit_test(test_the_estimate_stands_in),
        cmocka_unit_test(test_what_comes_to_nothing_costs_nothing),
        cmocka_unit_test(test_cancelled_while_running_is_presumed),
        cmocka_unit_test(test_cancelled_before_it_was_sent),
        cmocka_unit_test(test_cancelled_between_request_and_answer),
        cmocka_unit_test(test_sent_although_cancelled),
        cmocka_unit_test(test_an_expired_one_is_presumed_until_it_is_known),
        cmocka_unit_test(test_expired_in_the_queue_costs_nothing),
        cmocka_unit_test(test_uncertain_until_somebody_decides),
        cmocka_unit_test(test_submitted_again_by_itself),
        cmocka_unit_test(test_what_was_made_stays_charged),
        cmocka_unit_test(test_without_a_price),
        cmocka_unit_test(test_how_it_is_shown),
    };
    clock_ms = T0;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
