/* What each event means: section by section what the design says of the life of a job. */
#include "tests/unit/job_fixture.h"

#define NOW (T0 + 5000)

static const struct job_error trouble = {"code", "message", false, "veo"};
static const struct job_error passing = {"code", "message", true, "veo"};

static struct job *step(struct job *job, enum job_event_type type, struct job_event event)
{
    struct error error = {0};
    event.type = type;
    if (event.now == 0)
        event.now = NOW;
    if (job_step(job, &event, &policy, &error) < 0)
        fail_msg("%s", error.message);
    return job;
}

#define STEP(job, type, ...) step(job, JOB_##type, (struct job_event){__VA_ARGS__})

static void assert_error(const struct job *job, const char *code)
{
    if (!code)
        assert_null(job->error.code);
    else
        assert_string_equal(job->error.code, code);
}

static void test_from_acceptance_to_done(void **state)
{
    (void)state;
    char *uris[] = {"https://h/v"};
    const struct job_file file = {"/v/x.mp4", 12, "ab", "video/mp4", 0};
    struct job *job = new_job("{\"prompt\":\"p\"}");
    STEP(job, SUBMIT, .provider = "veo", .now = T0 + 10);
    assert_string_equal(job->provider, "veo");
    assert_int_equal(job->attempt, 1);
    assert_int_equal(job->attempts_counted, 0);
    assert_int_equal(job->submitted_at, T0 + 10);
    STEP(job, ACCEPTED, .operation = OPERATION, .now = T0 + 20);
    assert_string_equal(job->operation, OPERATION);
    assert_int_equal(job->attempts_counted, 1);
    assert_int_equal(job->running_at, T0 + 20);
    STEP(job, RESULT, .uris = uris, .uri_count = 1, .now = T0 + 30);
    assert_int_equal(job->noticed_at, T0 + 30);
    assert_string_equal(job->uris[0], "https://h/v");
    assert_int_equal(job->ended_at, 0);
    STEP(job, FETCHED, .files = &file, .file_count = 1, .now = T0 + 40);
    assert_int_equal(job->state, JOB_DONE);
    assert_int_equal(job->ended_at, T0 + 40);
    assert_string_equal(job->files[0].path, "/v/x.mp4");
    assert_ptr_not_equal(job->files[0].path, file.path);
    assert_string_equal(job->operation, OPERATION);
    job_free(job);
}

static void test_a_submission_forgets_the_last_attempt(void **state)
{
    (void)state;
    char *uris[] = {"https://h/v"};
    struct job *job = job_in(JOB_RUNNING);
    STEP(job, RESULT, .uris = uris, .uri_count = 1);
    STEP(job, FETCH_FAILED, .error = trouble);
    job->state = JOB_QUEUED;
    STEP(job, SUBMIT, .provider = "other");
    assert_null(job->operation);
    assert_int_equal(job->uri_count, 0);
    assert_error(job, NULL);
    assert_int_equal(job->running_at, 0);
    assert_int_equal(job->noticed_at, 0);
    assert_string_equal(job->provider, "other");
    assert_int_equal(job->attempt, 2);
    job_free(job);
}

/* A provider that calls failures completed: what proves to be no video costs nothing. */
static void test_what_was_never_made_is_not_charged(void **state)
{
    (void)state;
    char *uris[] = {"https://h/v"};
    for (int unmade = 0; unmade < 2; unmade++) {
        struct job *job = job_in(JOB_RUNNING);
        STEP(job, RESULT, .uris = uris, .uri_count = 1, .charge = 400000);
        assert_int_equal(job->charged, 400000);
        STEP(job, FETCH_FAILED, .error = trouble, .unmade = unmade);
        assert_int_equal(job->state, JOB_FAILED);
        assert_int_equal(job->charged, unmade ? 0 : 400000);
        job_free(job);
    }
}

/* 429, 503: turned away at a gate. However often, it doesn't count. */
static void test_a_refusal_at_the_gate_does_not_count(void **state)
{
    (void)state;
    struct job *job = new_job("{\"prompt\":\"p\"}");
    for (int i = 1; i <= 20; i++) {
        STEP(job, SUBMIT, .provider = "veo");
        STEP(job, REFUSED, .error = passing, .delay_ms = 700);
        assert_int_equal(job->state, JOB_QUEUED);
        assert_int_equal(job->attempt, 1);
        assert_int_equal(job->attempts_counted, 0);
        assert_int_equal(job->not_before, NOW + 700);
        assert_int_equal(job->backoffs, i);
        assert_error(job, "code"); /* why it waits */
    }
    STEP(job, SUBMIT, .provider = "veo");
    STEP(job, ACCEPTED, .operation = OPERATION);
    assert_int_equal(job->backoffs, 0);
    job_free(job);
}

/* 500 with the provider's own error: not charged, but tried only so often. */
static void test_a_counted_refusal_ends_at_max_attempts(void **state)
{
    (void)state;
    struct job *job = new_job("{\"prompt\":\"p\"}");
    for (int i = 1; i <= policy.max_attempts; i++) {
        assert_int_equal(job->state, JOB_QUEUED);
        STEP(job, SUBMIT, .provider = "veo");
        assert_int_equal(job->attempt, i);
        STEP(job, REFUSED, .error = passing, .counts = true, .delay_ms = 5);
        assert_int_equal(job->attempts_counted, i);
    }
    assert_int_equal(job->state, JOB_FAILED);
    assert_int_equal(job->ended_at, NOW);
    assert_error(job, "code");
    job_free(job);
}

static void test_the_request_may_say_max_attempts(void **state)
{
    (void)state;
    struct job *job = new_job("{\"prompt\":\"p\",\"max_attempts\":1}");
    STEP(job, SUBMIT, .provider = "veo");
    STEP(job, REFUSED, .error = passing, .counts = true);
    assert_int_equal(job->state, JOB_FAILED);
    job_free(job);
}

static void test_an_unreachable_provider_has_a_bound_of_its_own(void **state)
{
    (void)state;
    struct job *job = new_job("{\"prompt\":\"p\"}");
    for (int64_t at = 0; at < policy.connect_for_ms; at += 2000) {
        STEP(job, SUBMIT, .provider = "veo", .now = NOW + at);
        STEP(job, UNREACHABLE, .error = passing, .delay_ms = 9, .now = NOW + at);
        assert_int_equal(job->state, JOB_QUEUED);
        assert_int_equal(job->unreachable_at, NOW);
        assert_error(job, "code");
        assert_int_equal(job->not_before, NOW + at + 9);
    }
    assert_int_equal(job->attempts_counted, 0);
    STEP(job, SUBMIT, .provider = "veo");
    STEP(job, UNREACHABLE, .error = passing, .now = NOW + policy.connect_for_ms);
    assert_int_equal(job->state, JOB_FAILED);
    assert_int_equal(job->attempts_counted, 0);
    job_free(job);
}

static struct job *unreachable_job(void)
{
    struct job *job = new_job("{\"prompt\":\"p\"}");
    STEP(job, SUBMIT, .provider = "veo");
    STEP(job, UNREACHABLE, .error = passing);
    return job;
}

static void assert_reachable_anew(struct job *job)
{
    int64_t later = NOW + 10 * policy.connect_for_ms;
    assert_int_equal(job->state, JOB_QUEUED);
    STEP(job, SUBMIT, .provider = "veo", .now = later);
    STEP(job, UNREACHABLE, .error = passing, .now = later);
    assert_int_equal(job->state, JOB_QUEUED);
    job_free(job);
}

static void test_any_answer_ends_unreachability(void **state)
{
    (void)state;
    struct job *job = STEP(unreachable_job(), SUBMIT, .provider = "veo");
    assert_reachable_anew(STEP(job, REFUSED, .error = passing));
    job = STEP(unreachable_job(), SUBMIT, .provider = "veo");
    assert_reachable_anew(STEP(job, OPERATION_FAILED, .error = passing));
    job = STEP(unreachable_job(), SUBMIT, .provider = "veo");
    STEP(job, ACCEPTED, .operation = OPERATION);
    assert_int_equal(job->unreachable_at, 0);
    assert_reachable_anew(STEP(job, OPERATION_FAILED, .error = passing));
    job = STEP(unreachable_job(), SUBMIT, .provider = "veo");
    STEP(job, NO_CREDIT, .error = trouble);
    assert_int_equal(job->unreachable_at, 0);
    assert_reachable_anew(STEP(job, RELEASE));
    job = STEP(unreachable_job(), SUBMIT, .provider = "veo");
    STEP(job, UNHEARD, .error = trouble);
    assert_int_equal(job->unreachable_at, 0);
    assert_reachable_anew(STEP(job, RETRY));
    job = unreachable_job();
    STEP(job, CANCEL);
    assert_reachable_anew(STEP(job, RETRY));
}

static void test_time_on_hold_is_not_time_unreachable(void **state)
{
    (void)state;
    struct job *job = unreachable_job();
    STEP(job, HOLD, .error = trouble);
    assert_reachable_anew(STEP(job, RELEASE));
}

static void test_a_rejection_is_final_and_counts(void **state)
{
    (void)state;
    struct job *job = STEP(job_in(JOB_SUBMITTING), REJECTED, .error = trouble);
    assert_int_equal(job->state, JOB_FAILED);
    assert_int_equal(job->attempts_counted, 1);
    assert_error(job, "code");
    job_free(job);
}

static void test_402_holds_and_does_not_count(void **state)
{
    (void)state;
    struct job *job = STEP(job_in(JOB_SUBMITTING), NO_CREDIT, .error = trouble);
    assert_int_equal(job->state, JOB_HELD);
    assert_int_equal(job->attempts_counted, 0);
    assert_int_equal(job->ended_at, 0);
    assert_error(job, "code");
    STEP(job, RELEASE, .now = NOW + DEADLINE);
    assert_int_equal(job->state, JOB_QUEUED);
    assert_int_equal(job->deadline_at, NOW + 2 * DEADLINE);
    assert_error(job, NULL);
    job_free(job);
}

static void test_an_unheard_submission_is_uncertain(void **state)
{
    (void)state;
    struct job *job = STEP(job_in(JOB_SUBMITTING), UNHEARD, .error = trouble, .delay_ms = 9);
    assert_int_equal(job->state, JOB_UNCERTAIN);
    assert_int_equal(job->attempts_counted, 1); /* it may be charged */
    assert_int_equal(job->ended_at, 0);
    assert_error(job, "code");
    job_free(job);
}

static void test_on_uncertain_retry_submits_again_within_bounds(void **state)
{
    (void)state;
    struct job_policy bold = policy;
    struct job_event unheard = {.type = JOB_UNHEARD, .now = NOW, .error = trouble, .delay_ms = 9};
    bold.resubmit_uncertain = true;
    struct job *job = new_job("{\"prompt\":\"p\"}");
    for (int i = 1; i <= bold.max_attempts; i++) {
        assert_int_equal(job->state, JOB_QUEUED);
        STEP(job, SUBMIT, .provider = "veo");
        assert_int_equal(job_step(job, &unheard, &bold, NULL), 0);
        assert_int_equal(job->attempts_counted, i);
    }
    assert_int_equal(job->state, JOB_FAILED);
    job_free(job);
}

static void test_a_result_in_the_submissions_answer(void **state)
{
    (void)state;
    char *uris[] = {"https://h/1", "https://h/2"};
    struct job *job = job_in(JOB_SUBMITTING);
    STEP(job, RESULT, .operation = OPERATION, .uris = uris, .uri_count = 2);
    assert_string_equal(job->operation, OPERATION);
    assert_int_equal(job->attempts_counted, 1);
    assert_int_equal(job->running_at, job->submitted_at);
    assert_int_equal(job->uri_count, 2);
    job_free(job);
}

static void test_a_result_found_again_while_fetching(void **state)
{
    (void)state;
    char *old[] = {"https://h/old"}, *new[] = {"https://h/new"};
    struct job *job = STEP(job_in(JOB_RUNNING), RESULT, .uris = old, .uri_count = 1);
    STEP(job, RESULT, .uris = new, .uri_count = 1);
    assert_int_equal(job->state, JOB_FETCHING);
    assert_int_equal(job->uri_count, 1);
    assert_string_equal(job->uris[0], "https://h/new");
    STEP(job, RESULT, .inline_result = true);
    assert_int_equal(job->uri_count, 0);
    assert_true(job->inline_result);
    job_free(job);
}

static void test_the_safety_filter_ends_the_job(void **state)
{
    (void)state;
    struct job *job = STEP(job_in(JOB_SUBMITTING), FILTERED_OUT, .error = passing);
    assert_int_equal(job->state, JOB_FILTERED);
    assert_int_equal(job->attempts_counted, 1);
    assert_int_equal(job->noticed_at, NOW);
    assert_error(job, "code");
    job_free(job);
}

static void test_a_transient_end_is_tried_again(void **state)
{
    (void)state;
    struct job *job = new_job("{\"prompt\":\"p\"}");
    for (int i = 1; i <= policy.max_attempts; i++) {
        assert_int_equal(job->state, JOB_QUEUED);
        STEP(job, SUBMIT, .provider = "veo");
        STEP(job, ACCEPTED, .operation = OPERATION);
        STEP(job, OPERATION_FAILED, .error = passing, .delay_ms = 9);
        assert_int_equal(job->noticed_at, NOW);
        assert_error(job, "code");
    }
    assert_int_equal(job->state, JOB_FAILED);
    assert_int_equal(job->attempts_counted, policy.max_attempts);
    job_free(job);
}

static void test_a_lasting_end_is_not(void **state)
{
    (void)state;
    struct job *job = STEP(job_in(JOB_RUNNING), OPERATION_FAILED, .error = trouble);
    assert_int_equal(job->state, JOB_FAILED);
    job_free(job);
    job = STEP(job_in(JOB_SUBMITTING), OPERATION_FAILED, .error = trouble);
    assert_int_equal(job->state, JOB_FAILED);
    assert_int_equal(job->attempts_counted, 1); /* the next attempt has another number */
    job_free(job);
}

static void test_cancelled_while_submitting_learns_its_operation(void **state)
{
    (void)state;
    struct job *job = STEP(job_in(JOB_SUBMITTING), CANCEL, .now = NOW);
    assert_int_equal(job->state, JOB_CANCELLED);
    assert_int_equal(job->ended_at, NOW);
    STEP(job, ACCEPTED, .operation = OPERATION, .now = NOW + 50);
    assert_int_equal(job->state, JOB_CANCELLED);
    assert_string_equal(job->operation, OPERATION);
    assert_int_equal(job->attempts_counted, 1);
    assert_int_equal(job->ended_at, NOW); /* it ended when it was cancelled */
    job_free(job);
}

static void test_cancelling_replaces_the_error(void **state)
{
    (void)state;
    struct job *job = STEP(job_in(JOB_SUBMITTING), UNHEARD, .error = trouble);
    STEP(job, CANCEL, .error = {.code = "cancelled", .message = "by its owner"});
    assert_error(job, "cancelled");
    assert_null(job->error.provider);
    job_free(job);
}

static void assert_fresh_start(struct job *job, enum job_state expected)
{
    int counted = job->attempts_counted;
    STEP(job, RETRY, .now = NOW + 77);
    assert_int_equal(job->state, expected);
    assert_int_equal(job->deadline_at, NOW + 77 + DEADLINE);
    assert_int_equal(job->attempts_counted, counted);
    assert_int_equal(job->attempts_allowed, counted + policy.max_attempts);
    assert_int_equal(job->ended_at, 0);
    assert_int_equal(job->noticed_at, 0);
    assert_int_equal(job->not_before, 0);
    assert_int_equal(job->backoffs, 0);
    assert_int_equal(job->uri_count, 0);
    assert_false(job->inline_result);
    assert_error(job, NULL);
    if (expected == JOB_QUEUED)
        assert_null(job->operation);
    else
        assert_string_equal(job->operation, OPERATION);
    job_free(job);
}

static void test_retry_of_a_new_attempt(void **state)
{
    (void)state;
    assert_fresh_start(STEP(job_in(JOB_RUNNING), OPERATION_FAILED, .error = trouble), JOB_QUEUED);
    assert_fresh_start(STEP(job_in(JOB_RUNNING), FILTERED_OUT, .error = trouble), JOB_QUEUED);
    assert_fresh_start(STEP(job_in(JOB_RUNNING), CANCEL), JOB_QUEUED);
    assert_fresh_start(STEP(job_in(JOB_QUEUED), DEADLINE, .error = trouble), JOB_QUEUED);
    assert_fresh_start(STEP(job_in(JOB_SUBMITTING), UNHEARD, .error = trouble), JOB_QUEUED);
}

static void test_retry_of_an_operation_that_may_go_on(void **state)
{
    (void)state;
    assert_fresh_start(STEP(job_in(JOB_RUNNING), DEADLINE, .error = trouble), JOB_RUNNING);

    struct job *job = STEP(job_in(JOB_SUBMITTING), UNHEARD, .error = trouble);
    job->operation = mem_strdup(OPERATION); /* known after all */
    int64_t sent = job->submitted_at;
    STEP(job, RETRY);
    assert_int_equal(job->running_at, sent);
    job->state = JOB_EXPIRED;
    assert_fresh_start(job, JOB_RUNNING);
}

static void test_retry_of_a_failed_download_asks_the_operation(void **state)
{
    (void)state;
    char *uris[] = {"https://h/v"};
    struct job *job = STEP(job_in(JOB_RUNNING), RESULT, .uris = uris, .uri_count = 1);
    STEP(job, FETCH_FAILED, .error = trouble);
    assert_error(job, "code");
    assert_fresh_start(job, JOB_RUNNING);
    job = STEP(job_in(JOB_RUNNING), RESULT, .inline_result = true);
    assert_fresh_start(STEP(job, FETCH_FAILED, .error = trouble), JOB_RUNNING);
    job = STEP(job_in(JOB_SUBMITTING), RESULT, .uris = uris, .uri_count = 1); /* has no name */
    assert_fresh_start(STEP(job, FETCH_FAILED, .error = trouble), JOB_QUEUED);
}

/* An operation that is known to have ended is not followed again. */
static void test_retry_of_one_that_expired_between_attempts(void **state)
{
    (void)state;
    struct job *job = STEP(job_in(JOB_RUNNING), OPERATION_FAILED, .error = passing);
    assert_int_equal(job->state, JOB_QUEUED);
    assert_fresh_start(STEP(job, DEADLINE, .error = trouble), JOB_QUEUED);
    job = STEP(job_in(JOB_RUNNING), CANCEL);
    STEP(job, RETRY);
    assert_fresh_start(STEP(job, DEADLINE, .error = trouble), JOB_QUEUED);
}

/* What was wrong on the way is no part of a good end. */
static void test_success_clears_the_error(void **state)
{
    (void)state;
    struct job *job = job_in(JOB_RUNNING);
    job_set_error(job, &passing);
    STEP(job, RESULT, .inline_result = true);
    assert_error(job, NULL);
    job_set_error(job, &passing);
    STEP(job, FETCHED);
    assert_error(job, NULL);
    job_free(job);
}

static void test_the_deadline(void **state)
{
    (void)state;
    struct job *job = STEP(job_in(JOB_RUNNING), DEADLINE, .error = trouble);
    assert_int_equal(job->state, JOB_EXPIRED);
    assert_string_equal(job->operation, OPERATION); /* it may still run */
    assert_int_equal(job->ended_at, NOW);
    assert_error(job, "code");
    job_free(job);
}

static void test_hold_and_release(void **state)
{
    (void)state;
    struct job *job = new_job("{\"prompt\":\"p\",\"not_before\":\"2026-09-21T15:00:00Z\"}");
    int64_t wish = job->not_before;
    STEP(job, HOLD, .error = {.code = "held", .message = "by its owner"});
    assert_int_equal(job->state, JOB_HELD);
    assert_error(job, "held");
    job->not_before = NOW + 100000; /* a back-off before it was held */
    STEP(job, RELEASE);
    assert_int_equal(job->not_before, wish);
    assert_int_equal(job->deadline_at, NOW + DEADLINE);
    assert_error(job, NULL);
    job_free(job);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_from_acceptance_to_done),
        cmocka_unit_test(test_a_submission_forgets_the_last_attempt),
        cmocka_unit_test(test_what_was_never_made_is_not_charged),
        cmocka_unit_test(test_a_refusal_at_the_gate_does_not_count),
        cmocka_unit_test(test_a_counted_refusal_ends_at_max_attempts),
        cmocka_unit_test(test_the_request_may_say_max_attempts),
        cmocka_unit_test(test_an_unreachable_provider_has_a_bound_of_its_own),
        cmocka_unit_test(test_any_answer_ends_unreachability),
        cmocka_unit_test(test_time_on_hold_is_not_time_unreachable),
        cmocka_unit_test(test_a_rejection_is_final_and_counts),
        cmocka_unit_test(test_402_holds_and_does_not_count),
        cmocka_unit_test(test_an_unheard_submission_is_uncertain),
        cmocka_unit_test(test_on_uncertain_retry_submits_again_within_bounds),
        cmocka_unit_test(test_a_result_in_the_submissions_answer),
        cmocka_unit_test(test_a_result_found_again_while_fetching),
        cmocka_unit_test(test_the_safety_filter_ends_the_job),
        cmocka_unit_test(test_a_transient_end_is_tried_again),
        cmocka_unit_test(test_a_lasting_end_is_not),
        cmocka_unit_test(test_cancelled_while_submitting_learns_its_operation),
        cmocka_unit_test(test_cancelling_replaces_the_error),
        cmocka_unit_test(test_retry_of_a_new_attempt),
        cmocka_unit_test(test_retry_of_an_operation_that_may_go_on),
        cmocka_unit_test(test_retry_of_a_failed_download_asks_the_operation),
        cmocka_unit_test(test_retry_of_one_that_expired_between_attempts),
        cmocka_unit_test(test_success_clears_the_error),
        cmocka_unit_test(test_the_deadline),
        cmocka_unit_test(test_hold_and_release),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
