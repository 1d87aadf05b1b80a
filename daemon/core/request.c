#include "daemon/core/request.h"

#include <stdlib.h>
#include <string.h>

#include "daemon/core/request_read.h"
#include "proto/limits.h"
#include "proto/mem.h"

static struct request *request_new(void)
{
    struct request *request = mem_alloc(sizeof(*request));
    request->holders = 1;
    request->seed = -1;
    request->generate_audio = -1;
    request->enhance_prompt = -1;
    return request;
}

struct request *request_parse(struct json_value object, const struct request_defaults *defaults,
                              struct error *error)
{
    if (json_type(object) != JSON_OBJECT) {
        error_set(error, ERROR_INVALID_ARGUMENT, NULL, "a job must be a JSON object, not %s",
                  json_type_name(json_type(object)));
        return NULL;
    }
    struct request *request = request_new();
    request->is_stored = defaults->is_stored;
    for (struct json_iter it = json_iter(object); json_next(&it);)
        if (request_read_member(request, &it, error) < 0)
            goto refused;
    if (!request->prompt) {
        error_set(error, ERROR_INVALID_ARGUMENT, "prompt",
                  "prompt is missing: expected the text that describes the video");
        goto refused;
    }
    if (request->video_task && !request->video) {
        error_set(error, ERROR_INVALID_ARGUMENT, "video_task",
                  "video_task says what becomes of `video`, and there is none");
        goto refused;
    }
    if (!request->model)
        request->model = mem_strdup(defaults->model);
    if (!request->deadline_ms)
        request->deadline_ms = defaults->deadline_ms;
    return request;

refused:
    request_unref(request);
    return NULL;
}

struct request *request_load(const char *json, size_t length)
{
    const struct request_defaults none = {.model = "", .is_stored = true};
    struct json *doc = json_parse(json, length, (struct json_limits){0}, NULL);
    struct request *request = doc ? request_parse(json_root(doc), &none, NULL) : NULL;
    json_free(doc);
    return request;
}

struct request *request_ref(struct request *request)
{
    request->holders++;
    return request;
}

void request_unref(struct request *request)
{
    if (!request || --request->holders > 0)
        return;
    free(request->prompt);
    free(request->model);
    free(request->provider);
    free(request->aspect_ratio);
    free(request->resolution);
    free(request->negative_prompt);
    free(request->person_generation);
    free(request->video_task);
    for (size_t i = 0; i < request->label_count; i++) {
        free(request->labels[i].name);
        free(request->labels[i].value);
    }
    free(request->labels);
    input_free(request->image);
    input_free(request->last_frame);
    input_free(request->video);
    for (size_t i = 0; i < request->reference_count; i++)
        input_free(request->references[i]);
    free(request->references);
    free(request->key);
    free(request->output);
    free(request);
}

static void write_flag(struct jsonw *w, const char *name, int flag)
{
    if (flag >= 0)
        jsonw_member_bool(w, name, flag);
}

static void write_number(struct jsonw *w, const char *name, int64_t number)
{
    if (number != 0)
        jsonw_member_int(w, name, number);
}

static void write_input(struct jsonw *w, const char *name, const struct input *input)
{
    if (!input)
        return;
    jsonw_name(w, name);
    input_write(input, w);
}

static void write_references(struct jsonw *w, const struct request *r)
{
    if (r->reference_count == 0)
        return;
    jsonw_name(w, "reference_images");
    jsonw_array(w);
    for (size_t i = 0; i < r->reference_count; i++)
        input_write(r->references[i], w);
    jsonw_array_end(w);
}

static void write_labels(struct jsonw *w, const struct request *r)
{
    if (r->label_count == 0)
        return;
    jsonw_name(w, "labels");
    jsonw_object(w);
    for (size_t i = 0; i < r->label_count; i++)
        jsonw_member_string(w, r->labels[i].name, r->labels[i].value);
    jsonw_object_end(w);
}

void request_write(const struct request *r, struct jsonw *w)
{
    jsonw_member_string(w, "model", r->model);
    jsonw_member_string(w, "prompt", r->prompt);
    jsonw_member_string(w, "aspect_ratio", r->aspect_ratio);
    jsonw_member_string(w, "resolution", r->resolution);
    if (r->duration_seconds > 0)
        jsonw_member_double(w, "duration_seconds", r->duration_seconds);
    jsonw_member_string(w, "negative_prompt", r->negative_prompt);
    if (r->seed >= 0)
        jsonw_member_int(w, "seed", r->seed);
    write_number(w, "sample_count", r->sample_count);
    jsonw_member_string(w, "person_generation", r->person_generation);
    write_flag(w, "generate_audio", r->generate_audio);
    write_flag(w, "enhance_prompt", r->enhance_prompt);
    write_input(w, "image", r->image);
    write_input(w, "last_frame", r->last_frame);
    write_references(w, r);
    write_input(w, "video", r->video);
    jsonw_member_string(w, "video_task", r->video_task);
    write_number(w, "priority", r->priority);
    write_labels(w, r);
    jsonw_member_string(w, "key", r->key);
    jsonw_member_string(w, "output", r->output);
    jsonw_member_time(w, "not_before", r->not_before);
    if (r->deadline_ms > 0)
        jsonw_member_double(w, "deadline_seconds", (double)r->deadline_ms / 1000);
    write_number(w, "max_attempts", r->max_attempts);
    if (r->force)
        jsonw_member_bool(w, "force", true);
}

char *request_to_json(const struct request *request)
{
    struct buf out;
    struct jsonw w;
    /* Every string is bounded above; six bytes for one is JSON's worst escape. */
    buf_init(&out, 6 * (2 * LIMIT_PROMPT + 2 * LIMIT_LABELS * LIMIT_LABEL + 4096 +
                        (3 + LIMIT_REFERENCES) * 16384));
    jsonw_init(&w, &out);
    jsonw_object(&w);
    request_write(request, &w);
    jsonw_member_string(&w, "provider", request->provider);
    jsonw_object_end(&w);
    return buf_steal(&out);
}
