/* Veo on Vertex AI, by now called Gemini Enterprise Agent Platform.
 *
 * Routes and fields: @google/genai 3.1.0 (2026-11-10) and docs.cloud.google.com, Veo's model
 * reference (2026-09). A poll is a POST with the operation's name inside. Results come inside the
 * answer as base64, or with `storageUri` as objects of Cloud Storage, loaded with the same token.
 * What the filter says stands beside them, one level higher than on the Gemini API. */
#include <string.h>

#include "daemon/provider/dialect.h"
#include "daemon/provider/veo.h"
#include "proto/json.h"
#include "proto/jsonw.h"

static int check_file(const struct input *input, const char *field, struct error *error)
{
    if (!input || veo_is_stored(input) || input_has_bytes(input))
        return 0;
    return error_set(error, ERROR_INVALID_ARGUMENT, field,
                     "%s must be a file or an object in Cloud Storage (gs://…): Vertex AI takes no "
                     "other addresses",
                     field);
}

static int vertex_check(const struct provider *provider, const struct request *request,
                        struct error *error)
{
    (void)provider;
    if (veo_check(request, error) < 0 || check_file(request->image, "image", error) < 0 ||
        check_file(request->last_frame, "last_frame", error) < 0 ||
        check_file(request->video, "video", error) < 0)
        return -1;
    for (size_t i = 0; i < request->reference_count; i++)
        if (check_file(request->references[i], "reference_images", error) < 0)
            return -1;
    return 0;
}

static void vertex_submit(const struct provider *provider, const struct request *request,
                          struct wire_request *ret)
{
    wire_begin(ret, provider, true);
    buf_add_text(&ret->url, "projects/");
    wire_escape(&ret->url, provider->project);
    buf_add_text(&ret->url, "/locations/");
    wire_escape(&ret->url, provider->location);
    buf_add_text(&ret->url, "/publishers/google/models/");
    wire_escape(&ret->url, request->model);
    buf_add_text(&ret->url, ":predictLongRunning");
    veo_write_body(ret, request, false, provider->storage_uri);
}

static const char operations[] = "/operations/";

/* projects/P/…/operations/ID: what is before "/operations/" becomes part of an address. */
static bool vertex_owns(const char *operation)
{
    static const char projects[] = "projects/";
    const char *id = strstr(operation, operations);
    if (strlen(operation) > OPERATION_NAME_MAX || !id || id < operation + sizeof(projects) ||
        strncmp(operation, projects, sizeof(projects) - 1) != 0)
        return false;
    for (const char *at = operation;; at++) {
        size_t length = veo_segment_length(at);
        at += length;
        if (length == 0 || (*at && *at != '/'))
            return false;
        if (!*at)
            return at > id + sizeof(operations) - 1 && !strchr(id + sizeof(operations) - 1, '/');
    }
}

static void vertex_poll(const struct provider *provider, const char *operation,
                        struct wire_request *ret)
{
    const char *id = strstr(operation, operations);
    wire_begin(ret, provider, true);
    buf_add(&ret->url, operation, id ? (size_t)(id - operation) : strlen(operation));
    buf_add_text(&ret->url, ":fetchPredictOperation");
    struct jsonw w;
    jsonw_init(&w, &ret->body);
    jsonw_object(&w);
    jsonw_member_string(&w, "operationName", operation);
    jsonw_object_end(&w);
}

static void add_video(struct outcome *outcome, struct json_value video)
{
    outcome_add_result(outcome, json_get(video, "gcsUri"), json_get(video, "bytesBase64Encoded"),
                       json_get(video, "mimeType"));
}

static const struct veo_shape shape = {"response", "videos", add_video};

static void vertex_submitted(const struct provider *provider, const struct wire_reply *reply,
                             struct outcome *ret)
{
    (void)provider;
    veo_submitted(reply, ret, &shape, vertex_owns,
                  "an operation without a usable name (projects/…/operations/…)");
}

static void vertex_polled(const struct provider *provider, const struct wire_reply *reply,
                          struct outcome *ret)
{
    (void)provider;
    veo_polled(reply, ret, &shape);
}

const struct dialect dialect_vertex = {
    .name = "vertex",
    .check = vertex_check,
    .submit = vertex_submit,
    .submitted = vertex_submitted,
    .poll = vertex_poll,
    .polled = vertex_polled,
    .owns = vertex_owns,
    .download = wire_localize,
};
