#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proto/buf.h"
#include "proto/json.h"
#include "proto/tool.h"

#define COUNT(rows) (sizeof(rows) / sizeof((rows)[0]))

static struct json *parse(const char *text)
{
    struct error error;
    struct json *doc = json_parse(text, strlen(text), (struct json_limits){0}, &error);
    if (!doc)
        fail_msg("%s: %s", error.message, text);
    return doc;
}

static int read_call(enum tool tool, const char *arguments, struct tool_call *call,
                     struct error *error)
{
    struct json *doc = parse(arguments);
    int status = tool_read(tool, json_root(doc), call, error);
    json_free(doc);
    return status;
}

static void expect_error(enum tool tool, const char *arguments, const char *field,
                         const char *message)
{
    struct tool_call call;
    struct error error;
    assert_int_equal(read_call(tool, arguments, &call, &error), -1);
    assert_int_equal(error.code, ERROR_INVALID_ARGUMENT);
    assert_string_equal(error.field, field);
    if (!strstr(error.message, message))
        fail_msg("\"%s\" is not in \"%s\"", message, error.message);
}

static char *schema(void (*write)(enum tool, struct jsonw *), enum tool tool)
{
    struct buf out;
    struct jsonw w;
    buf_init(&out, 100000);
    jsonw_init(&w, &out);
    write(tool, &w);
    assert_false(out.failed);
    return buf_steal(&out);
}

static const char *type_of(struct json_value value)
{
    if (json_type(value) != JSON_NUMBER)
        return json_type_name(json_type(value));
    int64_t whole;
    return json_int(value, INT64_MIN, INT64_MAX, &whole) == 0 ? "integer" : "number";
}

static void check(struct json_value schema_, struct json_value value);

static void check_members(struct json_value schema_, struct json_value value)
{
    for (struct json_iter it = json_iter(value); json_next(&it);) {
        char *name = json_strdup(it.name, NULL);
        struct json_value property = json_get(json_get(schema_, "properties"), name);
        if (json_type(property) == JSON_NONE)
            fail_msg("%s is not in the schema", name);
        free(name);
        check(property, it.value);
    }
    for (struct json_iter it = json_iter(json_get(schema_, "required")); json_next(&it);) {
        char *name = json_strdup(it.value, NULL);
        if (json_type(json_get(value, name)) == JSON_NONE)
            fail_msg("%s is missing", name);
        free(name);
    }
}

/* As strict as a validator, and stricter: nothing that the schema doesn't name, nothing empty. */
static void check(struct json_value schema_, struct json_value value)
{
    char *type = json_strdup(json_get(schema_, "type"), NULL);
    const char *is = type_of(value);
    if (strcmp(is, type) != 0 && !(strcmp(is, "integer") == 0 && strcmp(type, "number") == 0))
        fail_msg("%s where the schema has %s", is, type);
    free(type);
    bool listed = json_type(json_get(schema_, "enum")) == JSON_NONE;
    for (struct json_iter it = json_iter(json_get(schema_, "enum")); json_next(&it);) {
        char *word = json_strdup(it.value, NULL);
        listed = listed || json_equals(value, word);
        free(word);
    }
    assert_true(listed);
    assert_false(json_equals(value, ""));
    if (json_type(value) == JSON_OBJECT)
        check_members(schema_, value);
    if (json_type(value) == JSON_ARRAY)
        for (struct json_iter it = json_iter(value); json_next(&it);)
            check(json_get(schema_, "items"), it.value);
}

static void expect_result(const struct tool_call *call, struct buf *out, const char *expected)
{
    assert_false(out->failed);
    assert_string_equal(buf_text(out), expected);
    char *text = schema(tool_write_output_schema, call->tool);
    struct json *described = parse(text);
    struct json *result = parse(buf_text(out));
    check(json_root(described), json_root(result));
    json_free(result);
    json_free(described);
    free(text);
    buf_free(out);
}

static void every_schema_describes_its_arguments(void **state)
{
    (void)state;
    static const char *const required[TOOL_COUNT] = {
        [TOOL_FROM_TEXT] = "[\"prompt\"]",
        [TOOL_FROM_IMAGE] = "[\"prompt\",\"image_path\"]",
        [TOOL_CHECK] = "[\"operation_name\"]",
    };
    static const size_t counts[TOOL_COUNT] = {7, 8, 2};
    for (unsigned tool = 0; tool < TOOL_COUNT; tool++) {
        char *text = schema(tool_write_input_schema, (enum tool)tool);
        struct json *doc = parse(text);
        size_t length;
        const char *raw = json_raw(json_get(json_root(doc), "required"), &length);
        assert_true(json_equals(json_get(json_root(doc), "type"), "object"));
        assert_int_equal(length, strlen(required[tool]));
        assert_memory_equal(raw, required[tool], length);
        struct json_value properties = json_get(json_root(doc), "properties");
        assert_int_equal(json_size(properties), counts[tool]);
        for (struct json_iter it = json_iter(properties); json_next(&it);) {
            assert_int_equal(json_type(json_get(it.value, "type")), JSON_STRING);
            assert_int_equal(json_type(json_get(it.value, "description")), JSON_STRING);
        }
        json_free(doc);
        free(text);
    }
}

static void tools_are_known_by_their_names(void **state)
{
    (void)state;
    for (unsigned tool = 0; tool < TOOL_COUNT; tool++)
        assert_int_equal(tool_named(tool_info((enum tool)tool)->name), tool);
    assert_string_equal(tool_info(TOOL_CHECK)->name, "check_video_status");
    assert_int_equal(tool_named("generate_video"), TOOL_COUNT);
    assert_int_equal(tool_named(NULL), TOOL_COUNT);
}

static void a_good_call_is_read_whole(void **state)
{
    (void)state;
    struct tool_call call;
    struct buf out;
    struct jsonw w;
    assert_int_equal(read_call(TOOL_FROM_IMAGE,
                               "{\"prompt\":\"a \\u00e9\",\"image_path\":\"./a b.png\","
                               "\"aspect_ratio\":\"9:16\",\"resolution\":\"1080p\","
                               "\"negative_prompt\":\"text\",\"model\":\"m\",\"_meta\":{\"x\":1},"
                               "\"duration_seconds\":6.5,\"wait\":false}",
                               &call, NULL),
                     0);
    assert_string_equal(call.image_path, "./a b.png");
    assert_false(call.wait);
    buf_init(&out, 1000);
    jsonw_init(&w, &out);
    jsonw_object(&w);
    tool_write_request(&call, &w);
    jsonw_object_end(&w);
    assert_string_equal(buf_text(&out),
                        "{\"prompt\":\"a \xC3\xA9\",\"model\":\"m\",\"aspect_ratio\":\"9:16\","
                        "\"resolution\":\"1080p\",\"duration_seconds\":6.5,"
                        "\"negative_prompt\":\"text\"}");
    buf_free(&out);
    tool_call_free(&call);
    tool_call_free(&call);
}

static void empty_strings_and_nulls_are_not_given(void **state)
{
    (void)state;
    struct tool_call call;
    struct buf out;
    struct jsonw w;
    assert_int_equal(read_call(TOOL_FROM_TEXT,
                               "{\"prompt\":\"p\",\"negative_prompt\":\"\",\"model\":null,"
                               "\"wait\":null,\"duration_seconds\":0}",
                               &call, NULL),
                     0);
    assert_null(call.negative_prompt);
    assert_true(call.wait);
    buf_init(&out, 1000);
    jsonw_init(&w, &out);
    tool_write_request(&call, &w);
    assert_string_equal(buf_text(&out), "\"prompt\":\"p\"");
    buf_free(&out);
    tool_call_free(&call);
    assert_int_equal(read_call(TOOL_CHECK, "{\"operation_name\":\"o\"}", &call, NULL), 0);
    assert_false(call.wait);
    tool_call_free(&call);
    assert_int_equal(read_call(TOOL_CHECK, "{\"operation_name\":\"o\",\"wait\":true}", &call, NULL),
                     0);
    assert_true(call.wait);
    tool_call_free(&call);
}

static void a_bad_call_says_what_to_mend(void **state)
{
    (void)state;
    struct tool_call call;
    struct error error;
    expect_error(TOOL_FROM_TEXT, "{}", "prompt", "needs prompt");
    expect_error(TOOL_FROM_TEXT, "null", "prompt", "needs prompt");
    expect_error(TOOL_FROM_TEXT, "{\"prompt\":\"\"}", "prompt", "needs prompt");
    expect_error(TOOL_FROM_TEXT, "[1]", "", "must be an object, not array");
    expect_error(TOOL_FROM_TEXT, "\"{}\"", "", "must be an object, not string");
    expect_error(TOOL_FROM_TEXT, "{\"prompt\":7}", "prompt", "must be a string");
    expect_error(TOOL_FROM_TEXT, "{\"prompt\":\"a\\u0000b\"}", "prompt", "without NUL, not \"a");
    expect_error(TOOL_FROM_TEXT, "{\"prompt\":\"p\",\"duration_seconds\":\"6s\"}",
                 "duration_seconds", "must be a number, such as 6, not \"6s\"");
    expect_error(TOOL_FROM_TEXT, "{\"prompt\":\"p\",\"wait\":\"no\"}", "wait",
                 "must be true or false, not \"no\"");
    expect_error(TOOL_FROM_TEXT, "{\"prompt\":\"p\",\"seed\":1}", "seed",
                 "has no argument \"seed\"; it takes prompt, aspect_ratio, resolution, "
                 "negative_prompt, model, duration_seconds, wait");
    expect_error(TOOL_FROM_TEXT, "{\"prompt\":\"p\",\"image_path\":\"a.png\"}", "image_path",
                 "has no argument \"image_path\"");
    expect_error(TOOL_FROM_IMAGE, "{\"prompt\":\"p\"}", "image_path", "needs image_path");
    expect_error(TOOL_CHECK, "{\"id\":\"x\"}", "id", "it takes operation_name, wait");
    assert_int_equal(tool_read(TOOL_CHECK, (struct json_value){.token = -1}, &call, &error), -1);
    assert_string_equal(error.field, "operation_name");
}

struct result_row {
    const char *job;
    const char *result;
};

static const struct result_row results[] = {
    {"{\"id\":\"J\",\"state\":\"queued\",\"prompt\":\"p\",\"model\":\"m\","
     "\"cost\":{\"estimate_usd\":0.8}}",
     "{\"success\":true,\"status\":\"processing\",\"job\":\"J\",\"operation_name\":\"J\","
     "\"prompt\":\"p\",\"model\":\"m\","
     "\"message\":\"It is still being generated; ask again with check_video_status.\","
     "\"cost_usd\":0.8}"},
    {"{\"id\":\"J\",\"state\":\"submitting\",\"error\":{\"code\":\"c\",\"message\":\"old\"}}",
     "{\"success\":true,\"status\":\"processing\",\"job\":\"J\",\"operation_name\":\"J\","
     "\"prompt\":\"asked\","
     "\"message\":\"It is still being generated; ask again with check_video_status.\"}"},
    {"{\"id\":\"J\",\"state\":\"running\",\"operation_name\":\"O\","
     "\"progress\":{\"elapsed_ms\":1500,\"expected_ms\":60000}}",
     "{\"success\":true,\"status\":\"processing\",\"job\":\"J\",\"operation_name\":\"O\","
     "\"prompt\":\"asked\","
     "\"message\":\"It is still being generated; ask again with check_video_status.\","
     "\"progress\":{\"elapsed_seconds\":1.5,\"expected_seconds\":60}}"},
    {"{\"id\":\"J\",\"state\":\"fetching\",\"operation_name\":\"O\",\"video_uri\":\"https://v\"}",
     "{\"success\":true,\"status\":\"processing\",\"job\":\"J\",\"operation_name\":\"O\","
     "\"prompt\":\"asked\","
     "\"message\":\"It is still being generated; ask again with check_video_status.\"}"},
    {"{\"id\":\"J\",\"state\":\"done\",\"operation_name\":\"O\",\"video_uri\":\"https://v\","
     "\"prompt\":\"p\",\"aspect_ratio\":\"9:16\",\"resolution\":\"720p\",\"negative_prompt\":\"n\","
     "\"duration_seconds\":8,\"model\":\"m\",\"provider\":\"g\",\"files\":[{\"path\":\"/v/a.mp4\","
     "\"bytes\":7,\"sha256\":\"s\",\"mime_type\":\"video/mp4\"},{\"path\":\"/v/b.mp4\","
     "\"bytes\":8,\"mime_type\":\"video/mp4\"}],"
     "\"cost\":{\"estimate_usd\":0.8,\"charged_usd\":0.5}}",
     "{\"success\":true,\"status\":\"completed\",\"job\":\"J\",\"operation_name\":\"O\","
     "\"path\":\"/v/a.mp4\",\"files\":[{\"path\":\"/v/a.mp4\",\"bytes\":7,\"mime_type\":\"video/"
     "mp4\"},{\"path\":\"/v/b.mp4\",\"bytes\":8,\"mime_type\":\"video/mp4\"}],"
     "\"video_uri\":\"https://v\",\"prompt\":\"p\",\"aspect_ratio\":\"9:16\","
     "\"resolution\":\"720p\",\"negative_prompt\":\"n\",\"duration_seconds\":8,\"model\":\"m\","
     "\"provider\":\"g\",\"cost_usd\":0.5}"},
    {"{\"id\":\"J\",\"state\":\"done\",\"files\":[{\"path\":\"/v/a \xC3\xA9.mp4\",\"bytes\":7}]}",
     "{\"success\":true,\"status\":\"completed\",\"job\":\"J\",\"operation_name\":\"J\","
     "\"path\":\"/v/a \xC3\xA9.mp4\",\"files\":[{\"path\":\"/v/a \xC3\xA9.mp4\",\"bytes\":7}],"
     "\"video_uri\":\"file:///v/a%20%C3%A9.mp4\",\"prompt\":\"asked\"}"},
    {"{\"id\":\"J\",\"state\":\"done\",\"files\":[{\"path\":\"/v/a.mp4\",\"bytes\":7,"
     "\"removed_at\":\"2026-11-01T00:00:00.000Z\"}]}",
     "{\"success\":true,\"status\":\"completed\",\"job\":\"J\",\"operation_name\":\"J\","
     "\"message\":\"The video's file has been removed since.\",\"prompt\":\"asked\"}"},
    {"{\"id\":\"J\",\"state\":\"failed\",\"error\":{\"code\":\"quota\",\"message\":\"two\\nlines\","
     "\"retryable\":true}}",
     "{\"success\":false,\"status\":\"failed\",\"job\":\"J\",\"operation_name\":\"J\","
     "\"prompt\":\"asked\",\"error\":\"two lines\",\"code\":\"quota\","
     "\"message\":\"There is no video. The same request may succeed if it is made again later.\"}"},
    {"{\"id\":\"J\",\"state\":\"failed\",\"error\":{\"code\":\"invalid\",\"message\":\"bad\","
     "\"retryable\":false}}",
     "{\"success\":false,\"status\":\"failed\",\"job\":\"J\",\"operation_name\":\"J\","
     "\"prompt\":\"asked\",\"error\":\"bad\",\"code\":\"invalid\","
     "\"message\":\"There is no video. Change what the error speaks of before generating "
     "again.\"}"},
    {"{\"id\":\"J\",\"state\":\"filtered\",\"error\":{\"code\":\"filtered\",\"message\":\"why\"},"
     "\"cost\":{\"estimate_usd\":0.8,\"charged_usd\":0}}",
     "{\"success\":false,\"status\":\"filtered\",\"job\":\"J\",\"operation_name\":\"J\","
     "\"prompt\":\"asked\",\"error\":\"why\",\"code\":\"filtered\","
     "\"message\":\"The safety filter stopped it; that costs nothing. Word the prompt differently, "
     "or use another image, and generate again.\",\"cost_usd\":0}"},
    {"{\"operation_name\":\"O\",\"state\":\"completed\",\"provider\":\"g\","
     "\"video_uri\":\"https://v\"}",
     "{\"success\":true,\"status\":\"completed\",\"operation_name\":\"O\","
     "\"video_uri\":\"https://v\",\"prompt\":\"asked\",\"provider\":\"g\"}"},
    {"{\"id\":\"J\",\"state\":\"a state to come\"}",
     "{\"success\":true,\"status\":\"processing\",\"job\":\"J\",\"operation_name\":\"J\","
     "\"prompt\":\"asked\","
     "\"message\":\"It is still being generated; ask again with check_video_status.\"}"},
};

static void results_say_what_became_of_the_job(void **state)
{
    (void)state;
    struct tool_call call;
    assert_int_equal(read_call(TOOL_FROM_TEXT, "{\"prompt\":\"asked\"}", &call, NULL), 0);
    for (size_t i = 0; i < COUNT(results); i++) {
        struct buf out;
        struct jsonw w;
        struct json *job = parse(results[i].job);
        buf_init(&out, 10000);
        jsonw_init(&w, &out);
        tool_write_result(&call, json_root(job), &w);
        json_free(job);
        expect_result(&call, &out, results[i].result);
    }
    tool_call_free(&call);
}

/* Each with an error and something to do about it, and none of them a success. */
static void what_stands_still_is_no_success(void **state)
{
    (void)state;
    static const char *const states[] = {"failed",  "filtered",  "cancelled",
                                         "expired", "uncertain", "held"};
    struct tool_call call = {.tool = TOOL_CHECK};
    for (size_t i = 0; i < COUNT(states); i++) {
        struct buf out, text;
        struct jsonw w;
        buf_init(&text, 1000);
        buf_addf(&text, "{\"id\":\"J\",\"state\":\"%s\",\"error\":{\"message\":\"e\"}}", states[i]);
        struct json *job = parse(buf_text(&text));
        buf_init(&out, 10000);
        jsonw_init(&w, &out);
        tool_write_result(&call, json_root(job), &w);
        struct json *result = parse(buf_text(&out));
        bool success = true;
        assert_int_equal(json_bool(json_get(json_root(result), "success"), &success), 0);
        assert_false(success);
        assert_true(json_equals(json_get(json_root(result), "status"), states[i]));
        assert_true(json_equals(json_get(json_root(result), "error"), "e"));
        assert_int_equal(json_type(json_get(json_root(result), "message")), JSON_STRING);
        json_free(result);
        json_free(job);
        buf_free(&out);
        buf_free(&text);
    }
}

static void the_one_who_asks_says_how_to_ask_again(void **state)
{
    (void)state;
    struct tool_call call = {.tool = TOOL_CHECK, .ask_again = "wait_for_video"};
    struct json *job = parse("{\"id\":\"J\",\"state\":\"running\"}");
    struct buf out;
    struct jsonw w;
    buf_init(&out, 1000);
    jsonw_init(&w, &out);
    tool_write_result(&call, json_root(job), &w);
    json_free(job);
    expect_result(&call, &out,
                  "{\"success\":true,\"status\":\"processing\",\"job\":\"J\","
                  "\"operation_name\":\"J\",\"message\":\"It is still being generated; ask again "
                  "with wait_for_video.\"}");
}

static void write_failure(const struct tool_call *call, enum error_code code, const char *field,
                          const char *expected)
{
    struct error error;
    struct buf out;
    struct jsonw w;
    error_set(&error, code, field, "it is so");
    buf_init(&out, 1000);
    jsonw_init(&w, &out);
    tool_write_failure(call, &error, &w);
    expect_result(call, &out, expected);
}

static void failures_name_what_is_to_blame(void **state)
{
    (void)state;
    struct tool_call image = {
        .tool = TOOL_FROM_IMAGE, .prompt = (char *)"p", .image_path = (char *)"i.png"};
    struct tool_call look = {.tool = TOOL_CHECK, .operation = (char *)"O"};
    write_failure(&image, ERROR_INVALID_ARGUMENT, "aspect_ratio",
                  "{\"success\":false,\"status\":\"failed\",\"prompt\":\"p\","
                  "\"image_path\":\"i.png\",\"error\":\"it is so\",\"code\":\"invalid-argument\","
                  "\"field\":\"aspect_ratio\",\"message\":\"Mend the call and make it again.\"}");
    write_failure(&look, ERROR_NOT_FOUND, NULL,
                  "{\"success\":false,\"operation_name\":\"O\",\"error\":\"it is so\","
                  "\"code\":\"not-found\",\"message\":\"There is no such job or operation of this "
                  "user's. Check the name.\"}");
    write_failure(&look, ERROR_CONFLICT, NULL,
                  "{\"success\":false,\"operation_name\":\"O\",\"error\":\"it is so\","
                  "\"code\":\"conflict\"}");
    write_failure(&look, ERROR_UNAVAILABLE, NULL,
                  "{\"success\":false,\"operation_name\":\"O\",\"error\":\"it is so\","
                  "\"code\":\"unavailable\",\"message\":\"Try again later, or tell the user.\"}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_schema_describes_its_arguments),
        cmocka_unit_test(tools_are_known_by_their_names),
        cmocka_unit_test(a_good_call_is_read_whole),
        cmocka_unit_test(empty_strings_and_nulls_are_not_given),
        cmocka_unit_test(a_bad_call_says_what_to_mend),
        cmocka_unit_test(results_say_what_became_of_the_job),
        cmocka_unit_test(what_stands_still_is_no_success),
        cmocka_unit_test(the_one_who_asks_says_how_to_ask_again),
        cmocka_unit_test(failures_name_what_is_to_blame),
    };
    return cmocka_run_group_tests_name("tool", tests, NULL, NULL);
}
