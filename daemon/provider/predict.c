/* Veo through predictLongRunning, as the Gemini API spoke it until October 2026, and as gateways
 * and LiteLLM's /gemini route still do.
 *
 * Routes and fields: @google/genai 2.32.0 (2026-10-29) and ai.google.dev/gemini-api/docs/video
 * (2026-09-17). All but the prompt goes into `parameters`, in camelCase; a field in the wrong
 * object is ignored and the video billed all the same (LiteLLM #29498). Sending what nobody asked
 * for gets a 400 from models that don't know it (n8n #17707). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/provider/dialect.h"
#include "proto/json.h"
#include "proto/jsonw.h"
#include "proto/mem.h"

/* Every field has its place; which of them a model takes, the provider says. */
static int predict_check(const struct provider *provider, const struct request *request,
                         struct error *error)
{
    (void)provider;
    (void)request;
    (void)error;
    return 0;
}

/* A JSON number: a string gets "needs to be a number" (reports of 2025 to 2026-09). */
static void write_duration(struct jsonw *w, double seconds)
{
    struct buf number;
    buf_init(&number, 64);
    wire_add_number(&number, seconds);
    jsonw_name(w, "durationSeconds");
    jsonw_raw(w, number.data, number.length);
    buf_free(&number);
}

static void write_parameters(struct jsonw *w, const struct request *request)
{
    jsonw_object(w);
    jsonw_member_string(w, "aspectRatio", request->aspect_ratio);
    jsonw_member_string(w, "resolution", request->resolution);
    if (request->duration_seconds > 0)
        write_duration(w, request->duration_seconds);
    jsonw_member_string(w, "negativePrompt", request->negative_prompt);
    jsonw_member_string(w, "personGeneration", request->person_generation);
    if (request->sample_count > 0)
        jsonw_member_int(w, "sampleCount", request->sample_count);
    if (request->seed >= 0)
        jsonw_member_int(w, "seed", request->seed);
    if (request->enhance_prompt >= 0)
        jsonw_member_bool(w, "enhancePrompt", request->enhance_prompt);
    if (request->generate_audio >= 0)
        jsonw_member_bool(w, "generateAudio", request->generate_audio);
    jsonw_object_end(w);
}

static bool has_parameters(const struct request *request)
{
    return request->aspect_ratio || request->resolution || request->duration_seconds > 0 ||
           request->negative_prompt || request->person_generation || request->sample_count > 0 ||
           request->seed >= 0 || request->enhance_prompt >= 0 || request->generate_audio >= 0;
}

static void predict_submit(const struct provider *provider, const struct request *request,
                           struct wire_request *ret)
{
    wire_begin(ret, provider, true);
    buf_add_text(&ret->url, "models/");
    wire_escape(&ret->url, request->model);
    buf_add_text(&ret->url, ":predictLongRunning");

    struct jsonw w;
    jsonw_init(&w, &ret->body);
    jsonw_object(&w);
    jsonw_name(&w, "instances");
    jsonw_array(&w);
    jsonw_object(&w);
    jsonw_member_string(&w, "prompt", request->prompt);
    jsonw_object_end(&w);
    jsonw_array_end(&w);
    if (has_parameters(request)) {
        jsonw_name(&w, "parameters");
        write_parameters(&w, request);
    }
    jsonw_object_end(&w);
}

/* One segment of a path that needs no encoding and isn't a dot segment (RFC 3986, 3.3). */
static size_t segment_length(const char *text)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                  "-._~!$&'()*+,;=:@";
    size_t length = strspn(text, allowed);
    return strspn(text, ".") == length ? 0 : length;
}

/* Exactly models/MODEL/operations/ID: it becomes part of an address. */
static bool predict_owns(const char *operation)
{
    static const char models[] = "models/", operations[] = "/operations/";
    if (strlen(operation) > OPERATION_NAME_MAX ||
        strncmp(operation, models, sizeof(models) - 1) != 0)
        return false;
    operation += sizeof(models) - 1;
    size_t model = segment_length(operation);
    operation += model;
    if (model == 0 || strncmp(operation, operations, sizeof(operations) - 1) != 0)
        return false;
    operation += sizeof(operations) - 1;
    size_t id = segment_length(operation);
    return id > 0 && operation[id] == '\0';
}

static void predict_poll(const struct provider *provider, const char *operation,
                         struct wire_request *ret)
{
    wire_begin(ret, provider, false);
    buf_add_text(&ret->url, operation);
}

/* What the "Support codes" of a filter's reason stand for (cloud.google.com, Vertex AI's
 * responsible-AI page for Veo, 2026-09). */
static const struct {
    const char *support_code;
    const char *category;
} categories[] = {
    {"58061214", "child"},
    {"17301594", "child"},
    {"29310472", "celebrity"},
    {"15236754", "celebrity"},
    {"64151117", "safety"},
    {"42237218", "safety"},
    {"62263041", "dangerous"},
    {"57734940", "hate"},
    {"22137204", "hate"},
    {"74803281", "other"},
    {"29578790", "other"},
    {"42876398", "other"},
    {"89371032", "prohibited"},
    {"49114662", "prohibited"},
    {"63429089", "prohibited"},
    {"72817394", "prohibited"},
    {"60599140", "prohibited"},
    {"35561574", "third-party-content"},
    {"35561575", "third-party-content"},
    {"90789179", "sexual"},
    {"43188360", "sexual"},
    {"78610348", "toxic"},
    {"61493863", "violence"},
    {"56562880", "violence"},
    {"32635315", "vulgar"},
};

static const char *find_category(const char *reason)
{
    for (size_t i = 0; i < sizeof(categories) / sizeof(categories[0]); i++)
        if (strstr(reason, categories[i].support_code))
            return categories[i].category;
    return NULL;
}

/* All reasons, one after the other; false if none is given. */
static bool read_reasons(struct buf *out, struct json_value video)
{
    for (struct json_iter it = json_iter(json_get(video, "raiMediaFilteredReasons"));
         json_next(&it);) {
        char *reason = wire_text(it.value);
        if (*reason)
            buf_addf(out, "%s%.1000s", out->length ? "; " : "", reason);
        free(reason);
    }
    return out->length > 0;
}

static void explain_filter(struct outcome *outcome, struct json_value video)
{
    struct buf reasons;
    buf_init(&reasons, 4096);
    if (!read_reasons(&reasons, video))
        buf_add_text(&reasons, "the provider made no video and gave no reason, as it does when "
                               "its safety filter has stepped in");
    const char *text = buf_text(&reasons);
    const char *category = find_category(text);
    char code[64];
    snprintf(code, sizeof(code), "filtered%s%s", category ? "-" : "", category ? category : "");
    if (category)
        outcome_set(outcome, OUTCOME_FILTERED, code, "(%s) %s", category, text);
    else
        outcome_set(outcome, OUTCOME_FILTERED, code, "%s", text);
    buf_free(&reasons);
}

/* Some samples are here, others were filtered: the job is done, but says so. */
static void mention_filtered(struct outcome *outcome, struct json_value video)
{
    int64_t count = 0;
    struct buf reasons;
    buf_init(&reasons, 4096);
    json_int(json_get(video, "raiMediaFilteredCount"), 0, 1000, &count);
    bool known = read_reasons(&reasons, video);
    if (count > 0 || known)
        outcome_set(outcome, OUTCOME_RESULT, "partly-filtered", "%d more filtered: %s", (int)count,
                    known ? buf_text(&reasons) : "no reason is given");
    buf_free(&reasons);
}

/* `response` of an operation that has ended well, or been filtered: then there are neither
 * samples nor an error (js-genai #1272). */
static void classify_response(struct outcome *outcome, struct json_value response)
{
    struct json_value video = json_get(response, "generateVideoResponse");
    struct json_value samples = json_get(video, "generatedSamples");
    for (struct json_iter it = json_iter(samples); json_next(&it);) {
        struct json_value sample = json_get(it.value, "video");
        outcome_add_result(outcome, json_get(sample, "uri"), json_get(sample, "encodedVideo"),
                           json_get(sample, "encoding"));
    }
    outcome->kind = OUTCOME_RESULT;
    if (outcome->result_count)
        mention_filtered(outcome, video);
    else
        explain_filter(outcome, video);
}

static bool is_absent_or(struct json_value value, enum json_type type)
{
    enum json_type actual = json_type(value);
    return actual == JSON_NONE || actual == JSON_NULL || actual == type;
}

/* True if there is something where results are expected, but nothing that can be understood. */
static bool is_misshapen(struct json_value root)
{
    struct json_value response = json_get(root, "response");
    struct json_value video = json_get(response, "generateVideoResponse");
    struct json_value samples = json_get(video, "generatedSamples");
    if (json_size(json_get(video, "raiMediaFilteredReasons")) > 0)
        return false;
    return !is_absent_or(response, JSON_OBJECT) || !is_absent_or(video, JSON_OBJECT) ||
           !is_absent_or(samples, JSON_ARRAY) || json_size(samples) > 0;
}

/* A running operation has no `done` at all. */
static void classify(struct outcome *outcome, struct json_value root,
                     const struct wire_reply *reply)
{
    struct json_value error = json_get(root, "error");
    bool done = false;
    if (json_bool(json_get(root, "done"), &done) < 0 || !done) {
        outcome->kind = OUTCOME_PENDING;
        return;
    }
    if (json_type(error) == JSON_OBJECT && json_size(error) > 0) {
        outcome_set(outcome, OUTCOME_FAILED, "failed", "the operation failed; no reason is given");
        outcome_read_error(outcome, error, 0);
        return;
    }
    classify_response(outcome, json_get(root, "response"));
    if (outcome->kind == OUTCOME_FILTERED && is_misshapen(root)) {
        outcome_set_unreadable(outcome, reply, "done, but without an address or data");
        outcome->kind = OUTCOME_FAILED;
    }
}

static void predict_submitted(const struct provider *provider, const struct wire_reply *reply,
                              struct outcome *ret)
{
    (void)provider;
    if (!wire_accepted(reply)) {
        provider_submission_error(reply, ret);
        return;
    }
    struct json *doc = outcome_open(ret, reply);
    if (!doc)
        return;
    char *name = json_strdup(json_get(json_root(doc), "name"), NULL);
    if (name && predict_owns(name)) {
        classify(ret, json_root(doc), reply);
        if (ret->kind == OUTCOME_PENDING)
            ret->kind = OUTCOME_ACCEPTED;
        ret->operation = name;
        name = NULL;
    } else {
        outcome_set_unreadable(ret, reply,
                               "an operation without a usable name (models/…/operations/…)");
    }
    free(name);
    json_free(doc);
}

/* An object that looks like an operation at all. */
static bool is_operation(struct json_value root)
{
    return json_type(json_get(root, "name")) == JSON_STRING ||
           json_type(json_get(root, "done")) == JSON_BOOL ||
           json_type(json_get(root, "metadata")) == JSON_OBJECT;
}

static void predict_polled(const struct provider *provider, const struct wire_reply *reply,
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
    if (is_operation(json_root(doc)))
        classify(ret, json_root(doc), reply);
    else
        outcome_set_unreadable(ret, reply, "not an operation");
    json_free(doc);
}

/* There is no cancel for these operations (the SDKs have none), and a result is ready when its
 * operation is done. */
const struct dialect dialect_predict = {
    .name = "predict",
    .secret_name = "x-goog-api-key",
    .check = predict_check,
    .submit = predict_submit,
    .submitted = predict_submitted,
    .poll = predict_poll,
    .polled = predict_polled,
    .owns = predict_owns,
};
