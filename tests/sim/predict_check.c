#include <stdlib.h>
#include <string.h>

#include "tests/sim/check.h"
#include "tests/sim/predict.h"
#include "tests/sim/reply.h"

#define INVALID(exchange, ...) reply_error(exchange, 400, NULL, __VA_ARGS__)

#define VEO_3_1        (FAMILY_VEO_3_1 | FAMILY_VEO_3_1_FAST)
#define VEO_3_1_ALL    (VEO_3_1 | FAMILY_VEO_3_1_LITE)
#define VEO_ALL        (VEO_3_1_ALL | FAMILY_VEO_3 | FAMILY_VEO_2)
#define REFERENCES_MAX 3

static const char *const aspect_ratios[] = {"16:9", "9:16", NULL};
static const char *const resolutions[] = {"720p", "1080p", "4k", NULL};
static const char *const resolutions_without_4k[] = {"720p", "1080p", NULL};
static const char *const persons[] = {"allow_all", "allow_adult", "dont_allow", NULL};
static const char *const image_types[] = {"image/png", "image/jpeg", "image/webp", NULL};
static const char *const reference_types[] = {"asset", "ASSET", NULL};

/* Those that are not here are refused, but for media, which is ignored here. */
static const struct parameter {
    const char *name;
    enum json_type type;
    unsigned families;
} parameters[] = {
    {"aspectRatio", JSON_STRING, VEO_ALL},
    {"resolution", JSON_STRING, VEO_3_1_ALL | FAMILY_VEO_3},
    {"durationSeconds", JSON_NUMBER, VEO_ALL},
    {"negativePrompt", JSON_STRING, VEO_ALL & ~(unsigned)FAMILY_VEO_3_1_LITE},
    {"personGeneration", JSON_STRING, VEO_ALL},
    {"sampleCount", JSON_NUMBER, VEO_ALL},
    {"enhancePrompt", JSON_BOOL, FAMILY_VEO_3 | FAMILY_VEO_2},
    {"seed", JSON_NUMBER, VEO_3_1_ALL | FAMILY_VEO_3},
    {"image", JSON_NONE, VEO_ALL},
    {"lastFrame", JSON_NONE, VEO_ALL},
    {"referenceImages", JSON_NONE, VEO_ALL},
    {"video", JSON_NONE, VEO_ALL},
};

static bool unsupported(struct exchange *exchange, const char *name)
{
    return INVALID(exchange,
                   "`%s` isn't supported by this model. Please remove it or refer to the Gemini "
                   "API documentation for supported usage.",
                   name);
}

static bool unsupported_member(struct exchange *exchange, struct json_value name)
{
    char *text = json_strdup(name, NULL);
    unsupported(exchange, text ? text : "");
    free(text);
    return false;
}

static bool wrong_case(struct exchange *exchange)
{
    return INVALID(exchange, "Your use case is currently not supported. Please refer to Gemini "
                             "API documentation for current model offering.");
}

static bool check_parameter(struct exchange *exchange, const struct model *model,
                            struct json_value name, struct json_value value)
{
    static const char *const type_names[] = {
        [JSON_STRING] = "string", [JSON_NUMBER] = "number", [JSON_BOOL] = "boolean"};
    for (size_t i = 0; i < sizeof(parameters) / sizeof(*parameters); i++) {
        const struct parameter *parameter = &parameters[i];
        if (!json_equals(name, parameter->name) || !(parameter->families & model->family)) {
            continue;
        }
        if (parameter->type != JSON_NONE && json_type(value) != parameter->type) {
            return INVALID(exchange, "The value type for `%s` needs to be a %s.", parameter->name,
                           type_names[parameter->type]);
        }
        return true;
    }
    return unsupported_member(exchange, name);
}

static bool check_duration(struct exchange *exchange, struct json_value value,
                           struct predict_ask *ask)
{
    int64_t seconds = 8;
    bool veo2 = ask->model->family == FAMILY_VEO_2;
    bool good = !json_type(value) || json_int(value, 4, 8, &seconds) == 0;
    good = good && (veo2 ? seconds >= 5 : seconds % 2 == 0);
    if (!good) {
        return INVALID(exchange,
                       "The number value for `durationSeconds` is out of bound. Please provide "
                       "a value %s.",
                       veo2 ? "between 5 and 8, inclusive" : "among 4, 6 and 8");
    }
    ask->plan.seconds = (double)seconds;
    return true;
}

static bool check_resolution(struct exchange *exchange, struct json_value value,
                             struct predict_ask *ask)
{
    const char *const *list = ask->model->family & VEO_3_1 ? resolutions : resolutions_without_4k;
    if (json_type(value) && !check_one_of(value, list, &ask->plan.resolution)) {
        return INVALID(exchange, "The requested resolution is not supported by this model.");
    }
    if (strcmp(ask->plan.resolution, "720p") != 0 && ask->plan.seconds < 8) {
        return INVALID(exchange, "Resolution %s is not supported for a duration of %g seconds.",
                       ask->plan.resolution, ask->plan.seconds);
    }
    return true;
}

static bool check_samples(struct exchange *exchange, struct json_value value,
                          struct predict_ask *ask)
{
    int64_t most = ask->model->family == FAMILY_VEO_2 ? 2 : 1;
    int64_t samples = 1;
    if (json_type(value) && json_int(value, 1, most, &samples) < 0) {
        return INVALID(exchange,
                       "The number value for `sampleCount` is out of bound. Please provide a "
                       "value between 1 and %d, inclusive.",
                       (int)most);
    }
    ask->plan.samples = (unsigned)samples;
    return true;
}

/* The default is left to the service; what is given must fit the mode. */
static bool check_person(struct exchange *exchange, struct json_value value,
                         struct predict_ask *ask)
{
    if (!json_type(value)) {
        return true;
    }
    if (!check_one_of(value, persons, &ask->person)) {
        return INVALID(exchange, "Unknown value for `personGeneration`.");
    }
    bool from_image = ask->has_image || ask->has_last_frame || ask->references > 0;
    bool veo2 = ask->model->family == FAMILY_VEO_2;
    const char *only = from_image ? "allow_adult" : "allow_all";
    bool good = veo2 ? strcmp(ask->person, "allow_all") != 0 : strcmp(ask->person, only) == 0;
    return good ||
           INVALID(exchange, "%s for personGeneration is currently not supported.", ask->person);
}

static bool check_parameters(struct exchange *exchange, struct json_value object,
                             struct predict_ask *ask)
{
    if (json_type(object) && json_type(object) != JSON_OBJECT) {
        return INVALID(exchange, "`parameters` needs to be an object.");
    }
    for (struct json_iter it = json_iter(object); json_next(&it);) {
        if (!check_parameter(exchange, ask->model, it.name, it.value)) {
            return false;
        }
    }
    struct json_value aspect = json_get(object, "aspectRatio");
    struct json_value seed = json_get(object, "seed");
    int64_t unused;
    if (json_type(aspect) && !check_one_of(aspect, aspect_ratios, NULL)) {
        return INVALID(exchange, "The requested aspect ratio is not supported by this model. "
                                 "Supported: 16:9, 9:16.");
    }
    if (json_type(seed) && json_int(seed, 0, UINT32_MAX, &unused) < 0) {
        return INVALID(exchange, "The number value for `seed` is out of bound.");
    }
    ask->plan.portrait = json_equals(aspect, "9:16");
    ask->has_negative = json_type(json_get(object, "negativePrompt")) != JSON_NONE;
    return check_duration(exchange, json_get(object, "durationSeconds"), ask) &&
           check_resolution(exchange, json_get(object, "resolution"), ask) &&
           check_samples(exchange, json_get(object, "sampleCount"), ask) &&
           check_person(exchange, json_get(object, "personGeneration"), ask);
}

static bool check_image(struct exchange *exchange, struct json_value image)
{
    if (json_type(image) != JSON_OBJECT) {
        return INVALID(exchange, "An image needs to be an object.");
    }
    for (struct json_iter it = json_iter(image); json_next(&it);) {
        if (!json_equals(it.name, "bytesBase64Encoded") && !json_equals(it.name, "mimeType")) {
            return unsupported_member(exchange, it.name);
        }
    }
    size_t bytes = 0;
    if (!check_one_of(json_get(image, "mimeType"), image_types, NULL)) {
        return INVALID(exchange, "Unsupported or missing `mimeType`.");
    }
    if (!check_base64(json_get(image, "bytesBase64Encoded"), &bytes)) {
        return INVALID(exchange, "`bytesBase64Encoded` is missing or not valid base64.");
    }
    return bytes <= IMAGE_BYTES_MAX ||
           INVALID(exchange, "The image exceeds %zu bytes.", IMAGE_BYTES_MAX);
}

static bool check_references(struct exchange *exchange, struct json_value list,
                             struct predict_ask *ask)
{
    ask->references = (unsigned)json_size(list);
    if (!(ask->model->family & VEO_3_1)) {
        return unsupported(exchange, "referenceImages");
    }
    if (json_type(list) != JSON_ARRAY || ask->references < 1 || ask->references > REFERENCES_MAX) {
        return INVALID(exchange, "`referenceImages` needs to be an array of 1 to %d.",
                       REFERENCES_MAX);
    }
    for (struct json_iter it = json_iter(list); json_next(&it);) {
        if (!check_image(exchange, json_get(it.value, "image"))) {
            return false;
        }
        if (!check_one_of(json_get(it.value, "referenceType"), reference_types, NULL)) {
            return INVALID(exchange, "Unsupported or missing `referenceType`.");
        }
    }
    return true;
}

static bool check_video(struct exchange *exchange, struct json_value video, struct predict_ask *ask)
{
    ask->has_video = true;
    if (!(ask->model->family & VEO_3_1)) {
        return unsupported(exchange, "video");
    }
    for (struct json_iter it = json_iter(video); json_next(&it);) {
        if (!json_equals(it.name, "uri")) {
            return unsupported_member(exchange, it.name);
        }
    }
    return check_file_uri(exchange, json_get(video, "uri")) ||
           INVALID(exchange, "`video.uri` must be that of a video that was made here.");
}

static bool check_media(struct exchange *exchange, struct json_value instance,
                        struct predict_ask *ask)
{
    struct json_value image = json_get(instance, "image");
    struct json_value last = json_get(instance, "lastFrame");
    struct json_value references = json_get(instance, "referenceImages");
    struct json_value video = json_get(instance, "video");
    ask->has_image = json_type(image) != JSON_NONE;
    ask->has_last_frame = json_type(last) != JSON_NONE;
    if (ask->has_last_frame && ask->model->family == FAMILY_VEO_3) {
        return unsupported(exchange, "lastFrame");
    }
    return (!ask->has_image || check_image(exchange, image)) &&
           (!ask->has_last_frame || check_image(exchange, last)) &&
           (!json_type(references) || check_references(exchange, references, ask)) &&
           (!json_type(video) || check_video(exchange, video, ask));
}

/* What each field allows, but not together. */
static bool check_combination(struct exchange *exchange, const struct predict_ask *ask)
{
    bool whole = ask->plan.seconds >= 8;
    bool veo3_1 = ask->model->family & VEO_3_1_ALL;
    bool plain = strcmp(ask->plan.resolution, "720p") == 0;
    if (ask->has_last_frame && (!ask->has_image || (veo3_1 && !whole))) {
        return wrong_case(exchange);
    }
    if (ask->references > 0 && (!whole || !plain || ask->plan.portrait || ask->has_negative ||
                                ask->has_image || ask->has_video)) {
        return wrong_case(exchange);
    }
    return !ask->has_video || (whole && plain && !ask->has_image) || wrong_case(exchange);
}

static bool check_prompt(struct exchange *exchange, struct json_value prompt,
                         struct predict_ask *ask)
{
    if (json_type(prompt) && json_type(prompt) != JSON_STRING) {
        return INVALID(exchange, "The value type for `prompt` needs to be a string.");
    }
    ask->prompt = json_strdup(prompt, NULL);
    if ((!ask->prompt || !*ask->prompt) && !ask->has_image) {
        return INVALID(exchange, "The input prompt is empty.");
    }
    return true;
}

static bool check_top(struct exchange *exchange, struct json_value body)
{
    for (struct json_iter it = json_iter(body); json_next(&it);) {
        if (json_equals(it.name, "instances") || json_equals(it.name, "parameters") ||
            json_equals(it.name, "webhookConfig")) {
            continue;
        }
        char *name = json_strdup(it.name, NULL);
        INVALID(exchange, "Invalid JSON payload received. Unknown name \"%s\": Cannot find field.",
                name ? name : "");
        free(name);
        return false;
    }
    struct json_value instances = json_get(body, "instances");
    return (json_type(instances) == JSON_ARRAY && json_size(instances) == 1 &&
            json_type(json_at(instances, 0)) == JSON_OBJECT) ||
           INVALID(exchange, "`instances` needs to be an array of one object.");
}

bool predict_check(struct exchange *exchange, struct json_value body, struct predict_ask *ask)
{
    struct json_value instance = json_path(body, "instances.0");
    bool good = check_top(exchange, body) && check_media(exchange, instance, ask) &&
                check_prompt(exchange, json_get(instance, "prompt"), ask) &&
                check_parameters(exchange, json_get(body, "parameters"), ask) &&
                check_combination(exchange, ask);
    ask->plan.prompt = ask->prompt ? ask->prompt : "";
    ask->plan.model = ask->model->id;
    return good;
}
