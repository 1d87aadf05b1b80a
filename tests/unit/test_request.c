#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/core/request.h"
#include "proto/limits.h"
#include "proto/line.h"
#include "proto/mem.h"

static const struct request_defaults defaults = {.model = "default-model", .deadline_ms = 86400000};

static struct request *parse(const char *json, struct error *error)
{
    struct json *doc = json_parse(json, strlen(json), (struct json_limits){0}, error);
    struct request *request = doc ? request_parse(json_root(doc), &defaults, error) : NULL;
    json_free(doc);
    return request;
}

static struct request *parse_good(const char *json)
{
    struct error error = {0};
    struct request *request = parse(json, &error);
    if (!request)
        fail_msg("%s: %s", json, error.message);
    return request;
}

static void assert_bad(const char *json, const char *field, const char *fragment)
{
    struct error error = {0};
    struct request *request = parse(json, &error);
    if (request)
        fail_msg("taken: %s", json);
    assert_int_equal(error.code, ERROR_INVALID_ARGUMENT);
    assert_string_equal(error.field, field);
    if (!strstr(error.message, fragment))
        fail_msg("%s: \"%s\" lacks \"%s\"", json, error.message, fragment);
}

/* What is read is written the same: once from the client's form, and then for ever. */
static void assert_canonical(const char *json, const char *expected)
{
    struct request *request = parse_good(json);
    char *first = request_to_json(request);
    if (expected)
        assert_string_equal(first, expected);
    struct request *loaded = request_load(first, strlen(first));
    assert_non_null(loaded);
    char *second = request_to_json(loaded);
    assert_string_equal(second, first);
    request_unref(request);
    request_unref(loaded);
    free(first);
    free(second);
}

#define P "{\"prompt\":\"p\","

static void test_what_is_refused(void **state)
{
    static const struct {
        const char *json, *field, *fragment;
    } bad[] = {
        {"[]", "", "must be a JSON object, not array"},
        {"{}", "prompt", "prompt is missing"},
        {"{\"prompt\":5}", "prompt", "must be a string without NUL, not 5"},
        {"{\"prompt\":null}", "prompt", "not null"},
        {"{\"prompt\":\"a\\u0000b\"}", "prompt", "without NUL"},
        {"{\"prompt\":\"\"}", "prompt", "it has 0"},
        {"{\"prompt\":\" \\t\\r\\n\"}", "prompt", "not be blank; it has 4"},
        {P "\"Model\":\"m\"}", "Model", "unknown member \"Model\""},
        {P "\"a\\u0000b\":1}", "", "unknown member"},
        {P "\"model\":\"a b\"}", "model", "without spaces, not \"a b\""},
        {P "\"model\":\"\\u00e4\"}", "model", "printable ASCII"},
        {P "\"provider\":\"\"}", "provider", "1 to 64 bytes"},
        {P "\"aspect_ratio\":\"16x9\"}", "aspect_ratio", "such as 16:9 or 9:16, not \"16x9\""},
        {P "\"aspect_ratio\":\"16:9 \"}", "aspect_ratio", "without spaces"},
        {P "\"aspect_ratio\":\"16:9:1\"}", "aspect_ratio", "two numbers"},
        {P "\"aspect_ratio\":\"16:\"}", "aspect_ratio", "two numbers"},
        {P "\"aspect_ratio\":\":9\"}", "aspect_ratio", "two numbers"},
        {P "\"aspect_ratio\":\"0:9\"}", "aspect_ratio", "two numbers"},
        {P "\"aspect_ratio\":\"16:0\"}", "aspect_ratio", "two numbers"},
        {P "\"aspect_ratio\":\"-1:9\"}", "aspect_ratio", "two numbers"},
        {P "\"aspect_ratio\":\"16:-9\"}", "aspect_ratio", "two numbers"},
        {P "\"aspect_ratio\":\"16:+9\"}", "aspect_ratio", "two numbers"},
        {P "\"aspect_ratio\":\"12345:9\"}", "aspect_ratio", "two numbers"},
        {P "\"aspect_ratio\":1.77}", "aspect_ratio", "not 1.77"},
        {P "\"resolution\":\"12345678901234567\"}", "resolution", "1 to 16 bytes"},
        {P "\"duration_seconds\":0}", "duration_seconds", "from 0.1 to 3600, not 0"},
        {P "\"duration_seconds\":3600.5}", "duration_seconds", "not 3600.5"},
        {P "\"duration_seconds\":\"8\"}", "duration_seconds", "not \"8\""},
        {P "\"negative_prompt\":\" \"}", "negative_prompt", "not be blank"},
        {P "\"seed\":-1}", "seed", "a whole number from 0 to 4294967295, not -1"},
        {P "\"seed\":4294967296}", "seed", "not 4294967296"},
        {P "\"seed\":1.5}", "seed", "not 1.5"},
        {P "\"sample_count\":0}", "sample_count", "from 1 to 4"},
        {P "\"sample_count\":5}", "sample_count", "from 1 to 4"},
        {P "\"person_generation\":\"allow all\"}", "person_generation", "without spaces"},
        {P "\"generate_audio\":1}", "generate_audio", "true or false, not 1"},
        {P "\"enhance_prompt\":\"yes\"}", "enhance_prompt", "not \"yes\""},
        {P "\"video_task\":\"extend\"}", "video_task", "there is none"},
        {P "\"video\":\"x\",\"video_task\":\"upscale\"}", "video_task", "\"edit\" or \"extend\""},
        {P "\"video\":\"x\",\"video_task\":true}", "video_task", "not true"},
        {P "\"priority\":101}", "priority", "from -100 to 100"},
        {P "\"priority\":-101}", "priority", "from -100 to 100"},
        {P "\"labels\":[\"a\"]}", "labels", "an object of strings, not [\"a\"]"},
        {P "\"labels\":{\"a\":1}}", "labels", "not 1"},
        {P "\"labels\":{\"\":\"x\"}}", "labels", "1 to 128 bytes"},
        {P "\"labels\":{\"a b\":\"x\"}}", "labels", "without spaces"},
        {P "\"labels\":{\"a\":\"\"}}", "labels", "1 to 128 bytes"},
        {P "\"key\":\"\"}", "key", "1 to 256 bytes"},
        {P "\"not_before\":\"tomorrow\"}", "not_before", "such as 2026-11-22T18:00:00Z"},
        {P "\"not_before\":\"2026-02-30T00:00:00Z\"}", "not_before", "must be a time"},
        {P "\"not_before\":12}", "not_before", "not 12"},
        {P "\"deadline_seconds\":0.5}", "deadline_seconds", "from 1 to 2592000"},
        {P "\"deadline_seconds\":2592001}", "deadline_seconds", "30 days"},
        {P "\"max_attempts\":0}", "max_attempts", "from 1 to 100"},
        {P "\"max_attempts\":101}", "max_attempts", "from 1 to 100"},
        {P "\"force\":0}", "force", "true or false"},
        {P "\"dry_run\":\"x\"}", "dry_run", "true or false"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_bad(bad[i].json, bad[i].field, bad[i].fragment);
}

static void test_the_task_of_a_video_is_kept(void **state)
{
    (void)state;
    static const char stored[] = "{\"model\":\"m\",\"prompt\":\"p\",\"video\":{\"operation\":\"o\"}"
                                 ",\"video_task\":\"edit\"}";
    struct request *request = request_load(stored, strlen(stored));
    assert_non_null(request);
    assert_string_equal(request->video_task, "edit");
    char *written = request_to_json(request);
    assert_string_equal(written, stored);
    free(written);
    request_unref(request);
}

static void test_what_is_taken(void **state)
{
    static const struct {
        const char *json, *written; /* the latter after "model" and "prompt" */
    } good[] = {
        {"\"provider\":\"x\"", "\"deadline_seconds\":86400,\"provider\":\"x\""},
        {"\"aspect_ratio\":\"9999:1\"", "\"aspect_ratio\":\"9999:1\",\"deadline_seconds\":86400"},
        {"\"resolution\":\"1080p\"", "\"resolution\":\"1080p\",\"deadline_seconds\":86400"},
        {"\"duration_seconds\":0.1", "\"duration_seconds\":0.1,\"deadline_seconds\":86400"},
        {"\"duration_seconds\":3600", "\"duration_seconds\":3600,\"deadline_seconds\":86400"},
        {"\"seed\":0", "\"seed\":0,\"deadline_seconds\":86400"},
        {"\"seed\":4294967295", "\"seed\":4294967295,\"deadline_seconds\":86400"},
        {"\"seed\":1e3", "\"seed\":1000,\"deadline_seconds\":86400"},
        {"\"sample_count\":4", "\"sample_count\":4,\"deadline_seconds\":86400"},
        {"\"generate_audio\":false", "\"generate_audio\":false,\"deadline_seconds\":86400"},
        {"\"enhance_prompt\":true", "\"enhance_prompt\":true,\"deadline_seconds\":86400"},
        {"\"priority\":-100", "\"priority\":-100,\"deadline_seconds\":86400"},
        {"\"priority\":0", "\"deadline_seconds\":86400"},
        {"\"labels\":{}", "\"deadline_seconds\":86400"},
        {"\"key\":\"a b\\n\"", "\"key\":\"a b\\n\",\"deadline_seconds\":86400"},
        {"\"not_before\":\"2026-11-22T19:00:00.5+01:00\"",
         "\"not_before\":\"2026-11-22T18:00:00.500Z\",\"deadline_seconds\":86400"},
        {"\"deadline_seconds\":1", "\"deadline_seconds\":1"},
        {"\"deadline_seconds\":2592000", "\"deadline_seconds\":2592000"},
        {"\"max_attempts\":100", "\"deadline_seconds\":86400,\"max_attempts\":100"},
        {"\"force\":true", "\"deadline_seconds\":86400,\"force\":true"},
        {"\"force\":false", "\"deadline_seconds\":86400"},
        {"\"dry_run\":true", "\"deadline_seconds\":86400"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        char *json = mem_format(P "%s}", good[i].json);
        char *expected =
            mem_format("{\"model\":\"default-model\",\"prompt\":\"p\",%s}", good[i].written);
        assert_canonical(json, expected);
        free(json);
        free(expected);
    }
}

static void test_what_is_absent_says_so(void **state)
{
    (void)state;
    struct request *r = parse_good("{\"prompt\":\"p\"}");
    const char *const absent[] = {r->provider,        r->aspect_ratio,      r->resolution,
                                  r->negative_prompt, r->person_generation, r->key,
                                  r->output};
    for (size_t i = 0; i < sizeof(absent) / sizeof(absent[0]); i++)
        assert_null(absent[i]);
    assert_string_equal(r->model, "default-model");
    assert_true(r->duration_seconds >= 0 && r->duration_seconds <= 0);
    assert_int_equal(r->seed, -1);
    assert_int_equal(r->sample_count, 0);
    assert_int_equal(r->generate_audio, -1);
    assert_int_equal(r->enhance_prompt, -1);
    assert_int_equal(r->priority, 0);
    assert_int_equal(r->label_count, 0);
    assert_int_equal(r->not_before, 0);
    assert_int_equal(r->deadline_ms, defaults.deadline_ms);
    assert_int_equal(r->max_attempts, 0);
    assert_false(r->force);
    assert_int_equal(r->holders, 1);
    assert_ptr_equal(request_ref(r), r);
    request_unref(r);
    assert_string_equal(r->prompt, "p");
    request_unref(r);
    request_unref(NULL);
}

static const char *const all_members[] = {
    "\"prompt\":\"a \\\"dog\\\" \\u00e4\\ud83d\\ude00\\u001b\"",
    "\"model\":\"veo-3.1\"",
    "\"provider\":\"google\"",
    "\"aspect_ratio\":\"9:16\"",
    "\"resolution\":\"720p\"",
    "\"duration_seconds\":7.25",
    "\"negative_prompt\":\"no cats\"",
    "\"seed\":42",
    "\"sample_count\":2",
    "\"person_generation\":\"allow_adult\"",
    "\"generate_audio\":true",
    "\"enhance_prompt\":false",
    "\"priority\":9",
    "\"labels\":{\"b\":\"2\",\"a\":\"1\",\"B\":\"3\"}",
    "\"key\":\"k\"",
    "\"output\":\"a/b.mp4\"",
    "\"not_before\":\"2026-11-22T18:00:00Z\"",
    "\"deadline_seconds\":1.001",
    "\"max_attempts\":5",
    "\"force\":true",
    "\"dry_run\":false",
};
#define MEMBERS (sizeof(all_members) / sizeof(all_members[0]))

static const char all_canonical[] =
    "{\"model\":\"veo-3.1\",\"prompt\":\"a \\\"dog\\\" \xc3\xa4\xf0\x9f\x98\x80\\u001b\","
    "\"aspect_ratio\":\"9:16\",\"resolution\":\"720p\",\"duration_seconds\":7.25,"
    "\"negative_prompt\":\"no cats\",\"seed\":42,\"sample_count\":2,"
    "\"person_generation\":\"allow_adult\",\"generate_audio\":true,\"enhance_prompt\":false,"
    "\"priority\":9,\"labels\":{\"B\":\"3\",\"a\":\"1\",\"b\":\"2\"},\"key\":\"k\","
    "\"output\":\"a/b.mp4\",\"not_before\":\"2026-11-22T18:00:00.000Z\","
    "\"deadline_seconds\":1.001,\"max_attempts\":5,\"force\":true,\"provider\":\"google\"}";

/* Every member in turn comes first, forwards and backwards. */
static void test_the_order_of_members_means_nothing(void **state)
{
    (void)state;
    for (size_t turn = 0; turn < 2 * MEMBERS; turn++) {
        struct buf json;
        buf_init(&json, 10000);
        for (size_t i = 0; i < MEMBERS; i++) {
            size_t at = (turn + (turn % 2 ? i : MEMBERS - i)) % MEMBERS;
            buf_addf(&json, "%c%s", i ? ',' : '{', all_members[at]);
        }
        buf_add_byte(&json, '}');
        assert_canonical(buf_text(&json), all_canonical);
        buf_free(&json);
    }
}

static void test_the_order_of_labels_means_nothing(void **state)
{
    (void)state;
    static const char sorted[] = "{\"model\":\"default-model\",\"prompt\":\"p\","
                                 "\"labels\":{\"a\":\"1\",\"b\":\"2\"},"
                                 "\"deadline_seconds\":86400}";
    assert_canonical(P "\"labels\":{\"a\":\"1\",\"b\":\"2\"}}", sorted);
    assert_canonical(P "\"labels\":{\"b\":\"2\",\"a\":\"1\"}}", sorted);
}

static void test_no_millisecond_of_a_deadline_is_lost(void **state)
{
    (void)state;
    for (int ms = 1000; ms < 9000; ms++) {
        char *json = mem_format(P "\"deadline_seconds\":%d.%03d}", ms / 1000, ms % 1000);
        struct request *request = parse_good(json);
        assert_int_equal(request->deadline_ms, ms);
        request_unref(request);
        free(json);
    }
}

/* `name` with a value of `length` bytes. */
static char *with_length(const char *name, size_t length)
{
    char *value = mem_alloc(length + 1);
    memset(value, 'x', length);
    char *json = strcmp(name, "prompt") == 0 ? mem_format("{\"prompt\":\"%s\"}", value)
                                             : mem_format(P "\"%s\":\"%s\"}", name, value);
    free(value);
    return json;
}

static void test_lengths(void **state)
{
    static const struct {
        const char *name;
        size_t max;
    } limits[] = {{"prompt", LIMIT_PROMPT}, {"negative_prompt", LIMIT_PROMPT},
                  {"model", 128},           {"provider", 64},
                  {"resolution", 16},       {"person_generation", 32},
                  {"key", LIMIT_KEY},       {"output", 240}};
    (void)state;
    for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
        char *json = with_length(limits[i].name, limits[i].max);
        assert_canonical(json, NULL);
        free(json);
        json = with_length(limits[i].name, limits[i].max + 1);
        char *fragment = mem_format("1 to %zu bytes", limits[i].max);
        assert_bad(json, limits[i].name, fragment);
        free(json);
        free(fragment);
    }
}

/* `count` labels whose names and values are as long as they may be, plus `more` bytes. */
static char *with_labels(int count, int more)
{
    struct buf json;
    buf_init(&json, 20000);
    buf_add_text(&json, P "\"labels\":{");
    for (int i = 0; i < count; i++)
        buf_addf(&json, "%s\"%0*d\":\"%0*d\"", i ? "," : "", LIMIT_LABEL, i, LIMIT_LABEL + more, i);
    buf_add_text(&json, "}}");
    return buf_steal(&json);
}

static void test_labels_are_bounded(void **state)
{
    (void)state;
    char *json = with_labels(LIMIT_LABELS, 0);
    assert_canonical(json, NULL);
    free(json);
    json = with_labels(LIMIT_LABELS + 1, 0);
    assert_bad(json, "labels", "has 17 members; at most 16");
    free(json);
    json = with_labels(1, 1);
    assert_bad(json, "labels", "1 to 128 bytes");
    free(json);
}

/* The worst that every limit allows at once still fits, escapes included. */
static void test_the_largest_request_is_written_whole(void **state)
{
    (void)state;
    char *prompt = mem_alloc(2 * LIMIT_PROMPT + 1);
    for (size_t i = 0; i < LIMIT_PROMPT; i++)
        memcpy(prompt + 2 * i, "\\b", 2);
    struct buf json;
    buf_init(&json, 1 << 20);
    buf_addf(&json, "{\"prompt\":\"x%s\",\"negative_prompt\":\"x%s\"", prompt + 2, prompt + 2);
    char *labels = with_labels(LIMIT_LABELS, 0);
    buf_addf(&json, ",%s", labels + strlen(P));
    assert_canonical(buf_text(&json), NULL);
    struct request *request = parse_good(buf_text(&json));
    char *written = request_to_json(request);
    assert_int_equal(written[strlen(written) - 1], '}');
    request_unref(request);
    free(written);
    free(labels);
    free(prompt);
    buf_free(&json);
}

static void test_names_of_outputs(void **state)
{
    static const char *const good[] = {"a.mp4", "a/b/c.mp4", "with space.mp4",
                                       "x..y",  "a-b_c~",    "\xc3\xa4.mp4"};
    static const char *const bad[] = {"/a",    "../a",   "a/../b",   "a/..",    "..",
                                      ".",     ".a.mp4", "a/.b",     "a//b",    "a/",
                                      "a\\nb", "a\\\\b", "a\\u007f", "a\\tb.x", "./a"};
    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        char *json = mem_format(P "\"output\":\"%s\"}", good[i]);
        assert_canonical(json, NULL);
        free(json);
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        char *json = mem_format(P "\"output\":\"%s\"}", bad[i]);
        assert_bad(json, "output", "relative file name");
        free(json);
    }
}

static void test_a_long_value_is_shown_in_part(void **state)
{
    (void)state;
    struct buf json;
    buf_init(&json, 10000);
    buf_add_text(&json, P "\"seed\":\"");
    for (int i = 0; i < 200; i++)
        buf_add_text(&json, "\xc3\xa4");
    buf_add_text(&json, "\"}");
    struct error error = {0};
    assert_null(parse(buf_text(&json), &error));
    assert_true(strlen(error.message) < 140);
    assert_int_equal(utf8_valid_prefix(error.message, strlen(error.message)),
                     strlen(error.message));
    buf_free(&json);
}

static void test_damaged_stores_give_nothing(void **state)
{
    static const char *const damaged[] = {"", "{", "null", "{\"model\":\"m\"}",
                                          "{\"prompt\":\"p\",\"what\":1}"};
    (void)state;
    for (size_t i = 0; i < sizeof(damaged) / sizeof(damaged[0]); i++)
        assert_null(request_load(damaged[i], strlen(damaged[i])));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_refused),
        cmocka_unit_test(test_what_is_taken),
        cmocka_unit_test(test_the_task_of_a_video_is_kept),
        cmocka_unit_test(test_what_is_absent_says_so),
        cmocka_unit_test(test_the_order_of_members_means_nothing),
        cmocka_unit_test(test_the_order_of_labels_means_nothing),
        cmocka_unit_test(test_no_millisecond_of_a_deadline_is_lost),
        cmocka_unit_test(test_lengths),
        cmocka_unit_test(test_labels_are_bounded),
        cmocka_unit_test(test_the_largest_request_is_written_whole),
        cmocka_unit_test(test_names_of_outputs),
        cmocka_unit_test(test_a_long_value_is_shown_in_part),
        cmocka_unit_test(test_damaged_stores_give_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
