/* Golden requests, and every shape of answer, of the predict dialect. */
#include "tests/unit/provider_fixture.h"

#define BASE "https://proxy.example/gemini"
#define NAME "models/veo-3.1-generate-preview/operations/abc123"
#define URI  "https://generativelanguage.googleapis.com/v1beta/files/id1:download?alt=media"

#define SUBMIT BASE "/v1beta/models/some-model:predictLongRunning"

static struct provider provider = {.name = "veo", .base_url = BASE, .api_version = "v1beta"};

static struct provider seed_provider(void)
{
    struct provider seed = provider;
    seed.base_url = "http://localhost:4000";
    seed.seed_body = true;
    return seed;
}

static int set_dialect(void **state)
{
    (void)state;
    provider.dialect = dialect_find("predict");
    return 0;
}

static const struct dialect *dialect(void)
{
    return provider.dialect;
}

static void assert_submit(const struct request *request, const char *url, const char *body)
{
    assert_submission(&provider, request, url, body);
}

static void test_submit_sends_only_what_was_given(void **state)
{
    (void)state;
    struct request request = request_of("a \"dog\"\n");
    assert_submit(&request, SUBMIT, "{\"instances\":[{\"prompt\":\"a \\\"dog\\\"\\n\"}]}");
}

static void test_submit_with_everything(void **state)
{
    (void)state;
    struct request request = request_of("a dog");
    request.aspect_ratio = (char *)(uintptr_t) "16:9";
    request.resolution = (char *)(uintptr_t) "720p";
    request.duration_seconds = 8;
    request.negative_prompt = (char *)(uintptr_t) "cats";
    request.person_generation = (char *)(uintptr_t) "allow_all";
    request.sample_count = 2;
    request.seed = 4294967295;
    request.enhance_prompt = 1;
    request.generate_audio = 0;
    assert_submit(&request, SUBMIT,
                  "{\"instances\":[{\"prompt\":\"a dog\"}],\"parameters\":{\"aspectRatio\":\"16:9\""
                  ",\"resolution\":\"720p\",\"durationSeconds\":8,\"negativePrompt\":\"cats\","
                  "\"personGeneration\":\"allow_all\",\"sampleCount\":2,\"seed\":4294967295,"
                  "\"enhancePrompt\":true,\"generateAudio\":false}}");
}

/* Each field alone, so that none depends on another. */
static void test_each_parameter_alone(void **state)
{
    (void)state;
    static const char *const expected[] = {"{\"aspectRatio\":\"9:16\"}",
                                           "{\"resolution\":\"4k\"}",
                                           "{\"durationSeconds\":5.5}",
                                           "{\"negativePrompt\":\"n\"}",
                                           "{\"personGeneration\":\"p\"}",
                                           "{\"sampleCount\":1}",
                                           "{\"seed\":0}",
                                           "{\"enhancePrompt\":false}",
                                           "{\"generateAudio\":true}"};
    struct request requests[9];
    for (size_t i = 0; i < 9; i++)
        requests[i] = request_of("x");
    requests[0].aspect_ratio = (char *)(uintptr_t) "9:16";
    requests[1].resolution = (char *)(uintptr_t) "4k";
    requests[2].duration_seconds = 5.5;
    requests[3].negative_prompt = (char *)(uintptr_t) "n";
    requests[4].person_generation = (char *)(uintptr_t) "p";
    requests[5].sample_count = 1;
    requests[6].seed = 0;
    requests[7].enhance_prompt = 0;
    requests[8].generate_audio = 1;
    for (size_t i = 0; i < 9; i++) {
        char *body =
            mem_format("{\"instances\":[{\"prompt\":\"x\"}],\"parameters\":%s}", expected[i]);
        assert_submit(&requests[i], SUBMIT, body);
        free(body);
    }
}

static void test_a_model_cant_leave_its_segment(void **state)
{
    (void)state;
    struct request request = request_of("x");
    request.model = (char *)(uintptr_t) "../a/b?key=c#d";
    assert_submit(&request, BASE "/v1beta/models/..%2Fa%2Fb%3Fkey%3Dc%23d:predictLongRunning",
                  "{\"instances\":[{\"prompt\":\"x\"}]}");
}

static void test_submit_with_inputs(void **state)
{
    (void)state;
    struct input first = blob_of("a", "image/png"), last = blob_of("b", "image/jpeg");
    struct input one = blob_of("c", "image/webp"), two = blob_of("d", "image/png");
    struct input *references[] = {&one, &two};
    struct request request = request_of("x");
    request.image = &first;
    request.last_frame = &last;
    request.resolution = STRING("720p");
    assert_submit(&request, SUBMIT,
                  "{\"instances\":[{\"prompt\":\"x\",\"image\":{\"bytesBase64Encoded\":"
                  "\"[base64 of a]\",\"mimeType\":\"image/png\"},\"lastFrame\":{"
                  "\"bytesBase64Encoded\":\"[base64 of b]\",\"mimeType\":\"image/jpeg\"}}],"
                  "\"parameters\":{\"resolution\":\"720p\"}}");
    request = request_of("x");
    request.references = references;
    request.reference_count = 2;
    assert_submit(&request, SUBMIT,
                  "{\"instances\":[{\"prompt\":\"x\",\"referenceImages\":[{\"image\":{"
                  "\"bytesBase64Encoded\":\"[base64 of c]\",\"mimeType\":\"image/webp\"},"
                  "\"referenceType\":\"asset\"},{\"image\":{\"bytesBase64Encoded\":"
                  "\"[base64 of d]\",\"mimeType\":\"image/png\"},\"referenceType\":\"asset\"}]}]}");
    struct input earlier = {.job = STRING("J"), .file = STRING("/f.mp4"), .uri = STRING(URI)};
    request = request_of("x");
    request.video = &earlier;
    request.video_task = STRING("extend");
    assert_submit(&request, SUBMIT,
                  "{\"instances\":[{\"prompt\":\"x\",\"video\":{\"uri\":\"" URI "\"}}]}");
}

static void test_what_cant_be_sent_is_refused(void **state)
{
    (void)state;
    struct input blob = blob_of("a", "video/mp4"), stored = {.uri = STRING("gs://b/o")};
    struct input *references[] = {&stored};
    struct request request = request_of("x");
    request.video = &blob;
    assert_refusal(&provider, &request, "video", "the same provider");
    request.video = &stored;
    assert_refusal(&provider, &request, "video", "the same provider");
    request.video_task = STRING("edit");
    assert_refusal(&provider, &request, "video_task", "can't edit");
    request = request_of("x");
    request.image = &stored;
    assert_refusal(&provider, &request, "image", "not an address");
    request = request_of("x");
    request.last_frame = &stored;
    assert_refusal(&provider, &request, "last_frame", "not an address");
    request = request_of("x");
    request.references = references;
    request.reference_count = 1;
    assert_refusal(&provider, &request, "reference_images", "not an address");
}

static void test_the_seeds_own_route_and_body(void **state)
{
    (void)state;
    const struct provider seed = seed_provider();
    struct input image = blob_of("a", "image/png");
    struct request request = request_of("x");
    assert_submission(&seed, &request, "http://localhost:4000/models/some-model:predictLongRunning",
                      "{\"instances\":[{\"prompt\":\"x\"}]}");
    request.image = &image;
    request.aspect_ratio = STRING("16:9");
    request.resolution = STRING("720p");
    request.negative_prompt = STRING("cats");
    request.sample_count = 1;
    assert_submission(
        &seed, &request, "http://localhost:4000/models/some-model:predictLongRunning",
        "{\"instances\":[{\"prompt\":\"x\",\"input_image\":{\"mime_type\":\"image/png\","
        "\"data\":\"[base64 of a]\"},\"negative_prompt\":\"cats\",\"aspect_ratio\":"
        "\"16:9\",\"resolution\":\"720p\"}]}");
    struct wire_request wire;
    wire_request_init(&wire);
    dialect()->poll(&seed, NAME, &wire);
    assert_string_equal(buf_text(&wire.url), "http://localhost:4000/" NAME);
    wire_request_free(&wire);
}

static void test_the_seeds_body_has_no_place_for_the_rest(void **state)
{
    (void)state;
    const struct provider seed = seed_provider();
    struct input blob = blob_of("a", "image/png"), video = {.uri = STRING(URI)};
    struct input *references[] = {&blob};
    struct {
        const char *field;
        struct request request;
    } rows[] = {
        {"last_frame", request_of("x")},
        {"reference_images", request_of("x")},
        {"video", request_of("x")},
        {"duration_seconds", request_of("x")},
        {"sample_count", request_of("x")},
        {"seed", request_of("x")},
        {"person_generation", request_of("x")},
        {"generate_audio", request_of("x")},
        {"enhance_prompt", request_of("x")},
    };
    rows[0].request.last_frame = &blob;
    rows[1].request.references = references;
    rows[1].request.reference_count = 1;
    rows[2].request.video = &video;
    rows[3].request.duration_seconds = 8;
    rows[4].request.sample_count = 2;
    rows[5].request.seed = 0;
    rows[6].request.person_generation = STRING("allow_all");
    rows[7].request.generate_audio = 0;
    rows[8].request.enhance_prompt = 0;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        assert_refusal(&seed, &rows[i].request, rows[i].field, "body = seed");
}

/* A gateway may name its operations as it likes, as long as the name is a path. */
static void test_a_gateways_names(void **state)
{
    (void)state;
    static const char *const good[] = {"operations/1", "x", NAME};
    static const char *const bad[] = {"", "/x", "x/", "a//b", "a/../b", "a?b", "http://h/x"};
    const struct provider seed = seed_provider();
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        char *body = mem_format("{\"name\":\"%s\"}", good[i]);
        struct row row = {body, OUTCOME_ACCEPTED, NULL, NULL, NULL, -1, false};
        assert_row(&seed, 200, &row, NULL, good[i]);
        free(body);
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        char *body = mem_format("{\"name\":\"%s\"}", bad[i]);
        struct row row = {body, OUTCOME_UNREADABLE, "unreadable-answer", "usable name", NULL, -1,
                          false};
        assert_row(&seed, 200, &row, NULL, NULL);
        free(body);
    }
}

/* A proxy passes Google's addresses on, where its key means nothing. */
static void test_googles_addresses_are_asked_for_at_the_proxy(void **state)
{
    (void)state;
    struct provider google = provider;
    google.base_url = "https://generativelanguage.googleapis.com";
    assert_download(&provider, URI, BASE "/v1beta/files/id1:download?alt=media");
    assert_download(&google, URI, URI);
    assert_download(&provider, "https://cdn.example/x", "https://cdn.example/x");
    assert_download(&provider, "https://generativelanguage.googleapis.com.evil.example/x",
                    "https://generativelanguage.googleapis.com.evil.example/x");
}

static void test_poll_gets_the_operation(void **state)
{
    (void)state;
    struct wire_request wire;
    wire_request_init(&wire);
    dialect()->poll(&provider, NAME, &wire);
    assert_false(wire.post);
    assert_string_equal(buf_text(&wire.url), BASE "/v1beta/" NAME);
    assert_int_equal(wire.body.length, 0);
    wire_request_free(&wire);
    assert_null(dialect()->cancel);
    assert_null(dialect()->file);
}

#define OP(rest)   "{\"name\":\"" NAME "\"" rest "}"
#define DONE(rest) OP(",\"done\":true" rest)
#define VIDEO(members) \
    DONE(",\"response\":{\"@type\":\"t\",\"generateVideoResponse\":{" members "}}")
#define SAMPLE(video)  "{\"video\":{" video "}}"
#define SAMPLE_URI     SAMPLE("\"uri\":\"" URI "\"")
#define FAILURE(error) DONE(",\"error\":{" error "}")

static const struct row shapes[] = {
    /* Running. */
    {OP(""), OUTCOME_PENDING, NULL, NULL, NULL, -1, false},
    {OP(",\"metadata\":{\"@type\":\"t\"}"), OUTCOME_PENDING, NULL, NULL, NULL, -1, false},
    {OP(",\"done\":false"), OUTCOME_PENDING, NULL, NULL, NULL, -1, false},
    {OP(",\"done\":\"true\""), OUTCOME_PENDING, NULL, NULL, NULL, -1, false},
    {OP(",\"done\":null"), OUTCOME_PENDING, NULL, NULL, NULL, -1, false},
    /* Results. */
    {VIDEO("\"generatedSamples\":[" SAMPLE_URI "]"), OUTCOME_RESULT, NULL, NULL, URI, -1, false},
    {VIDEO("\"generatedSamples\":[" SAMPLE("\"encodedVideo\":\"inline:0\",\"encoding\":"
                                           "\"video/mp4\"") "]"),
     OUTCOME_RESULT, NULL, NULL, NULL, 0, false},
    {VIDEO("\"generatedSamples\":[{}," SAMPLE_URI "]"), OUTCOME_RESULT, NULL, NULL, URI, -1, false},
    {VIDEO("\"generatedSamples\":[" SAMPLE_URI "],\"raiMediaFilteredCount\":1,"
           "\"raiMediaFilteredReasons\":[\"because\"]"),
     OUTCOME_RESULT, "partly-filtered", "1 more filtered: because", URI, -1, false},
    {VIDEO("\"generatedSamples\":[" SAMPLE_URI "],\"raiMediaFilteredCount\":0"), OUTCOME_RESULT,
     NULL, NULL, URI, -1, false},
    /* Filtered. */
    {VIDEO("\"raiMediaFilteredCount\":1,\"raiMediaFilteredReasons\":[\"We can't. Support codes: "
           "29310472\"]"),
     OUTCOME_FILTERED, "filtered-celebrity", "(celebrity) We can't. Support codes: 29310472", NULL,
     -1, false},
    {VIDEO("\"raiMediaFilteredCount\":2,\"raiMediaFilteredReasons\":[\"one\",\"two\"]"),
     OUTCOME_FILTERED, "filtered", "one; two", NULL, -1, false},
    {VIDEO("\"raiMediaFilteredCount\":1"), OUTCOME_FILTERED, "filtered", "no reason", NULL, -1,
     false},
    {VIDEO("\"generatedSamples\":[{}],\"raiMediaFilteredReasons\":[\"one\"]"), OUTCOME_FILTERED,
     "filtered", "one", NULL, -1, false},
    {VIDEO("\"generatedSamples\":[]"), OUTCOME_FILTERED, "filtered", "no reason", NULL, -1, false},
    {VIDEO(""), OUTCOME_FILTERED, "filtered", "no reason", NULL, -1, false},
    {DONE(""), OUTCOME_FILTERED, "filtered", "no reason", NULL, -1, false},
    {DONE(",\"response\":{}"), OUTCOME_FILTERED, "filtered", "no reason", NULL, -1, false},
    {DONE(",\"response\":null"), OUTCOME_FILTERED, "filtered", "no reason", NULL, -1, false},
    {DONE(",\"error\":{}"), OUTCOME_FILTERED, "filtered", "no reason", NULL, -1, false},
    /* Failed: google.rpc's numbers. */
    {FAILURE("\"code\":13,\"message\":\"words\""), OUTCOME_FAILED, "internal", "words", NULL, -1,
     true},
    {FAILURE("\"code\":14,\"message\":\"words\""), OUTCOME_FAILED, "unavailable", "words", NULL, -1,
     true},
    {FAILURE("\"code\":8,\"message\":\"words\",\"status\":\"RESOURCE_EXHAUSTED\""), OUTCOME_FAILED,
     "resource-exhausted", "words", NULL, -1, true},
    {FAILURE("\"code\":3,\"message\":\"words\""), OUTCOME_FAILED, "invalid-argument", "words", NULL,
     -1, false},
    {FAILURE("\"code\":7"), OUTCOME_FAILED, "permission-denied", "no reason", NULL, -1, false},
    {FAILURE("\"code\":99,\"message\":7"), OUTCOME_FAILED, "failed", "7", NULL, -1, false},
    {FAILURE("\"code\":\"x\",\"details\":7"), OUTCOME_FAILED, "x", "no reason", NULL, -1, false},
    /* Done, and not to be understood: not to be called filtered, which isn't charged. */
    {VIDEO("\"generatedSamples\":[{}]"), OUTCOME_FAILED, "unreadable-answer", "generatedSamples",
     NULL, -1, false},
    {VIDEO("\"generatedSamples\":[" SAMPLE("\"uri\":7,\"encodedVideo\":\"AAAA\"") "]"),
     OUTCOME_FAILED, "unreadable-answer", "without an address", NULL, -1, false},
    {VIDEO("\"generatedSamples\":{\"0\":{}}"), OUTCOME_FAILED, "unreadable-answer", "HTTP 200",
     NULL, -1, false},
    {DONE(",\"response\":\"done\""), OUTCOME_FAILED, "unreadable-answer", "HTTP 200", NULL, -1,
     false},
    {DONE(",\"response\":{\"generateVideoResponse\":[]}"), OUTCOME_FAILED, "unreadable-answer",
     "HTTP 200", NULL, -1, false},
};

static void test_shapes_of_a_poll(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++)
        assert_row(&provider, 200, &shapes[i], NAME, NULL);
}

/* The same bodies answering a submission: each has a name, so none may be lost. */
static void test_shapes_of_a_submission(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
        struct row row = shapes[i];
        if (row.kind == OUTCOME_PENDING)
            row.kind = OUTCOME_ACCEPTED;
        assert_row(&provider, 200, &row, NULL, NAME);
    }
}

static void test_several_samples(void **state)
{
    (void)state;
    static const char body[] =
        VIDEO("\"generatedSamples\":[" SAMPLE_URI "," SAMPLE("\"uri\":\"http://h/2\"") "]");
    struct wire_reply reply = {.status = 200, .body = body, .length = sizeof(body) - 1};
    struct outcome outcome;
    outcome_init(&outcome);
    dialect()->polled(&provider, &reply, &outcome);
    assert_int_equal(outcome.result_count, 2);
    assert_string_equal(outcome.results[0].uri, URI);
    assert_string_equal(outcome.results[1].uri, "http://h/2");
    assert_int_equal(outcome.results[1].inline_index, -1);
    outcome_free(&outcome);
}

static void test_support_codes(void **state)
{
    (void)state;
    static const struct {
        const char *number;
        const char *code;
    } rows[] = {
        {"58061214", "filtered-child"},
        {"15236754", "filtered-celebrity"},
        {"64151117", "filtered-safety"},
        {"62263041", "filtered-dangerous"},
        {"22137204", "filtered-hate"},
        {"42876398", "filtered-other"},
        {"60599140", "filtered-prohibited"},
        {"35561575", "filtered-third-party-content"},
        {"43188360", "filtered-sexual"},
        {"78610348", "filtered-toxic"},
        {"56562880", "filtered-violence"},
        {"32635315", "filtered-vulgar"},
        {"11111111", "filtered"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char *body = mem_format(VIDEO("\"raiMediaFilteredReasons\":[\"Support codes: %s\"]"),
                                rows[i].number);
        struct row row = {body, OUTCOME_FILTERED, rows[i].code, rows[i].number, NULL, -1, false};
        assert_row(&provider, 200, &row, NAME, NULL);
        free(body);
    }
}

static void test_long_reasons_are_cut_not_lost(void **state)
{
    (void)state;
    char *reason = mem_alloc(9001);
    memset(reason, 'r', 9000);
    char *body = mem_format(VIDEO("\"raiMediaFilteredReasons\":[\"%s\",\"%s\"]"), reason, reason);
    struct row row = {body, OUTCOME_FILTERED, "filtered", "rrrrrrrr", NULL, -1, false};
    assert_row(&provider, 200, &row, NAME, NULL);
    free(body);
    free(reason);
}

static const char *const unreadable[] = {
    "",
    "{",
    ("{\"name\":\"" NAME),
    "[]",
    "null",
    "{}",
    "{\"done\":true}",
    "{\"name\":7}",
    "{\"name\":\"\"}",
    "{\"name\":\"operations/1\"}",
    "{\"name\":\"models/m/operations/../x\"}",
    "{\"name\":\"models/m/operations/..\"}",
    "{\"name\":\"models/m/operations/a?key=b\"}",
    "{\"name\":\"models/m/operations/a\\nb\"}",
    "{\"name\":\"models/m/operations/a\\u0000\"}",
    "{\"name\":\"https://evil.example/models/m/operations/a\"}",
    "{\"error\":{\"code\":503,\"message\":\"m\",\"status\":\"UNAVAILABLE\"}}",
    "<html>",
};

static void test_a_submission_without_a_name_is_unreadable(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(unreadable) / sizeof(unreadable[0]); i++) {
        struct row row = {
            unreadable[i], OUTCOME_UNREADABLE, "unreadable-answer", "HTTP 200: ", NULL, -1, false};
        assert_row(&provider, 200, &row, NULL, NULL);
    }
    static const struct row refused = {"{\"error\":{\"code\":400,\"message\":\"words\",\"status\":"
                                       "\"INVALID_ARGUMENT\"}}",
                                       OUTCOME_REJECTED,
                                       "invalid-argument",
                                       "words",
                                       NULL,
                                       -1,
                                       false};
    assert_row(&provider, 400, &refused, NULL, NULL);
}

static void test_a_failing_poll_says_nothing_of_the_job(void **state)
{
    (void)state;
    static const int statuses[] = {302, 400, 403, 404, 429, 500, 503};
    static const struct row words = {"{\"error\":{\"code\":404,\"message\":\"Operation " NAME
                                     " not found\",\"status\":\"NOT_FOUND\"}}",
                                     OUTCOME_UNREADABLE,
                                     "not-found",
                                     "abc123 not found",
                                     NULL,
                                     -1,
                                     true};
    for (size_t i = 0; i < sizeof(statuses) / sizeof(statuses[0]); i++)
        assert_row(&provider, statuses[i], &words, NAME, NULL);
    static const char *const silent[] = {"", "{}", "[]", "7", "{\"name\":7}", "{\"done\":tr"};
    for (size_t i = 0; i < sizeof(silent) / sizeof(silent[0]); i++) {
        struct row row = {silent[i], OUTCOME_UNREADABLE, "unreadable-answer", "HTTP 200", NULL, -1,
                          false};
        assert_row(&provider, 200, &row, NAME, NULL);
    }
}

/* An operation that is gone is no retired model. */
static void test_no_hint_about_models_for_a_lost_operation(void **state)
{
    (void)state;
    static const char body[] =
        "{\"error\":{\"code\":404,\"message\":\"" NAME "\",\"status\":\"NOT_FOUND\"}}";
    struct wire_reply reply = {.status = 404, .body = body, .length = sizeof(body) - 1};
    struct outcome outcome;
    outcome_init(&outcome);
    dialect()->polled(&provider, &reply, &outcome);
    assert_string_equal(outcome.message, NAME);
    outcome_free(&outcome);
}

static void test_every_truncation_is_unreadable(void **state)
{
    (void)state;
    static const char whole[] = VIDEO("\"generatedSamples\":[" SAMPLE_URI "]");
    for (size_t length = 0; length < sizeof(whole) - 1; length++) {
        char *cut = mem_strndup(whole, length);
        struct wire_reply reply = {.status = 200, .body = cut, .length = length};
        struct outcome outcome;
        outcome_init(&outcome);
        dialect()->polled(&provider, &reply, &outcome);
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
        cmocka_unit_test(test_each_parameter_alone),
        cmocka_unit_test(test_a_model_cant_leave_its_segment),
        cmocka_unit_test(test_submit_with_inputs),
        cmocka_unit_test(test_what_cant_be_sent_is_refused),
        cmocka_unit_test(test_the_seeds_own_route_and_body),
        cmocka_unit_test(test_the_seeds_body_has_no_place_for_the_rest),
        cmocka_unit_test(test_a_gateways_names),
        cmocka_unit_test(test_googles_addresses_are_asked_for_at_the_proxy),
        cmocka_unit_test(test_poll_gets_the_operation),
        cmocka_unit_test(test_shapes_of_a_poll),
        cmocka_unit_test(test_shapes_of_a_submission),
        cmocka_unit_test(test_several_samples),
        cmocka_unit_test(test_support_codes),
        cmocka_unit_test(test_long_reasons_are_cut_not_lost),
        cmocka_unit_test(test_a_submission_without_a_name_is_unreadable),
        cmocka_unit_test(test_a_failing_poll_says_nothing_of_the_job),
        cmocka_unit_test(test_no_hint_about_models_for_a_lost_operation),
        cmocka_unit_test(test_every_truncation_is_unreadable),
    };
    return cmocka_run_group_tests_name("predict", tests, set_dialect, NULL);
}
