#include "tests/unit/chat_fixture.h"

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_kind_of_error),
        cmocka_unit_test(test_the_longer_wait_counts),
        cmocka_unit_test(test_without_an_answer_the_reason_is_told),
        cmocka_unit_test(test_an_error_is_one_short_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
