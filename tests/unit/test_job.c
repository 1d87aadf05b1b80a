#include "tests/unit/job_fixture.h"

static const char *const event_names[JOB_EVENT_COUNT] = {
    [JOB_SUBMIT] = "submit",
    [JOB_ACCEPTED] = "accepted",
    [JOB_REFUSED] = "refused",
    [JOB_UNREACHABLE] = "unreachable",
    [JOB_REJECTED] = "rejected",
    [JOB_NO_CREDIT] = "no credit",
    [JOB_UNHEARD] = "unheard",
    [JOB_RESULT] = "result",
    [JOB_FILTERED_OUT] = "filtered",
    [JOB_OPERATION_FAILED] = "operation failed",
    [JOB_DEADLINE] = "deadline",
    [JOB_FETCHED] = "fetched",
    [JOB_FETCH_FAILED] = "fetch failed",
    [JOB_CANCEL] = "cancel",
    [JOB_RETRY] = "retry",
    [JOB_HOLD] = "hold",
    [JOB_RELEASE] = "release",
};

/* One letter a state, in the order of JOB_STATES. */
static const char letters[] = "QSRFDLXEUHC";

/* From a state (row) to a state (column), by the picture in the design. */
static const char *const moves[JOB_STATE_COUNT] = {
    /*                  QSRFDLXEUHC */
    [JOB_QUEUED] = /**/ ".S.....E.HC", [JOB_SUBMITTING] = "Q.RF.LX.UHC",
    [JOB_RUNNING] = "Q..F.LXE..C",     [JOB_FETCHING] = "....D.X...C",
    [JOB_DONE] = "...........",        [JOB_FILTERED] = "Q..........",
    [JOB_FAILED] = "Q.R........",      [JOB_EXPIRED] = "Q.R........",
    [JOB_UNCERTAIN] = "Q.R.......C",   [JOB_HELD] = "Q.........C",
    [JOB_CANCELLED] = "Q..........",
};

/* What a job in a state (column) becomes by an event (row) without any frills; '.': a conflict. */
static const char *const becomes[JOB_EVENT_COUNT] = {
    [JOB_SUBMIT] = "S..........",       [JOB_ACCEPTED] = ".R........C",
    [JOB_REFUSED] = ".Q.........",      [JOB_UNREACHABLE] = ".Q.........",
    [JOB_REJECTED] = ".X.........",     [JOB_NO_CREDIT] = ".H.........",
    [JOB_UNHEARD] = ".U.........",      [JOB_RESULT] = ".FFF.......",
    [JOB_FILTERED_OUT] = ".LL........", [JOB_OPERATION_FAILED] = ".XX........",
    [JOB_DEADLINE] = "E.E........",     [JOB_FETCHED] = "...D.......",
    [JOB_FETCH_FAILED] = "...X.......", [JOB_CANCEL] = "CCCC....CC.",
    [JOB_RETRY] = ".....QQRQ.Q",        [JOB_HOLD] = "H..........",
    [JOB_RELEASE] = ".........Q.",
};

static void test_states_have_names_and_flags(void **state)
{
    static const char *const names[] = {"queued",    "submitting", "running",  "fetching",
                                        "done",      "filtered",   "failed",   "expired",
                                        "uncertain", "held",       "cancelled"};
    static const unsigned flags[] = {JOB_LIVE,
                                     JOB_LIVE | JOB_IN_FLIGHT,
                                     JOB_LIVE | JOB_IN_FLIGHT,
                                     JOB_LIVE,
                                     JOB_ENDED,
                                     JOB_ENDED,
                                     JOB_ENDED,
                                     JOB_ENDED,
                                     JOB_STUCK,
                                     JOB_STUCK,
                                     JOB_ENDED};
    (void)state;
    assert_int_equal(JOB_STATE_COUNT, 11); /* the store keeps the numbers */
    for (int i = 0; i < JOB_STATE_COUNT; i++) {
        assert_string_equal(job_state_name((enum job_state)i), names[i]);
        assert_int_equal(job_state_flags((enum job_state)i), flags[i]);
        assert_int_equal(job_state_from_name(names[i]), i);
    }
    assert_int_equal(job_state_from_name("Queued"), JOB_STATE_COUNT);
    assert_int_equal(job_state_from_name(""), JOB_STATE_COUNT);
}

static void test_moves_are_those_of_the_picture(void **state)
{
    (void)state;
    for (int from = 0; from < JOB_STATE_COUNT; from++)
        for (int to = 0; to < JOB_STATE_COUNT; to++)
            if (job_may_move((enum job_state)from, (enum job_state)to) !=
                (moves[from][to] == letters[to]))
                fail_msg("%s to %s", job_state_name((enum job_state)from),
                         job_state_name((enum job_state)to));
}

static struct job_event plain_event(enum job_event_type type)
{
    return (struct job_event){.type = type,
                              .now = T0 + 2000,
                              .provider = "other",
                              .operation = "models/m/operations/new",
                              .error = {.code = "c", .message = "m", .provider = "other"}};
}

static void assert_refused(struct job *job, const struct job_event *event,
                           const struct job_policy *with)
{
    struct error error = {0};
    char *before = dump(job);
    assert_int_equal(job_step(job, event, with, &error), -1);
    assert_int_equal(error.code, ERROR_CONFLICT);
    assert_non_null(strstr(error.message, job_state_name(job->state)));
    assert_int_equal(job_step(job, event, with, NULL), -1);
    char *after = dump(job);
    assert_string_equal(after, before);
    free(before);
    free(after);
}

static void test_every_event_in_every_state(void **state)
{
    (void)state;
    for (int type = 0; type < JOB_EVENT_COUNT; type++)
        for (int from = 0; from < JOB_STATE_COUNT; from++) {
            struct job *job = job_in((enum job_state)from);
            struct job_event event = plain_event((enum job_event_type)type);
            char expected = becomes[type][from];
            if (expected == '.') {
                assert_refused(job, &event, &policy);
            } else {
                assert_int_equal(job_step(job, &event, &policy, NULL), 0);
                if (letters[job->state] != expected)
                    fail_msg("%s by %s became %s", job_state_name((enum job_state)from),
                             event_names[type], job_state_name(job->state));
                assert_int_equal(job->updated_at, event.now);
            }
            job_free(job);
        }
}

/* All that steers an event, one bit each. */
static void bend(unsigned bits, struct job *job, struct job_event *event, struct job_policy *with)
{
    event->counts = bits & 1;
    event->error.retryable = bits & 2;
    with->resubmit_uncertain = bits & 4;
    if (bits & 8)
        job->attempts_allowed = job->attempt;
    if (bits & 16)
        job->unreachable_at = 1;
    if (bits & 32) {
        free(job->operation);
        job->operation = bits & 64 ? mem_strdup("models/m/operations/old") : NULL;
    }
    if (bits & 128)
        job->noticed_at = T0 + 700;
    job->inline_result = bits & 256;
}

static void test_no_bend_leaves_the_table(void **state)
{
    (void)state;
    for (unsigned bits = 0; bits < 512; bits++)
        for (int type = 0; type < JOB_EVENT_COUNT; type++)
            for (int from = 0; from < JOB_STATE_COUNT; from++) {
                struct job *job = job_in((enum job_state)from);
                struct job_event event = plain_event((enum job_event_type)type);
                struct job_policy with = policy;
                bend(bits, job, &event, &with);
                /* The answer to a submission that was cancelled: only the bill is news. */
                bool late = from == JOB_CANCELLED && !job->operation &&
                            (type == JOB_RESULT || type == JOB_UNHEARD);
                int status = job_step(job, &event, &with, NULL);
                assert_int_equal(status, becomes[type][from] == '.' && !late ? -1 : 0);
                if (status < 0)
                    assert_int_equal(job->state, from);
                else if ((int)job->state != from)
                    assert_int_equal(moves[from][job->state], letters[job->state]);
                assert_int_equal(!!(job_state_flags(job->state) & JOB_ENDED), job->ended_at != 0);
                job_free(job);
            }
}

static struct job *full_job(void)
{
    struct job *job = new_job("{\"prompt\":\"a \\\"dog\\\"\",\"model\":\"veo-3.1-fast\","
                              "\"provider\":\"wanted\",\"aspect_ratio\":\"9:16\",\"seed\":0,"
                              "\"labels\":{\"team\":\"x\"},\"key\":\"k1\",\"priority\":-5}");
    static const struct job_error error = {"quota", "too much", true, "veo"};
    job->state = JOB_QUEUED;
    job->provider = mem_strdup("veo");
    job->attempt = 2;
    job->attempts_counted = 1;
    job->polls = 7;
    job->operation = mem_strdup(OPERATION);
    job->uris = mem_alloc(2 * sizeof(*job->uris));
    job->uris[0] = mem_strdup("https://h/1");
    job->uris[1] = mem_strdup("https://h/2");
    job->uri_count = 2;
    job->inline_result = true;
    job->files = mem_alloc(2 * sizeof(*job->files));
    job->file_count = 2;
    job->files[0] = (struct job_file){mem_strdup("/v/1.mp4"), UINT64_C(1) << 40, "ab12",
                                      mem_strdup("video/mp4"), 0};
    job->files[1] = (struct job_file){mem_strdup("/v/2.mp4"), 0, "cd34", NULL, 0};
    job_set_error(job, &error);
    job->submitted_at = T0 + 1;
    job->running_at = T0 + 2;
    job->noticed_at = T0 + 3;
    job->updated_at = T0 + 4;
    job->ended_at = T0 + 5;
    job->not_before = T0 + 6;
    job->unreachable_at = T0 + 7;
    job->backoffs = 4;
    return job;
}

static void assert_json(const struct job *job, const char *expected)
{
    struct buf out;
    struct jsonw w;
    buf_init(&out, 1 << 16);
    jsonw_init(&w, &out);
    jsonw_object(&w);
    job_write(job, &w);
    jsonw_object_end(&w);
    assert_string_equal(buf_text(&out), expected);
    buf_free(&out);
}

static void test_a_new_job(void **state)
{
    (void)state;
    struct job *job = new_job("{\"prompt\":\"p\",\"max_attempts\":7,\"deadline_seconds\":60,"
                              "\"not_before\":\"2026-09-21T15:00:00Z\"}");
    assert_string_equal(job->id, JOB_ID);
    assert_int_equal(job->state, JOB_QUEUED);
    assert_int_equal(job->owner, 1000);
    assert_int_equal(job->attempt, 0);
    assert_int_equal(job->attempts_counted, 0);
    assert_int_equal(job->attempts_allowed, 7);
    assert_int_equal(job->created_at, T0);
    assert_int_equal(job->deadline_at, T0 + 60000);
    assert_int_equal(job->not_before, INT64_C(1790002800000));
    job_free(job);
    job = new_job("{\"prompt\":\"p\"}");
    assert_int_equal(job->attempts_allowed, policy.max_attempts);
    job_free(job);
}

static void test_a_full_job_in_json(void **state)
{
    (void)state;
    struct job *job = full_job();
    assert_json(
        job,
        "{\"id\":\"" JOB_ID "\",\"state\":\"queued\",\"provider\":\"veo\","
        "\"model\":\"veo-3.1-fast\",\"prompt\":\"a \\\"dog\\\"\",\"aspect_ratio\":\"9:16\","
        "\"seed\":0,\"priority\":-5,\"labels\":{\"team\":\"x\"},\"key\":\"k1\","
        "\"deadline_seconds\":3600,\"operation_name\":\"" OPERATION "\","
        "\"video_uri\":\"https://h/1\","
        "\"files\":[{\"path\":\"/v/1.mp4\",\"bytes\":1099511627776,\"sha256\":\"ab12\","
        "\"mime_type\":\"video/mp4\"},{\"path\":\"/v/2.mp4\",\"bytes\":0,\"sha256\":\"cd34\"}],"
        "\"error\":{\"code\":\"quota\",\"message\":\"too much\",\"retryable\":true,"
        "\"provider\":\"veo\"},\"attempts\":2,\"polls\":7,\"owner\":{\"uid\":1000},"
        "\"created_at\":\"2026-09-21T14:13:20.000Z\",\"updated_at\":\"2026-09-21T14:13:20.004Z\","
        "\"submitted_at\":\"2026-09-21T14:13:20.001Z\",\"running_at\":\"2026-09-21T14:13:20.002Z\","
        "\"noticed_at\":\"2026-09-21T14:13:20.003Z\",\"ended_at\":\"2026-09-21T14:13:20.005Z\","
        "\"deadline_at\":\"2026-09-21T15:13:20.000Z\",\"starts_at\":\"2026-09-21T14:13:20.006Z\"}");
    job->state = JOB_DONE; /* starts no more */
    char *all = dump(job);
    assert_null(strstr(all, "starts_at"));
    free(all);
    job_free(job);
}

static void test_absent_is_absent(void **state)
{
    (void)state;
    struct job *job = new_job("{\"prompt\":\"p\",\"provider\":\"wanted\"}");
    assert_json(job, "{\"id\":\"" JOB_ID "\",\"state\":\"queued\",\"provider\":\"wanted\","
                     "\"model\":\"veo-3.1\",\"prompt\":\"p\",\"deadline_seconds\":3600,"
                     "\"attempts\":0,\"polls\":0,\"owner\":{\"uid\":1000},"
                     "\"created_at\":\"2026-09-21T14:13:20.000Z\","
                     "\"updated_at\":\"2026-09-21T14:13:20.000Z\","
                     "\"deadline_at\":\"2026-09-21T15:13:20.000Z\"}");
    job_free(job);
}

static void test_a_copy_is_equal_and_its_own(void **state)
{
    (void)state;
    struct job *job = full_job();
    struct job *copy = job_copy(job);
    char *before = dump(job), *same = dump(copy);
    assert_string_equal(same, before);
    assert_ptr_equal(copy->request, job->request);
    assert_int_equal(job->request->holders, 2);

    /* Whatever happens to the original, the copy's strings are not touched or freed. */
    struct job_event retry = {.type = JOB_RETRY, .now = T0 + 9};
    struct job_event submit = {.type = JOB_SUBMIT, .now = T0 + 10, .provider = "third"};
    job->state = JOB_FAILED;
    memset(job->files[0].path, 'x', strlen(job->files[0].path));
    memset(job->uris[1], 'x', strlen(job->uris[1]));
    assert_int_equal(job_step(job, &retry, &policy, NULL), 0);
    job->state = JOB_QUEUED;
    assert_int_equal(job_step(job, &submit, &policy, NULL), 0);
    job_free(job);
    assert_int_equal(copy->request->holders, 1);
    char *after = dump(copy);
    assert_string_equal(after, before);
    free(before);
    free(same);
    free(after);
    job_free(copy);
    job_free(NULL);
}

static void test_copies_of_an_empty_job(void **state)
{
    (void)state;
    struct job *job = new_job("{\"prompt\":\"p\"}");
    struct job *copy = job_copy(job);
    char *one = dump(job), *other = dump(copy);
    assert_string_equal(one, other);
    free(one);
    free(other);
    job_free(copy);
    job_free(job);
}

static void test_an_error_replaces_the_last(void **state)
{
    (void)state;
    struct job *job = new_job("{\"prompt\":\"p\"}");
    static const struct job_error one = {"a", "b", true, "c"}, two = {.code = "d"};
    job_set_error(job, &one);
    assert_string_equal(job->error.message, "b");
    assert_ptr_not_equal(job->error.message, one.message);
    job_set_error(job, &job->error);
    assert_string_equal(job->error.message, "b");
    job_set_error(job, &two);
    assert_string_equal(job->error.code, "d");
    assert_null(job->error.message);
    assert_null(job->error.provider);
    assert_false(job->error.retryable);
    job_set_error(job, NULL);
    assert_null(job->error.code);
    job_free(job);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_states_have_names_and_flags),
        cmocka_unit_test(test_moves_are_those_of_the_picture),
        cmocka_unit_test(test_every_event_in_every_state),
        cmocka_unit_test(test_no_bend_leaves_the_table),
        cmocka_unit_test(test_a_new_job),
        cmocka_unit_test(test_a_full_job_in_json),
        cmocka_unit_test(test_absent_is_absent),
        cmocka_unit_test(test_a_copy_is_equal_and_its_own),
        cmocka_unit_test(test_copies_of_an_empty_job),
        cmocka_unit_test(test_an_error_replaces_the_last),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
