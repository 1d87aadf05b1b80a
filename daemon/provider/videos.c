/* Veo through /v1/videos, as LiteLLM's proxy offers it and OpenAI does for its own models.
 *
 * Fields and answers: LiteLLM 1.106, seen at work in front of a recording server (2026-11), and
 * OpenAI's reference for /v1/videos. What LiteLLM doesn't know it drops in silence, and the video
 * is made and billed without it; so whatever it is known to drop is refused here. With an image the
 * body is a form, as OpenAI wants it.
 *
 * The router behind LiteLLM's routes sends a create again after an error, also after one that may
 * have been accepted: up to three charges. A header forbids that. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "daemon/provider/dialect.h"
#include "daemon/provider/inline.h"
#include "daemon/provider/veo.h"
#include "proto/json.h"
#include "proto/jsonw.h"
#include "proto/mem.h"

#define FIELDS_MAX 8

/* ---- the request ---- */

static int refuse(const char *field, struct error *error)
{
    return error_set(
        error, ERROR_INVALID_ARGUMENT, field,
        "%s has no place in /v1/videos, or would be dropped there in silence; leave it "
        "out",
        field);
}

static int check_parameters(const struct request *request, struct error *error)
{
    const struct {
        const char *field;
        bool given;
    } fields[] = {
        {"last_frame", request->last_frame},
        {"reference_images", request->reference_count > 0},
        {"video", request->video},
        {"sample_count", request->sample_count > 1},
        {"seed", request->seed >= 0},
        {"generate_audio", request->generate_audio >= 0},
        {"enhance_prompt", request->enhance_prompt >= 0},
    };
    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
        if (fields[i].given)
            return refuse(fields[i].field, error);
    return 0;
}

static int videos_check(const struct provider *provider, const struct request *request,
                        struct error *error)
{
    (void)provider;
    if (check_parameters(request, error) < 0)
        return -1;
    double seconds = request->duration_seconds;
    if (seconds > 0 && seconds != floor(seconds))
        return error_set(error, ERROR_INVALID_ARGUMENT, "duration_seconds",
                         "duration_seconds must be a whole number in /v1/videos, not %g", seconds);
    if (request->image && !input_has_bytes(request->image))
        return error_set(error, ERROR_INVALID_ARGUMENT, "image",
                         "image must be a file in /v1/videos, not an address");
    return 0;
}

static const struct {
    const char *aspect_ratio;
    const char *resolution;
    const char *size;
} sizes[] = {
    {"16:9", "720p", "1280x720"},
    {"9:16", "720p", "720x1280"},
    {"16:9", "1080p", "1920x1080"},
    {"9:16", "1080p", "1080x1920"},
};

/* NULL: there is no such size; LiteLLM would take any other word for 16:9. */
static const char *find_size(const struct request *request)
{
    if (!request->aspect_ratio || !request->resolution)
        return NULL;
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
        if (strcmp(request->aspect_ratio, sizes[i].aspect_ratio) == 0 &&
            strcmp(request->resolution, sizes[i].resolution) == 0)
            return sizes[i].size;
    return NULL;
}

struct field {
    const char *name;
    const char *value; /* NULL: not given */
};

/* LiteLLM passes camelCase on as it is. */
static void fill_fields(struct field *fields, const struct request *request, const char *seconds)
{
    const char *size = find_size(request);
    const struct field filled[FIELDS_MAX] = {
        {"model", request->model},
        {"prompt", request->prompt},
        {"seconds", seconds},
        {"size", size},
        {"aspectRatio", size ? NULL : request->aspect_ratio},
        {"resolution", size ? NULL : request->resolution},
        {"negativePrompt", request->negative_prompt},
        {"personGeneration", request->person_generation},
    };
    memcpy(fields, filled, sizeof(filled));
}

static void write_json(struct buf *body, const struct field *fields)
{
    struct jsonw w;
    jsonw_init(&w, body);
    jsonw_object(&w);
    for (size_t i = 0; i < FIELDS_MAX; i++)
        jsonw_member_string(&w, fields[i].name, fields[i].value);
    jsonw_object_end(&w);
}

/* Nothing in the body may contain it: no field, which is looked at, and not the image, which can't
 * hold the digest of itself. */
static char *make_boundary(const struct field *fields, const struct input *image)
{
    for (unsigned n = 0;; n++) {
        char *boundary = mem_format("veod-%u-%.64s", n, image->blob ? image->blob : "");
        bool found = false;
        for (size_t i = 0; i < FIELDS_MAX; i++)
            found = found || (fields[i].value && strstr(fields[i].value, boundary));
        if (!found)
            return boundary;
        free(boundary);
    }
}

static const char *find_extension(const char *mime_type)
{
    const char *slash = mime_type ? strchr(mime_type, '/') : NULL;
    return slash && strspn(slash + 1, "abcdefghijklmnopqrstuvwxyz0123456789") == strlen(slash + 1)
               ? slash + 1
               : "bin";
}

/* RFC 7578 */
static void write_form(struct wire_request *wire, const struct field *fields,
                       const struct input *image)
{
    char *boundary = make_boundary(fields, image);
    struct buf *body = &wire->body;
    for (size_t i = 0; i < FIELDS_MAX; i++)
        if (fields[i].value)
            buf_addf(body, "--%s\r\nContent-Disposition: form-data; name=\"%s\"\r\n\r\n%s\r\n",
                     boundary, fields[i].name, fields[i].value);
    buf_addf(body,
             "--%s\r\nContent-Disposition: form-data; name=\"input_reference\"; "
             "filename=\"image.%s\"\r\nContent-Type: %s\r\n\r\n",
             boundary, find_extension(image->mime_type),
             image->mime_type ? image->mime_type : "application/octet-stream");
    wire->parts[wire->part_count++] = (struct wire_part){.at = body->length, .input = image};
    buf_addf(body, "\r\n--%s--\r\n", boundary);
    wire->content_type = mem_format("multipart/form-data; boundary=%s", boundary);
    free(boundary);
}

/* The address has no version of Google's. */
static void begin(const struct provider *provider, bool post, struct wire_request *ret)
{
    wire_begin(ret, provider, post);
    buf_reset(&ret->url);
    buf_addf(&ret->url, "%s/v1/videos", provider->base_url);
}

static void videos_submit(const struct provider *provider, const struct request *request,
                          struct wire_request *ret)
{
    struct field fields[FIELDS_MAX];
    struct buf seconds;
    begin(provider, true, ret);
    buf_init(&seconds, 64);
    if (request->duration_seconds > 0)
        wire_add_number(&seconds, request->duration_seconds);
    fill_fields(fields, request, seconds.length ? buf_text(&seconds) : NULL);
    if (request->image)
        write_form(ret, fields, request->image);
    else
        write_json(&ret->body, fields);
    buf_free(&seconds);
}

/* What follows is opaque; LiteLLM's is base64 of all kinds, "/" included. */
static bool videos_owns(const char *operation)
{
    return strncmp(operation, "video_", 6) == 0 && wire_is_id(operation);
}

static void videos_poll(const struct provider *provider, const char *operation,
                        struct wire_request *ret)
{
    begin(provider, false, ret);
    buf_add_byte(&ret->url, '/');
    wire_escape(&ret->url, operation);
}

/* ---- the answer ---- */

static const char *const done[] = {"completed", "succeeded", "complete", NULL};
static const char *const ended[] = {"failed", "error", "cancelled", "canceled", "expired", NULL};

static bool is_one_of(const char *word, const char *const *words)
{
    while (*words && strcasecmp(word, *words) != 0)
        words++;
    return *words;
}

static void add_content(struct outcome *outcome, const struct provider *provider, const char *id)
{
    struct wire_request wire;
    wire_request_init(&wire);
    videos_poll(provider, id, &wire);
    buf_add_text(&wire.url, "/content");
    outcome->kind = OUTCOME_RESULT;
    outcome->results = mem_alloc(sizeof(*outcome->results));
    outcome->results[outcome->result_count++] =
        (struct outcome_result){.uri = buf_steal(&wire.url), .inline_index = -1};
    wire_request_free(&wire);
}

/* A filter's words: LiteLLM's own, and OpenAI's. */
static const char *const filters[] = {"rai_media_filtered", "content_policy_violation",
                                      "content_filter", "moderation_blocked", NULL};

static void name_filter(struct outcome *outcome)
{
    const char *category = veo_find_category(outcome->message);
    free(outcome->code);
    outcome->kind = OUTCOME_FILTERED;
    outcome->code = category ? mem_format("filtered-%s", category) : mem_strdup("filtered");
    outcome->retryable = false;
}

static void read_failure(struct outcome *outcome, struct json_value error, const char *status)
{
    outcome_set(outcome, OUTCOME_FAILED, status, "the provider says \"%s\", and no more", status);
    if (json_type(error) != JSON_OBJECT && json_type(error) != JSON_STRING)
        return;
    outcome_read_error(outcome, error, 0);
    char *code = wire_text(json_get(error, "code"));
    if (is_one_of(code, filters))
        name_filter(outcome);
    free(code);
}

/* A word that nobody knows yet is no end: it must cost nobody a job. "completed" isn't believed
 * before the content has proved to be a video: older versions say so of failures as well. */
static void classify(struct outcome *outcome, const struct provider *provider,
                     struct json_value root, const char *id)
{
    char *status = wire_text(json_get(root, "status"));
    outcome->kind = OUTCOME_PENDING;
    if (is_one_of(status, done))
        add_content(outcome, provider, id);
    else if (is_one_of(status, ended))
        read_failure(outcome, json_get(root, "error"), status);
    free(status);
}

static void videos_submitted(const struct provider *provider, const struct wire_reply *reply,
                             struct outcome *ret)
{
    struct json *doc =
        outcome_open_named(ret, reply, "id", wire_is_id, "a video without a usable id");
    if (!doc)
        return;
    classify(ret, provider, json_root(doc), ret->operation);
    outcome_accept(ret);
    json_free(doc);
}

/* LiteLLM can't read an operation that was filtered, and answers 500 for ever: its own validation's
 * words ("generatedSamples", "Field required") are the only sign that it has ended. */
static bool says_filtered(const struct outcome *outcome)
{
    return outcome->status == 500 && strstr(outcome->message, "generatedSamples") &&
           strstr(outcome->message, "Field required");
}

/* The answer's own id isn't the one to go on with: LiteLLM leaves the model out of it. */
static void videos_polled(const struct provider *provider, const struct wire_reply *reply,
                          struct outcome *ret)
{
    if (!wire_accepted(reply)) {
        outcome_poll_error(ret, reply);
        if (says_filtered(ret))
            name_filter(ret);
        return;
    }
    struct json *doc = outcome_open(ret, reply);
    if (!doc)
        return;
    ret->retry_after_ms = reply->retry_after_ms;
    if (json_type(json_get(json_root(doc), "status")) == JSON_STRING && reply->operation)
        classify(ret, provider, json_root(doc), reply->operation);
    else
        outcome_set_unreadable(ret, reply, "a video without a status");
    json_free(doc);
}

/* The content of what LiteLLM calls completed, although its operation has failed. */
static enum file_state videos_filed(const struct wire_reply *reply)
{
    char *words = provider_excerpt(reply);
    bool failed = !wire_accepted(reply) &&
                  (strstr(words, "No response data in completed operation") ||
                   (strstr(words, "generatedSamples") && strstr(words, "Field required")));
    free(words);
    return failed ? FILE_FAILED : FILE_UNKNOWN;
}

/* There is no cancel: LiteLLM answers 405 to a DELETE. */
const struct dialect dialect_videos = {
    .name = "videos",
    .header = "x-litellm-num-retries: 0",
    .may_boast = true,
    .check = videos_check,
    .submit = videos_submit,
    .submitted = videos_submitted,
    .poll = videos_poll,
    .polled = videos_polled,
    .owns = videos_owns,
    .filed = videos_filed,
};
