#include "tests/sim/seed.h"

#include <stdlib.h>

#include "proto/mem.h"
#include "tests/sim/check.h"
#include "tests/sim/predict.h"
#include "tests/sim/reply.h"
#include "tests/sim/sim.h"

#define INVALID(exchange, ...) reply_error(exchange, 400, NULL, __VA_ARGS__)

static bool check_names(struct exchange *exchange, struct json_value object,
                        const char *const *names)
{
    for (struct json_iter it = json_iter(object); json_next(&it);) {
        if (!check_one_of(it.name, names, NULL)) {
            return predict_refuse_member(exchange, it.name);
        }
    }
    return true;
}

static bool check_image(struct exchange *exchange, struct json_value image, struct predict_ask *ask)
{
    static const char *const names[] = {"mime_type", "data", NULL};
    if (!json_type(image)) {
        return true;
    }
    ask->has_image = true;
    return check_names(exchange, image, names) &&
           predict_check_image(exchange, "image", json_get(image, "mime_type"),
                               json_get(image, "data"), ask);
}

static bool check_values(struct exchange *exchange, struct json_value instance,
                         struct predict_ask *ask)
{
    static const char *const aspect_ratios[] = {"16:9", "9:16", NULL};
    static const char *const resolutions[] = {"720p", "1080p", NULL};
    struct json_value aspect = json_get(instance, "aspect_ratio");
    struct json_value resolution = json_get(instance, "resolution");
    struct json_value negative = json_get(instance, "negative_prompt");
    if (json_type(aspect) && !check_one_of(aspect, aspect_ratios, NULL)) {
        return INVALID(exchange, "The requested aspect ratio is not supported by this model.");
    }
    if (json_type(resolution) && !check_one_of(resolution, resolutions, &ask->plan.resolution)) {
        return INVALID(exchange, "The requested resolution is not supported by this model.");
    }
    if (json_type(negative) && json_type(negative) != JSON_STRING) {
        return INVALID(exchange, "The value type for `negative_prompt` needs to be a string.");
    }
    ask->plan.portrait = json_equals(aspect, "9:16");
    return true;
}

static bool check(struct exchange *exchange, struct json_value body, struct predict_ask *ask)
{
    static const char *const top[] = {"instances", NULL};
    static const char *const names[] = {"prompt",     "negative_prompt", "aspect_ratio",
                                        "resolution", "input_image",     NULL};
    struct json_value instances = json_get(body, "instances");
    struct json_value instance = json_at(instances, 0);
    if (!check_names(exchange, body, top)) {
        return false;
    }
    if (json_size(instances) != 1 || json_type(instance) != JSON_OBJECT) {
        return INVALID(exchange, "`instances` needs to be an array of one object.");
    }
    ask->prompt = json_strdup(json_get(instance, "prompt"), NULL);
    if (!ask->prompt || !*ask->prompt) {
        return INVALID(exchange, "The input prompt is empty.");
    }
    ask->plan.prompt = ask->prompt;
    return check_names(exchange, instance, names) &&
           check_image(exchange, json_get(instance, "input_image"), ask) &&
           check_values(exchange, instance, ask);
}

void seed_serve_submit(struct exchange *exchange)
{
    const struct model *model = model_find(exchange, exchange->model);
    struct json *doc = model ? check_body(exchange) : NULL;
    if (!doc) {
        return;
    }
    struct predict_ask ask;
    predict_ask_init(&ask, model);
    if (check(exchange, json_root(doc), &ask)) {
        predict_submit(exchange, &ask);
    }
    predict_ask_free(&ask);
    json_free(doc);
}
