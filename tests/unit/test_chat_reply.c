#include "tests/unit/chat_fixture.h"

#define ASSISTANT(members) "{\"role\":\"assistant\"," members "}"
#define COMPLETION(message, finish) \
    "{\"choices\":[{\"index\":0,\"message\":" message ",\"finish_reason\":" finish "}]}"
#define SAYS(members, finish) COMPLETION(ASSISTANT(members), finish)
#define CALLS(calls, finish)  SAYS("\"content\":null,\"tool_calls\":[" calls "]", finish)
#define HELLO                 "\"content\":\"Hello\""

/* ---- answers ---- */

static const struct {
    const char *body;
    enum chat_kind kind;
    const char *text;
    const char *error; /* contained */
    bool kept;
} successes[] = {
    {SAYS(HELLO, "\"stop\""), CHAT_ANSWER, "Hello", NULL, true},
    {SAYS(HELLO, "null"), CHAT_ANSWER, "Hello", NULL, true},
    {SAYS(HELLO, "\"a_new_word\""), CHAT_ANSWER, "Hello", NULL, true},
    {SAYS(HELLO, "7"), CHAT_ANSWER, "Hello", NULL, true},
    {SAYS("\"content\":\" Hello\\n\"", "\"stop\""), CHAT_ANSWER, " Hello\n", NULL, true},
    {SAYS(HELLO ",\"refusal\":null,\"annotations\":[],\"tool_calls\":[]", "\"stop\""), CHAT_ANSWER,
     "Hello", NULL, true},
    {SAYS(HELLO ",\"tool_calls\":null,\"function_call\":null", "\"stop\""), CHAT_ANSWER, "Hello",
     NULL, true},
    {SAYS(
         "\"content\":[{\"type\":\"text\",\"text\":\"One \"},{\"type\":\"text\",\"text\":\"two\"}]",
         "\"stop\""),
     CHAT_ANSWER, "One two", NULL, true},
    {SAYS("\"content\":[{\"type\":\"thinking\",\"text\":\"Hm\"},{\"text\":\"One\"},"
          "{\"type\":\"output_text\",\"text\":\", two\"},7,\"three\"]",
          "\"stop\""),
     CHAT_ANSWER, "One, two", NULL, true},
    {SAYS(HELLO ",\"reasoning_content\":\"Hm\",\"extra_content\":{\"google\":{}}", "\"stop\""),
     CHAT_ANSWER, "Hello", NULL, true},
    {"{\"choices\":[{\"message\":" ASSISTANT(HELLO) "},{\"message\":7}]}", CHAT_ANSWER, "Hello",
     NULL, true},

    {SAYS("\"content\":null", "\"stop\""), CHAT_EMPTY, NULL, NULL, false},
    {SAYS("\"content\":\"\"", "\"stop\""), CHAT_EMPTY, NULL, NULL, false},
    {SAYS("\"content\":\" \\n\\t\"", "\"stop\""), CHAT_EMPTY, NULL, NULL, false},
    {SAYS("\"content\":[]", "\"stop\""), CHAT_EMPTY, NULL, NULL, false},
    {SAYS("\"content\":[{\"type\":\"thinking\",\"text\":\"Hm\"}]", "\"stop\""), CHAT_EMPTY, NULL,
     NULL, false},
    {SAYS("\"content\":17", "\"stop\""), CHAT_EMPTY, NULL, NULL, false},
    {COMPLETION("{\"role\":\"assistant\"}", "\"stop\""), CHAT_EMPTY, NULL, NULL, false},

    {SAYS(HELLO, "\"length\""), CHAT_TRUNCATED, "Hello", NULL, true},
    {SAYS(HELLO, "\"MAX_TOKENS\""), CHAT_TRUNCATED, "Hello", NULL, true},
    {SAYS("\"content\":null", "\"length\""), CHAT_TRUNCATED, NULL, NULL, false},
    {SAYS(HELLO ",\"tool_calls\":[" CALL("\"a\"", "t", "\"{\\\"pro\"") "]", "\"length\""),
     CHAT_TRUNCATED, "Hello", NULL, false},
    {CALLS(CALL("\"a\"", "t", "\"{}\""), "\"length\""), CHAT_TRUNCATED, NULL, NULL, false},

    {SAYS("\"content\":null,\"refusal\":\"I won't\\ndo that.\"", "\"stop\""), CHAT_REFUSED, NULL,
     "I won't do that.", false},
    {SAYS("\"content\":[{\"type\":\"refusal\",\"refusal\":\"No.\"}]", "\"stop\""), CHAT_REFUSED,
     NULL, "No.", false},
    {SAYS(HELLO, "\"content_filter\""), CHAT_REFUSED, "Hello", "content_filter", false},
    {SAYS("\"content\":null", "\"content_filter: PROHIBITED_CONTENT\""), CHAT_REFUSED, NULL,
     "PROHIBITED_CONTENT", false},
    {COMPLETION("null", "\"SAFETY\""), CHAT_REFUSED, NULL, "SAFETY", false},
    {CALLS(CALL("\"a\"", "t", "\"{}\""), "\"content_filter\""), CHAT_REFUSED, NULL,
     "content_filter", false},
    {"{\"choices\":[],\"promptFeedback\":{\"blockReason\":\"SAFETY\"}}", CHAT_REFUSED, NULL,
     "(SAFETY)", false},
    {"{\"prompt_feedback\":{\"block_reason\":\"OTHER\"}}", CHAT_REFUSED, NULL, "(OTHER)", false},

    {"", CHAT_MALFORMED, NULL, "HTTP 200: not JSON, but nothing", false},
    {"<html><title>Sign in</title>", CHAT_MALFORMED, NULL, "not JSON: Sign in", false},
    {"{\"choices\":[{\"mess", CHAT_MALFORMED, NULL, "not JSON: {\"choices", false},
    {SAYS(HELLO, "\"stop\"") "x", CHAT_MALFORMED, NULL, "not JSON", false},
    {"{}", CHAT_MALFORMED, NULL, "not a chat completion: {}", false},
    {"[]", CHAT_MALFORMED, NULL, "not a chat completion: []", false},
    {"null", CHAT_MALFORMED, NULL, "not a chat completion", false},
    {"{\"choices\":{}}", CHAT_MALFORMED, NULL, "not a chat completion", false},
    {"{\"choices\":[]}", CHAT_MALFORMED, NULL, "without a choice", false},
    {"{\"choices\":[{}]}", CHAT_MALFORMED, NULL, "without a message", false},
    {"{\"choices\":[{\"message\":[]}]}", CHAT_MALFORMED, NULL, "without a message", false},
    {"{\"choices\":[{\"message\":{" HELLO "}}]}", CHAT_MALFORMED, "Hello", "role", false},
    {COMPLETION("{\"role\":\"model\"," HELLO "}", "\"stop\""), CHAT_MALFORMED, "Hello", "role",
     false},
    {COMPLETION("{\"tool_calls\":[" CALL("\"a\"", "t", "\"{}\"") "]}", "\"tool_calls\""),
     CHAT_MALFORMED, NULL, "role", false},
    {SAYS(HELLO, "\"tool_calls\""), CHAT_MALFORMED, "Hello", "tool_calls is empty", false},
    {SAYS("\"content\":null,\"function_call\":{\"name\":\"t\",\"arguments\":\"{}\"}",
          "\"function_call\""),
     CHAT_MALFORMED, NULL, "tool_calls is empty", false},
    {SAYS("\"content\":null,\"function_call\":{\"name\":\"t\",\"arguments\":\"{}\"}", "\"stop\""),
     CHAT_MALFORMED, NULL, "tool_calls is empty", false},
    {SAYS("\"content\":null", "\"function_call_filter: MALFORMED_FUNCTION_CALL\""), CHAT_MALFORMED,
     NULL, "MALFORMED_FUNCTION_CALL", false},
    {SAYS("\"content\":\"a\\u0000b\"", "\"stop\""), CHAT_MALFORMED, NULL, "U+0000", false},
    {"{\"choices\":[],\"choices\":[]}", CHAT_MALFORMED, NULL, "not JSON", false},
    {SAYS("\"content\":null,\"tool_calls\":{}", "\"tool_calls\""), CHAT_MALFORMED, NULL, "no array",
     false},
    {CALLS("7", "\"tool_calls\""), CHAT_MALFORMED, NULL, "without an id", false},
    {CALLS(CALL("null", "t", "\"{}\""), "\"tool_calls\""), CHAT_MALFORMED, NULL, "without an id",
     false},
    {CALLS(CALL("7", "t", "\"{}\""), "\"tool_calls\""), CHAT_MALFORMED, NULL, "without an id",
     false},
    {CALLS("{\"id\":\"a\",\"type\":\"custom\",\"custom\":{}}", "\"tool_calls\""), CHAT_MALFORMED,
     NULL, "something else than a function", false},
    {CALLS("{\"id\":\"a\",\"type\":\"function\"}", "\"tool_calls\""), CHAT_MALFORMED, NULL,
     "of which function", false},
    {CALLS(CALL("\"a\"", "t", "\"{}\"") "," CALL("\"\\u0061\"", "t", "\"{}\""), "\"tool_calls\""),
     CHAT_MALFORMED, NULL, "same id", false},
    {CALLS(CALL("\"a\"", "t", "\"{}\"") "," CALL("\"b\"", "t", "\"{}\"") "," CALL("\"a\"", "u",
                                                                                  "\"{}\""),
           "\"tool_calls\""),
     CHAT_MALFORMED, NULL, "same id", false},
    {CALLS(CALL("\"\\u0000\"", "t", "\"{}\"") "," CALL("\"\\u0000\"", "t", "\"{}\""),
           "\"tool_calls\""),
     CHAT_MALFORMED, NULL, "same id", false},

    /* An error behind a 200, as gateways send it. */
    {"{\"error\":{\"message\":\"Slow down\",\"code\":429}}", CHAT_AGAIN, NULL, "HTTP 429: Slow",
     false},
    {"{\"error\":{\"message\":\"Slow down\",\"code\":\"429\"}}", CHAT_AGAIN, NULL, "HTTP 429: Slow",
     false},
    {"[{\"error\":{\"message\":\"No such model\",\"code\":404}}]", CHAT_FAILED, NULL,
     "HTTP 404: No such", false},
    {"{\"error\":{\"message\":\"Oh\"}}", CHAT_MALFORMED, NULL, "not a chat completion: Oh", false},
};

static void test_every_kind_of_answer(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(successes); i++) {
        const char *body = successes[i].body;
        struct chat_reply reply = read_body(200, body);
        expect_kind(&reply, successes[i].kind, body);
        expect_words(reply.text, successes[i].text, body);
        if (successes[i].error && !strstr(reply.error, successes[i].error))
            fail_msg("\"%s\" is not in \"%s\"", successes[i].error, reply.error);
        if ((reply.message != NULL) != successes[i].kept)
            fail_msg("message: %s", body);
        chat_reply_free(&reply);
    }
}

/* ---- calls ---- */

static const struct {
    const char *call;
    const char *id;
    const char *name;
    const char *arguments;
} calls[] = {
    {CALL("\"call_1\"", "t", "\"{\\\"a\\\":1}\""), "\"call_1\"", "t", "{\"a\":1}"},
    {CALL("\"\"", "t", "\"\""), "\"\"", "t", ""},
    {CALL("\"\\u00e4 \\/ \\\"x\\\"\"", "t", "\"{}\""), "\"\\u00e4 \\/ \\\"x\\\"\"", "t", "{}"},
    {CALL("\"a\\u0000b\"", "t", "\"{}\""), "\"a\\u0000b\"", "t", "{}"},
    {CALL("\"a\"", "t", "{ \"a\" : 1.50 }"), "\"a\"", "t", "{ \"a\" : 1.50 }"},
    {CALL("\"a\"", "t", "null"), "\"a\"", "t", "{}"},
    {CALL("\"a\"", "t", "[1]"), "\"a\"", "t", "[1]"},
    {CALL("\"a\"", "t", "\"not JSON\""), "\"a\"", "t", "not JSON"},
    {CALL("\"a\"", "t", "\"\\u0000\""), "\"a\"", "t", "\"\\u0000\""},
    {CALL("\"a\"", "", "\"{}\""), "\"a\"", "", "{}"},
    {"{\"id\":\"a\",\"function\":{\"arguments\":\"{}\"}}", "\"a\"", "", "{}"},
    {"{\"id\":\"a\",\"type\":null,\"function\":{\"name\":\"t\"}}", "\"a\"", "t", "{}"},
    {"{\"id\":\"a\",\"index\":0,\"extra_content\":{\"google\":{\"thought_signature\":\"AbC=\"}},"
     "\"function\":{\"name\":\"t\",\"arguments\":\"{}\"}}",
     "\"a\"", "t", "{}"},
};

static void expect_call(const struct chat_call *call, size_t row)
{
    expect_words(call->id, calls[row].id, calls[row].call);
    expect_words(call->name, calls[row].name, calls[row].call);
    expect_words(call->arguments, calls[row].arguments, calls[row].call);
}

static void test_calls_of_every_sort(void **state)
{
    (void)state;
    static const char *const words[] = {"\"tool_calls\"", "\"stop\"", "\"function_call\"", "null"};
    for (size_t i = 0; i < COUNT(calls); i++) {
        char *body = mem_format("{\"choices\":[{\"finish_reason\":%s,\"message\":{\"tool_calls\":"
                                "[%s],\"role\":\"assistant\"}}]}",
                                words[i % COUNT(words)], calls[i].call);
        struct chat_reply reply = read_body(200, body);
        struct chat_call *again;
        expect_kind(&reply, CHAT_CALLS, calls[i].call);
        assert_int_equal(reply.call_count, 1);
        expect_call(&reply.calls[0], i);
        assert_int_equal(chat_read_calls(reply.message, &again), 1);
        expect_call(&again[0], i);
        chat_calls_free(again, 1);
        chat_reply_free(&reply);
        free(body);
    }
}

static char *many_calls(int count)
{
    struct buf buf;
    buf_init(&buf, 100000);
    buf_add_text(&buf, "{\"choices\":[{\"message\":{\"role\":\"assistant\",\"content\":\"Now\","
                       "\"tool_calls\":[");
    for (int i = 0; i < count; i++)
        buf_addf(&buf, "%s" CALL("\"%d\"", "t%d", "\"{}\""), i ? "," : "", i, i);
    buf_add_text(&buf, "]}}]}");
    return buf_steal(&buf);
}

static void test_as_many_calls_as_are_made_and_no_more(void **state)
{
    (void)state;
    char *body = many_calls(CHAT_CALLS_MAX);
    struct chat_reply reply = read_body(200, body);
    expect_kind(&reply, CHAT_CALLS, body);
    assert_int_equal(reply.call_count, CHAT_CALLS_MAX);
    assert_string_equal(reply.calls[15].name, "t15");
    assert_string_equal(reply.text, "Now");
    chat_reply_free(&reply);
    free(body);
    body = many_calls(20);
    reply = read_body(200, body);
    expect_kind(&reply, CHAT_MALFORMED, body);
    assert_string_equal(reply.error, "HTTP 200: 20 calls at once, at most 16 are made");
    chat_reply_free(&reply);
    free(body);
}

static void test_messages_without_calls_have_none(void **state)
{
    static const char *const messages[] = {
        "", "{", "[]", "7", "{\"role\":\"user\"}", "{\"tool_calls\":[]}", "{\"tool_calls\":[{}]}"};
    (void)state;
    for (size_t i = 0; i < COUNT(messages); i++) {
        struct chat_call *none;
        assert_int_equal(chat_read_calls(messages[i], &none), 0);
        chat_calls_free(none, 0);
    }
}

/* ---- what goes back ---- */

static void test_a_message_is_kept_byte_for_byte(void **state)
{
    (void)state;
    char *body = mem_format(
        " {\"choices\" : [ {\"message\" :\n%s\n, \"finish_reason\":\"stop\"}]}\n", ODD_MESSAGE);
    struct chat_reply reply = read_body(200, body);
    expect_kind(&reply, CHAT_CALLS, body);
    assert_string_equal(reply.message, ODD_MESSAGE);
    assert_string_equal(chat_role(reply.message), "assistant");
    chat_reply_free(&reply);
    free(body);
}

/* LiteLLM packs thought signatures into ids; they grow with the thoughts. */
static void test_ids_of_any_length_come_back(void **state)
{
    (void)state;
    size_t length = 300000;
    char *id = mem_alloc(length + 3);
    memset(id, 'x', length + 2);
    memcpy(id + 1, "call_1__thought__/+=", 20);
    id[0] = id[length + 1] = '"';
    char *body = mem_format("{\"choices\":[{\"message\":{\"role\":\"assistant\",\"tool_calls\":["
                            "{\"id\":%s,\"function\":{\"name\":\"t\",\"arguments\":\"{}\"}}]}}]}",
                            id);
    struct chat_reply reply = read_body(200, body);
    expect_kind(&reply, CHAT_CALLS, "a huge id");
    assert_string_equal(reply.calls[0].id, id);
    char *message = chat_tool_message(&reply.calls[0], "{}");
    assert_non_null(strstr(message, id));
    free(message);
    chat_reply_free(&reply);
    free(body);
    free(id);
}

static void test_nests_end_where_they_are_too_deep(void **state)
{
    (void)state;
    struct buf buf;
    buf_init(&buf, 2000000);
    buf_add_text(&buf,
                 "{\"choices\":[{\"message\":{\"role\":\"assistant\",\"content\":\"x\",\"t\":");
    for (int i = 0; i < 1000000; i++)
        buf_add_byte(&buf, '[');
    struct chat_reply reply = read_body(200, buf_text(&buf));
    expect_kind(&reply, CHAT_MALFORMED, "a nest");
    chat_reply_free(&reply);
    buf_free(&buf);
}

static void test_tokens_are_counted(void **state)
{
    static const struct {
        const char *usage;
        int64_t tokens;
    } rows[] = {
        {"{\"total_tokens\":120,\"prompt_tokens\":100,\"completion_tokens\":7}", 120},
        {"{\"prompt_tokens\":100,\"completion_tokens\":7}", 107},
        {"{\"prompt_tokens\":100}", 100},
        {"{\"total_tokens\":-5}", 0},
        {"{\"total_tokens\":1e18,\"prompt_tokens\":3}", 3},
        {"{\"total_tokens\":\"12\"}", 0},
        {"null", 0},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        char *body = mem_format("{\"usage\":%s,\"choices\":[{\"message\":" ASSISTANT(HELLO) "}]}",
                                rows[i].usage);
        struct chat_reply reply = read_body(200, body);
        expect_kind(&reply, CHAT_ANSWER, body);
        assert_int_equal(reply.tokens, rows[i].tokens);
        chat_reply_free(&reply);
        free(body);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_kind_of_answer),
        cmocka_unit_test(test_calls_of_every_sort),
        cmocka_unit_test(test_as_many_calls_as_are_made_and_no_more),
        cmocka_unit_test(test_messages_without_calls_have_none),
        cmocka_unit_test(test_a_message_is_kept_byte_for_byte),
        cmocka_unit_test(test_ids_of_any_length_come_back),
        cmocka_unit_test(test_nests_end_where_they_are_too_deep),
        cmocka_unit_test(test_tokens_are_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
