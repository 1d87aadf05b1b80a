/* Errors, in all the shapes they come in.
 *
 * Google's older one, {"error":{"code":429,"status":"…","message":"…","details":[…]}}: all routes
 * but interactions. Operations use the same object with a google.rpc number and often no status.
 * Interactions: {"error":{"code":"rate_limit_exceeded","message":"…"}}, no status, no details
 * (ai.google.dev/gemini-api/docs/api-errors, 2026-09). The OpenAI-compatible routes put an array
 * around it. LiteLLM: {"error":{"message":"…","type":"…","param":"…","code":"429"}}, and speaks so
 * itself when it could not reach Google; on its own routes it puts Google's answer as text into
 * `message` (LiteLLM 1.106). */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/provider/dialect.h"
#include "proto/json.h"
#include "proto/mem.h"
#include "proto/units.h"

#define QUOTA_ID_MAX 200
#define WAIT_MAX_MS  (INT64_C(24) * 3600 * 1000) /* the longest wait that a provider can ask for */

/* google/rpc/code.proto */
static const char *const rpc_codes[] = {
    NULL,
    "cancelled",
    "unknown",
    "invalid-argument",
    "deadline-exceeded",
    "not-found",
    "already-exists",
    "permission-denied",
    "resource-exhausted",
    "failed-precondition",
    "aborted",
    "out-of-range",
    "unimplemented",
    "internal",
    "unavailable",
    "data-loss",
    "unauthenticated",
};
#define RPC_CODES ((int64_t)(sizeof(rpc_codes) / sizeof(rpc_codes[0])))

/* What an operator can do about it. Both `code` and `words` must fit where they are given; the
 * first row that does is taken. Words: ai.google.dev/gemini-api/docs/troubleshooting and reports
 * of users, 2025-08 to 2026-11. */
static const struct {
    const char *code;
    const char *words;
    const char *hint;
} hints[] = {
    {"api-key-invalid", NULL, "the API key is not valid; look at the provider's credential"},
    {NULL, "api key not valid", "look at the provider's credential"},
    {"authentication", NULL, "the API key is not valid; look at the provider's credential"},
    {"unauthenticated", NULL, "the credential is not valid; look at the provider's credential"},
    {"no-db-connection", NULL,
     "a LiteLLM without a database says so of a key that it doesn't know; look at the provider's "
     "credential"},
    {"payment-required", NULL, "the prepaid credit is used up"},
    {"quota-per-day", NULL, "the daily quota begins anew at midnight, Pacific time"},
    {"quota-exceeded", NULL, "the daily quota begins anew at midnight, Pacific time"},
    {NULL, "only supports interactions api",
     "this model belongs to a provider with dialect = interactions"},
    {"not-found", "/operations/", NULL}, /* an operation is gone, not its model */
    {"model-not-found", NULL, "MODELS lists what can be asked for"},
    {"not-found", "models/veo-",
     "MODELS lists what can be asked for; Veo left the Gemini API for AI Studio keys in October "
     "2026, its successor there is gemini-omni-1.1-flash"},
    {NULL, "no longer available",
     "MODELS lists what can be asked for; Veo left the Gemini API for AI Studio keys in October "
     "2026, its successor there is gemini-omni-1.1-flash"},
    {"not-found", "models/", "MODELS lists what can be asked for"},
    {NULL, "for persongeneration is currently not supported",
     "leave person_generation out: what is allowed differs by region and account"},
    {NULL, "your use case is currently not supported",
     "each field may be fine, but not this combination of resolution, duration and the rest"},
    {NULL, "isn't supported by this model", "leave that field out for this model"},
};

static bool is_digits(const char *text)
{
    return *text && !text[strspn(text, "0123456789")];
}

static bool is_wait(struct json_value value, int64_t *ret_ms)
{
    char *text = json_strdup(value, NULL);
    int64_t ms = -1;
    bool valid = text && units_parse_duration(text, &ms) == 0 && ms >= 0;
    free(text);
    if (valid)
        *ret_ms = ms;
    return valid;
}

static void wait_at_least(struct outcome *outcome, int64_t ms)
{
    if (ms > WAIT_MAX_MS)
        ms = WAIT_MAX_MS;
    if (ms > outcome->retry_after_ms)
        outcome->retry_after_ms = ms;
}

static void keep_quota_id(struct outcome *outcome, const char *id)
{
    if (*id && !outcome->quota_id)
        outcome->quota_id = one_line(id, strlen(id), QUOTA_ID_MAX);
}

/* Takes what a detail says: google.rpc.RetryInfo a time ("51.2s"), QuotaFailure which quota it was
 * (…PerDay…, …PerMinute…), ErrorInfo a reason. Returns a code that says more than the status, or
 * `code`. */
static const char *read_detail(struct outcome *outcome, struct json_value detail, const char *code)
{
    int64_t ms;
    if (is_wait(json_get(detail, "retryDelay"), &ms))
        wait_at_least(outcome, ms);
    if (json_equals(json_get(detail, "reason"), "API_KEY_INVALID"))
        return "api-key-invalid";
    for (struct json_iter it = json_iter(json_get(detail, "violations")); json_next(&it);) {
        char *id = wire_text(json_get(it.value, "quotaId"));
        if (strstr(id, "PerDay"))
            code = "quota-per-day";
        else if (strstr(id, "PerMinute") && !code)
            code = "quota-per-minute";
        keep_quota_id(outcome, id);
        free(id);
    }
    return code;
}

/* The words for a number: google.rpc's are below 17, HTTP's above 99. */
static char *number_code(int64_t number, int status)
{
    if (number > 0 && number < RPC_CODES)
        return mem_strdup(rpc_codes[number]);
    if (number < 100 || number > 999)
        number = status;
    return number > 0 ? mem_format("http-%d", (int)number) : NULL;
}

static bool has_word(const char *text)
{
    while (*text && !isalnum((unsigned char)*text))
        text++;
    return *text != '\0';
}

static char *read_code(struct json_value error, int64_t number, int status)
{
    static const char *const members[] = {"code", "status", "type"};
    for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++) {
        char *text = json_strdup(json_get(error, members[i]), NULL);
        /* LiteLLM writes Python's None for what it doesn't know. */
        if (text && has_word(text) && !is_digits(text) && strcmp(text, "None") != 0)
            return text;
        free(text);
    }
    return number_code(number, status);
}

static int64_t read_number(struct json_value error)
{
    struct json_value code = json_get(error, "code");
    int64_t number = -1;
    if (json_int(code, 0, 999, &number) == 0)
        return number;
    char *text = json_strdup(code, NULL);
    if (text && is_digits(text) && strlen(text) <= 3)
        number = atoi(text);
    free(text);
    return number;
}

static const char *find_hint(const char *code, const char *message)
{
    for (size_t i = 0; i < sizeof(hints) / sizeof(hints[0]); i++)
        if ((!hints[i].code || (code && strcmp(code, hints[i].code) == 0)) &&
            (!hints[i].words || strcasestr(message, hints[i].words)))
            return hints[i].hint;
    return NULL;
}

/* The provider's words stay whole as far as they fit beside the hint. */
static void add_hint(struct outcome *outcome)
{
    const char *hint = outcome->plain ? NULL : find_hint(outcome->code, outcome->message);
    if (!hint)
        return;
    char *words = one_line(outcome->message, strlen(outcome->message),
                           OUTCOME_MESSAGE_MAX - strlen(hint) - 3);
    char *both = mem_format("%s (%s)", words, hint);
    free(words);
    free(outcome->message);
    outcome->message = both;
}

void outcome_read_error(struct outcome *outcome, struct json_value error, int status)
{
    int64_t number = read_number(error);
    char *code = read_code(error, number, status);
    const char *detailed = NULL;
    for (struct json_iter it = json_iter(json_get(error, "details")); json_next(&it);)
        detailed = read_detail(outcome, it.value, detailed);
    const char *best = detailed ? detailed : code ? code : outcome->code;
    bool bare = json_type(error) == JSON_STRING;
    char *words = wire_text(bare ? error : json_get(error, "message"));
    if (*words)
        outcome_set(outcome, outcome->kind, best, "%s", words);
    else
        outcome_set(outcome, outcome->kind, best, "%s",
                    outcome->message ? outcome->message : "the provider gave no reason");
    free(words);
    free(code);
    const struct retry_facts facts = {.end = RETRY_OPERATION, .status = (int)number};
    outcome->retryable = retry_rule(&facts)->class == RETRY_BACK_OFF;
    add_hint(outcome);
}

/* The error object of an answer; absent if it is none of the known shapes. */
static struct json_value find_error(struct json_value root)
{
    if (json_type(root) == JSON_ARRAY)
        root = json_at(root, 0);
    struct json_value error = json_get(root, "error");
    enum json_type code = json_type(json_get(error, "code"));
    if (code == JSON_STRING || code == JSON_NUMBER ||
        json_type(json_get(error, "message")) == JSON_STRING ||
        json_type(json_get(error, "status")) == JSON_STRING)
        return error;
    return (struct json_value){.doc = root.doc, .token = -1};
}

/* LiteLLM's own words, which also stand for "the connection to Google broke after sending". */
static bool is_proxy_error(struct json_value error)
{
    char *code = json_strdup(json_get(error, "code"), NULL);
    bool proxy = (code && is_digits(code)) || json_type(json_get(error, "type")) != JSON_NONE ||
                 json_type(json_get(error, "param")) != JSON_NONE;
    free(code);
    return proxy;
}

/* The answer that LiteLLM repeats in its own words: "… - {JSON}", then perhaps a paragraph of its
 * own. `ret_text` (owned by the caller) must outlive the document. */
static struct json *open_embedded(struct json_value error, char **ret_text)
{
    *ret_text = json_strdup(json_get(error, "message"), NULL);
    char *from = *ret_text ? strchr(*ret_text, '{') : NULL;
    if (!from)
        return NULL;
    char *own = strstr(from, "\n\nLiteLLM:");
    if (own)
        *own = '\0';
    char *end = strrchr(from, '}');
    return end ? json_parse(from, (size_t)(end - from) + 1, (struct json_limits){0}, NULL) : NULL;
}

/* True if Google's own error is inside; the status is then the one that Google gave. */
static bool read_embedded(struct outcome *outcome, struct json_value error)
{
    char *text;
    struct json *doc = open_embedded(error, &text);
    struct json_value own = doc ? find_error(json_root(doc)) : (struct json_value){.token = -1};
    bool found = doc && json_type(own) == JSON_OBJECT;
    if (found) {
        int64_t number = read_number(own);
        if (number >= 400)
            outcome->status = (int)number;
        outcome_read_error(outcome, own, outcome->status);
    }
    json_free(doc);
    free(text);
    return found;
}

/* As provider_error; `ret_proxy` says that a proxy may have spoken. */
static bool read_reply(const struct wire_reply *reply, struct outcome *ret, bool *ret_proxy)
{
    *ret_proxy = true;
    ret->status = reply->status;
    struct json *doc = wire_document(reply, NULL);
    if (!doc)
        return false;
    struct json_value error = find_error(json_root(doc));
    bool known = json_type(error) == JSON_OBJECT;
    if (known) {
        wait_at_least(ret, reply->retry_after_ms);
        bool proxy = is_proxy_error(error), embedded = proxy && read_embedded(ret, error);
        if (!embedded)
            outcome_read_error(ret, error, reply->status);
        *ret_proxy = proxy && !embedded;
    }
    json_free(doc);
    return known;
}

bool provider_error(const struct wire_reply *reply, struct outcome *ret)
{
    bool proxy;
    return read_reply(reply, ret, &proxy);
}

char *provider_excerpt(const struct wire_reply *reply)
{
    struct outcome outcome;
    outcome_init(&outcome);
    bool known = provider_error(reply, &outcome);
    size_t length = reply->length < OUTCOME_EXCERPT_BYTES ? reply->length : OUTCOME_EXCERPT_BYTES;
    char *words = known ? mem_strdup(outcome.message)
                        : one_line(reply->body, length, OUTCOME_EXCERPT_BYTES + 4);
    outcome_free(&outcome);
    return words;
}

/* Fills code and message for whatever the body is; true if the provider itself wrote it. */
static bool read_any_body(const struct wire_reply *reply, struct outcome *ret)
{
    bool proxy;
    if (read_reply(reply, ret, &proxy))
        return !proxy;
    wait_at_least(ret, reply->retry_after_ms);
    outcome_set_unreadable(ret, reply, "not the provider's error, perhaps a gateway's");
    char code[16];
    snprintf(code, sizeof(code), "http-%d", reply->status);
    free(ret->code);
    ret->code = mem_strdup(code);
    return false;
}

static bool is_gate(int status)
{
    return status == 429 || status == 503;
}

static enum outcome_kind kind_of(enum retry_class class)
{
    switch (class) {
    case RETRY_BACK_OFF:
    case RETRY_GATE:
        return OUTCOME_REFUSED;
    case RETRY_HOLD:
        return OUTCOME_NO_CREDIT;
    case RETRY_ELSEWHERE:
    case RETRY_FAIL:
        return OUTCOME_REJECTED;
    case RETRY_UNCERTAIN:
        break;
    }
    return OUTCOME_UNREADABLE;
}

/* A redirect's body is nobody's words. */
static bool read_redirect(const struct wire_reply *reply, struct outcome *ret)
{
    if (reply->status < 300 || reply->status > 399)
        return false;
    outcome_set(ret, OUTCOME_REJECTED, "redirected",
                "HTTP %d: the provider redirects submissions, which are never sent on to "
                "another address; base_url should name that address",
                reply->status);
    ret->status = reply->status;
    return true;
}

void provider_submission_error(const struct wire_reply *reply, struct outcome *ret)
{
    bool own_words = !read_redirect(reply, ret) && read_any_body(reply, ret);
    const struct retry_facts facts = {
        .end = RETRY_ANSWERED,
        .status = ret->status,
        .own_words = own_words,
        .code = ret->code,
        .quota_id = ret->quota_id,
    };
    ret->rule = retry_rule(&facts);
    ret->kind = kind_of(ret->rule->class);
    ret->gate = ret->rule->class == RETRY_GATE;
    ret->retryable = ret->kind == OUTCOME_REFUSED;
}

void outcome_poll_error(struct outcome *outcome, const struct wire_reply *reply)
{
    read_any_body(reply, outcome);
    outcome->kind = OUTCOME_UNREADABLE;
    outcome->gate = is_gate(outcome->status);
    outcome->retryable = true;
}
