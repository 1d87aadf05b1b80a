/* Golden requests, and every shape of answer, of the interactions dialect. */
#include "tests/unit/provider_fixture.h"

#include "proto/limits.h"

#define BASE "https://generativelanguage.googleapis.com"
#define URI  BASE "/v1beta/files/abc123:download?alt=media"

static struct provider provider = {.name = "gemini", .base_url = BASE, .api_version = "v1beta"};

static int set_dialect(void **state)
{
    (void)state;
    provider.dialect = dialect_find("interactions");
    return 0;
}

static const struct dialect *dialect(void)
{
    return provider.dialect;
}

static void assert_submit(const struct request *request, const char *expected)
{
    assert_submission(&provider, request, BASE "/v1beta/interactions", expected);
}

static void test_submit_sends_only_what_was_given(void **state)
{
    (void)state;
    struct request request = request_of("a dog");
    assert_submit(&request, "{\"model\":\"some-model\",\"input\":\"a dog\","
                            "\"response_format\":{\"type\":\"video\",\"delivery\":\"uri\"},"
                            "\"background\":true,\"store\":true}");
}

static void test_submit_with_everything(void **state)
{
    (void)state;
    struct request request = request_of("a \"dog\"\n\xc3\xa4");
    request.aspect_ratio = (char *)(uintptr_t) "9:16";
    request.resolution = (char *)(uintptr_t) "1080p";
    request.negative_prompt = (char *)(uintptr_t) "cats, rain";
    request.duration_seconds = 8;
    request.sample_count = 1;
    assert_submit(&request,
                  "{\"model\":\"some-model\",\"input\":\"a \\\"dog\\\"\\n\xc3\xa4\\n\\n"
                  "Avoid the following: cats, rain\",\"response_format\":{\"type\":\"video\","
                  "\"aspect_ratio\":\"9:16\",\"resolution\":\"1080p\",\"duration\":\"8s\","
                  "\"delivery\":\"uri\"},\"background\":true,\"store\":true}");
}

static void test_a_duration_may_have_a_fraction(void **state)
{
    (void)state;
    struct request request = request_of("x");
    request.duration_seconds = 3.5;
    assert_submit(&request, "{\"model\":\"some-model\",\"input\":\"x\","
                            "\"response_format\":{\"type\":\"video\",\"duration\":\"3.5s\","
                            "\"delivery\":\"uri\"},\"background\":true,\"store\":true}");
}

static void test_the_longest_prompts_fit(void **state)
{
    (void)state;
    char *prompt = mem_alloc(LIMIT_PROMPT + 1);
    memset(prompt, 1, LIMIT_PROMPT);
    struct request request = request_of(prompt);
    request.negative_prompt = prompt;
    struct wire_request wire;
    wire_request_init(&wire);
    dialect()->submit(&provider, &request, &wire);
    assert_false(wire.body.failed);
    assert_true(wire.body.length > 12 * LIMIT_PROMPT);
    wire_request_free(&wire);
    free(prompt);
}

static void assert_refused(struct request request, const char *field)
{
    assert_refusal(&provider, &request, field, "");
}

static void test_what_has_no_field_is_refused(void **state)
{
    (void)state;
    struct error error = {0};
    struct request request = request_of("x");
    request.sample_count = 1;
    request.negative_prompt = request.prompt;
    assert_int_equal(dialect()->check(&provider, &request, &error), 0);

    request = request_of("x");
    request.sample_count = 2;
    assert_refused(request, "sample_count");
    request = request_of("x");
    request.generate_audio = 0;
    assert_refused(request, "generate_audio");
    request = request_of("x");
    request.enhance_prompt = 1;
    assert_refused(request, "enhance_prompt");
    request = request_of("x");
    request.person_generation = request.prompt;
    assert_refused(request, "person_generation");
}

static void test_poll_and_cancel_encode_the_id(void **state)
{
    (void)state;
    struct wire_request wire;
    wire_request_init(&wire);
    dialect()->poll(&provider, "v1_a/b=?", &wire);
    assert_false(wire.post);
    assert_string_equal(buf_text(&wire.url), BASE "/v1beta/interactions/v1_a%2Fb%3D%3F");
    assert_int_equal(wire.body.length, 0);
    dialect()->cancel(&provider, "v1_a", &wire);
    assert_true(wire.post);
    assert_string_equal(buf_text(&wire.url), BASE "/v1beta/interactions/v1_a/cancel");
    assert_string_equal(buf_text(&wire.body), "{}");
    wire_request_free(&wire);
}

#define ID                  "\"id\":\"v1_x\","
#define STATUS(word)        "{" ID "\"status\":\"" word "\"}"
#define ENDED(word, errors) "{" ID "\"status\":\"" word "\",\"errors\":[" errors "]}"
#define ERROR(code)         "{\"code\":\"" code "\",\"message\":\"words\"}"
#define STEPS(steps)        "{" ID "\"status\":\"completed\",\"steps\":[" steps "]}"
#define MODEL(block)        "{\"type\":\"model_output\",\"content\":[" block "]}"
#define USER(block)         "{\"type\":\"user_input\",\"content\":[" block "]}"
#define VIDEO_URI           "{\"type\":\"video\",\"mime_type\":\"video/mp4\",\"uri\":\"" URI "\"}"
#define VIDEO_DATA          "{\"type\":\"video\",\"mime_type\":\"video/mp4\",\"data\":\"inline:0\"}"
#define TEXT(words)         "{\"type\":\"text\",\"text\":\"" words "\"}"

static const struct row shapes[] = {
    {STATUS("queued"), OUTCOME_PENDING, NULL, NULL, NULL, -1, false},
    {STATUS("in_progress"), OUTCOME_PENDING, NULL, NULL, NULL, -1, false},
    {STATUS("a_new_word"), OUTCOME_PENDING, NULL, NULL, NULL, -1, false},
    {"{" ID
     "\"object\":\"interaction\",\"status\":\"in_progress\",\"steps\":[" USER(VIDEO_URI) "]}",
     OUTCOME_PENDING, NULL, NULL, NULL, -1, false},
    /* Results, in each place they can be. */
    {STEPS(MODEL(VIDEO_URI)), OUTCOME_RESULT, NULL, NULL, URI, -1, false},
    {STEPS(MODEL(VIDEO_DATA)), OUTCOME_RESULT, NULL, NULL, NULL, 0, false},
    {STEPS(USER(VIDEO_DATA) ",{\"type\":\"thought\",\"signature\":\"inline:1\"}," MODEL(
         "{\"type\":\"video\",\"data\":\"inline:2\"}")),
     OUTCOME_RESULT, NULL, NULL, NULL, 2, false},
    {STEPS(MODEL(TEXT("here it is")) "," MODEL(VIDEO_URI)), OUTCOME_RESULT, NULL, NULL, URI, -1,
     false},
    {"{" ID "\"status\":\"completed\",\"outputs\":[" TEXT("t") "," VIDEO_URI "]}", OUTCOME_RESULT,
     NULL, NULL, URI, -1, false},
    {"{" ID "\"status\":\"completed\",\"outputs\":[" MODEL(VIDEO_DATA) "]}", OUTCOME_RESULT, NULL,
     NULL, NULL, 0, false},
    {"{" ID "\"status\":\"completed\",\"output_video\":{\"uri\":\"" URI "\"}}", OUTCOME_RESULT,
     NULL, NULL, URI, -1, false},
    {"{" ID "\"status\":\"completed\",\"output_video\":{\"data\":\"inline:7\"}}", OUTCOME_RESULT,
     NULL, NULL, NULL, 7, false},
    {STEPS(MODEL(VIDEO_DATA "," VIDEO_DATA)), OUTCOME_RESULT, NULL, NULL, NULL, 0, false},
    {STEPS(MODEL("{\"type\":\"video\",\"uri\":\"http://h/a b\\n\"}")), OUTCOME_RESULT, NULL, NULL,
     "http://h/a%20b%0A", -1, false},
    /* Completed and nothing there. */
    {STATUS("completed"), OUTCOME_FILTERED, "filtered", "no reason", NULL, -1, false},
    {STEPS(USER(VIDEO_URI)), OUTCOME_FILTERED, "filtered", "no reason", NULL, -1, false},
    {STEPS(MODEL(TEXT("I can't") "," TEXT("show that"))), OUTCOME_FILTERED, "filtered",
     "the model says: I can't; show that", NULL, -1, false},
    {ENDED("completed", ERROR("prohibited_content")), OUTCOME_FILTERED, "prohibited-content",
     "words", NULL, -1, false},
    {ENDED("completed", ERROR("api_error")), OUTCOME_FILTERED, "api-error", "words", NULL, -1,
     false},
    {ENDED("completed", "{\"code\":13,\"message\":\"words\"}"), OUTCOME_FILTERED, "internal",
     "words", NULL, -1, false},
    {ENDED("completed", "{}"), OUTCOME_FILTERED, "filtered", "without a video", NULL, -1, false},
    {STEPS(MODEL("{\"type\":\"video\"}")), OUTCOME_FAILED, "unreadable-result", "neither", NULL, -1,
     false},
    {STEPS(MODEL("{\"type\":\"video\",\"uri\":7,\"data\":\"AAAA\"}")), OUTCOME_FAILED,
     "unreadable-result", "neither", NULL, -1, false},
    /* Failed. */
    {STATUS("failed"), OUTCOME_FAILED, "failed", "no more", NULL, -1, false},
    {ENDED("failed", ERROR("safety")), OUTCOME_FILTERED, "safety", "words", NULL, -1, false},
    {ENDED("failed", ERROR("recitation")), OUTCOME_FILTERED, "recitation", "words", NULL, -1,
     false},
    {ENDED("failed", ERROR("content_blocked")), OUTCOME_FILTERED, "content-blocked", "words", NULL,
     -1, false},
    {ENDED("failed", ERROR("api_error") "," ERROR("safety")), OUTCOME_FILTERED, "safety", "words",
     NULL, -1, false},
    {ENDED("failed", ERROR("api_error")), OUTCOME_FAILED, "api-error", "words", NULL, -1, true},
    {ENDED("failed", ERROR("service_unavailable")), OUTCOME_FAILED, "service-unavailable", "words",
     NULL, -1, true},
    {ENDED("failed", ERROR("quota_exceeded")), OUTCOME_FAILED, "quota-exceeded", "words (the daily",
     NULL, -1, false},
    {ENDED("failed", ERROR("invalid_request")), OUTCOME_FAILED, "invalid-request", "words", NULL,
     -1, false},
    {ENDED("failed", "{\"code\":13,\"message\":\"words\"}"), OUTCOME_FAILED, "internal", "words",
     NULL, -1, true},
    {ENDED("failed", "{\"code\":3,\"message\":\"words\"}"), OUTCOME_FAILED, "invalid-argument",
     "words", NULL, -1, false},
    {ENDED("failed", "\"plain words\""), OUTCOME_FAILED, "failed", "plain words", NULL, -1, false},
    {ENDED("failed", "null,7,[]"), OUTCOME_FAILED, "failed", "no more", NULL, -1, false},
    {"{" ID "\"status\":\"failed\",\"error\":" ERROR("safety") "}", OUTCOME_FILTERED, "safety",
     "words", NULL, -1, false},
    {"{" ID "\"status\":\"failed\",\"errors\":{},\"error\":[]}", OUTCOME_FAILED, "failed",
     "no more", NULL, -1, false},
    /* Other ends. */
    {STATUS("cancelled"), OUTCOME_FAILED, "cancelled", "cancelled", NULL, -1, false},
    {STATUS("incomplete"), OUTCOME_FAILED, "incomplete", "before", NULL, -1, false},
    {STATUS("budget_exceeded"), OUTCOME_FAILED, "budget-exceeded", "budget", NULL, -1, false},
    {STATUS("requires_action"), OUTCOME_FAILED, "requires-action", "tool", NULL, -1, false},
    {STATUS("requires_continuation"), OUTCOME_FAILED, "requires-continuation", "go on", NULL, -1,
     false},
    {ENDED("incomplete", ERROR("safety")), OUTCOME_FILTERED, "safety", "words", NULL, -1, false},
    /* Wrong types all over. */
    {"{" ID "\"status\":\"completed\",\"steps\":{\"a\":1},\"outputs\":7,\"output_video\":[]}",
     OUTCOME_FILTERED, "filtered", "no reason", NULL, -1, false},
    {STEPS("null,7,[],\"x\",{\"type\":[],\"content\":[]},{\"content\":[null,[],{\"type\":7}]}"),
     OUTCOME_FILTERED, "filtered", "no reason", NULL, -1, false},
};

static void test_shapes_of_a_poll(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++)
        assert_row(&provider, 200, &shapes[i], "v1_x", NULL);
}

/* The same bodies answering a submission: each has an id, so none may be lost. */
static void test_shapes_of_a_submission(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
        struct row row = shapes[i];
        if (row.kind == OUTCOME_PENDING)
            row.kind = OUTCOME_ACCEPTED;
        assert_row(&provider, 200, &row, NULL, "v1_x");
    }
    static const struct row bare = {
        "{\"id\":\"v1_x\"}", OUTCOME_ACCEPTED, NULL, NULL, NULL, -1, false};
    assert_row(&provider, 201, &bare, NULL, "v1_x");
}

static const char *const unreadable[] = {
    "",
    "{",
    "{\"id\":\"v1_x\",\"status\":\"in_progr",
    "[]",
    "null",
    "7",
    "\"v1_x\"",
    "{}",
    "{\"id\":7}",
    "{\"id\":\"\"}",
    "{\"id\":\"..\"}",
    "{\"id\":\"a b\"}",
    "{\"id\":\"a\\u0000b\"}",
    "{\"id\":\"inline:0\"}",
    "{\"id\":null,\"status\":\"completed\"}",
    "{\"error\":{\"code\":\"api_error\",\"message\":\"m\"}}",
    "{\"id\":\"v1_x\",\"id\":\"v1_y\"}",
    "<html>login</html>",
    "\xff\xfe",
};

static void test_a_submission_without_a_name_is_unreadable(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(unreadable) / sizeof(unreadable[0]); i++) {
        struct row row = {
            unreadable[i], OUTCOME_UNREADABLE, "unreadable-answer", "HTTP 200: ", NULL, -1, false};
        assert_row(&provider, 200, &row, NULL, NULL);
    }
    static const struct row login = {"<html>login</html>",
                                     OUTCOME_UNREADABLE,
                                     "unreadable-answer",
                                     "<html>login</html>",
                                     NULL,
                                     -1,
                                     false};
    assert_row(&provider, 200, &login, NULL, NULL);
}

static void test_deep_nesting_is_unreadable(void **state)
{
    (void)state;
    char body[20001];
    memset(body, '[', sizeof(body) - 1);
    body[sizeof(body) - 1] = '\0';
    struct row row = {body, OUTCOME_UNREADABLE, "unreadable-answer", "[[[[", NULL, -1, false};
    assert_row(&provider, 200, &row, NULL, NULL);
    assert_row(&provider, 200, &row, "v1_x", NULL);
}

static void test_a_failing_poll_says_nothing_of_the_job(void **state)
{
    (void)state;
    static const int statuses[] = {302, 400, 401, 402, 403, 404, 408, 429, 500, 502, 503, 504};
    static const struct row words = {"{\"error\":{\"code\":\"not_found\",\"message\":\"words\"}}",
                                     OUTCOME_UNREADABLE,
                                     "not-found",
                                     "words",
                                     NULL,
                                     -1,
                                     true};
    for (size_t i = 0; i < sizeof(statuses) / sizeof(statuses[0]); i++)
        assert_row(&provider, statuses[i], &words, "v1_x", NULL);
    static const struct row gateway = {
        "<p>oops", OUTCOME_UNREADABLE, "http-502", "<p>oops", NULL, -1, true};
    assert_row(&provider, 502, &gateway, "v1_x", NULL);
    static const struct row silent = {"{\"id\":\"v1_x\"}",
                                      OUTCOME_UNREADABLE,
                                      "unreadable-answer",
                                      "without a status",
                                      NULL,
                                      -1,
                                      false};
    assert_row(&provider, 200, &silent, "v1_x", NULL);
}

static void test_a_busy_provider_closes_the_gate_by_polls_too(void **state)
{
    (void)state;
    struct wire_reply reply = {.status = 429, .body = "", .retry_after_ms = 3000};
    struct outcome outcome;
    outcome_init(&outcome);
    dialect()->polled(&provider, &reply, &outcome);
    assert_true(outcome.gate);
    assert_int_equal(outcome.retry_after_ms, 3000);
    outcome_free(&outcome);
}

static void test_results_are_capped_and_not_doubled(void **state)
{
    (void)state;
    struct buf body;
    buf_init(&body, 65536);
    buf_add_text(&body,
                 "{\"status\":\"completed\",\"steps\":[{\"type\":\"model_output\",\"content\""
                 ":[" VIDEO_URI "," VIDEO_URI);
    for (int i = 0; i < 40; i++)
        buf_addf(&body, ",{\"type\":\"video\",\"uri\":\"http://h/%d\",\"mime_type\":\"a b\"}", i);
    buf_add_text(&body, "]}]}");
    struct wire_reply reply = {.status = 200, .body = body.data, .length = body.length};
    struct outcome outcome;
    outcome_init(&outcome);
    dialect()->polled(&provider, &reply, &outcome);
    assert_int_equal(outcome.kind, OUTCOME_RESULT);
    assert_int_equal(outcome.result_count, 16);
    assert_string_equal(outcome.results[0].uri, URI);
    assert_string_equal(outcome.results[0].mime_type, "video/mp4");
    assert_string_equal(outcome.results[1].uri, "http://h/0");
    assert_null(outcome.results[1].mime_type);
    outcome_free(&outcome);
    buf_free(&body);
}

static void test_file_asks_only_for_the_providers_own(void **state)
{
    (void)state;
    static const struct {
        const char *uri;
        const char *url; /* NULL: no need to ask */
    } rows[] = {
        {URI, BASE "/v1beta/files/abc123"},
        {BASE "/v1/files/abc-1_Z", BASE "/v1/files/abc-1_Z"},
        {BASE "/v1beta/files/abc:downloads", BASE "/v1beta/files/abc"},
        {BASE "/v1beta/files/", NULL},
        {BASE "/v1beta/files/abc/../x:download", NULL},
        {BASE "/v1beta/files/..:download", NULL},
        {BASE "/v1beta/files/abc?alt=media", NULL},
        {BASE "/files/abc:download", NULL},
        {BASE "//files/abc:download", NULL},
        {BASE "/v1beta/videos/abc:download", NULL},
        {BASE ".evil.example/v1beta/files/abc:download", NULL},
        {BASE "xv1beta/files/abc:download", NULL},
        {BASE "@evil.example/v1beta/files/abc:download", NULL},
        {"https://storage.example/v1beta/files/abc:download", NULL},
        {"", NULL},
    };
    struct wire_request wire;
    wire_request_init(&wire);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        bool asks = dialect()->file(&provider, rows[i].uri, &wire);
        if (asks != (rows[i].url != NULL))
            fail_msg("%s", rows[i].uri);
        if (asks) {
            assert_string_equal(buf_text(&wire.url), rows[i].url);
            assert_false(wire.post);
        }
    }
    wire_request_free(&wire);
}

static void test_filed(void **state)
{
    (void)state;
    static const struct {
        int status;
        const char *body;
        enum file_state expected;
    } rows[] = {
        {200, "{\"name\":\"files/abc\",\"state\":\"ACTIVE\"}", FILE_READY},
        {200, "{\"state\":\"PROCESSING\"}", FILE_PROCESSING},
        {200, "{\"state\":\"FAILED\",\"error\":{}}", FILE_FAILED},
        {200, "{\"state\":\"STATE_UNSPECIFIED\"}", FILE_UNKNOWN},
        {200, "{\"state\":7}", FILE_UNKNOWN},
        {200, "{}", FILE_UNKNOWN},
        {200, "[]", FILE_UNKNOWN},
        {200, "", FILE_UNKNOWN},
        {200, "{\"state\":\"ACTI", FILE_UNKNOWN},
        {404, "{\"state\":\"ACTIVE\"}", FILE_UNKNOWN},
        {302, "{\"state\":\"ACTIVE\"}", FILE_UNKNOWN},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct wire_reply reply = {
            .status = rows[i].status, .body = rows[i].body, .length = strlen(rows[i].body)};
        assert_int_equal(dialect()->filed(&reply), rows[i].expected);
    }
}

/* No prefix of an answer may be taken for more than it says. */
static void test_every_truncation_is_unreadable(void **state)
{
    (void)state;
    static const char whole[] = STEPS(MODEL(VIDEO_URI));
    for (size_t length = 0; length < sizeof(whole) - 1; length++) {
        char *cut = mem_strndup(whole, length);
        struct wire_reply reply = {.status = 200, .body = cut, .length = length};
        struct outcome outcome;
        outcome_init(&outcome);
        dialect()->submitted(&provider, &reply, &outcome);
        assert_int_equal(outcome.kind, OUTCOME_UNREADABLE);
        assert_int_equal(outcome.result_count, 0);
        outcome_free(&outcome);
        free(cut);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_submit_sends_only_what_was_given),
        cmocka_unit_test(test_submit_with_everything),
        cmocka_unit_test(test_a_duration_may_have_a_fraction),
        cmocka_unit_test(test_the_longest_prompts_fit),
        cmocka_unit_test(test_what_has_no_field_is_refused),
        cmocka_unit_test(test_poll_and_cancel_encode_the_id),
        cmocka_unit_test(test_shapes_of_a_poll),
        cmocka_unit_test(test_shapes_of_a_submission),
        cmocka_unit_test(test_a_submission_without_a_name_is_unreadable),
        cmocka_unit_test(test_deep_nesting_is_unreadable),
        cmocka_unit_test(test_a_failing_poll_says_nothing_of_the_job),
        cmocka_unit_test(test_a_busy_provider_closes_the_gate_by_polls_too),
        cmocka_unit_test(test_results_are_capped_and_not_doubled),
        cmocka_unit_test(test_file_asks_only_for_the_providers_own),
        cmocka_unit_test(test_filed),
        cmocka_unit_test(test_every_truncation_is_unreadable),
    };
    return cmocka_run_group_tests_name("interactions", tests, set_dialect, NULL);
}
