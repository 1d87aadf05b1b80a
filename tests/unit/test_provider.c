/* What all dialects share: the table, addresses, error bodies, what a submission's refusal means.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/provider/dialect.h"
#include "daemon/provider/provider.h"
#include "proto/line.h"
#include "proto/mem.h"

#define LEGACY(n) "{\"error\":{\"code\":" #n ",\"message\":\"words\",\"status\":\"SOME_STATUS\"}}"
#define SHORT     "{\"error\":{\"code\":\"api_error\",\"message\":\"words\"}}"
#define OPENAI(n) \
    "{\"error\":{\"message\":\"words\",\"type\":\"None\",\"param\":\"None\",\"code\":\"" #n "\"}}"

static struct wire_reply reply_of(int status, const char *body)
{
    return (struct wire_reply){
        .status = status, .body = body, .length = body ? strlen(body) : 0, .retry_after_ms = -1};
}

/* What LiteLLM makes of Google's answer, on its own routes (1.106). */
#define LITELLM(inside)                                                                \
    "{\"error\":{\"message\":\"litellm.InternalServerError: GeminiException - " inside \
    "\\n\\nLiteLLM: model group 'veo' failed with the error above. No fallback was "   \
    "attempted.\",\"type\":\"internal_server_error\",\"param\":null,\"code\":\"500\"}}"

static void test_dialects_are_found_by_name(void **state)
{
    (void)state;
    assert_ptr_equal(dialect_find("interactions"), &dialect_interactions);
    assert_ptr_equal(dialect_find("predict"), &dialect_predict);
    assert_ptr_equal(dialect_find("vertex"), &dialect_vertex);
    assert_ptr_equal(dialect_find("videos"), &dialect_videos);
    assert_null(dialect_find("Predict"));
    assert_null(dialect_find(""));
    assert_string_equal(dialect_interactions.secret_name, "x-goog-api-key");
    assert_string_equal(dialect_predict.secret_name, "x-goog-api-key");
    assert_null(dialect_vertex.secret_name);
    assert_null(dialect_videos.secret_name);
}

static void test_no_name_belongs_to_two_dialects(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        const char *dialect;
    } rows[] = {
        {"v1_ChdXSabc-_=", "interactions"},
        {"int_abc", "interactions"},
        {"models/veo-3.1-generate-preview/operations/abc123", "predict"},
        {"01JD5ZK3Q7M9N8P6R4S2T0V1W3", NULL}, /* a job's id */
        {"01JD", NULL},                       /* its prefix */
        {"", NULL},
        {"..", NULL},
        {"a_b c", NULL},
        {"a_b\n", NULL},
        {"v1_a/../b", NULL},
        {"v1_a?b", NULL},
        {"v1_\xc3\xa4", NULL},
        {"projects/p/locations/l/publishers/google/models/m/operations/1", "vertex"},
        {"projects/p/locations/l/operations/1", "vertex"},
        {"projects/p/operations/1/operations/2", NULL},
        {"projects/p/operations/", NULL},
        {"projects//operations/1", NULL},
        {"projects/operations/1", NULL},
        {"projects/../operations/1", NULL},
        {"projects/p?x/operations/1", NULL},
        {"projects/p/operation/1", NULL},
        {"xprojects/p/operations/1", NULL},
        {"video_bGl0ZWxs+a/b==", "videos"},
        {"video_abc", "videos"},
        {"video_a b", NULL},
        {"videos_abc", "interactions"},
        {"models/m/operations/", NULL},
        {"models//operations/1", NULL},
        {"models/m/operations/1/2", NULL},
        {"models/../operations/1", NULL},
        {"models/m/operations/..", NULL},
        {"models/m/operations/.", NULL},
        {"models/m/operations/a?key=b", NULL},
        {"models/m/operations/a#b", NULL},
        {"models/m/operations/%2e%2e", NULL},
        {"models/m/operations/a\\b", NULL},
        {"models/m/operations/a b", NULL},
        {"models/m/operations/a\x7f", NULL},
        {"/models/m/operations/a", NULL},
        {"inline:0", NULL},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        for (const struct dialect *const *d = dialects; *d; d++) {
            bool expected = rows[i].dialect && strcmp(rows[i].dialect, (*d)->name) == 0;
            if ((*d)->owns(rows[i].name) != expected)
                fail_msg("%s, asked for \"%s\"", (*d)->name, rows[i].name);
        }
}

static void test_over_long_names_are_nobodys(void **state)
{
    (void)state;
    char name[OPERATION_NAME_MAX + 2];
    memset(name, '_', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    assert_false(dialect_interactions.owns(name));
    name[OPERATION_NAME_MAX] = '\0';
    assert_true(dialect_interactions.owns(name));

    memset(name, 'x', sizeof(name) - 1);
    name[OPERATION_NAME_MAX] = 'x';
    memcpy(name, "models/m/operations/", 20);
    assert_false(dialect_predict.owns(name));
    name[OPERATION_NAME_MAX] = '\0';
    assert_true(dialect_predict.owns(name));
}

static void test_globs_choose_the_provider(void **state)
{
    (void)state;
    char *globs[] = {"gemini-omni-*", "veo-3.1-fast", NULL};
    struct provider provider = {.models = globs};
    assert_true(provider_takes(&provider, "gemini-omni-1.1-flash"));
    assert_true(provider_takes(&provider, "veo-3.1-fast"));
    assert_false(provider_takes(&provider, "veo-3.1-fast-preview"));
    assert_false(provider_takes(&provider, "gemini-flash"));
    provider.models = NULL;
    assert_false(provider_takes(&provider, "veo-3.1-fast"));
}

static void test_escape_leaves_only_unreserved_characters(void **state)
{
    (void)state;
    struct buf url;
    buf_init(&url, 4096);
    wire_escape(&url, "aZ09-._~/?#%:@ +&=\x01\x7f\xc3\xa4");
    assert_string_equal(buf_text(&url), "aZ09-._~%2F%3F%23%25%3A%40%20%2B%26%3D%01%7F%C3%A4");
    buf_free(&url);
}

static void assert_number(double number, const char *expected)
{
    struct buf out;
    buf_init(&out, 64);
    wire_add_number(&out, number);
    assert_string_equal(buf_text(&out), expected);
    buf_free(&out);
}

static void test_numbers_have_no_needless_digits(void **state)
{
    (void)state;
    assert_number(8, "8");
    assert_number(3.5, "3.5");
    assert_number(0.1, "0.1");
    assert_number(3600, "3600");
    assert_number(0.1 + 0.2, "0.30000000000000004");
}

static void assert_line(const char *text, size_t length, size_t max, const char *expected)
{
    char *line = one_line(text, length, max);
    assert_string_equal(line, expected);
    assert_true(strlen(line) <= max);
    free(line);
}

static void test_a_message_is_one_clean_line(void **state)
{
    (void)state;
    assert_line("", 0, 10, "");
    assert_line(" a \r\n\t b\n", 9, 100, "a b");
    assert_line("a\0b", 3, 100, "a b");
    assert_line("\x1b[31mred\x7f", 9, 100, "[31mred");
    assert_line("a\xc2\x9b"
                "b",
                4, 100, "a b"); /* C1: CSI */
    assert_line("a\xe2\x80\xa8"
                "b",
                5, 100, "a b"); /* U+2028 */
    assert_line("\xc3\xa4\xe2\x82\xac\xf0\x9f\x8e\xac", 9, 100, "ä€🎬");
    assert_line("\xc3(\xff\xe2\x82", 5, 100, "?(???"); /* invalid, cut short */
    assert_line("\xed\xa0\x80", 3, 100, "???");        /* a surrogate */
    assert_line("aaaaaaaaaaaaaaaaaaaa", 20, 10, "aaaaaaa…");
    assert_line("\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4", 8, 6, "ä…");
}

/* A submission's answer: kind, code, message, whether a gate closes. */
static const struct {
    int status;
    const char *body;
    enum outcome_kind kind;
    const char *code;
    const char *message; /* a part of it */
    bool gate;
    int64_t retry_after_ms;
} refusals[] = {
    /* Google's older shape. */
    {429,
     "{\"error\":{\"code\":429,\"message\":\"You exceeded your current quota\",\"status\":"
     "\"RESOURCE_EXHAUSTED\",\"details\":[{\"@type\":\"type.googleapis.com/google.rpc.Help\","
     "\"links\":[{\"description\":\"d\",\"url\":\"u\"}]}]}}",
     OUTCOME_REFUSED, "resource-exhausted", "You exceeded your current quota", true, -1},
    {429,
     "{\"error\":{\"code\":429,\"message\":\"m\",\"status\":\"RESOURCE_EXHAUSTED\",\"details\":["
     "{\"@type\":\"type.googleapis.com/google.rpc.QuotaFailure\",\"violations\":[{\"quotaMetric\":"
     "\"x\",\"quotaId\":\"GenerateRequestsPerMinutePerProjectPerModel\",\"quotaValue\":\"10\"}]},"
     "{\"@type\":\"type.googleapis.com/google.rpc.RetryInfo\",\"retryDelay\":\"51.2s\"}]}}",
     OUTCOME_REFUSED, "quota-per-minute", "m", true, 51200},
    {429,
     "{\"error\":{\"code\":429,\"message\":\"m\",\"status\":\"RESOURCE_EXHAUSTED\",\"details\":["
     "{\"violations\":[{\"quotaId\":\"GenerateRequestsPerMinutePerProject\"},"
     "{\"quotaId\":\"GenerateRequestsPerDayPerProjectPerModel-FreeTier\"}]}]}}",
     OUTCOME_REFUSED, "quota-per-day", "m (the daily quota begins anew at midnight", true, -1},
    {429,
     "{\"error\":{\"code\":429,\"message\":\"m\",\"details\":[{\"violations\":[{\"quotaId\":"
     "\"PerDay\"},{\"quotaId\":\"PerMinute\"}]}]}}",
     OUTCOME_REFUSED, "quota-per-day", "m (the daily quota begins anew at midnight", true, -1},
    {503, LEGACY(503), OUTCOME_REFUSED, "some-status", "words", true, -1},
    {503, "upstream connect error", OUTCOME_REFUSED, "http-503", "upstream connect error", true,
     -1},
    {500, LEGACY(500), OUTCOME_REFUSED, "some-status", "words", false, -1},
    {500, "<html>\n<p>500", OUTCOME_UNREADABLE, "http-500", "<html> <p>500", false, -1},
    {500, "", OUTCOME_UNREADABLE, "http-500", "empty", false, -1},
    {500, NULL, OUTCOME_UNREADABLE, "http-500", "HTTP 500", false, -1},
    {500, "{\"error\":{}}", OUTCOME_UNREADABLE, "http-500", "{\"error\":{}}", false, -1},
    {500, "{\"error\":\"text\"}", OUTCOME_UNREADABLE, "http-500", "text", false, -1},
    {500, "{\"detail\":\"x\"}", OUTCOME_UNREADABLE, "http-500", "detail", false, -1},
    {500, OPENAI(500), OUTCOME_UNREADABLE, "http-500", "words", false, -1},
    {501, LEGACY(501), OUTCOME_REFUSED, "some-status", "words", false, -1},
    {503, "{\"error\":{\"code\":\"%\"}}", OUTCOME_REFUSED, "http-503", "", true, -1},
    {507, "full", OUTCOME_UNREADABLE, "http-507", "full", false, -1},
    {502, LEGACY(502), OUTCOME_UNREADABLE, "some-status", "words", false, -1},
    {504, SHORT, OUTCOME_UNREADABLE, "api-error", "words", false, -1},
    {408, LEGACY(408), OUTCOME_UNREADABLE, "some-status", "words", false, -1},
    {402, LEGACY(402), OUTCOME_NO_CREDIT, "some-status", "words", false, -1},
    {402, "pay", OUTCOME_NO_CREDIT, "http-402", "pay", false, -1},
    {400,
     "{\"error\":{\"code\":400,\"message\":\"API key not valid. Please pass a valid API key.\","
     "\"status\":\"INVALID_ARGUMENT\",\"details\":[{\"@type\":"
     "\"type.googleapis.com/google.rpc.ErrorInfo\",\"reason\":\"API_KEY_INVALID\",\"domain\":"
     "\"googleapis.com\"}]}}",
     OUTCOME_REJECTED, "api-key-invalid",
     "API key not valid. Please pass a valid API key. (the API key is not valid;", false, -1},
    {404,
     "{\"error\":{\"code\":404,\"message\":\"models/veo-3.1-generate-preview is not found for API "
     "version v1beta\",\"status\":\"NOT_FOUND\"}}",
     OUTCOME_REJECTED, "not-found", "v1beta (MODELS lists what can be asked for; Veo left", false,
     -1},
    {400,
     "{\"error\":{\"code\":400,\"message\":\"This model only supports Interactions API.\",\"status"
     "\":\"INVALID_ARGUMENT\"}}",
     OUTCOME_REJECTED, "invalid-argument", "dialect = interactions", false, -1},
    {403, "<html>", OUTCOME_REJECTED, "http-403", "<html>", false, -1},
    {413, "", OUTCOME_REJECTED, "http-413", "HTTP 413", false, -1},
    {499, LEGACY(499), OUTCOME_REJECTED, "some-status", "words", false, -1},
    /* Interactions. */
    {400, "{\"error\":{\"code\":\"invalid_request\",\"message\":\"bad duration\"}}",
     OUTCOME_REJECTED, "invalid-request", "bad duration", false, -1},
    {401, "{\"error\":{\"code\":\"authentication\",\"message\":\"no\"}}", OUTCOME_REJECTED,
     "authentication", "no (the API key is not valid", false, -1},
    {402, "{\"error\":{\"code\":\"payment_required\",\"message\":\"credit gone\"}}",
     OUTCOME_NO_CREDIT, "payment-required", "credit gone (", false, -1},
    {404, "{\"error\":{\"code\":\"model_not_found\",\"message\":\"no such\"}}", OUTCOME_REJECTED,
     "model-not-found", "no such (MODELS", false, -1},
    {429, "{\"error\":{\"code\":\"rate_limit_exceeded\",\"message\":\"slow\"}}", OUTCOME_REFUSED,
     "rate-limit-exceeded", "slow", true, -1},
    {429, "{\"error\":{\"code\":\"quota_exceeded\",\"message\":\"day\"}}", OUTCOME_REFUSED,
     "quota-exceeded", "day (the daily quota", true, -1},
    {500, SHORT, OUTCOME_REFUSED, "api-error", "words", false, -1},
    /* An array around either, as the OpenAI-compatible routes have it. */
    {429, "[" SHORT "]", OUTCOME_REFUSED, "api-error", "words", true, -1},
    {500, "[" LEGACY(500) "]", OUTCOME_REFUSED, "some-status", "words", false, -1},
    {500, "[]", OUTCOME_UNREADABLE, "http-500", "[]", false, -1},
    /* LiteLLM. */
    {429, OPENAI(429), OUTCOME_REFUSED, "http-429", "words", true, -1},
    {400,
     "{\"error\":{\"message\":\"m\",\"type\":\"invalid_request_error\",\"param\":null,\"code\":"
     "\"400\"}}",
     OUTCOME_REJECTED, "invalid-request-error", "m", false, -1},
    {500,
     LITELLM("{\\\"error\\\":{\\\"code\\\":503,\\\"message\\\":\\\"full\\\",\\\"status\\\":"
             "\\\"UNAVAILABLE\\\"}}"),
     OUTCOME_REFUSED, "unavailable", "full", true, -1},
    {500,
     LITELLM("{\\\"error\\\":{\\\"code\\\":500,\\\"message\\\":\\\"m\\\",\\\"status\\\":"
             "\\\"INTERNAL\\\"}}"),
     OUTCOME_REFUSED, "internal", "m", false, -1},
    {429,
     LITELLM("{\\\"error\\\":{\\\"code\\\":429,\\\"message\\\":\\\"m\\\",\\\"details\\\":[{"
             "\\\"retryDelay\\\":\\\"22s\\\"}]}}"),
     OUTCOME_REFUSED, "http-429", "m", true, 22000},
    {500, LITELLM("Server disconnected"), OUTCOME_UNREADABLE, "internal-server-error",
     "Server disconnected", false, -1},
    {500, LITELLM("{'error': 1}"), OUTCOME_UNREADABLE, "internal-server-error", "{'error'", false,
     -1},
    {500, LITELLM("{}"), OUTCOME_UNREADABLE, "internal-server-error", "{}", false, -1},
    {400,
     "{\"error\":{\"message\":\"No connected db.\",\"type\":\"no_db_connection\",\"param\":null,"
     "\"code\":\"400\"}}",
     OUTCOME_REJECTED, "no-db-connection", "look at the provider's credential", false, -1},
    /* Wrong types, nothing said. */
    {400, "{\"error\":{\"code\":{},\"message\":[],\"status\":7}}", OUTCOME_REJECTED, "http-400",
     "HTTP 400", false, -1},
    {400, "{\"error\":{\"code\":1e300}}", OUTCOME_REJECTED, "http-400", "gave no reason", false,
     -1},
    {400, "{\"error\":{\"code\":\"x\",\"details\":[null,7,{\"retryDelay\":3,\"violations\":{}}]}}",
     OUTCOME_REJECTED, "x", "gave no reason", false, -1},
    {429, "{\"error\":{\"code\":429,\"details\":[{\"retryDelay\":\"-5s\"}]}}", OUTCOME_REFUSED,
     "http-429", "gave no reason", true, -1},
    {429, "{\"error\":{\"code\":429,\"details\":[{\"retryDelay\":\"99999999999s\"}]}}",
     OUTCOME_REFUSED, "http-429", "gave no reason", true, 86400000},
    /* Not a final answer at all. */
    {302, "moved", OUTCOME_REJECTED, "redirected", "base_url", false, -1},
    {307, LEGACY(307), OUTCOME_REJECTED, "redirected", "redirects submissions", false, -1},
    {101, "", OUTCOME_UNREADABLE, "http-101", "HTTP 101", false, -1},
    {999, "", OUTCOME_UNREADABLE, "http-999", "HTTP 999", false, -1},
};

static void test_refusals(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
        struct wire_reply reply = reply_of(refusals[i].status, refusals[i].body);
        struct outcome outcome;
        outcome_init(&outcome);
        provider_submission_error(&reply, &outcome);
        if (outcome.kind != refusals[i].kind || outcome.gate != refusals[i].gate ||
            outcome.retry_after_ms != refusals[i].retry_after_ms || !outcome.code ||
            strcmp(outcome.code, refusals[i].code) != 0 || !outcome.message ||
            !strstr(outcome.message, refusals[i].message))
            fail_msg("HTTP %d %s: kind %d, gate %d, wait %lld, code %s, message %s", reply.status,
                     reply.body, outcome.kind, outcome.gate, (long long)outcome.retry_after_ms,
                     outcome.code, outcome.message);
        outcome_free(&outcome);
    }
}

static void test_the_longer_of_two_waits_counts(void **state)
{
    (void)state;
    static const char body[] = "{\"error\":{\"code\":429,\"details\":[{\"retryDelay\":\"22s\"}]}}";
    static const struct {
        int64_t header;
        int64_t expected;
    } rows[] = {{-1, 22000}, {5000, 22000}, {60000, 60000}, {INT64_MAX, 86400000}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct wire_reply reply = reply_of(429, body);
        reply.retry_after_ms = rows[i].header;
        struct outcome outcome;
        outcome_init(&outcome);
        assert_true(provider_error(&reply, &outcome));
        assert_int_equal(outcome.retry_after_ms, rows[i].expected);
        outcome_free(&outcome);
    }
    /* A gateway's Retry-After counts too. */
    struct wire_reply reply = reply_of(503, "busy");
    reply.retry_after_ms = 7000;
    struct outcome outcome;
    outcome_init(&outcome);
    assert_false(provider_error(&reply, &outcome));
    provider_submission_error(&reply, &outcome);
    assert_int_equal(outcome.retry_after_ms, 7000);
    outcome_free(&outcome);
}

static void test_the_providers_own_status_and_quota_are_kept(void **state)
{
    (void)state;
    static const char body[] =
        LITELLM("{\\\"error\\\":{\\\"code\\\":503,\\\"details\\\":[{\\\"violations\\\":["
                "{\\\"quotaId\\\":\\\"Q PerDay\\\"},{\\\"quotaId\\\":\\\"Other\\\"}]}]}}");
    struct wire_reply reply = reply_of(500, body);
    struct outcome outcome;
    outcome_init(&outcome);
    provider_submission_error(&reply, &outcome);
    assert_int_equal(outcome.status, 503);
    assert_string_equal(outcome.quota_id, "Q PerDay");
    assert_string_equal(outcome.code, "quota-per-day");
    outcome_free(&outcome);
    static const int plain[] = {302, 400, 404, 429, 502};
    for (size_t i = 0; i < sizeof(plain) / sizeof(plain[0]); i++) {
        reply = reply_of(plain[i], "nothing");
        provider_submission_error(&reply, &outcome);
        assert_int_equal(outcome.status, plain[i]);
        assert_null(outcome.quota_id);
        outcome_free(&outcome);
    }
}

static void test_long_words_leave_room_for_the_hint(void **state)
{
    (void)state;
    char *words = mem_alloc(5001);
    memset(words, 'w', 5000);
    char *body = mem_format("{\"error\":{\"code\":\"quota_exceeded\",\"message\":\"%s\"}}", words);
    struct wire_reply reply = reply_of(429, body);
    struct outcome outcome;
    outcome_init(&outcome);
    provider_submission_error(&reply, &outcome);
    size_t length = strlen(outcome.message);
    assert_true(length > 900 && length <= OUTCOME_MESSAGE_MAX);
    assert_non_null(strstr(outcome.message, "www… (the daily quota"));
    outcome_free(&outcome);
    free(body);
    free(words);
}

static void test_an_excerpt_is_cut_between_characters(void **state)
{
    (void)state;
    char body[400];
    memset(body, 'x', sizeof(body));
    memcpy(body + 199, "ä", 2);
    struct wire_reply reply = {.status = 502, .body = body, .length = sizeof(body)};
    struct outcome outcome;
    outcome_init(&outcome);
    outcome_set_unreadable(&outcome, &reply, "what");
    assert_int_equal(strlen(outcome.message), strlen("HTTP 502: what: ") + 199);
    assert_int_equal(utf8_valid_prefix(outcome.message, strlen(outcome.message)),
                     strlen(outcome.message));

    /* Nothing but the middles of characters, up to the cut and over it. */
    memset(body, '\x80', sizeof(body));
    outcome_set_unreadable(&outcome, &reply, "what");
    assert_non_null(strstr(outcome.message, "HTTP 502"));
    outcome_free(&outcome);
}

static void test_outcome_free_leaves_it_usable(void **state)
{
    (void)state;
    struct outcome outcome;
    outcome_init(&outcome);
    outcome_set(&outcome, OUTCOME_FAILED, "__A  b__", "%s", "first");
    assert_string_equal(outcome.code, "a-b");
    outcome_set(&outcome, OUTCOME_FAILED, "___", "second");
    assert_string_equal(outcome.code, "unknown");
    assert_string_equal(outcome.message, "second");
    outcome_free(&outcome);
    assert_null(outcome.message);
    assert_int_equal(outcome.retry_after_ms, -1);
    outcome_free(&outcome);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_dialects_are_found_by_name),
        cmocka_unit_test(test_no_name_belongs_to_two_dialects),
        cmocka_unit_test(test_over_long_names_are_nobodys),
        cmocka_unit_test(test_globs_choose_the_provider),
        cmocka_unit_test(test_escape_leaves_only_unreserved_characters),
        cmocka_unit_test(test_numbers_have_no_needless_digits),
        cmocka_unit_test(test_a_message_is_one_clean_line),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_the_longer_of_two_waits_counts),
        cmocka_unit_test(test_the_providers_own_status_and_quota_are_kept),
        cmocka_unit_test(test_long_words_leave_room_for_the_hint),
        cmocka_unit_test(test_an_excerpt_is_cut_between_characters),
        cmocka_unit_test(test_outcome_free_leaves_it_usable),
    };
    return cmocka_run_group_tests_name("provider", tests, NULL, NULL);
}
