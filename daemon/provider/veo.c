#include "daemon/provider/veo.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/provider/dialect.h"
#include "proto/json.h"
#include "proto/jsonw.h"
#include "proto/mem.h"

bool veo_is_stored(const struct input *input)
{
    return input->uri && strncmp(input->uri, "gs://", 5) == 0;
}

/* ---- the request ---- */

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

static void write_parameters(struct jsonw *w, const struct request *request,
                             const char *storage_uri)
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
    jsonw_member_string(w, "storageUri", storage_uri);
    jsonw_object_end(w);
}

static bool has_parameters(const struct request *request)
{
    return request->aspect_ratio || request->resolution || request->duration_seconds > 0 ||
           request->negative_prompt || request->person_generation || request->sample_count > 0 ||
           request->seed >= 0 || request->enhance_prompt >= 0 || request->generate_audio >= 0;
}

/* SDK's order: gcsUri, bytesBase64Encoded, mimeType. What is in Cloud Storage already isn't sent
 * again. */
static void write_file(struct wire_request *wire, struct jsonw *w, const struct input *input,
                       const char *mime_type)
{
    jsonw_object(w);
    if (veo_is_stored(input))
        jsonw_member_string(w, "gcsUri", input->uri);
    else
        wire_add_file(wire, w, "bytesBase64Encoded", input);
    jsonw_member_string(w, "mimeType", input->mime_type ? input->mime_type : mime_type);
    jsonw_object_end(w);
}

static void write_image(struct wire_request *wire, struct jsonw *w, const char *name,
                        const struct input *input)
{
    if (!input)
        return;
    jsonw_name(w, name);
    write_file(wire, w, input, NULL);
}

static void write_references(struct wire_request *wire, struct jsonw *w,
                             const struct request *request)
{
    if (request->reference_count == 0)
        return;
    jsonw_name(w, "referenceImages");
    jsonw_array(w);
    for (size_t i = 0; i < request->reference_count; i++) {
        jsonw_object(w);
        write_image(wire, w, "image", request->references[i]);
        jsonw_member_string(w, "referenceType", "asset");
        jsonw_object_end(w);
    }
    jsonw_array_end(w);
}

/* The Gemini API takes nothing but the address of an earlier result: {uri} alone. */
static void write_video(struct wire_request *wire, struct jsonw *w, const struct input *video,
                        bool by_uri)
{
    if (!video)
        return;
    jsonw_name(w, "video");
    if (by_uri) {
        jsonw_object(w);
        jsonw_member_string(w, "uri", video->uri);
        jsonw_object_end(w);
    } else {
        write_file(wire, w, video, "video/mp4");
    }
}

void veo_write_body(struct wire_request *wire, const struct request *request, bool video_by_uri,
                    const char *storage_uri)
{
    struct jsonw w;
    jsonw_init(&w, &wire->body);
    jsonw_object(&w);
    jsonw_name(&w, "instances");
    jsonw_array(&w);
    jsonw_object(&w);
    jsonw_member_string(&w, "prompt", request->prompt);
    write_image(wire, &w, "image", request->image);
    write_image(wire, &w, "lastFrame", request->last_frame);
    write_references(wire, &w, request);
    write_video(wire, &w, request->video, video_by_uri);
    jsonw_object_end(&w);
    jsonw_array_end(&w);
    if (has_parameters(request) || storage_uri) {
        jsonw_name(&w, "parameters");
        write_parameters(&w, request, storage_uri);
    }
    jsonw_object_end(&w);
}

int veo_check(const struct request *request, struct error *error)
{
    if (request->video_task && strcmp(request->video_task, "extend") != 0)
        return error_set(error, ERROR_INVALID_ARGUMENT, "video_task",
                         "video_task must be \"extend\" for Veo, which can't edit; gemini-omni-* "
                         "can");
    return 0;
}

/* One segment of a path that needs no encoding and isn't a dot segment (RFC 3986, 3.3). */
size_t veo_segment_length(const char *text)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                  "-._~!$&'()*+,;=:@";
    size_t length = strspn(text, allowed);
    return strspn(text, ".") == length ? 0 : length;
}

/* ---- the answer ---- */

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

const char *veo_find_category(const char *reason)
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
    const char *category = veo_find_category(text);
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

/* An operation that has ended well, or been filtered: then there are neither samples nor an error
 * (js-genai #1272). */
static void classify_response(struct outcome *outcome, struct json_value root,
                              const struct veo_shape *shape)
{
    struct json_value video = json_path(root, shape->place);
    for (struct json_iter it = json_iter(json_get(video, shape->samples)); json_next(&it);)
        shape->add(outcome, it.value);
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
static bool is_misshapen(struct json_value root, const struct veo_shape *shape)
{
    struct json_value response = json_get(root, "response");
    struct json_value video = json_path(root, shape->place);
    struct json_value samples = json_get(video, shape->samples);
    if (json_size(json_get(video, "raiMediaFilteredReasons")) > 0)
        return false;
    return !is_absent_or(response, JSON_OBJECT) || !is_absent_or(video, JSON_OBJECT) ||
           !is_absent_or(samples, JSON_ARRAY) || json_size(samples) > 0;
}

/* A running operation has no `done` at all. */
static void classify(struct outcome *outcome, struct json_value root,
                     const struct wire_reply *reply, const struct veo_shape *shape)
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
    classify_response(outcome, root, shape);
    if (outcome->kind == OUTCOME_FILTERED && is_misshapen(root, shape)) {
        outcome_set_unreadable(outcome, reply, "done, but without an address or data");
        outcome->kind = OUTCOME_FAILED;
    }
}

/* An object that looks like an operation at all. */
static bool is_operation(struct json_value root)
{
    return json_type(json_get(root, "name")) == JSON_STRING ||
           json_type(json_get(root, "done")) == JSON_BOOL ||
           json_type(json_get(root, "metadata")) == JSON_OBJECT;
}

void veo_submitted(const struct wire_reply *reply, struct outcome *ret,
                   const struct veo_shape *shape, bool (*is_name)(const char *), const char *lack)
{
    struct json *doc = outcome_open_named(ret, reply, "name", is_name, lack);
    if (!doc)
        return;
    classify(ret, json_root(doc), reply, shape);
    outcome_accept(ret);
    json_free(doc);
}

void veo_polled(const struct wire_reply *reply, struct outcome *ret, const struct veo_shape *shape)
{
    if (!wire_accepted(reply)) {
        outcome_poll_error(ret, reply);
        return;
    }
    struct json *doc = outcome_open(ret, reply);
    if (!doc)
        return;
    ret->retry_after_ms = reply->retry_after_ms;
    if (is_operation(json_root(doc)))
        classify(ret, json_root(doc), reply, shape);
    else
        outcome_set_unreadable(ret, reply, "not an operation");
    json_free(doc);
}
