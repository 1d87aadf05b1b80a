/* Golden requests of the interactions dialect with files, and those for Vertex AI; what its answers
 * say about tokens. */
#include "tests/unit/provider_fixture.h"

#define BASE   "https://generativelanguage.googleapis.com"
#define VERTEX "https://aiplatform.googleapis.com"

static struct provider provider = {.name = "gemini", .base_url = BASE, .api_version = "v1beta"};
static struct provider vertex = {.name = "cloud",
                                 .base_url = VERTEX,
                                 .api_version = "v1beta1",
                                 .project = "p-1",
                                 .location = "global",
                                 .storage_url = "https://storage.googleapis.com"};

static int set_dialect(void **state)
{
    (void)state;
    provider.dialect = vertex.dialect = dialect_find("interactions");
    return 0;
}

/* A body with these members between the model and what always comes. */
#define BODY(members) "{\"model\":\"some-model\"," members ",\"background\":true,\"store\":true}"
#define FORMAT        ",\"response_format\":{\"type\":\"video\",\"delivery\":\"uri\"}"
#define TASK(task)    ",\"generation_config\":{\"video_config\":{\"task\":\"" task "\"}}"
#define IMAGE(letter) \
    "{\"type\":\"image\",\"mime_type\":\"image/png\",\"data\":\"[base64 of " letter "]\"}"
#define VIDEO            "{\"type\":\"video\",\"mime_type\":\"video/mp4\",\"data\":\"[base64 of v]\"}"
#define TEXT_BLOCK(text) "{\"type\":\"text\",\"text\":\"" text "\"}"

static void assert_submit(const struct request *request, const char *body)
{
    assert_submission(&provider, request, BASE "/v1beta/interactions", body);
}

static void test_first_and_last_frame(void **state)
{
    (void)state;
    struct input first = blob_of("a", "image/png"), last = blob_of("b", "image/png");
    struct request request = request_of("x");
    request.image = &first;
    assert_submit(&request,
                  BODY("\"input\":[" IMAGE("a") "," TEXT_BLOCK(
                      "[# Sources <FIRST_FRAME>@Image1] x") "]" FORMAT TASK("image_to_video")));
    request.last_frame = &last;
    assert_submit(&request, BODY("\"input\":[" IMAGE("a") "," IMAGE("b") "," TEXT_BLOCK(
                                "[# Sources <FIRST_FRAME>@Image1 <LAST_FRAME>@Image2] x") "]" FORMAT
                                     TASK("image_to_video")));
    request.image = NULL;
    assert_refusal(&provider, &request, "last_frame", "needs a first frame");
}

static void test_references(void **state)
{
    (void)state;
    struct input first = blob_of("a", "image/png"), one = blob_of("b", "image/png");
    struct input two = blob_of("c", "image/png"), *references[] = {&one, &two};
    struct request request = request_of("x");
    request.references = references;
    request.reference_count = 2;
    assert_submit(&request,
                  BODY("\"input\":[" IMAGE("b") "," IMAGE("c") "," TEXT_BLOCK(
                      "[# References <IMAGE_REF_0>@Image1 <IMAGE_REF_1>@Image2] x") "]" FORMAT
                           TASK("reference_to_video")));
    request.image = &first;
    request.reference_count = 1;
    assert_submit(&request, BODY("\"input\":[" IMAGE("a") "," IMAGE("b") "," TEXT_BLOCK(
                                "[# Sources <FIRST_FRAME>@Image1] "
                                "[# References <IMAGE_REF_0>@Image2] x") "]" FORMAT));
}

static void test_own_declarations_are_left_alone(void **state)
{
    (void)state;
    struct input image = blob_of("a", "image/png");
    struct request request = request_of("[# References <IMAGE_REF_0>@Image1] x");
    request.image = &image;
    request.negative_prompt = STRING("y");
    assert_submit(&request, BODY("\"input\":[" IMAGE("a") "," TEXT_BLOCK(
                                "[# References <IMAGE_REF_0>@Image1] x\\n\\nAvoid the following: "
                                "y") "]" FORMAT TASK("image_to_video")));
}

static void test_a_video_is_edited_or_extended(void **state)
{
    (void)state;
    struct input video = blob_of("v", "video/mp4"), one = blob_of("a", "image/png");
    struct input *references[] = {&one};
    struct request request = request_of("x");
    request.video = &video;
    assert_submit(&request, BODY("\"input\":[" VIDEO "," TEXT_BLOCK(
                                "[# Sources <VIDEO_0>@Video1] x") "]" FORMAT TASK("edit")));
    request.video_task = STRING("extend");
    request.references = references;
    request.reference_count = 1;
    assert_submit(&request, BODY("\"input\":[" VIDEO "," IMAGE("a") "," TEXT_BLOCK(
                                "[# Sources <VIDEO_0>@Video1] [# References "
                                "<IMAGE_REF_0>@Image1] x") "]" FORMAT TASK("extend")));
    request.image = &one;
    assert_refusal(&provider, &request, "image", "reference_images");
}

/* Nothing is uploaded that the provider has made itself, unless another one is asked. */
static void test_an_earlier_interaction_is_continued(void **state)
{
    (void)state;
    struct input video = blob_of("v", "video/mp4"), one = blob_of("a", "image/png");
    struct input *references[] = {&one};
    video.operation = STRING("v1_x");
    video.provider = STRING("gemini");
    struct request request = request_of("x");
    request.video = &video;
    assert_submit(&request, BODY("\"previous_interaction_id\":\"v1_x\",\"input\":\"x\"" FORMAT));
    request.video_task = STRING("extend");
    assert_submit(&request, BODY("\"previous_interaction_id\":\"v1_x\",\"input\":\"[# Sources "
                                 "<PREVIOUS_VIDEO>@Video1] x\"" FORMAT TASK("extend")));
    request.video_task = STRING("edit");
    request.references = references;
    request.reference_count = 1;
    assert_submit(&request,
                  BODY("\"previous_interaction_id\":\"v1_x\",\"input\":[" IMAGE("a") "," TEXT_BLOCK(
                      "[# References <IMAGE_REF_0>@Image1] x") "]" FORMAT));
    video.provider = STRING("another");
    request.reference_count = 0;
    assert_submit(&request, BODY("\"input\":[" VIDEO "," TEXT_BLOCK(
                                "[# Sources <VIDEO_0>@Video1] x") "]" FORMAT TASK("edit")));
    video.blob = NULL;
    assert_refusal(&provider, &request, "video", "known to the provider gemini");
}

static void test_a_seed(void **state)
{
    (void)state;
    struct input image = blob_of("a", "image/png");
    struct request request = request_of("x");
    request.seed = 0;
    assert_submit(&request, BODY("\"input\":\"x\"" FORMAT ",\"generation_config\":{\"seed\":0}"));
    request.seed = 4294967295;
    request.image = &image;
    assert_submit(&request,
                  BODY("\"input\":[" IMAGE("a") "," TEXT_BLOCK(
                      "[# Sources <FIRST_FRAME>@Image1] x") "]" FORMAT
                                                            ",\"generation_config\":{\"seed\":"
                                                            "4294967295,\"video_config\":{"
                                                            "\"task\":\"image_to_video\"}}"));
}

static void test_addresses(void **state)
{
    (void)state;
    struct input file = {.uri = STRING(BASE "/v1beta/files/f"), .mime_type = STRING("image/png")};
    struct input stored = {.uri = STRING("gs://b/o")};
    struct request request = request_of("x");
    request.image = &file;
    assert_submit(
        &request,
        BODY("\"input\":[{\"type\":\"image\",\"mime_type\":\"image/png\",\"uri\":\"" BASE
             "/v1beta/files/f\"}," TEXT_BLOCK("[# Sources <FIRST_FRAME>@Image1] x") "]" FORMAT TASK(
                 "image_to_video")));
    request.image = &stored;
    assert_refusal(&provider, &request, "image", "can't be had");
    request.image = &file;
    request.last_frame = &stored;
    assert_refusal(&provider, &request, "last_frame", "can't be had");
}

#define ON_VERTEX VERTEX "/v1beta1/projects/p-1/locations/global/interactions"

static void test_on_vertex(void **state)
{
    (void)state;
    struct input stored = {.uri = STRING("gs://b/v.mp4"),
                           .operation = STRING("i1"),
                           .provider = STRING("cloud"),
                           .mime_type = STRING("video/mp4"),
                           .file = STRING("/f.mp4")};
    struct request request = request_of("x");
    request.resolution = STRING("360p");
    assert_submission(&vertex, &request, ON_VERTEX,
                      BODY("\"input\":\"x\",\"response_format\":[{\"type\":\"video\","
                           "\"resolution\":\"360p\",\"delivery\":\"inline\"}]"));
    struct provider storing = vertex;
    storing.storage_uri = "gs://b/out";
    request = request_of("x");
    request.video = &stored;
    assert_submission(
        &storing, &request, ON_VERTEX,
        BODY("\"input\":[{\"type\":\"video\",\"mime_type\":\"video/mp4\",\"uri\":"
             "\"gs://b/v.mp4\"}," TEXT_BLOCK(
                 "[# Sources <VIDEO_0>@Video1] x") "],"
                                                   "\"response_format\":[{\"type\":\"video\","
                                                   "\"delivery\":\"uri\","
                                                   "\"gcs_uri\":\"gs://b/out\"}]" TASK("edit")));
}

static void test_polls_and_cancels_on_vertex(void **state)
{
    (void)state;
    struct wire_request wire;
    wire_request_init(&wire);
    vertex.dialect->poll(&vertex, "i/1", &wire);
    assert_string_equal(buf_text(&wire.url), ON_VERTEX "/i%2F1");
    vertex.dialect->cancel(&vertex, "i1", &wire);
    assert_string_equal(buf_text(&wire.url), ON_VERTEX "/i1/cancel");
    assert_false(vertex.dialect->file(&vertex, "gs://b/o", &wire));
    wire_request_free(&wire);
}

static void test_where_results_are_loaded_from(void **state)
{
    (void)state;
    struct provider proxy = provider;
    struct wire_request wire;
    proxy.base_url = "http://h:4000/gemini";
    assert_download(&vertex, "gs://b-1/a b/c.mp4",
                    "https://storage.googleapis.com/storage/v1/b/b-1/o/a%20b%2Fc.mp4?alt=media");
    assert_download(&provider, "gs://b/o", "gs://b/o");
    assert_download(&vertex, "gs://b", "gs://b");
    assert_download(&provider, BASE "/v1beta/files/f", BASE "/v1beta/files/f");
    assert_download(&proxy, BASE "/v1beta/files/f:download?alt=media",
                    "http://h:4000/gemini/v1beta/files/f:download?alt=media");
    wire_request_init(&wire);
    assert_true(proxy.dialect->file(&proxy, BASE "/v1beta/files/f:download?alt=media", &wire));
    assert_string_equal(buf_text(&wire.url), "http://h:4000/gemini/v1beta/files/f");
    wire_request_free(&wire);
}

static void assert_usage(const char *usage, int64_t input, int64_t video, int64_t other)
{
    char *body =
        mem_format("{\"id\":\"v1_x\",\"status\":\"completed\",\"steps\":[{\"type\":"
                   "\"model_output\",\"content\":[{\"type\":\"video\",\"uri\":\"http://h/f\"}"
                   "]}],\"usage\":%s}",
                   usage);
    struct wire_reply reply = {.status = 200, .body = body, .length = strlen(body)};
    struct outcome outcome;
    outcome_init(&outcome);
    provider.dialect->polled(&provider, &reply, &outcome);
    assert_int_equal(outcome.kind, OUTCOME_RESULT);
    if (outcome.usage.input_tokens != input || outcome.usage.video_tokens != video ||
        outcome.usage.other_tokens != other)
        fail_msg("%s: %lld %lld %lld", usage, (long long)outcome.usage.input_tokens,
                 (long long)outcome.usage.video_tokens, (long long)outcome.usage.other_tokens);
    outcome_free(&outcome);
    free(body);
}

static void test_tokens(void **state)
{
    (void)state;
    assert_usage("{\"total_input_tokens\":12,\"total_output_tokens\":57930,"
                 "\"output_tokens_by_modality\":[{\"modality\":\"video\",\"tokens\":57920},"
                 "{\"modality\":\"text\",\"tokens\":10}],\"total_thought_tokens\":5}",
                 12, 57920, 15);
    assert_usage("{\"output_tokens_by_modality\":[{\"modality\":\"VIDEO\",\"tokens\":1},"
                 "{\"modality\":\"video\",\"tokens\":2}]}",
                 -1, 3, -1);
    assert_usage("{\"total_input_tokens\":0,\"total_output_tokens\":9}", 0, -1, -1);
    assert_usage("null", -1, -1, -1);
    assert_usage("{\"total_input_tokens\":-1,\"output_tokens_by_modality\":[7,{\"modality\":"
                 "\"video\",\"tokens\":\"1\"},{\"modality\":null,\"tokens\":1e300}]}",
                 -1, -1, -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_first_and_last_frame),
        cmocka_unit_test(test_references),
        cmocka_unit_test(test_own_declarations_are_left_alone),
        cmocka_unit_test(test_a_video_is_edited_or_extended),
        cmocka_unit_test(test_an_earlier_interaction_is_continued),
        cmocka_unit_test(test_a_seed),
        cmocka_unit_test(test_addresses),
        cmocka_unit_test(test_on_vertex),
        cmocka_unit_test(test_polls_and_cancels_on_vertex),
        cmocka_unit_test(test_where_results_are_loaded_from),
        cmocka_unit_test(test_tokens),
    };
    return cmocka_run_group_tests_name("interactions_inputs", tests, set_dialect, NULL);
}
