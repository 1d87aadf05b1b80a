/* What the table knows of models: sections, checks, prices. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/core/model.h"
#include "proto/json.h"

static struct model_table *table;

static void set(bool shipped, const char *glob, const char *key, const char *value)
{
    struct error error = {0};
    if (model_table_set(table, shipped, glob, key, value, &error) < 0)
        fail_msg("%s", error.message);
}

static void refuse(const char *key, const char *value, const char *says)
{
    struct error error = {0};
    struct model_table *fresh = model_table_new();
    assert_int_equal(model_table_set(fresh, false, "m", key, value, &error), -1);
    if (!strstr(error.message, says))
        fail_msg("\"%s\" lacks \"%s\"", error.message, says);
    model_table_free(fresh);
}

static int set_up(void **state)
{
    (void)state;
    table = model_table_new();
    set(true, "veo-x", "state", "shut-down");
    set(true, "veo-x", "since", "2026-10-22");
    set(true, "veo-x", "replaced_by", "omni");
    set(true, "veo-x", "aspect_ratios", "16:9 9:16");
    set(true, "veo-x", "resolutions", "720p 1080p, 4k");
    set(true, "veo-x", "durations", "4 6 8");
    set(true, "veo-x", "samples", "2");
    set(true, "veo-x", "inputs", "image last_frame reference_images");
    set(true, "veo-x", "reference_images", "1");
    set(true, "veo-x", "accepts", "seed generate_audio");
    set(true, "veo-x", "default_resolution", "720p");
    set(true, "veo-x", "default_duration", "8");
    set(true, "veo-x", "rule", "when resolution=1080p|4k need duration_seconds=8");
    set(true, "veo-x", "rule", "when last_frame need image");
    set(true, "veo-x", "rule", "when reference_images need !image");
    set(true, "veo-x", "prices", "720p:0.10 1080p:0.12");
    set(true, "veo-x", "silent_prices", "*:0.05");
    set(true, "omni", "durations", "3-10");
    set(true, "omni", "default_duration", "10");
    set(true, "omni", "resolutions", "none");
    set(true, "omni", "prices", "*:0.10136");
    set(true, "omni", "token_prices", "input:1.50 video:17.50 other:9");
    set(true, "omni", "rule", "when seed need aspect_ratio=16:9"); /* its default isn't known */
    set(true, "omni", "rule", "when aspect_ratio=9:16 need image");
    set(true, "veo-*", "note", "whatever");
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    model_table_free(table);
    return 0;
}

static struct request *request_of(const char *members)
{
    const struct request_defaults defaults = {.model = "veo-x", .deadline_ms = 1000};
    char text[500];
    struct error error = {0};
    snprintf(text, sizeof(text), "{\"prompt\":\"x\"%s%s}", *members ? "," : "", members);
    struct json *doc = json_parse(text, strlen(text), (struct json_limits){0}, &error);
    assert_non_null(doc);
    struct request *request = request_parse(json_root(doc), &defaults, &error);
    json_free(doc);
    if (!request)
        fail_msg("%s", error.message);
    return request;
}

static const struct model *model_of(const struct request *request)
{
    return model_table_find(table, request->model);
}

#define IMAGE \
    "\"image\":\"sha256-0000000000000000000000000000000000000000000000000000000000000000\""
#define LAST \
    "\"last_frame\":\"sha256-0000000000000000000000000000000000000000000000000000000000000000\""
#define BOTH_FRAMES (IMAGE "," LAST)
#define REFERENCES           \
    "\"reference_images\":[" \
    "\"sha256-0000000000000000000000000000000000000000000000000000000000000000\"]"

static void test_what_is_taken(void **state)
{
    static const char *const taken[] = {
        "",
        "\"aspect_ratio\":\"9:16\"",
        "\"resolution\":\"1080p\"",
        "\"resolution\":\"1080P\",\"duration_seconds\":8.0",
        "\"resolution\":\"720p\",\"duration_seconds\":6",
        "\"sample_count\":2,\"seed\":1,\"generate_audio\":true",
        BOTH_FRAMES,
        (REFERENCES),
        "\"resolution\":\"4k\",\"duration_seconds\":6,\"aspect_ratio\":\"1:1\",\"force\":true",
        "\"model\":\"unknown\",\"aspect_ratio\":\"1:1\"",
        "\"model\":\"veo-y\",\"aspect_ratio\":\"1:1\"",
        "\"model\":\"omni\",\"duration_seconds\":3",
        "\"model\":\"omni\",\"duration_seconds\":9.5",
        "\"model\":\"omni\",\"seed\":1",
    };
    (void)state;
    for (size_t i = 0; i < sizeof(taken) / sizeof(taken[0]); i++) {
        struct error error = {0};
        struct request *request = request_of(taken[i]);
        if (model_check(model_of(request), request, &error) < 0)
            fail_msg("%s: %s", taken[i], error.message);
        request_unref(request);
    }
}

static void test_what_is_refused(void **state)
{
    static const struct {
        const char *members, *field, *message;
    } refused[] = {
        {"\"aspect_ratio\":\"1:1\"", "aspect_ratio",
         "aspect_ratio of veo-x must be 16:9 or 9:16, not 1:1"},
        {"\"resolution\":\"360p\"", "resolution",
         "resolution of veo-x must be 720p, 1080p or 4k, not 360p"},
        {"\"duration_seconds\":5", "duration_seconds",
         "duration_seconds of veo-x must be 4, 6 or 8, not 5"},
        {"\"resolution\":\"1080p\",\"duration_seconds\":6", "duration_seconds",
         "resolution 1080p of veo-x needs duration_seconds 8, not 6; or leave resolution at 720p"},
        {"\"sample_count\":3", "sample_count", "at most 2 at once, not 3"},
        {LAST, "image", "last_frame of veo-x needs image; or leave last_frame out"},
        {IMAGE "," REFERENCES, "image",
         "reference_images of veo-x needs no image; or leave reference_images out"},
        {"\"video\":\"sha256-0000000000000000000000000000000000000000000000000000000000000000\"",
         "video", "veo-x takes no video, only image, last_frame or reference_images"},
        {"\"negative_prompt\":\"x\"", "negative_prompt",
         "veo-x takes no negative_prompt, only seed or generate_audio"},
        {"\"model\":\"omni\",\"duration_seconds\":11", "duration_seconds",
         "must be from 3 to 10, not 11"},
        {"\"model\":\"omni\",\"duration_seconds\":2.9", "duration_seconds", "not 2.9"},
        {"\"model\":\"omni\",\"seed\":1,\"aspect_ratio\":\"1:1\"", "aspect_ratio",
         "seed of omni needs aspect_ratio 16:9, not 1:1; or leave seed out"},
        {"\"model\":\"omni\",\"resolution\":\"720p\"", "resolution",
         "omni takes no resolution; leave it out"},
        {"\"model\":\"gemini/veo-x\",\"aspect_ratio\":\"1:1\"", "aspect_ratio",
         "of gemini/veo-x must be"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        struct error error = {0};
        struct request *request = request_of(refused[i].members);
        assert_int_equal(model_check(model_of(request), request, &error), -1);
        assert_int_equal(error.code, ERROR_INVALID_ARGUMENT);
        assert_string_equal(error.field, refused[i].field);
        if (!strstr(error.message, refused[i].message))
            fail_msg("\"%s\" lacks \"%s\"", error.message, refused[i].message);
        request_unref(request);
    }
}

static void test_shut_down_at_google_only(void **state)
{
    static const struct {
        const char *url;
        bool google;
    } hosts[] = {
        {"https://generativelanguage.googleapis.com", true},
        {"https://us-central1-aiplatform.googleapis.com:443/x", true},
        {"https://GOOGLEAPIS.com", true},
        {"http://127.0.0.1:8080", false},
        {"https://gateway.example/generativelanguage.googleapis.com", false},
        {"https://evilgoogleapis.com", false},
        {"https://googleapis.com@gateway.example", false},
        {"https://x@storage.googleapis.com/y", true},
    };
    (void)state;
    struct request *request = request_of(""), *forced = request_of("\"force\":true");
    const struct model *model = model_of(request);
    for (size_t i = 0; i < sizeof(hosts) / sizeof(hosts[0]); i++) {
        struct error error = {0};
        assert_int_equal(model_host_is_google(hosts[i].url), hosts[i].google);
        assert_int_equal(model_check_state(model, request, hosts[i].url, &error),
                         hosts[i].google ? -1 : 0);
        assert_int_equal(model_check_state(model, forced, hosts[i].url, &error), 0);
        if (hosts[i].google)
            assert_string_equal(error.message, "veo-x was shut down by Google on 2026-10-22; use "
                                               "omni; force sends it all the same");
    }
    request_unref(request);
    request_unref(forced);
}

static void test_estimates(void **state)
{
    static const struct {
        const char *members;
        int64_t micro;
    } prices[] = {
        {"", 800000},
        {"\"resolution\":\"1080p\"", 960000},
        {"\"resolution\":\"4k\"", 960000}, /* none of its own: the dearest */
        {"\"duration_seconds\":4,\"sample_count\":2", 800000},
        {"\"generate_audio\":false", 400000},
        {"\"generate_audio\":true", 800000},
        {"\"model\":\"omni\"", 1013600},
        {"\"model\":\"omni\",\"duration_seconds\":2.5", 253400},
        {"\"model\":\"veo-y\"", 0},
        {"\"model\":\"nobody\"", 0},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(prices) / sizeof(prices[0]); i++) {
        struct request *request = request_of(prices[i].members);
        assert_int_equal(model_estimate(model_of(request), request), prices[i].micro);
        request_unref(request);
    }
}

static void test_token_charges(void **state)
{
    (void)state;
    const struct model *omni = model_table_find(table, "omni");
    assert_int_equal(model_token_charge(omni, 100, 57920, 10), 150 + 1013600 + 90);
    assert_int_equal(model_token_charge(omni, -1, 1000000, -1), 17500000);
    assert_int_equal(model_token_charge(omni, 100, -1, -1), -1);
    assert_int_equal(model_token_charge(omni, 100, 0, 5), -1);
    assert_int_equal(model_token_charge(omni, 1, INT64_MAX, 1), -1);
    assert_int_equal(model_token_charge(model_table_find(table, "veo-x"), 1, 1, 1), -1);
    assert_int_equal(model_token_charge(NULL, 1, 1, 1), -1);
}

static void test_users_sections(void **state)
{
    (void)state;
    set(false, "veo-x", "prices", "*:0.20");
    set(false, "veo-x", "rule", "when seed need image");
    set(false, "veo-x", "rule", "when image need seed");
    set(false, "ve*", "state", "preview");
    set(false, "veo-z", "state", "current");
    const struct model *x = model_table_find(table, "veo-x");
    assert_string_equal(x->glob, "ve*"); /* before the shipped ones */
    assert_string_equal(model_table_find(table, "veo-z")->glob, "ve*");
    assert_string_equal(model_table_at(table, 1)->glob, "veo-z");
    x = model_table_at(table, 2);
    assert_string_equal(x->glob, "veo-x");
    assert_int_equal(x->rule_count, 2);
    assert_string_equal(x->rules[0]->text, "when seed need image");
    assert_int_equal(x->prices.count, 1);
    assert_int_equal(x->durations.count, 3); /* stays as shipped */
    set(false, "veo-x", "rule", "");
    set(false, "veo-x", "durations", "");
    assert_int_equal(x->rule_count, 0);
    assert_false(x->durations.given);
}

static void test_bad_values(void **state)
{
    (void)state;
    refuse("prises", "1", "unknown key \"prises\" in [model m]");
    refuse("state", "dead", "current, preview or shut-down");
    refuse("durations", "4 six", "seconds");
    refuse("durations", "10-3", "seconds");
    refuse("durations", "3-", "seconds");
    refuse("durations", "4 3-10", "seconds");
    refuse("default_duration", "long", "seconds");
    refuse("samples", "0", "1 to 100");
    refuse("samples", "2x", "1 to 100");
    refuse("inputs", "image seed", "last_frame");
    refuse("accepts", "image", "negative_prompt");
    refuse("prices", "720p", "dollars");
    refuse("prices", "720p:free", "dollars");
    refuse("prices", ":1", "dollars");
    refuse("token_prices", "audio:1", "million tokens");
    refuse("rule", "resolution=4k need image", "when FIELD");
    refuse("rule", "when resolution=4k", "when FIELD");
    refuse("rule", "when need image", "when FIELD");
    refuse("rule", "when image need colour", "when FIELD");
    refuse("rule", "when !image=1 need seed", "when FIELD");
    refuse("rule", "when resolution= need seed", "when FIELD");
}

static void test_a_check_of_the_whole(void **state)
{
    struct error error = {0};
    (void)state;
    assert_int_equal(model_table_check(table, &error), 0);
    set(false, "quiet", "silent_prices", "*:1");
    assert_int_equal(model_table_check(table, &error), -1);
    assert_non_null(strstr(error.message, "[model quiet]"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_what_is_taken, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_what_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_shut_down_at_google_only, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_estimates, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_token_charges, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_users_sections, set_up, tear_down),
        cmocka_unit_test(test_bad_values),
        cmocka_unit_test_setup_teardown(test_a_check_of_the_whole, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
