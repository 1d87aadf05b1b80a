/* Gemini Omni through the Interactions API, of the Gemini API or, with a project, of Vertex AI.
 *
 * Routes and fields: ai.google.dev/gemini-api/docs/omni (2026-09-18) and @google/genai 3.1.0
 * (2026-11-10). `background` makes the POST answer at once with an id to poll; without it the
 * request stays open until the video is done. It needs `store`. `delivery` "uri" asks for an
 * address instead of base64, but an answer may hold either, so both are read. On Vertex AI it needs
 * a place in Cloud Storage, and `response_format` is an array (its guide, and vercel/ai #19945). */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "daemon/provider/dialect.h"
#include "daemon/provider/interactions.h"
#include "proto/json.h"

/* ---- ids ---- */

static bool interactions_owns(const char *operation)
{
    /* "v1_…", LiteLLM's "int_…": no path, and nothing that could be the prefix of a job's id. What
     * begins with "video_" is the videos dialect's. */
    return wire_is_id(operation) && strncmp(operation, "video_", 6) != 0 &&
           !strpbrk(operation, "/?#%\\:") && strpbrk(operation, "_-");
}

static void interaction_url(const struct provider *provider, const char *operation, bool post,
                            struct wire_request *ret)
{
    interactions_begin(provider, post, ret);
    buf_add_byte(&ret->url, '/');
    wire_escape(&ret->url, operation);
}

static void interactions_poll(const struct provider *provider, const char *operation,
                              struct wire_request *ret)
{
    interaction_url(provider, operation, false, ret);
}

/* @google/genai 3.1.0 and @ai-sdk/google 4.0.121 both use a segment, not ":cancel". */
static void interactions_cancel(const struct provider *provider, const char *operation,
                                struct wire_request *ret)
{
    interaction_url(provider, operation, true, ret);
    buf_add_text(&ret->url, "/cancel");
    buf_add_text(&ret->body, "{}");
}

/* ---- the answer ---- */

/* What the model made and said, from whichever shape holds it. */
struct output {
    struct outcome *outcome;
    struct buf text; /* its words: why there is no video */
    size_t videos;   /* blocks, usable or not */
};

static bool is_video(struct json_value block)
{
    if (json_equals(json_get(block, "type"), "video"))
        return true;
    char *mime_type = wire_text(json_get(block, "mime_type"));
    bool video = strncmp(mime_type, "video/", 6) == 0;
    free(mime_type);
    return video && json_type(json_get(block, "type")) == JSON_NONE;
}

static void add_text(struct buf *out, const char *text)
{
    if (*text)
        buf_addf(out, "%s%.1000s", out->length ? "; " : "", text);
}

static void read_block(struct output *output, struct json_value block)
{
    if (is_video(block)) {
        output->videos++;
        outcome_add_result(output->outcome, json_get(block, "uri"), json_get(block, "data"),
                           json_get(block, "mime_type"));
    } else if (json_equals(json_get(block, "type"), "text")) {
        char *text = wire_text(json_get(block, "text"));
        add_text(&output->text, text);
        free(text);
    }
}

/* An element of `steps` or `outputs`. Only the model's own output counts: a user_input may hold a
 * video as well. */
static void read_step(struct output *output, struct json_value step, bool may_be_block)
{
    struct json_value content = json_get(step, "content");
    if (json_type(content) != JSON_ARRAY) {
        if (may_be_block)
            read_block(output, step);
        return;
    }
    struct json_value type = json_get(step, "type");
    if (json_type(type) != JSON_NONE && !json_equals(type, "model_output"))
        return;
    for (struct json_iter it = json_iter(content); json_next(&it);)
        read_block(output, it.value);
}

/* `steps` is today's shape, `outputs` the one before; `output_video` is what the official REST
 * sample reads, though only the SDKs are known to write it. */
static void read_output(struct output *output, struct json_value root)
{
    for (struct json_iter it = json_iter(json_get(root, "steps")); json_next(&it);)
        read_step(output, it.value, false);
    if (!output->videos)
        for (struct json_iter it = json_iter(json_get(root, "outputs")); json_next(&it);)
            read_step(output, it.value, true);
    struct json_value video = json_get(root, "output_video");
    if (!output->videos && json_type(video) == JSON_OBJECT) {
        output->videos++;
        outcome_add_result(output->outcome, json_get(video, "uri"), json_get(video, "data"),
                           json_get(video, "mime_type"));
    }
}

/* Codes of a blocked generation, which comes without an HTTP error; the last is one copy's
 * (ai.google.dev/gemini-api/docs/api-errors, 2026-10). */
static const char *const filter_codes[] = {"safety", "recitation", "prohibited_content",
                                           "content_blocked", NULL};
/* The same as google.rpc's 8, 13 and 14. Not "quota_exceeded", which is the day's. */
static const char *const transient_codes[] = {"rate_limit_exceeded", "too_many_requests",
                                              "api_error", "service_unavailable", NULL};

static bool has_code(struct json_value error, const char *const *codes)
{
    for (; *codes; codes++)
        if (json_equals(json_get(error, "code"), *codes))
            return true;
    return false;
}

static bool is_error(struct json_value value)
{
    return json_type(value) == JSON_OBJECT || json_type(value) == JSON_STRING;
}

/* The error that says most: one that names a filter, else the first. */
static struct json_value pick_error(struct json_value root)
{
    struct json_value picked = json_get(root, "error");
    for (struct json_iter it = json_iter(json_get(root, "errors")); json_next(&it);) {
        if (has_code(it.value, filter_codes))
            return it.value;
        if (!is_error(picked))
            picked = it.value;
    }
    return picked;
}

/* FAILED unless a filter is to blame; `message` for when the provider says nothing. */
static void classify_failed(struct outcome *outcome, struct json_value root, const char *code,
                            const char *message)
{
    struct json_value error = pick_error(root);
    outcome_set(outcome, OUTCOME_FAILED, code, "%s", message);
    if (is_error(error))
        outcome_read_error(outcome, error, 0);
    if (has_code(error, filter_codes))
        outcome->kind = OUTCOME_FILTERED;
    if (has_code(error, transient_codes))
        outcome->retryable = true;
}

/* Completed without a video means refused; the reason is in the errors or in the model's words. */
static void explain_missing(struct output *output, struct json_value root)
{
    struct outcome *outcome = output->outcome;
    if (output->videos) {
        outcome_set(outcome, OUTCOME_FAILED, "unreadable-result",
                    "completed, but the video has neither an address nor data");
        return;
    }
    struct json_value error = pick_error(root);
    outcome_set(outcome, OUTCOME_FILTERED, "filtered", "completed without a video%s%s",
                output->text.length ? "; the model says: " : ", and no reason is given",
                buf_text(&output->text));
    if (is_error(error))
        outcome_read_error(outcome, error, 0);
    outcome->retryable = false;
}

static void add_tokens(int64_t *sum, struct json_value value)
{
    int64_t tokens;
    if (json_int(value, 0, INT64_C(1000000000000), &tokens) == 0)
        *sum = (*sum < 0 ? 0 : *sum) + tokens;
}

/* Without the sums by modality nobody knows how many were the video's. */
static void read_usage(struct outcome_usage *usage, struct json_value given)
{
    struct json_value sums = json_get(given, "output_tokens_by_modality");
    add_tokens(&usage->input_tokens, json_get(given, "total_input_tokens"));
    if (json_size(sums) == 0)
        return;
    for (struct json_iter it = json_iter(sums); json_next(&it);) {
        char *modality = wire_text(json_get(it.value, "modality"));
        bool video = strcasecmp(modality, "video") == 0;
        add_tokens(video ? &usage->video_tokens : &usage->other_tokens,
                   json_get(it.value, "tokens"));
        free(modality);
    }
    add_tokens(&usage->other_tokens, json_get(given, "total_thought_tokens"));
}

static void classify_completed(struct outcome *outcome, struct json_value root)
{
    struct output output = {.outcome = outcome};
    buf_init(&output.text, 4096);
    read_output(&output, root);
    read_usage(&outcome->usage, json_get(root, "usage"));
    if (outcome->result_count)
        outcome->kind = OUTCOME_RESULT;
    else
        explain_missing(&output, root);
    buf_free(&output.text);
}

/* Ends without a video, in the words of @google/genai 3.1.0. */
static const struct {
    const char *status;
    const char *message;
} ends[] = {
    {"failed", "the provider says that it failed, and no more"},
    {"cancelled", "it was cancelled at the provider"},
    {"incomplete", "the provider ended it before it was complete"},
    {"budget_exceeded", "it used up the budget that the provider allows for it"},
    {"requires_action", "the model asks for a tool's answer, which veod can't give"},
    {"requires_continuation", "the model wants to be asked to go on, which veod doesn't do"},
};

/* A status that nobody knows yet is no end: a new word must cost nobody a job. */
static void classify(struct outcome *outcome, struct json_value root)
{
    char *status = wire_text(json_get(root, "status"));
    outcome->kind = OUTCOME_PENDING;
    if (strcasecmp(status, "completed") == 0)
        classify_completed(outcome, root);
    for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++)
        if (strcasecmp(status, ends[i].status) == 0)
            classify_failed(outcome, root, ends[i].status, ends[i].message);
    free(status);
}

static void interactions_submitted(const struct provider *provider, const struct wire_reply *reply,
                                   struct outcome *ret)
{
    (void)provider;
    struct json *doc =
        outcome_open_named(ret, reply, "id", wire_is_id, "an interaction without a usable id");
    if (!doc)
        return;
    classify(ret, json_root(doc));
    outcome_accept(ret);
    json_free(doc);
}

static void interactions_polled(const struct provider *provider, const struct wire_reply *reply,
                                struct outcome *ret)
{
    (void)provider;
    if (!wire_accepted(reply)) {
        outcome_poll_error(ret, reply);
        return;
    }
    struct json *doc = outcome_open(ret, reply);
    if (!doc)
        return;
    ret->retry_after_ms = reply->retry_after_ms;
    if (json_type(json_get(json_root(doc), "status")) == JSON_STRING)
        classify(ret, json_root(doc));
    else
        outcome_set_unreadable(ret, reply, "an interaction without a status");
    json_free(doc);
}

/* The length of "VERSION/files/ID" at the start of `path`, if ":download…" or nothing follows. */
static size_t file_path(const char *path)
{
    static const char alphanumeric[] = "abcdefghijklmnopqrstuvwxyz0123456789";
    static const char files[] = "/files/";
    size_t length = strspn(path, alphanumeric);
    if (length == 0 || strncmp(path + length, files, sizeof(files) - 1) != 0)
        return 0;
    length += sizeof(files) - 1;
    size_t id = strspn(path + length, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                      "0123456789-_");
    const char *rest = path + length + id;
    if (id == 0 || (*rest && strncmp(rest, ":download", strlen(":download")) != 0))
        return 0;
    return length + id;
}

/* A generated file can be PROCESSING for a while; the guide asks for its state before the
 * download. */
static bool interactions_file(const struct provider *provider, const char *uri,
                              struct wire_request *ret)
{
    size_t base = strlen(provider->base_url);
    wire_localize(provider, uri, ret);
    const char *url = buf_text(&ret->url);
    if (strncmp(url, provider->base_url, base) != 0 || url[base] != '/')
        return false;
    size_t length = file_path(url + base + 1);
    if (length == 0)
        return false;
    ret->url.length = base + 1 + length;
    return true;
}

static enum file_state interactions_filed(const struct wire_reply *reply)
{
    struct json *doc = wire_accepted(reply) ? wire_document(reply, NULL) : NULL;
    if (!doc)
        return FILE_UNKNOWN;
    struct json_value state = json_get(json_root(doc), "state");
    enum file_state ret = FILE_UNKNOWN;
    if (json_equals(state, "ACTIVE"))
        ret = FILE_READY;
    else if (json_equals(state, "PROCESSING"))
        ret = FILE_PROCESSING;
    else if (json_equals(state, "FAILED"))
        ret = FILE_FAILED;
    json_free(doc);
    return ret;
}

const struct dialect dialect_interactions = {
    .name = "interactions",
    .secret_name = "x-goog-api-key",
    .check = interactions_check,
    .submit = interactions_submit,
    .submitted = interactions_submitted,
    .poll = interactions_poll,
    .polled = interactions_polled,
    .cancel = interactions_cancel,
    .owns = interactions_owns,
    .file = interactions_file,
    .filed = interactions_filed,
    .download = wire_localize,
};
