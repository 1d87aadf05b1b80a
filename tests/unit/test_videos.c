/* Golden requests, and every shape of answer, of the videos dialect. */
#include "tests/unit/provider_fixture.h"

#define BASE    "http://localhost:4000"
#define ID      "video_bGl0/ZWxs+bTp="
#define ENCODED "video_bGl0%2FZWxs%2BbTp%3D"

static struct provider provider = {.name = "proxy", .base_url = BASE, .api_version = "v1beta"};

static int set_dialect(void **state)
{
    (void)state;
    provider.dialect = dialect_find("videos");
    return 0;
}

static void assert_submit(const struct request *request, const char *body)
{
    assert_submission(&provider, request, BASE "/v1/videos", body);
}

static void test_submit_sends_only_what_was_given(void **state)
{
    (void)state;
    struct request request = request_of("a dog");
    assert_submit(&request, "{\"model\":\"some-model\",\"prompt\":\"a dog\"}");
    assert_string_equal(provider.dialect->header, "x-litellm-num-retries: 0");
    assert_null(provider.dialect->secret_name);
}

static void test_sizes(void **state)
{
    (void)state;
    static const struct {
        const char *aspect_ratio, *resolution, *members;
    } rows[] = {
        {"16:9", "720p", "\"size\":\"1280x720\""},
        {"9:16", "720p", "\"size\":\"720x1280\""},
        {"16:9", "1080p", "\"size\":\"1920x1080\""},
        {"9:16", "1080p", "\"size\":\"1080x1920\""},
        {"16:9", "4k", "\"aspectRatio\":\"16:9\",\"resolution\":\"4k\""},
        {"1:1", "720p", "\"aspectRatio\":\"1:1\",\"resolution\":\"720p\""},
        {"9:16", NULL, "\"aspectRatio\":\"9:16\""},
        {NULL, "1080p", "\"resolution\":\"1080p\""},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct request request = request_of("x");
        request.aspect_ratio = STRING(rows[i].aspect_ratio);
        request.resolution = STRING(rows[i].resolution);
        char *body = mem_format("{\"model\":\"some-model\",\"prompt\":\"x\",%s}", rows[i].members);
        assert_submit(&request, body);
        free(body);
    }
}

static void test_submit_with_everything(void **state)
{
    (void)state;
    struct request request = request_of("x");
    request.aspect_ratio = STRING("16:9");
    request.resolution = STRING("720p");
    request.duration_seconds = 8;
    request.negative_prompt = STRING("cats");
    request.person_generation = STRING("allow_adult");
    request.sample_count = 1;
    assert_submit(&request, "{\"model\":\"some-model\",\"prompt\":\"x\",\"seconds\":\"8\",\"size\":"
                            "\"1280x720\",\"negativePrompt\":\"cats\",\"personGeneration\":"
                            "\"allow_adult\"}");
}

static void test_what_would_be_dropped_is_refused(void **state)
{
    (void)state;
    struct input blob = blob_of("a", "image/png"), address = {.uri = STRING("http://h/x")};
    struct input *references[] = {&blob};
    struct {
        const char *field;
        struct request request;
    } rows[] = {
        {"last_frame", request_of("x")},     {"reference_images", request_of("x")},
        {"video", request_of("x")},          {"duration_seconds", request_of("x")},
        {"sample_count", request_of("x")},   {"seed", request_of("x")},
        {"generate_audio", request_of("x")}, {"enhance_prompt", request_of("x")},
        {"image", request_of("x")},
    };
    rows[0].request.last_frame = &blob;
    rows[1].request.references = references;
    rows[1].request.reference_count = 1;
    rows[2].request.video = &blob;
    rows[3].request.duration_seconds = 5.5;
    rows[4].request.sample_count = 2;
    rows[5].request.seed = 0;
    rows[6].request.generate_audio = 0;
    rows[7].request.enhance_prompt = 0;
    rows[8].request.image = &address;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        assert_refusal(&provider, &rows[i].request, rows[i].field, "/v1/videos");
}

#define PART(boundary, name, value) \
    "--" boundary "\r\nContent-Disposition: form-data; name=\"" name "\"\r\n\r\n" value "\r\n"
#define FILE_PART(boundary, letter)                                                           \
    "--" boundary "\r\nContent-Disposition: form-data; name=\"input_reference\"; filename=\"" \
    "image.png\"\r\nContent-Type: image/png\r\n\r\n[bytes of " letter "]\r\n--" boundary "--\r\n"

static void assert_form(const struct request *request, const char *boundary, const char *body)
{
    struct wire_request wire;
    wire_request_init(&wire);
    provider.dialect->submit(&provider, request, &wire);
    char *type = mem_format("multipart/form-data; boundary=%s", boundary);
    assert_string_equal(wire.content_type, type);
    free(type);
    wire_request_free(&wire);
    assert_submit(request, body);
}

static void test_an_image_makes_it_a_form(void **state)
{
    (void)state;
    struct input image = blob_of("sha256-0a", "image/png");
    struct request request = request_of("x\r\ny");
    request.image = &image;
    request.duration_seconds = 4;
    assert_form(
        &request, "veod-0-sha256-0a",
        PART("veod-0-sha256-0a", "model", "some-model") PART("veod-0-sha256-0a", "prompt", "x\r\ny")
            PART("veod-0-sha256-0a", "seconds", "4") FILE_PART("veod-0-sha256-0a", "sha256-0a"));
}

/* Or else a prompt could bring fields of its own. */
static void test_no_field_holds_the_boundary(void **state)
{
    (void)state;
    struct input image = blob_of("sha256-0a", "image/png");
    struct request request = request_of("--veod-0-sha256-0a veod-2-sha256-0a");
    request.image = &image;
    request.negative_prompt = STRING("veod-1-sha256-0a");
    assert_form(&request, "veod-3-sha256-0a",
                PART("veod-3-sha256-0a", "model", "some-model")
                    PART("veod-3-sha256-0a", "prompt", "--veod-0-sha256-0a veod-2-sha256-0a")
                        PART("veod-3-sha256-0a", "negativePrompt", "veod-1-sha256-0a")
                            FILE_PART("veod-3-sha256-0a", "sha256-0a"));
}

static void test_poll_encodes_the_id(void **state)
{
    (void)state;
    struct wire_request wire;
    wire_request_init(&wire);
    provider.dialect->poll(&provider, ID, &wire);
    assert_false(wire.post);
    assert_string_equal(buf_text(&wire.url), BASE "/v1/videos/" ENCODED);
    assert_int_equal(wire.body.length, 0);
    wire_request_free(&wire);
    assert_null(provider.dialect->cancel);
    assert_null(provider.dialect->file);
}

#define STATUS(word, rest) \
    "{\"id\":\"" ID "\",\"object\":\"video\",\"status\":\"" word "\"" rest "}"
#define FAILED(error) STATUS("failed", ",\"error\":" error)
#define CONTENT       BASE "/v1/videos/" ENCODED "/content"

static const struct row shapes[] = {
    {STATUS("queued", ""), OUTCOME_PENDING, NULL, NULL, NULL, -1, false},
    {STATUS("processing", ",\"error\":null,\"progress\":null"), OUTCOME_PENDING, NULL, NULL, NULL,
     -1, false},
    {STATUS("in_progress", ",\"progress\":40"), OUTCOME_PENDING, NULL, NULL, NULL, -1, false},
    {STATUS("a_new_word", ""), OUTCOME_PENDING, NULL, NULL, NULL, -1, false},
    {STATUS("completed", ",\"usage\":{\"duration_seconds\":8.0}"), OUTCOME_RESULT, NULL, NULL,
     CONTENT, -1, false},
    {STATUS("failed", ""), OUTCOME_FAILED, "failed", "\"failed\", and no more", NULL, -1, false},
    {STATUS("cancelled", ",\"error\":null"), OUTCOME_FAILED, "cancelled", "no more", NULL, -1,
     false},
    {FAILED("{\"code\":\"internal_error\",\"message\":\"words\"}"), OUTCOME_FAILED,
     "internal-error", "words", NULL, -1, false},
    {FAILED("\"words\""), OUTCOME_FAILED, "failed", "words", NULL, -1, false},
    {FAILED("{\"code\":\"rai_media_filtered\",\"message\":\"no. Support codes: 29310472\"}"),
     OUTCOME_FILTERED, "filtered-celebrity", "no. Support codes", NULL, -1, false},
    {FAILED("{\"code\":\"moderation_blocked\",\"message\":\"no\"}"), OUTCOME_FILTERED, "filtered",
     "no", NULL, -1, false},
};

static void test_shapes(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
        struct row row = shapes[i];
        assert_row(&provider, 200, &row, ID, NULL);
        if (row.kind == OUTCOME_PENDING)
            row.kind = OUTCOME_ACCEPTED;
        assert_row(&provider, 200, &row, NULL, ID);
    }
}

/* LiteLLM's status answers carry an id without the model, which asks the wrong account. */
static void test_the_id_of_the_creation_is_kept(void **state)
{
    (void)state;
    static const struct row row = {"{\"id\":\"video_other\",\"status\":\"completed\"}",
                                   OUTCOME_RESULT,
                                   NULL,
                                   NULL,
                                   CONTENT,
                                   -1,
                                   false};
    assert_row(&provider, 200, &row, ID, NULL);
}

static void test_a_submission_without_an_id_is_unreadable(void **state)
{
    (void)state;
    static const char *const bodies[] = {"{}",
                                         "{\"id\":7}",
                                         "{\"id\":\"\"}",
                                         "{\"id\":\"..\"}",
                                         "{\"id\":\"a b\"}",
                                         "{\"id\":\"a\\u0000\"}",
                                         "[]",
                                         ""};
    for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
        struct row row = {bodies[i], OUTCOME_UNREADABLE, "unreadable-answer", "HTTP 200", NULL, -1,
                          false};
        assert_row(&provider, 200, &row, NULL, NULL);
    }
    static const struct row silent = {"{\"id\":\"x\"}",
                                      OUTCOME_UNREADABLE,
                                      "unreadable-answer",
                                      "without a status",
                                      NULL,
                                      -1,
                                      false};
    assert_row(&provider, 200, &silent, ID, NULL);
}

#define LITELLM(words)                                                              \
    "{\"error\":{\"message\":\"litellm.InternalServerError: GeminiException " words \
    "\",\"type\":\"internal_server_error\",\"param\":null,\"code\":\"500\"}}"
#define INVALID                                                                          \
    "InternalServerError - 1 validation error for GeminiLongRunningOperationResponse\\n" \
    "response.generateVideoResponse.generatedSamples\\n  Field required [type=missing, " \
    "input_value={'raiMediaFilteredCount':...pport codes: 58061214']}, input_type=dict]"

static void test_litellms_way_to_say_filtered(void **state)
{
    (void)state;
    static const struct row filtered = {
        LITELLM(INVALID), OUTCOME_FILTERED, "filtered-child", "Field required", NULL, -1, false};
    assert_row(&provider, 500, &filtered, ID, NULL);
    static const struct row broken = {LITELLM("Server disconnected"),
                                      OUTCOME_UNREADABLE,
                                      "internal-server-error",
                                      "disconnected",
                                      NULL,
                                      -1,
                                      true};
    assert_row(&provider, 500, &broken, ID, NULL);
}

static void test_what_a_contents_error_says(void **state)
{
    (void)state;
    static const struct {
        int status;
        const char *body;
        enum file_state expected;
    } rows[] = {
        {500, LITELLM("No response data in completed operation"), FILE_FAILED},
        {500, LITELLM(INVALID), FILE_FAILED},
        {500, LITELLM("Video generation is not complete yet."), FILE_UNKNOWN},
        {404, "{}", FILE_UNKNOWN},
        {200, "No response data in completed operation", FILE_UNKNOWN},
        {500, "", FILE_UNKNOWN},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct wire_reply reply = {.status = rows[i].status,
                                   .body = rows[i].body,
                                   .length = strlen(rows[i].body),
                                   .retry_after_ms = -1};
        assert_int_equal(provider.dialect->filed(&reply), rows[i].expected);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_submit_sends_only_what_was_given),
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_submit_with_everything),
        cmocka_unit_test(test_what_would_be_dropped_is_refused),
        cmocka_unit_test(test_an_image_makes_it_a_form),
        cmocka_unit_test(test_no_field_holds_the_boundary),
        cmocka_unit_test(test_poll_encodes_the_id),
        cmocka_unit_test(test_shapes),
        cmocka_unit_test(test_the_id_of_the_creation_is_kept),
        cmocka_unit_test(test_a_submission_without_an_id_is_unreadable),
        cmocka_unit_test(test_litellms_way_to_say_filtered),
        cmocka_unit_test(test_what_a_contents_error_says),
    };
    return cmocka_run_group_tests_name("videos", tests, set_dialect, NULL);
}
