#include <string.h>

#include "tests/sim/check.h"
#include "tests/sim/predict.h"
#include "tests/sim/reply.h"

#define INVALID(exchange, ...) reply_error(exchange, 400, NULL, __VA_ARGS__)

static const char *const aspect_ratios[] = {"16:9", "9:16", NULL};
static const char *const resolutions[] = {"720p", "1080p", "4k", NULL};
static const char *const resolutions_without_4k[] = {"720p", "1080p", NULL};
static const char *const persons[] = {"allow_all", "allow_adult", "dont_allow", NULL};
static const char *const vertex_persons[] = {"allow_all", "allow_adult", "dont_allow", "disallow",
                                             NULL};
static const char *const qualities[] = {"OPTIMIZED", "LOSSLESS", "optimized", "lossless", NULL};
static const char *const resize_modes[] = {"crop", "pad", NULL};

#define FAMILIES_AUDIO (FAMILIES_VEO_3_1 | FAMILY_VEO_3)

/* Those that are not here are refused, but for media, which is ignored here. */
struct parameter {
    const char *name;
    enum json_type type;
    unsigned families;
    const char *const *values; /* NULL: looked at elsewhere */
};

static const struct parameter gemini_parameters[] = {
    {"aspectRatio", JSON_STRING, FAMILIES_VEO, NULL},
    {"resolution", JSON_STRING, FAMILIES_VEO_3_1 | FAMILY_VEO_3, NULL},
    {"durationSeconds", JSON_NUMBER, FAMILIES_VEO, NULL},
    {"negativePrompt", JSON_STRING, FAMILIES_VEO & ~(unsigned)FAMILY_VEO_3_1_LITE, NULL},
    {"personGeneration", JSON_STRING, FAMILIES_VEO, NULL},
    {"sampleCount", JSON_NUMBER, FAMILIES_VEO, NULL},
    {"enhancePrompt", JSON_BOOL, FAMILY_VEO_3 | FAMILY_VEO_2, NULL},
    {"seed", JSON_NUMBER, FAMILIES_AUDIO, NULL},
    {"image", JSON_NONE, FAMILIES_VEO, NULL},
    {"lastFrame", JSON_NONE, FAMILIES_VEO, NULL},
    {"referenceImages", JSON_NONE, FAMILIES_VEO, NULL},
    {"video", JSON_NONE, FAMILIES_VEO, NULL},
    {NULL, JSON_NONE, 0, NULL},
};

static const struct parameter vertex_parameters[] = {
    {"aspectRatio", JSON_STRING, FAMILIES_VEO, NULL},
    {"resolution", JSON_STRING, FAMILIES_AUDIO, NULL},
    {"durationSeconds", JSON_NUMBER, FAMILIES_VEO, NULL},
    {"negativePrompt", JSON_STRING, FAMILIES_VEO, NULL},
    {"personGeneration", JSON_STRING, FAMILIES_VEO, NULL},
    {"sampleCount", JSON_NUMBER, FAMILIES_VEO, NULL},
    {"enhancePrompt", JSON_BOOL, FAMILIES_VEO, NULL},
    {"seed", JSON_NUMBER, FAMILIES_VEO, NULL},
    {"generateAudio", JSON_BOOL, FAMILIES_AUDIO, NULL},
    {"storageUri", JSON_STRING, FAMILIES_VEO, NULL},
    {"fps", JSON_NUMBER, FAMILIES_VEO, NULL},
    {"pubsubTopic", JSON_STRING, FAMILIES_VEO, NULL},
    {"compressionQuality", JSON_STRING, FAMILIES_VEO, qualities},
    {"resizeMode", JSON_STRING, FAMILIES_VEO, resize_modes},
    {NULL, JSON_NONE, 0, NULL},
};

static bool check_value(struct exchange *exchange, const struct parameter *parameter,
                        struct json_value value)
{
    static const char *const type_names[] = {
        [JSON_STRING] = "string", [JSON_NUMBER] = "number", [JSON_BOOL] = "boolean"};
    if (parameter->type != JSON_NONE && json_type(value) != parameter->type) {
        return INVALID(exchange, "The value type for `%s` needs to be a %s.", parameter->name,
                       type_names[parameter->type]);
    }
    if (parameter->values && !check_one_of(value, parameter->values, NULL)) {
        return INVALID(exchange, "Unknown value for `%s`.", parameter->name);
    }
    return true;
}

static bool check_parameter(struct exchange *exchange, const struct predict_ask *ask,
                            struct json_value name, struct json_value value)
{
    const struct parameter *parameter = ask->vertex ? vertex_parameters : gemini_parameters;
    for (; parameter->name; parameter++) {
        if (json_equals(name, parameter->name) && parameter->families & ask->model->family) {
            return check_value(exchange, parameter, value);
        }
    }
    return predict_refuse_member(exchange, name);
}

static bool check_duration(struct exchange *exchange, struct json_value value,
                           struct predict_ask *ask)
{
    int64_t seconds = 8;
    bool veo2 = ask->model->family == FAMILY_VEO_2;
    bool good = !json_type(value) || json_int(value, 4, 8, &seconds) == 0;
    bool extends = ask->vertex && ask->has_video && seconds == 7;
    good = good && (veo2 ? seconds >= 5 : seconds % 2 == 0 || extends);
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
    bool has_4k = ask->model->family & (FAMILY_VEO_3_1 | FAMILY_VEO_3_1_FAST);
    const char *const *list = has_4k ? resolutions : resolutions_without_4k;
    if (json_type(value) && !check_one_of(value, list, &ask->plan.resolution)) {
        return INVALID(exchange, "The requested resolution is not supported by this model.");
    }
    bool extends = ask->vertex && ask->has_video;
    if (strcmp(ask->plan.resolution, "720p") != 0 && ask->plan.seconds < 8 && !extends) {
        return INVALID(exchange, "Resolution %s is not supported for a duration of %g seconds.",
                       ask->plan.resolution, ask->plan.seconds);
    }
    return true;
}

static bool check_samples(struct exchange *exchange, struct json_value value,
                          struct predict_ask *ask)
{
    int64_t most = ask->vertex ? SAMPLES_MAX : ask->model->family == FAMILY_VEO_2 ? 2 : 1;
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
    if (!check_one_of(value, ask->vertex ? vertex_persons : persons, &ask->person)) {
        return INVALID(exchange, "Unknown value for `personGeneration`.");
    }
    bool from_image = ask->has_image || ask->has_last_frame || ask->references > 0;
    bool veo2 = ask->model->family == FAMILY_VEO_2;
    const char *only = from_image ? "allow_adult" : "allow_all";
    bool good = veo2 ? strcmp(ask->person, "allow_all") != 0 : strcmp(ask->person, only) == 0;
    return good || ask->vertex ||
           INVALID(exchange, "%s for personGeneration is currently not supported.", ask->person);
}

static bool check_storage(struct exchange *exchange, struct json_value uri, struct predict_ask *ask)
{
    if (!json_type(uri)) {
        return true;
    }
    if (!check_storage_uri(uri)) {
        return INVALID(exchange, "`storageUri` needs to be a Cloud Storage uri: gs://bucket/…");
    }
    ask->storage_uri = json_strdup(uri, NULL);
    ask->plan.storage_uri = ask->storage_uri;
    return true;
}

static bool check_numbers(struct exchange *exchange, struct json_value object)
{
    struct json_value seed = json_get(object, "seed");
    struct json_value fps = json_get(object, "fps");
    int64_t unused;
    if (json_type(seed) && json_int(seed, 0, UINT32_MAX, &unused) < 0) {
        return INVALID(exchange, "The number value for `seed` is out of bound.");
    }
    if (json_type(fps) && json_int(fps, 24, 24, &unused) < 0) {
        return INVALID(exchange, "The number value for `fps` is out of bound.");
    }
    return true;
}

bool predict_check_parameters(struct exchange *exchange, struct json_value object,
                              struct predict_ask *ask)
{
    if (json_type(object) && json_type(object) != JSON_OBJECT) {
        return INVALID(exchange, "`parameters` needs to be an object.");
    }
    for (struct json_iter it = json_iter(object); json_next(&it);) {
        if (!check_parameter(exchange, ask, it.name, it.value)) {
            return false;
        }
    }
    struct json_value aspect = json_get(object, "aspectRatio");
    if (json_type(aspect) && !check_one_of(aspect, aspect_ratios, NULL)) {
        return INVALID(exchange, "The requested aspect ratio is not supported by this model. "
                                 "Supported: 16:9, 9:16.");
    }
    ask->plan.portrait = json_equals(aspect, "9:16");
    ask->has_negative = json_type(json_get(object, "negativePrompt")) != JSON_NONE;
    return check_numbers(exchange, object) &&
           check_duration(exchange, json_get(object, "durationSeconds"), ask) &&
           check_resolution(exchange, json_get(object, "resolution"), ask) &&
           check_samples(exchange, json_get(object, "sampleCount"), ask) &&
           check_person(exchange, json_get(object, "personGeneration"), ask) &&
           check_storage(exchange, json_get(object, "storageUri"), ask);
}
