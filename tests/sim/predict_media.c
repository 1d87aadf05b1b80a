#include <stdlib.h>

#include "tests/sim/check.h"
#include "tests/sim/predict.h"
#include "tests/sim/reply.h"

#define INVALID(exchange, ...) reply_error(exchange, 400, NULL, __VA_ARGS__)

#define REFERENCES_MAX   3
#define FAMILIES_EXTENDS (FAMILY_VEO_3_1 | FAMILY_VEO_3_1_FAST)

static const char *const image_types[] = {"image/png", "image/jpeg", "image/webp", NULL};
static const char *const vertex_image_types[] = {"image/png", "image/jpeg", NULL};
static const char *const video_types[] = {"video/mp4", "video/quicktime", "video/webm", NULL};
static const char *const reference_types[] = {"asset", "ASSET", NULL};
static const char *const mask_modes[] = {"INSERT", "REMOVE", "REMOVE_STATIC", "OUTPAINT", NULL};

static bool answer_fault(struct exchange *exchange, enum input_fault fault,
                         const struct input_rule *rule)
{
    switch (fault) {
    case INPUT_GOOD:
        return true;
    case INPUT_TOO_MANY:
        return INVALID(exchange, "Too many inputs.");
    case INPUT_BAD_TYPE:
        return INVALID(exchange, "Unsupported or missing `mimeType` of %s.", rule->role);
    case INPUT_BAD_BASE64:
        return INVALID(exchange, "`bytesBase64Encoded` is missing or not valid base64.");
    case INPUT_TOO_LARGE:
        return INVALID(exchange, "The %s exceeds %llu bytes.", rule->role,
                       (unsigned long long)rule->most_bytes);
    case INPUT_MISMATCH:
        break;
    }
    return INVALID(exchange,
                   "Unable to process input image. The bytes of %s are not of the given "
                   "`mimeType`.",
                   rule->role);
}

/* {bytesBase64Encoded, mimeType}, or on Vertex {gcsUri, mimeType}. */
static bool check_object(struct exchange *exchange, struct json_value object,
                         const struct input_rule *rule, struct predict_ask *ask, const char *also)
{
    if (json_type(object) != JSON_OBJECT) {
        return INVALID(exchange, "`%s` needs to be an object.", rule->role);
    }
    for (struct json_iter it = json_iter(object); json_next(&it);) {
        if (!json_equals(it.name, "bytesBase64Encoded") && !json_equals(it.name, "mimeType") &&
            !(ask->vertex && json_equals(it.name, "gcsUri")) &&
            !(also && json_equals(it.name, also))) {
            return predict_refuse_member(exchange, it.name);
        }
    }
    struct json_value type = json_get(object, "mimeType");
    struct json_value data = json_get(object, "bytesBase64Encoded");
    struct json_value uri = json_get(object, "gcsUri");
    if (!json_type(uri)) {
        return answer_fault(
            exchange, inputs_add(&ask->plan.inputs, rule, &exchange->intake, type, data), rule);
    }
    if (json_type(data) || !json_type(type) || !check_storage_uri(uri)) {
        return INVALID(exchange, "One of `bytesBase64Encoded` and `gcsUri` (gs://…), and "
                                 "`mimeType`, are needed.");
    }
    return answer_fault(exchange, inputs_add_uri(&ask->plan.inputs, rule, type, uri), rule);
}

static struct input_rule image_rule(const struct predict_ask *ask, const char *role)
{
    return (struct input_rule){
        .role = role,
        .types = ask->vertex ? vertex_image_types : image_types,
        .most_bytes = INPUT_IMAGE_BYTES,
    };
}

static bool check_image(struct exchange *exchange, struct json_value image, const char *role,
                        struct predict_ask *ask)
{
    struct input_rule rule = image_rule(ask, role);
    return check_object(exchange, image, &rule, ask, NULL);
}

static bool check_references(struct exchange *exchange, struct json_value list,
                             struct predict_ask *ask)
{
    ask->references = (unsigned)json_size(list);
    if (!(ask->model->family & FAMILIES_EXTENDS)) {
        return predict_refuse(exchange, "referenceImages");
    }
    if (json_type(list) != JSON_ARRAY || ask->references < 1 || ask->references > REFERENCES_MAX) {
        return INVALID(exchange, "`referenceImages` needs to be an array of 1 to %d.",
                       REFERENCES_MAX);
    }
    for (struct json_iter it = json_iter(list); json_next(&it);) {
        if (!check_image(exchange, json_get(it.value, "image"), "reference", ask)) {
            return false;
        }
        if (!check_one_of(json_get(it.value, "referenceType"), reference_types, NULL)) {
            return INVALID(exchange, "Unsupported or missing `referenceType`.");
        }
    }
    return true;
}

static bool check_video_uri(struct exchange *exchange, struct json_value video,
                            const struct input_rule *rule, struct predict_ask *ask)
{
    for (struct json_iter it = json_iter(video); json_next(&it);) {
        if (!json_equals(it.name, "uri")) {
            return predict_refuse_member(exchange, it.name);
        }
    }
    struct json_value uri = json_get(video, "uri");
    if (!check_file_uri(exchange, uri)) {
        return INVALID(exchange, "`video.uri` must be that of a video that was made here.");
    }
    return answer_fault(
        exchange, inputs_add_uri(&ask->plan.inputs, rule, json_get(video, "mimeType"), uri), rule);
}

static bool check_video(struct exchange *exchange, struct json_value video, struct predict_ask *ask)
{
    static const struct input_rule rule = {
        .role = "video", .types = video_types, .most_bytes = INPUT_VIDEO_BYTES};
    ask->has_video = true;
    if (!(ask->model->family & (FAMILIES_EXTENDS | (ask->vertex ? FAMILY_VEO_2 : 0)))) {
        return predict_refuse(exchange, "video");
    }
    return ask->vertex ? check_object(exchange, video, &rule, ask, NULL)
                       : check_video_uri(exchange, video, &rule, ask);
}

static bool check_mask(struct exchange *exchange, struct json_value mask, struct predict_ask *ask)
{
    struct input_rule rule = image_rule(ask, "mask");
    if (!json_type(mask) || !ask->vertex) {
        return true;
    }
    if (!check_one_of(json_get(mask, "maskMode"), mask_modes, NULL)) {
        return INVALID(exchange, "Unknown or missing `maskMode`.");
    }
    return check_object(exchange, mask, &rule, ask, "maskMode");
}

bool predict_check_image(struct exchange *exchange, const char *role, struct json_value type,
                         struct json_value data, struct predict_ask *ask)
{
    struct input_rule rule = image_rule(ask, role);
    return answer_fault(exchange,
                        inputs_add(&ask->plan.inputs, &rule, &exchange->intake, type, data), &rule);
}

bool predict_check_media(struct exchange *exchange, struct json_value instance,
                         struct predict_ask *ask)
{
    struct json_value image = json_get(instance, "image");
    struct json_value last = json_get(instance, "lastFrame");
    struct json_value references = json_get(instance, "referenceImages");
    struct json_value video = json_get(instance, "video");
    ask->has_image = json_type(image) != JSON_NONE;
    ask->has_last_frame = json_type(last) != JSON_NONE;
    if (ask->has_last_frame && ask->model->family == FAMILY_VEO_3) {
        return predict_refuse(exchange, "lastFrame");
    }
    return (!ask->has_image || check_image(exchange, image, "image", ask)) &&
           (!ask->has_last_frame || check_image(exchange, last, "last_frame", ask)) &&
           (!json_type(references) || check_references(exchange, references, ask)) &&
           (!json_type(video) || check_video(exchange, video, ask)) &&
           check_mask(exchange, json_get(instance, "mask"), ask);
}
