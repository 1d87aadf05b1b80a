#include <stdlib.h>
#include <string.h>

#include "tests/sim/predict.h"
#include "tests/sim/reply.h"

#define INVALID(exchange, ...) reply_error(exchange, 400, NULL, __VA_ARGS__)

static bool wrong_case(struct exchange *exchange)
{
    return INVALID(exchange, "Your use case is currently not supported. Please refer to Gemini "
                             "API documentation for current model offering.");
}

/* What each field allows, but not together. */
static bool check_combination(struct exchange *exchange, const struct predict_ask *ask)
{
    bool whole = ask->plan.seconds >= 8;
    bool veo3_1 = ask->model->family & FAMILIES_VEO_3_1;
    bool plain = strcmp(ask->plan.resolution, "720p") == 0;
    if (ask->has_last_frame && (!ask->has_image || (veo3_1 && !whole))) {
        return wrong_case(exchange);
    }
    if (ask->references > 0 && (!whole || !plain || ask->plan.portrait || ask->has_negative ||
                                ask->has_image || ask->has_video)) {
        return wrong_case(exchange);
    }
    bool extends = ask->vertex ? !ask->has_image : whole && plain && !ask->has_image;
    return !ask->has_video || extends || wrong_case(exchange);
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

static bool check_top(struct exchange *exchange, struct json_value body, bool vertex)
{
    for (struct json_iter it = json_iter(body); json_next(&it);) {
        if (json_equals(it.name, "instances") || json_equals(it.name, "parameters") ||
            json_equals(it.name, vertex ? "labels" : "webhookConfig")) {
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

bool predict_refuse(struct exchange *exchange, const char *name)
{
    return INVALID(exchange,
                   "`%s` isn't supported by this model. Please remove it or refer to the Gemini "
                   "API documentation for supported usage.",
                   name);
}

bool predict_refuse_member(struct exchange *exchange, struct json_value name)
{
    char *text = json_strdup(name, NULL);
    predict_refuse(exchange, text ? text : "");
    free(text);
    return false;
}

void predict_ask_init(struct predict_ask *ask, const struct model *model)
{
    *ask = (struct predict_ask){
        .model = model,
        .plan = {.dialect = DIALECT_PREDICT,
                 .stored = true,
                 .resolution = "720p",
                 .seconds = 8,
                 .samples = 1,
                 .prompt = "",
                 .model = model->id},
    };
}

void predict_ask_free(struct predict_ask *ask)
{
    inputs_free(&ask->plan.inputs);
    free(ask->prompt);
    free(ask->storage_uri);
}

bool predict_check(struct exchange *exchange, struct json_value body, struct predict_ask *ask)
{
    struct json_value instance = json_path(body, "instances.0");
    bool good = check_top(exchange, body, ask->vertex) &&
                predict_check_media(exchange, instance, ask) &&
                check_prompt(exchange, json_get(instance, "prompt"), ask) &&
                predict_check_parameters(exchange, json_get(body, "parameters"), ask) &&
                check_combination(exchange, ask);
    ask->plan.prompt = ask->prompt ? ask->prompt : "";
    return good;
}
