#include "daemon/provider/interactions.h"

#include <stdlib.h>
#include <string.h>

#include "daemon/provider/dialect.h"
#include "proto/jsonw.h"
#include "proto/limits.h"

/* "not supported" lists of the omni guide. */
static int refuse(const char *field, struct error *error)
{
    return error_set(error, ERROR_INVALID_ARGUMENT, field,
                     "%s has no place in the interactions API; leave it out", field);
}

/* The video of an earlier interaction need not be sent again. Not on Vertex AI: "on this path do
 * not support previous_interaction_id" (python-genai #2688). */
static bool is_continued(const struct provider *provider, const struct request *request)
{
    const struct input *video = request->video;
    return video && video->operation && video->provider && !provider->project &&
           strcmp(video->provider, provider->name) == 0;
}

static bool is_extension(const struct request *request)
{
    return request->video_task && strcmp(request->video_task, "extend") == 0;
}

static bool is_in_cloud_storage(const struct input *input)
{
    return input->uri && strncmp(input->uri, "gs://", 5) == 0;
}

/* An address must be one that the API can read: its own file, or Cloud Storage on Vertex AI. */
static int check_file(const struct provider *provider, const struct input *input, const char *field,
                      struct error *error)
{
    if (!input || input_has_bytes(input) || (input->uri && !is_in_cloud_storage(input)) ||
        (is_in_cloud_storage(input) && provider->project))
        return 0;
    return error_set(error, ERROR_INVALID_ARGUMENT, field,
                     "%s must be a file, or be known to the provider %s: it can't be had from "
                     "where it is",
                     field, provider->name);
}

static int check_files(const struct provider *provider, const struct request *request,
                       struct error *error)
{
    if (request->last_frame && !request->image)
        return error_set(error, ERROR_INVALID_ARGUMENT, "last_frame",
                         "last_frame needs a first frame: give `image` as well");
    if (request->video && request->image)
        return error_set(error, ERROR_INVALID_ARGUMENT, "image",
                         "image can't be the first frame of a video that is there already; "
                         "reference_images go with a video");
    for (size_t i = 0; i < request->reference_count; i++)
        if (check_file(provider, request->references[i], "reference_images", error) < 0)
            return -1;
    if (check_file(provider, request->image, "image", error) < 0 ||
        check_file(provider, request->last_frame, "last_frame", error) < 0)
        return -1;
    return is_continued(provider, request) ? 0
                                           : check_file(provider, request->video, "video", error);
}

int interactions_check(const struct provider *provider, const struct request *request,
                       struct error *error)
{
    if (request->sample_count > 1)
        return error_set(error, ERROR_INVALID_ARGUMENT, "sample_count",
                         "sample_count must be 1 in the interactions API, not %d; send several "
                         "jobs instead",
                         request->sample_count);
    if (request->generate_audio >= 0)
        return refuse("generate_audio", error);
    if (request->enhance_prompt >= 0)
        return refuse("enhance_prompt", error);
    if (request->person_generation)
        return refuse("person_generation", error);
    return check_files(provider, request, error);
}

/* ---- the prompt: which file is what is declared at its start (omni guide, "Declaring sources and
 * references") ---- */

static void declare_sources(struct buf *out, const struct request *request, bool continued)
{
    if (request->image)
        buf_addf(out, "[# Sources <FIRST_FRAME>@Image1%s] ",
                 request->last_frame ? " <LAST_FRAME>@Image2" : "");
    else if (request->video && !continued)
        buf_add_text(out, "[# Sources <VIDEO_0>@Video1] ");
    else if (request->video && is_extension(request))
        buf_add_text(out, "[# Sources <PREVIOUS_VIDEO>@Video1] ");
}

/* Images are numbered in the order in which they are sent. */
static void declare_references(struct buf *out, const struct request *request)
{
    if (request->reference_count == 0)
        return;
    size_t earlier = (size_t) !!request->image + (size_t) !!request->last_frame;
    buf_add_text(out, "[# References");
    for (size_t i = 0; i < request->reference_count; i++)
        buf_addf(out, " <IMAGE_REF_%zu>@Image%zu", i, earlier + i + 1);
    buf_add_text(out, "] ");
}

/* Who declares them himself means it. There is no field for a negative prompt; the omni guide says
 * to write it into the prompt. */
static char *make_prompt(const struct request *request, bool continued)
{
    struct buf out;
    buf_init(&out, 2 * LIMIT_PROMPT + 1024);
    if (!strstr(request->prompt, "[# Sources") && !strstr(request->prompt, "[# References")) {
        declare_sources(&out, request, continued);
        declare_references(&out, request);
    }
    buf_add_text(&out, request->prompt);
    if (request->negative_prompt)
        buf_addf(&out, "\n\nAvoid the following: %s", request->negative_prompt);
    return buf_steal(&out);
}

/* ---- the body ---- */

static void write_file(struct wire_request *wire, struct jsonw *w, const char *type,
                       const struct input *input)
{
    if (!input)
        return;
    jsonw_object(w);
    jsonw_member_string(w, "type", type);
    jsonw_member_string(w, "mime_type", input->mime_type);
    if (is_in_cloud_storage(input) || !input_has_bytes(input))
        jsonw_member_string(w, "uri", input->uri);
    else
        wire_add_file(wire, w, "data", input);
    jsonw_object_end(w);
}

static void write_input(struct wire_request *wire, struct jsonw *w, const struct request *request,
                        bool continued)
{
    char *prompt = make_prompt(request, continued);
    const struct input *video = continued ? NULL : request->video;
    if (!video && !request->image && request->reference_count == 0) {
        jsonw_member_string(w, "input", prompt);
        free(prompt);
        return;
    }
    jsonw_name(w, "input");
    jsonw_array(w);
    write_file(wire, w, "video", video);
    write_file(wire, w, "image", request->image);
    write_file(wire, w, "image", request->last_frame);
    for (size_t i = 0; i < request->reference_count; i++)
        write_file(wire, w, "image", request->references[i]);
    jsonw_object(w);
    jsonw_member_string(w, "type", "text");
    jsonw_member_string(w, "text", prompt);
    jsonw_object_end(w);
    jsonw_array_end(w);
    free(prompt);
}

/* A duration is a string with its unit, "8s", fractions allowed. */
static void write_duration(struct jsonw *w, double seconds)
{
    struct buf text;
    buf_init(&text, 64);
    wire_add_number(&text, seconds);
    buf_add_byte(&text, 's');
    jsonw_member_string(w, "duration", buf_text(&text));
    buf_free(&text);
}

static void write_format(struct jsonw *w, const struct provider *provider,
                         const struct request *request)
{
    bool inline_only = provider->project && !provider->storage_uri;
    jsonw_object(w);
    jsonw_member_string(w, "type", "video");
    jsonw_member_string(w, "aspect_ratio", request->aspect_ratio);
    jsonw_member_string(w, "resolution", request->resolution);
    if (request->duration_seconds > 0)
        write_duration(w, request->duration_seconds);
    jsonw_member_string(w, "delivery", inline_only ? "inline" : "uri");
    jsonw_member_string(w, "gcs_uri", provider->project ? provider->storage_uri : NULL);
    jsonw_object_end(w);
}

static void write_response_format(struct jsonw *w, const struct provider *provider,
                                  const struct request *request)
{
    jsonw_name(w, "response_format");
    if (provider->project)
        jsonw_array(w);
    write_format(w, provider, request);
    if (provider->project)
        jsonw_array_end(w);
}

/* NULL: the model finds out. The next turn of a conversation edits without being told (lobehub
 * #17572), and frames together with references are no task by themselves. */
static const char *find_task(const struct request *request, bool continued)
{
    if (request->video && is_extension(request))
        return "extend";
    if (request->video)
        return continued ? NULL : "edit";
    if (request->image)
        return request->reference_count > 0 ? NULL : "image_to_video";
    return request->reference_count > 0 ? "reference_to_video" : NULL;
}

static void write_generation_config(struct jsonw *w, const struct request *request, bool continued)
{
    const char *task = find_task(request, continued);
    if (!task && request->seed < 0)
        return;
    jsonw_name(w, "generation_config");
    jsonw_object(w);
    if (request->seed >= 0)
        jsonw_member_int(w, "seed", request->seed);
    if (task) {
        jsonw_name(w, "video_config");
        jsonw_object(w);
        jsonw_member_string(w, "task", task);
        jsonw_object_end(w);
    }
    jsonw_object_end(w);
}

void interactions_begin(const struct provider *provider, bool post, struct wire_request *ret)
{
    wire_begin(ret, provider, post);
    if (provider->project) {
        buf_add_text(&ret->url, "projects/");
        wire_escape(&ret->url, provider->project);
        buf_add_text(&ret->url, "/locations/");
        wire_escape(&ret->url, provider->location);
        buf_add_byte(&ret->url, '/');
    }
    buf_add_text(&ret->url, "interactions");
}

void interactions_submit(const struct provider *provider, const struct request *request,
                         struct wire_request *ret)
{
    bool continued = is_continued(provider, request);
    interactions_begin(provider, true, ret);
    struct jsonw w;
    jsonw_init(&w, &ret->body);
    jsonw_object(&w);
    jsonw_member_string(&w, "model", request->model);
    if (continued)
        jsonw_member_string(&w, "previous_interaction_id", request->video->operation);
    write_input(ret, &w, request, continued);
    write_response_format(&w, provider, request);
    write_generation_config(&w, request, continued);
    jsonw_member_bool(&w, "background", true);
    jsonw_member_bool(&w, "store", true);
    jsonw_object_end(&w);
}
