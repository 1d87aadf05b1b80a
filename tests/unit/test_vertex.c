/* Golden requests, and every shape of answer, of the vertex dialect. */
#include "tests/unit/provider_fixture.h"

#define BASE   "https://us-central1-aiplatform.googleapis.com"
#define MODEL  "projects/p-1/locations/us-central1/publishers/google/models/some-model"
#define NAME   MODEL "/operations/abc-123"
#define SUBMIT BASE "/v1/" MODEL ":predictLongRunning"

static struct provider provider = {.name = "cloud",
                                   .base_url = BASE,
                                   .api_version = "v1",
                                   .project = "p-1",
                                   .location = "us-central1",
                                   .storage_url = "https://storage.googleapis.com"};

static int set_dialect(void **state)
{
    (void)state;
    provider.dialect = dialect_find("vertex");
    return 0;
}

static void assert_submit(const struct request *request, const char *body)
{
    assert_submission(&provider, request, SUBMIT, body);
}

static void test_submit_sends_only_what_was_given(void **state)
{
    (void)state;
    struct request request = request_of("a dog");
    assert_submit(&request, "{\"instances\":[{\"prompt\":\"a dog\"}]}");
    struct provider storing = provider;
    storing.storage_uri = "gs://b/out";
    assert_submission(&storing, &request, SUBMIT,
                      "{\"instances\":[{\"prompt\":\"a dog\"}],\"parameters\":{\"storageUri\":"
                      "\"gs://b/out\"}}");
}

static void test_submit_with_everything(void **state)
{
    (void)state;
    struct provider storing = provider;
    storing.storage_uri = "gs://b";
    struct request request = request_of("x");
    request.aspect_ratio = STRING("16:9");
    request.resolution = STRING("4k");
    request.duration_seconds = 8;
    request.negative_prompt = STRING("cats");
    request.person_generation = STRING("allow_adult");
    request.sample_count = 4;
    request.seed = 0;
    request.enhance_prompt = 0;
    request.generate_audio = 1;
    assert_submission(
        &storing, &request, SUBMIT,
        "{\"instances\":[{\"prompt\":\"x\"}],\"parameters\":{\"aspectRatio\":\"16:9\","
        "\"resolution\":\"4k\",\"durationSeconds\":8,\"negativePrompt\":\"cats\","
        "\"personGeneration\":\"allow_adult\",\"sampleCount\":4,\"seed\":0,"
        "\"enhancePrompt\":false,\"generateAudio\":true,\"storageUri\":\"gs://b\"}}");
}

static void test_submit_with_inputs(void **state)
{
    (void)state;
    struct input first = blob_of("a", "image/png"), last = blob_of("b", "image/jpeg");
    struct input one = blob_of("c", "image/webp");
    struct input stored = {.uri = STRING("gs://b/two.png"), .mime_type = STRING("image/png")};
    struct input *references[] = {&one, &stored};
    struct request request = request_of("x");
    request.image = &first;
    request.last_frame = &last;
    assert_submit(&request,
                  "{\"instances\":[{\"prompt\":\"x\",\"image\":{\"bytesBase64Encoded\":"
                  "\"[base64 of a]\",\"mimeType\":\"image/png\"},\"lastFrame\":{"
                  "\"bytesBase64Encoded\":\"[base64 of b]\",\"mimeType\":\"image/jpeg\"}}]}");
    request = request_of("x");
    request.references = references;
    request.reference_count = 2;
    assert_submit(&request,
                  "{\"instances\":[{\"prompt\":\"x\",\"referenceImages\":[{\"image\":{"
                  "\"bytesBase64Encoded\":\"[base64 of c]\",\"mimeType\":\"image/webp\"},"
                  "\"referenceType\":\"asset\"},{\"image\":{\"gcsUri\":\"gs://b/two.png\","
                  "\"mimeType\":\"image/png\"},\"referenceType\":\"asset\"}]}]}");
}

static void test_a_video_is_extended(void **state)
{
    (void)state;
    struct input video = blob_of("v", "video/mp4");
    struct input stored = {.uri = STRING("gs://b/v.mp4"), .file = STRING("/v.mp4")};
    struct request request = request_of("x");
    request.video = &video;
    request.video_task = STRING("extend");
    assert_submit(&request, "{\"instances\":[{\"prompt\":\"x\",\"video\":{\"bytesBase64Encoded\":"
                            "\"[base64 of v]\",\"mimeType\":\"video/mp4\"}}]}");
    request.video = &stored;
    assert_submit(&request, "{\"instances\":[{\"prompt\":\"x\",\"video\":{\"gcsUri\":"
                            "\"gs://b/v.mp4\",\"mimeType\":\"video/mp4\"}}]}");
    request.video_task = STRING("edit");
    assert_refusal(&provider, &request, "video_task", "can't edit");
    /* An earlier result that came by an address elsewhere, or as bytes that are here. */
    struct input elsewhere = {.uri = STRING("https://h/v.mp4")};
    request.video_task = NULL;
    request.video = &elsewhere;
    assert_refusal(&provider, &request, "video", "gs://");
    elsewhere.file = STRING("/v.mp4");
    assert_submit(&request, "{\"instances\":[{\"prompt\":\"x\",\"video\":{\"bytesBase64Encoded\":"
                            "\"[base64 of /v.mp4]\",\"mimeType\":\"video/mp4\"}}]}");
}

static void test_addresses_elsewhere_are_refused(void **state)
{
    (void)state;
    struct input elsewhere = {.uri = STRING("https://h/i.png")}, *references[] = {&elsewhere};
    struct request request = request_of("x");
    request.image = &elsewhere;
    assert_refusal(&provider, &request, "image", "gs://");
    request = request_of("x");
    request.last_frame = &elsewhere;
    assert_refusal(&provider, &request, "last_frame", "gs://");
    request = request_of("x");
    request.references = references;
    request.reference_count = 1;
    assert_refusal(&provider, &request, "reference_images", "gs://");
}

static void test_nothing_leaves_its_segment(void **state)
{
    (void)state;
    struct provider odd = provider;
    struct request request = request_of("x");
    odd.project = "a/b?c";
    request.model = STRING("../m");
    assert_submission(&odd, &request,
                      BASE "/v1/projects/a%2Fb%3Fc/locations/us-central1/publishers/google/models/"
                           "..%2Fm:predictLongRunning",
                      "{\"instances\":[{\"prompt\":\"x\"}]}");
}

static void test_a_poll_is_a_post(void **state)
{
    (void)state;
    struct wire_request wire;
    wire_request_init(&wire);
    provider.dialect->poll(&provider, NAME, &wire);
    assert_true(wire.post);
    assert_string_equal(buf_text(&wire.url), BASE "/v1/" MODEL ":fetchPredictOperation");
    assert_string_equal(buf_text(&wire.body), "{\"operationName\":\"" NAME "\"}");
    assert_null(wire.content_type);
    wire_request_free(&wire);
    assert_null(provider.dialect->cancel);
    assert_null(provider.dialect->file);
    assert_null(provider.dialect->secret_name);
}

static void test_where_results_are_loaded_from(void **state)
{
    (void)state;
    assert_download(&provider, "gs://b/p-1/sample_0.mp4",
                    "https://storage.googleapis.com/storage/v1/b/b/o/p-1%2Fsample_0.mp4?alt=media");
    assert_download(&provider, "gs://b/\xc3\xa4?x#y",
                    "https://storage.googleapis.com/storage/v1/b/b/o/%C3%A4%3Fx%23y?alt=media");
    assert_download(&provider, "https://h/v", "https://h/v");
}

#define OP(rest)       "{\"name\":\"" NAME "\"" rest "}"
#define DONE(rest)     OP(",\"done\":true" rest)
#define VIDEO(members) DONE(",\"response\":{\"@type\":\"t\"," members "}")
#define STORED         "{\"gcsUri\":\"gs://b/v.mp4\",\"mimeType\":\"video/mp4\"}"
#define INLINE         "{\"bytesBase64Encoded\":\"inline:0\",\"mimeType\":\"video/mp4\"}"

static const struct row shapes[] = {
    {OP(""), OUTCOME_PENDING, NULL, NULL, NULL, -1, false},
    {OP(",\"done\":false"), OUTCOME_PENDING, NULL, NULL, NULL, -1, false},
    {VIDEO("\"videos\":[" STORED "]"), OUTCOME_RESULT, NULL, NULL, "gs://b/v.mp4", -1, false},
    {VIDEO("\"videos\":[{\"gcsUri\":\"gs://b/o p \xc3\xa4%20.mp4\"}]"), OUTCOME_RESULT, NULL, NULL,
     "gs://b/o p \xc3\xa4%20.mp4", -1, false},
    {VIDEO("\"videos\":[" INLINE "]"), OUTCOME_RESULT, NULL, NULL, NULL, 0, false},
    {VIDEO("\"raiMediaFilteredCount\":0,\"videos\":[" INLINE "]"), OUTCOME_RESULT, NULL, NULL, NULL,
     0, false},
    {VIDEO("\"raiMediaFilteredCount\":1,\"raiMediaFilteredReasons\":[\"no\"],\"videos\":[" STORED
           "]"),
     OUTCOME_RESULT, "partly-filtered", "1 more filtered: no", "gs://b/v.mp4", -1, false},
    {VIDEO("\"raiMediaFilteredCount\":1,\"raiMediaFilteredReasons\":[\"x. Support codes: "
           "58061214\"]"),
     OUTCOME_FILTERED, "filtered-child", "58061214", NULL, -1, false},
    {VIDEO("\"raiMediaFilteredCount\":1"), OUTCOME_FILTERED, "filtered", "no reason", NULL, -1,
     false},
    {DONE(""), OUTCOME_FILTERED, "filtered", "no reason", NULL, -1, false},
    {DONE(",\"error\":{\"code\":3,\"message\":\"words\"}"), OUTCOME_FAILED, "invalid-argument",
     "words", NULL, -1, false},
    {DONE(",\"error\":{\"code\":13,\"message\":\"words\"}"), OUTCOME_FAILED, "internal", "words",
     NULL, -1, true},
    /* The Gemini API's place is not this one's. */
    {VIDEO("\"videos\":[{}]"), OUTCOME_FAILED, "unreadable-answer", "without an address", NULL, -1,
     false},
    {VIDEO("\"videos\":{}"), OUTCOME_FAILED, "unreadable-answer", "HTTP 200", NULL, -1, false},
    {DONE(",\"response\":[]"), OUTCOME_FAILED, "unreadable-answer", "HTTP 200", NULL, -1, false},
};

static void test_shapes(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
        struct row row = shapes[i];
        assert_row(&provider, 200, &row, NAME, NULL);
        if (row.kind == OUTCOME_PENDING)
            row.kind = OUTCOME_ACCEPTED;
        assert_row(&provider, 200, &row, NULL, NAME);
    }
}

static void test_several_samples(void **state)
{
    (void)state;
    static const char body[] =
        VIDEO("\"videos\":[" STORED ",{\"gcsUri\":\"gs://b/2\"}," INLINE ",{}]");
    struct wire_reply reply = {.status = 200, .body = body, .length = sizeof(body) - 1};
    struct outcome outcome;
    outcome_init(&outcome);
    provider.dialect->polled(&provider, &reply, &outcome);
    assert_int_equal(outcome.result_count, 3);
    assert_string_equal(outcome.results[1].uri, "gs://b/2");
    assert_int_equal(outcome.results[2].inline_index, 0);
    assert_string_equal(outcome.results[2].mime_type, "video/mp4");
    outcome_free(&outcome);
}

static void test_a_name_of_another_kind_is_unreadable(void **state)
{
    (void)state;
    static const char *const names[] = {"models/m/operations/1", "", "projects/p",
                                        "projects/../operations/1"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        char *body = mem_format("{\"name\":\"%s\"}", names[i]);
        struct row row = {
            body, OUTCOME_UNREADABLE, "unreadable-answer", "projects/…/operations/…", NULL, -1,
            false};
        assert_row(&provider, 200, &row, NULL, NULL);
        free(body);
    }
}

static void test_errors(void **state)
{
    (void)state;
    static const char body[] = "{\"error\":{\"code\":404,\"message\":\"Publisher Model `x` was not "
                               "found\",\"status\":\"NOT_FOUND\"}}";
    struct row row = {body, OUTCOME_REJECTED, "not-found", "was not found", NULL, -1, false};
    assert_row(&provider, 404, &row, NULL, NULL);
    row.kind = OUTCOME_UNREADABLE;
    row.retryable = true;
    assert_row(&provider, 404, &row, NAME, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_submit_sends_only_what_was_given),
        cmocka_unit_test(test_submit_with_everything),
        cmocka_unit_test(test_submit_with_inputs),
        cmocka_unit_test(test_a_video_is_extended),
        cmocka_unit_test(test_addresses_elsewhere_are_refused),
        cmocka_unit_test(test_nothing_leaves_its_segment),
        cmocka_unit_test(test_a_poll_is_a_post),
        cmocka_unit_test(test_where_results_are_loaded_from),
        cmocka_unit_test(test_shapes),
        cmocka_unit_test(test_several_samples),
        cmocka_unit_test(test_a_name_of_another_kind_is_unreadable),
        cmocka_unit_test(test_errors),
    };
    return cmocka_run_group_tests_name("vertex", tests, set_dialect, NULL);
}
