#include "tests/unit/chat_fixture.h"

#define MESSAGES_MAX 4

static char *request_of(struct chat_request request, struct json **ret_doc)
{
    struct buf body;
    buf_init(&body, 1000000);
    chat_write_request(&request, &body);
    assert_false(body.failed);
    char *text = buf_steal(&body);
    struct error error;
    *ret_doc = json_parse(text, strlen(text), (struct json_limits){0}, &error);
    if (!*ret_doc)
        fail_msg("%s: %s", error.message, text);
    return text;
}

static void expect_raw(struct json_value value, const char *expected)
{
    size_t length;
    const char *raw = json_raw(value, &length);
    char *text = mem_strndup(raw, length);
    expect_words(text, expected, "raw");
    free(text);
}

static void test_a_request_has_what_was_given(void **state)
{
    (void)state;
    char *messages[MESSAGES_MAX] = {chat_user_message("Make \"a\"\n\x01\xff"),
                                    mem_strdup(ODD_MESSAGE)};
    struct chat_call *read;
    assert_int_equal(chat_read_calls(ODD_MESSAGE, &read), 1);
    messages[2] = chat_tool_message(&read[0], "{\"success\":true}");
    struct json *doc;
    char *body = request_of((struct chat_request){.model = "gemini-x",
                                                  .temperature = "0.7",
                                                  .max_tokens = 1000,
                                                  .system_prompt = "You are \"it\".",
                                                  .messages = messages,
                                                  .message_count = 3},
                            &doc);
    struct json_value root = json_root(doc);
    assert_int_equal(json_size(root), 5);
    expect_raw(json_get(root, "model"), "\"gemini-x\"");
    expect_raw(json_get(root, "temperature"), "0.7");
    expect_raw(json_get(root, "max_tokens"), "1000");
    assert_int_equal(json_size(json_get(root, "messages")), 4);
    expect_raw(json_path(root, "messages.0"),
               "{\"role\":\"system\",\"content\":\"You are \\\"it\\\".\"}");
    expect_raw(json_path(root, "messages.1"),
               "{\"role\":\"user\",\"content\":\"Make \\\"a\\\"\\n\\u0001\uFFFD\"}");
    expect_raw(json_path(root, "messages.2"), ODD_MESSAGE);
    expect_raw(json_path(root, "messages.3"),
               "{\"role\":\"tool\",\"tool_call_id\":\"a\",\"content\":\"{\\\"success\\\":true}\"}");
    json_free(doc);
    free(body);
    chat_calls_free(read, 1);
    for (size_t i = 0; i < MESSAGES_MAX; i++)
        free(messages[i]);
}

static void test_a_request_has_nothing_that_was_not_given(void **state)
{
    (void)state;
    struct json *doc;
    char *body = request_of((struct chat_request){.model = "m", .system_prompt = ""}, &doc);
    assert_int_equal(json_size(json_root(doc)), 3);
    assert_int_equal(json_size(json_get(json_root(doc), "tools")), 3);
    json_free(doc);
    free(body);
}

static void test_tools_are_listed_even_if_none_may_be_called(void **state)
{
    static const char *const names[] = {"generate_video_from_text", "generate_video_from_image",
                                        "check_video_status"};
    (void)state;
    struct json *doc;
    char *body = request_of(
        (struct chat_request){.model = "m", .system_prompt = "", .no_tools = true}, &doc);
    struct json_value tools = json_get(json_root(doc), "tools");
    assert_true(json_equals(json_get(json_root(doc), "tool_choice"), "none"));
    assert_int_equal(json_size(tools), COUNT(names));
    for (size_t i = 0; i < COUNT(names); i++) {
        struct json_value tool = json_at(tools, i);
        assert_int_equal(json_size(tool), 2);
        assert_true(json_equals(json_get(tool, "type"), "function"));
        assert_int_equal(json_size(json_get(tool, "function")), 3);
        assert_true(json_equals(json_path(tool, "function.name"), names[i]));
        assert_int_equal(json_type(json_path(tool, "function.description")), JSON_STRING);
        assert_true(json_equals(json_path(tool, "function.parameters.type"), "object"));
    }
    json_free(doc);
    free(body);
}

/* Google's endpoint refuses these in a tool's parameters. */
static void test_tools_have_nothing_that_google_refuses(void **state)
{
    static const char *const refused[] = {"$schema",          "additionalProperties", "const",
                                          "exclusiveMinimum", "propertyNames",        "strict"};
    (void)state;
    struct json *doc;
    char *body = request_of((struct chat_request){.model = "m", .system_prompt = ""}, &doc);
    for (size_t i = 0; i < COUNT(refused); i++) {
        char *name = mem_format("\"%s\":", refused[i]);
        if (strstr(body, name))
            fail_msg("%s", refused[i]);
        free(name);
    }
    json_free(doc);
    free(body);
}

/* Each byte becomes "\\u0001". */
static void test_messages_of_control_characters_are_whole(void **state)
{
    char text[101] = "";
    (void)state;
    memset(text, 1, sizeof(text) - 1);
    char *message = chat_user_message(text);
    struct json *doc = json_parse(message, strlen(message), (struct json_limits){0}, NULL);
    assert_true(json_equals(json_get(json_root(doc), "content"), text));
    json_free(doc);
    free(message);
}

static void test_roles(void **state)
{
    static const struct {
        const char *message, *role;
    } rows[] = {
        {"{\"role\":\"user\",\"content\":\"x\"}", "user"},
        {"{\"role\":\"assist\\u0061nt\"}", "assistant"},
        {"{\"role\":\"tool\"}", "tool"},
        {"{\"role\":\"system\"}", ""},
        {"{\"role\":7}", ""},
        {"[]", ""},
        {"{", ""},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++)
        assert_string_equal(chat_role(rows[i].message), rows[i].role);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_request_has_what_was_given),
        cmocka_unit_test(test_a_request_has_nothing_that_was_not_given),
        cmocka_unit_test(test_tools_are_listed_even_if_none_may_be_called),
        cmocka_unit_test(test_tools_have_nothing_that_google_refuses),
        cmocka_unit_test(test_messages_of_control_characters_are_whole),
        cmocka_unit_test(test_roles),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
