/* Veo through predictLongRunning, as the Gemini API spoke it until October 2026, and as gateways
 * and LiteLLM's /gemini route still do.
 *
 * Routes and fields: @google/genai 2.32.0 (2026-10-29) and ai.google.dev/gemini-api/docs/video
 * (2026-09-17). With `seed_body` it is the contract that this project was first described with,
 * which some gateways take: no version in the path, and everything in snake_case beside the
 * prompt. */
#include <string.h>

#include "daemon/provider/dialect.h"
#include "daemon/provider/veo.h"
#include "proto/json.h"
#include "proto/jsonw.h"

static int refuse(const char *field, struct error *error)
{
    return error_set(error, ERROR_INVALID_ARGUMENT, field,
                     "%s has no place in the body that body = seed sends; leave it out", field);
}

static int check_seed_body(const struct request *request, struct error *error)
{
    const struct {
        const char *field;
        bool given;
    } fields[] = {
        {"last_frame", request->last_frame},
        {"reference_images", request->reference_count > 0},
        {"video", request->video},
        {"duration_seconds", request->duration_seconds > 0},
        {"sample_count", request->sample_count > 1},
        {"seed", request->seed >= 0},
        {"person_generation", request->person_generation},
        {"generate_audio", request->generate_audio >= 0},
        {"enhance_prompt", request->enhance_prompt >= 0},
    };
    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
        if (fields[i].given)
            return refuse(fields[i].field, error);
    return 0;
}

static int check_bytes(const struct input *input, const char *field, struct error *error)
{
    if (!input || input_has_bytes(input))
        return 0;
    return error_set(error, ERROR_INVALID_ARGUMENT, field,
                     "%s must be a file here, not an address: the Gemini API takes no others",
                     field);
}

/* "Input must be a Veo result" (ai.google.dev, Veo): its address there is all that is taken. */
static int check_video(const struct input *video, struct error *error)
{
    if (!video || (video->uri && !veo_is_stored(video)))
        return 0;
    return error_set(error, ERROR_INVALID_ARGUMENT, "video",
                     "video must be a job that the same provider has done within two days, or its "
                     "video's address: the Gemini API extends nothing but its own results");
}

/* Every field has its place; which of them a model takes, the provider says. */
static int predict_check(const struct provider *provider, const struct request *request,
                         struct error *error)
{
    if (veo_check(request, error) < 0 ||
        (provider->seed_body && check_seed_body(request, error) < 0) ||
        check_bytes(request->image, "image", error) < 0 ||
        check_bytes(request->last_frame, "last_frame", error) < 0 ||
        check_video(request->video, error) < 0)
        return -1;
    for (size_t i = 0; i < request->reference_count; i++)
        if (check_bytes(request->references[i], "reference_images", error) < 0)
            return -1;
    return 0;
}

static void begin(const struct provider *provider, bool post, struct wire_request *ret)
{
    wire_begin(ret, provider, post);
    if (!provider->seed_body)
        return;
    buf_reset(&ret->url);
    buf_addf(&ret->url, "%s/", provider->base_url);
}

static void write_seed_body(struct wire_request *wire, const struct request *request)
{
    struct jsonw w;
    jsonw_init(&w, &wire->body);
    jsonw_object(&w);
    jsonw_name(&w, "instances");
    jsonw_array(&w);
    jsonw_object(&w);
    jsonw_member_string(&w, "prompt", request->prompt);
    if (request->image) {
        jsonw_name(&w, "input_image");
        jsonw_object(&w);
        jsonw_member_string(&w, "mime_type", request->image->mime_type);
        wire_add_file(wire, &w, "data", request->image);
        jsonw_object_end(&w);
    }
    jsonw_member_string(&w, "negative_prompt", request->negative_prompt);
    jsonw_member_string(&w, "aspect_ratio", request->aspect_ratio);
    jsonw_member_string(&w, "resolution", request->resolution);
    jsonw_object_end(&w);
    jsonw_array_end(&w);
    jsonw_object_end(&w);
}

static void predict_submit(const struct provider *provider, const struct request *request,
                           struct wire_request *ret)
{
    begin(provider, true, ret);
    buf_add_text(&ret->url, "models/");
    wire_escape(&ret->url, request->model);
    buf_add_text(&ret->url, ":predictLongRunning");
    if (provider->seed_body)
        write_seed_body(ret, request);
    else
        veo_write_body(ret, request, true, NULL);
}

/* Exactly models/MODEL/operations/ID: it becomes part of an address. */
static bool predict_owns(const char *operation)
{
    static const char models[] = "models/", operations[] = "/operations/";
    if (strlen(operation) > OPERATION_NAME_MAX ||
        strncmp(operation, models, sizeof(models) - 1) != 0)
        return false;
    operation += sizeof(models) - 1;
    size_t model = veo_segment_length(operation);
    operation += model;
    if (model == 0 || strncmp(operation, operations, sizeof(operations) - 1) != 0)
        return false;
    operation += sizeof(operations) - 1;
    size_t id = veo_segment_length(operation);
    return id > 0 && operation[id] == '\0';
}

/* What a gateway may call an operation: any path below its root. */
static bool is_path(const char *name)
{
    if (strlen(name) > OPERATION_NAME_MAX)
        return false;
    for (;;) {
        size_t length = veo_segment_length(name);
        if (length == 0 || !name[length])
            return length > 0;
        if (name[length] != '/')
            return false;
        name += length + 1;
    }
}

static void predict_poll(const struct provider *provider, const char *operation,
                         struct wire_request *ret)
{
    begin(provider, false, ret);
    buf_add_text(&ret->url, operation);
}

static void add_sample(struct outcome *outcome, struct json_value sample)
{
    struct json_value video = json_get(sample, "video");
    outcome_add_result(outcome, json_get(video, "uri"), json_get(video, "encodedVideo"),
                       json_get(video, "encoding"));
}

static const struct veo_shape shape = {"response.generateVideoResponse", "generatedSamples",
                                       add_sample};

static void predict_submitted(const struct provider *provider, const struct wire_reply *reply,
                              struct outcome *ret)
{
    veo_submitted(reply, ret, &shape, provider->seed_body ? is_path : predict_owns,
                  "an operation without a usable name (models/…/operations/…)");
}

static void predict_polled(const struct provider *provider, const struct wire_reply *reply,
                           struct outcome *ret)
{
    (void)provider;
    veo_polled(reply, ret, &shape);
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
    .download = wire_localize,
};
