#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/agent/chat.h"
#include "proto/mem.h"

#define COUNT(rows) (sizeof(rows) / sizeof((rows)[0]))

#define CALL(id, name, arguments)                                               \
    "{\"id\":" id ",\"type\":\"function\",\"function\":{\"name\":\"" name "\"," \
    "\"arguments\":" arguments "}}"
#define ASSISTANT(members) "{\"role\":\"assistant\"," members "}"
#define COMPLETION(message, finish) \
    "{\"choices\":[{\"index\":0,\"message\":" message ",\"finish_reason\":" finish "}]}"
#define SAYS(members, finish) COMPLETION(ASSISTANT(members), finish)
#define CALLS(calls, finish)  SAYS("\"content\":null,\"tool_calls\":[" calls "]", finish)
#define HELLO                 "\"content\":\"Hello\""

static struct chat_answer answer_of(int status, const char *body)
{
    return (struct chat_answer){
        .status = status,
        .body = body,
        .length = body ? strlen(body) : 0,
        .retry_after_ms = -1,
    };
}

static struct chat_reply read_body(int status, const char *body)
{
    struct chat_answer answer = answer_of(status, body);
    struct chat_reply reply;
    chat_read(&answer, &reply);
    return reply;
}

static const char *const kinds[] = {"ANSWER",  "CALLS",     "TRUNCATED", "EMPTY",
                                    "REFUSED", "MALFORMED", "AGAIN",     "FAILED"};

static void expect_kind(const struct chat_reply *reply, enum chat_kind kind, const char *what)
{
    if (reply->kind != kind)
        fail_msg("%s, not %s (%s): %s", kinds[reply->kind], kinds[kind],
                 reply->error ? reply->error : "", what);
    bool failed = kind >= CHAT_REFUSED;
    if ((reply->error != NULL) != failed || (failed && reply->message))
        fail_msg("an error or a message out of place: %s", what);
    if ((reply->call_count > 0) != (kind == CHAT_CALLS) || (kind == CHAT_CALLS && !reply->message))
        fail_msg("calls out of place: %s", what);
}

static void expect_words(const char *words, const char *expected, const char *what)
{
    if (!words != !expected || (words && strcmp(words, expected) != 0))
        fail_msg("\"%s\", not \"%s\": %s", words ? words : "(none)", expected ? expected : "(none)",
                 what);
}

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

static const char odd_message[] = "{ \"content\"\t: null ,\r\n \"\\u0072ole\": "
                                  "\"assist\\u0061nt\", \"\\ud83c\\udfac\":\"\\/\\u0041"
                                  "\u00e4\", \"thought\":1.0e+01, \"tool_calls\" :[ " CALL(
                                      "\"a\"", "t", "\"{}\"") " ] , \"x\":{ }}";

static void test_a_message_is_kept_byte_for_byte(void **state)
{
    (void)state;
    char *body = mem_format(
        " {\"choices\" : [ {\"message\" :\n%s\n, \"finish_reason\":\"stop\"}]}\n", odd_message);
    struct chat_reply reply = read_body(200, body);
    expect_kind(&reply, CHAT_CALLS, body);
    assert_string_equal(reply.message, odd_message);
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

/* ---- errors ---- */

#define GOOGLE(code, status, message, details)                                              \
    "{\"error\":{\"code\":" #code ",\"status\":\"" status "\",\"message\":\"" message "\"," \
    "\"details\":[" details "]}}"
#define RETRY_IN(time) \
    "{\"@type\":\"type.googleapis.com/google.rpc.RetryInfo\",\"retryDelay\":\"" time "\"}"
#define QUOTA(id)                       \
    "{\"@type\":\"type.googleapis.com/" \
    "google.rpc.QuotaFailure\",\"violations\":[{\"quotaId\":\"" id "\"}]}"
/* LiteLLM 1.106: Google's answer as text within its own. */
#define LITELLM_429                                                                             \
    "{\"error\":{\"message\":\"litellm.RateLimitError: geminiException - {\\n  \\\"error\\\": " \
    "{\\\"code\\\": 429, \\\"message\\\": \\\"Quota exceeded\\\", \\\"status\\\": "             \
    "\\\"RESOURCE_EXHAUSTED\\\", \\\"details\\\": [{\\\"retryDelay\\\": \\\"3s\\\"}]}}"         \
    "\",\"type\":null,\"param\":null,\"code\":\"429\"}}"
#define LITELLM_500_OF_404                                                                \
    "{\"error\":{\"message\":\"litellm.APIError: {\\\"error\\\":{\\\"code\\\":404,"       \
    "\\\"message\\\":\\\"models/x is not found\\\",\\\"status\\\":\\\"NOT_FOUND\\\"}}\"," \
    "\"type\":null,\"code\":\"500\"}}"
#define LITELLM_PER_DAY_BYTES                                                      \
    "{\"error\":{\"message\":\"litellm.RateLimitError: b'{\\\\n \\\"quotaId\\\": " \
    "\\\"GenerateRequestsPerDayPerProjectPerModel-FreeTier\\\"}'\",\"code\":\"429\"}}"

/* Google's error as LiteLLM 1.106 was seen to repeat it. */
#define LITELLM_REPEATS(number, exception, error)                                  \
    "{\"error\":{\"message\":\"litellm." exception ": litellm." exception          \
    ": geminiException - " error                                                   \
    "\\n\\nLiteLLM: model group 'x' failed with the error above. No fallback was " \
    "attempted.\",\"type\":\"throttling_error\",\"param\":null,\"code\":\"" number "\"}}"
#define OVERLOADED                                                                       \
    "{\\\"error\\\":{\\\"code\\\":503,\\\"message\\\":\\\"The model is overloaded.\\\"," \
    "\\\"status\\\":\\\"UNAVAILABLE\\\"}}"
#define DAY_IS_OVER                                                                              \
    "{\\\"error\\\":{\\\"code\\\":429,\\\"message\\\":\\\"You exceeded your current quota.\\\"," \
    "\\\"status\\\":\\\"RESOURCE_EXHAUSTED\\\",\\\"details\\\":[{\\\"violations\\\":[{"          \
    "\\\"quotaId\\\":\\\"GenerateRequestsPerDayPerProjectPerModel\\\"}]}]}}"

static const struct {
    int status;
    const char *body;
    enum chat_kind kind;
    int64_t wait_ms;
    const char *error;
} errors[] = {
    {400, GOOGLE(400, "INVALID_ARGUMENT", "Bad field", ""), CHAT_FAILED, 0,
     "m: HTTP 400: Bad field"},
    {400, "[" GOOGLE(400, "INVALID_ARGUMENT", "API key not valid.", "") "]", CHAT_FAILED, 0,
     "m: HTTP 400: API key not valid."},
    {401, "{\"error\":{\"message\":\"No key\",\"type\":\"auth_error\",\"code\":\"401\"}}",
     CHAT_FAILED, 0, "m: HTTP 401: No key"},
    {402, "{\"error\":\"Pay\"}", CHAT_FAILED, 0, "m: HTTP 402: Pay"},
    {403, "{\"message\":\"Forbidden\"}", CHAT_FAILED, 0, "m: HTTP 403: Forbidden"},
    {404, "{\"detail\":\"Not Found\"}", CHAT_FAILED, 0, "m: HTTP 404: Not Found"},
    {404, "[" GOOGLE(404, "NOT_FOUND", "models/x is not found", "") "]", CHAT_FAILED, 0,
     "m: HTTP 404: models/x is not found"},
    {422, "{\"detail\":[{\"loc\":[\"body\"],\"msg\":\"field required\"}]}", CHAT_FAILED, 0,
     "m: HTTP 422: field required"},
    {400, "{\"detail\":{\"error\":\"No such model\"}}", CHAT_FAILED, 0,
     "m: HTTP 400: No such model"},
    {413, "", CHAT_FAILED, 0, "m: HTTP 413"},
    {418, NULL, CHAT_FAILED, 0, "m: HTTP 418"},
    {302, "{\"error\":\"x\"}", CHAT_FAILED, 0,
     "m: HTTP 302: it redirects, which is not followed; base_url should name that address"},
    {101, "", CHAT_FAILED, 0, "m: HTTP 101"},
    {600, "x", CHAT_FAILED, 0, "m: HTTP 600: x"},

    {408, "", CHAT_AGAIN, 0, "m: HTTP 408"},
    {409, "{\"error\":\"\"}", CHAT_AGAIN, 0, "m: HTTP 409: {\"error\":\"\"}"},
    {429, "", CHAT_AGAIN, 0, "m: HTTP 429"},
    {429, "[" GOOGLE(429, "RESOURCE_EXHAUSTED", "Slow", RETRY_IN("2.5s")) "]", CHAT_AGAIN, 2500,
     "m: HTTP 429: Slow"},
    {429,
     GOOGLE(429, "RESOURCE_EXHAUSTED", "Slow",
            QUOTA("GenerateRequestsPerMinutePerProject") "," RETRY_IN("7s")),
     CHAT_AGAIN, 7000, "m: HTTP 429: Slow"},
    {429, LITELLM_429, CHAT_AGAIN, 3000, "m: HTTP 429: Quota exceeded"},
    {500, LITELLM_REPEATS("500", "InternalServerError", OVERLOADED), CHAT_AGAIN, 0,
     "m: HTTP 503: The model is overloaded."},
    {500, GOOGLE(500, "INTERNAL", "Oops", ""), CHAT_AGAIN, 0, "m: HTTP 500: Oops"},
    {502, "\n <!DOCTYPE html><html><head><TITLE>502 Bad\nGateway</TITLE><body>", CHAT_AGAIN, 0,
     "m: HTTP 502: 502 Bad Gateway"},
    {503, "[" GOOGLE(503, "UNAVAILABLE", "The model is overloaded.", "") "]", CHAT_AGAIN, 0,
     "m: HTTP 503: The model is overloaded."},
    {504, "upstream request timeout\r\n", CHAT_AGAIN, 0, "m: HTTP 504: upstream request timeout"},
    {503, "no PerDay quota, <title>Busy</title>", CHAT_AGAIN, 0,
     "m: HTTP 503: no PerDay quota, <title>Busy</title>"},
    {529, "{\"error\":{\"x\":1}}", CHAT_AGAIN, 0, "m: HTTP 529: {\"error\":{\"x\":1}}"},

    /* Today, or without a person, nothing will change. */
    {429,
     "[" GOOGLE(429, "RESOURCE_EXHAUSTED", "Enough",
                QUOTA("GenerateRequestsPerDayPerProjectPerModel-FreeTier") "," RETRY_IN("22s")) "]",
     CHAT_FAILED, 0, "m: HTTP 429: Enough"},
    {429, "{\"error\":{\"code\":\"quota_exceeded\",\"message\":\"Enough\"}}", CHAT_FAILED, 0,
     "m: HTTP 429: Enough"},
    {429, "{\"error\":{\"code\":\"insufficient_quota\",\"message\":\"Pay\"}}", CHAT_FAILED, 0,
     "m: HTTP 429: Pay"},
    {429, LITELLM_PER_DAY_BYTES, CHAT_FAILED, 0,
     "m: HTTP 429: litellm.RateLimitError: b'{\\n \"quotaId\": "
     "\"GenerateRequestsPerDayPerProjectPerModel-FreeTier\"}'"},
    {429, LITELLM_REPEATS("429", "RateLimitError", DAY_IS_OVER), CHAT_FAILED, 0,
     "m: HTTP 429: You exceeded your current quota."},
    /* What Google said counts, not what a proxy made of it. */
    {500, LITELLM_500_OF_404, CHAT_FAILED, 0, "m: HTTP 404: models/x is not found"},
    /* No advice that is meant for the providers of videos. */
    {404, GOOGLE(404, "NOT_FOUND", "models/veo-3 is not found", ""), CHAT_FAILED, 0,
     "m: HTTP 404: models/veo-3 is not found"},
};

static void test_every_kind_of_error(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(errors); i++) {
        const char *what = errors[i].body ? errors[i].body : "(none)";
        struct chat_answer answer = answer_of(errors[i].status, errors[i].body);
        struct chat_reply reply;
        answer.model = "m";
        chat_read(&answer, &reply);
        expect_kind(&reply, errors[i].kind, what);
        expect_words(reply.error, errors[i].error, what);
        if (reply.wait_ms != errors[i].wait_ms)
            fail_msg("%lld ms: %s", (long long)reply.wait_ms, what);
        chat_reply_free(&reply);
    }
}

static void test_the_longer_wait_counts(void **state)
{
    static const struct {
        const char *body;
        int64_t retry_after_ms, wait_ms;
    } rows[] = {
        {GOOGLE(429, "RESOURCE_EXHAUSTED", "Slow", RETRY_IN("2s")), 5000, 5000},
        {GOOGLE(429, "RESOURCE_EXHAUSTED", "Slow", RETRY_IN("9s")), 5000, 9000},
        {"<html>", 5000, 5000},
        {"", 0, 0},
        {GOOGLE(429, "RESOURCE_EXHAUSTED", "Slow", RETRY_IN("soon")), -1, 0},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct chat_answer answer = answer_of(429, rows[i].body);
        struct chat_reply reply;
        answer.retry_after_ms = rows[i].retry_after_ms;
        chat_read(&answer, &reply);
        expect_kind(&reply, CHAT_AGAIN, rows[i].body);
        assert_int_equal(reply.wait_ms, rows[i].wait_ms);
        chat_reply_free(&reply);
    }
}

static void test_without_an_answer_the_reason_is_told(void **state)
{
    (void)state;
    struct chat_answer answer = {
        .reason = "Couldn't connect", .model = "gemini-flash-latest", .retry_after_ms = -1};
    struct chat_reply reply;
    chat_read(&answer, &reply);
    expect_kind(&reply, CHAT_AGAIN, "no answer");
    assert_string_equal(reply.error, "gemini-flash-latest: Couldn't connect");
    assert_int_equal(reply.wait_ms, 0);
    chat_reply_free(&reply);
}

static void test_an_error_is_one_short_line(void **state)
{
    (void)state;
    struct buf buf;
    buf_init(&buf, 100000);
    buf_add_text(&buf, "{\"error\":{\"code\":400,\"message\":\"\\u001b[2J\\n");
    for (int i = 0; i < 1000; i++)
        buf_add_text(&buf, "\u00e4\u20ac\\u0085");
    buf_add_text(&buf, "\"}}");
    struct chat_reply reply = read_body(400, buf_text(&buf));
    expect_kind(&reply, CHAT_FAILED, "a long one");
    assert_true(strlen(reply.error) <= 270 && strlen(reply.error) > 200);
    for (const char *c = reply.error; *c; c++)
        assert_true((unsigned char)*c >= 0x20 && *c != 0x7f);
    assert_null(strstr(reply.error, "\xc2\x85"));
    chat_reply_free(&reply);
    buf_free(&buf);
}

/* ---- requests ---- */

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
                                    mem_strdup(odd_message)};
    struct chat_call *read;
    assert_int_equal(chat_read_calls(odd_message, &read), 1);
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
    expect_raw(json_path(root, "messages.2"), odd_message);
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
        cmocka_unit_test(test_every_kind_of_answer),
        cmocka_unit_test(test_calls_of_every_sort),
        cmocka_unit_test(test_as_many_calls_as_are_made_and_no_more),
        cmocka_unit_test(test_messages_without_calls_have_none),
        cmocka_unit_test(test_a_message_is_kept_byte_for_byte),
        cmocka_unit_test(test_ids_of_any_length_come_back),
        cmocka_unit_test(test_nests_end_where_they_are_too_deep),
        cmocka_unit_test(test_tokens_are_counted),
        cmocka_unit_test(test_every_kind_of_error),
        cmocka_unit_test(test_the_longer_wait_counts),
        cmocka_unit_test(test_without_an_answer_the_reason_is_told),
        cmocka_unit_test(test_an_error_is_one_short_line),
        cmocka_unit_test(test_a_request_has_what_was_given),
        cmocka_unit_test(test_a_request_has_nothing_that_was_not_given),
        cmocka_unit_test(test_tools_are_listed_even_if_none_may_be_called),
        cmocka_unit_test(test_tools_have_nothing_that_google_refuses),
        cmocka_unit_test(test_messages_of_control_characters_are_whole),
        cmocka_unit_test(test_roles),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
