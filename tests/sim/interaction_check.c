#include <stdlib.h>
#include <string.h>

#include "tests/sim/check.h"
#include "tests/sim/interactions.h"
#include "tests/sim/members.h"
#include "tests/sim/models.h"
#include "tests/sim/reply.h"
#include "tests/sim/sim.h"

#define PROMPT_BYTES_MAX ((size_t)1 << 20)
#define REFERENCES_MAX   3

#define INVALID(exchange, ...) reply_error(exchange, 400, "invalid_request", __VA_ARGS__)

static const char *const aspect_ratios[] = {"16:9", "9:16", NULL};
static const char *const resolutions[] = {"360p", "720p", "1080p", "4k", NULL};
static const char *const deliveries[] = {"inline", "uri", NULL};
static const char *const modalities[] = {"video", "text", NULL};
static const char *const tasks[] = {
    "text_to_video", "image_to_video", "reference_to_video", "edit", "extend", "upscale", NULL};

/* "8s", "7.5s" */
static bool read_seconds(struct json_value value, double *ret)
{
    char *text = json_strdup(value, NULL);
    bool good = text && text[strspn(text, "0123456789.")] == 's' && text[0] != 's';
    char *end = text;
    if (good) {
        *ret = strtod(text, &end);
        good = strcmp(end, "s") == 0;
    }
    free(text);
    return good;
}

static bool check_duration(struct exchange *exchange, struct json_value value,
                           const struct model *model, struct operation_plan *plan)
{
    double most = model->family == FAMILY_OMNI_1_2 ? 15 : 10;
    if (!read_seconds(value, &plan->seconds)) {
        return INVALID(exchange, "'duration' must be a string of seconds such as \"8s\".");
    }
    if (plan->seconds < 3 || plan->seconds > most) {
        return INVALID(exchange, "'duration' must be between 3s and %gs for this model, not %gs.",
                       most, plan->seconds);
    }
    return true;
}

static bool check_format_values(struct exchange *exchange, struct json_value format,
                                const struct model *model, struct operation_plan *plan)
{
    struct json_value aspect = json_get(format, "aspect_ratio");
    struct json_value resolution = json_get(format, "resolution");
    struct json_value delivery = json_get(format, "delivery");
    struct json_value duration = json_get(format, "duration");
    if (json_type(json_get(format, "type")) && !json_equals(json_get(format, "type"), "video")) {
        return INVALID(exchange, "'response_format.type' must be \"video\" for this model.");
    }
    if (json_type(aspect) && !check_one_of(aspect, aspect_ratios, NULL)) {
        return INVALID(exchange, "'aspect_ratio' must be one of 16:9, 9:16.");
    }
    if (json_type(resolution) && !check_one_of(resolution, resolutions, &plan->resolution)) {
        return INVALID(exchange, "'resolution' must be one of 360p, 720p, 1080p, 4k.");
    }
    if (json_type(delivery) && !check_one_of(delivery, deliveries, NULL)) {
        return INVALID(exchange, "'delivery' must be one of inline, uri.");
    }
    plan->portrait = json_equals(aspect, "9:16");
    plan->deliver_uri = json_equals(delivery, "uri");
    return !json_type(duration) || check_duration(exchange, duration, model, plan);
}

/* Vertex keeps its files in the caller's bucket, and has no other. */
static bool check_storage(struct exchange *exchange, struct json_value uri,
                          struct interaction_ask *ask)
{
    bool needed = *exchange->project && ask->plan.deliver_uri;
    if (!json_type(uri)) {
        return !needed || INVALID(exchange, "'delivery' \"uri\" needs 'gcs_uri'.");
    }
    if (!check_storage_uri(uri)) {
        return INVALID(exchange, "'gcs_uri' must be a Cloud Storage uri: gs://bucket/…");
    }
    ask->storage_uri = json_strdup(uri, NULL);
    ask->plan.storage_uri = ask->plan.deliver_uri ? ask->storage_uri : NULL;
    return true;
}

static bool check_format(struct exchange *exchange, struct json_value format,
                         const struct model *model, struct interaction_ask *ask)
{
    const struct member_rule rules[] = {
        {"type", JSON_STRING, false},       {"aspect_ratio", JSON_STRING, false},
        {"resolution", JSON_STRING, false}, {"duration", JSON_NONE, false},
        {"delivery", JSON_STRING, false},   {"gcs_uri", JSON_STRING, !*exchange->project},
        {NULL, JSON_NONE, false},
    };
    if (json_type(format) == JSON_ARRAY && json_size(format) == 1) {
        format = json_at(format, 0);
    }
    if (json_type(format) == JSON_NONE) {
        return true;
    }
    if (json_type(format) != JSON_OBJECT) {
        return INVALID(exchange, "'response_format' must be an object.");
    }
    return members_check(exchange, format, rules) &&
           check_format_values(exchange, format, model, &ask->plan) &&
           check_storage(exchange, json_get(format, "gcs_uri"), ask);
}

static void call_references(struct inputs *inputs)
{
    for (unsigned i = 0; i < inputs->count; i++) {
        if (strcmp(inputs->list[i].role, "image") == 0) {
            inputs->list[i].role = "reference";
        }
    }
}

static bool check_task(struct exchange *exchange, struct json_value body,
                       struct interaction_ask *ask)
{
    struct json_value task = json_path(body, "generation_config.video_config.task");
    bool previous = json_type(json_get(body, "previous_interaction_id")) != JSON_NONE;
    bool edits = json_equals(task, "edit") || json_equals(task, "extend");
    if (json_type(task) && !check_one_of(task, tasks, NULL)) {
        return INVALID(exchange, "Unknown 'task'.");
    }
    if (json_equals(task, "image_to_video") && ask->images == 0) {
        return INVALID(exchange, "The task image_to_video needs an image.");
    }
    if (json_equals(task, "reference_to_video")) {
        if (ask->images + ask->videos == 0) {
            return INVALID(exchange, "The task reference_to_video needs a reference.");
        }
        call_references(&ask->plan.inputs);
    }
    if (edits && ask->videos == 0 && !previous) {
        return INVALID(exchange, "The task needs a video or 'previous_interaction_id'.");
    }
    if ((edits && ask->videos > 1) || ask->videos > REFERENCES_MAX) {
        return INVALID(exchange, "Too many videos.");
    }
    return true;
}

static bool check_config(struct exchange *exchange, struct json_value config,
                         const struct model *model)
{
    static const struct member_rule rules[] = {
        {"video_config", JSON_OBJECT, false},
        {"seed", JSON_NUMBER, false},
        {"temperature", JSON_NONE, true},
        {"top_p", JSON_NONE, true},
        {"top_k", JSON_NONE, true},
        {"stop_sequences", JSON_NONE, true},
        {"max_output_tokens", JSON_NONE, true},
        {NULL, JSON_NONE, false},
    };
    static const struct member_rule video_rules[] = {{"task", JSON_STRING, false},
                                                     {NULL, JSON_NONE, false}};
    if (json_type(json_get(config, "seed")) && model->family != FAMILY_OMNI_1_2) {
        return INVALID(exchange, "'seed' is not supported by this model.");
    }
    return members_check(exchange, config, rules) &&
           members_check(exchange, json_get(config, "video_config"), video_rules);
}

static bool check_modalities(struct exchange *exchange, struct json_value list)
{
    for (struct json_iter it = json_iter(list); json_next(&it);) {
        if (!check_one_of(it.value, modalities, NULL)) {
            return INVALID(exchange, "'response_modalities' holds an unknown value.");
        }
    }
    return true;
}

static bool check_previous(struct exchange *exchange, struct json_value id)
{
    if (json_type(id) == JSON_NONE) {
        return true;
    }
    char *text = json_strdup(id, NULL);
    struct operation *operation = text ? operation_find(&exchange->sim->operations, text) : NULL;
    free(text);
    if (!operation || operation->dialect != DIALECT_INTERACTIONS ||
        operation->on_vertex != (*exchange->project != '\0')) {
        return reply_error(exchange, 404, "not_found", "The previous interaction was not found.");
    }
    if (!operation->ended || operation->cancelled) {
        return reply_error(exchange, 400, "failed_precondition",
                           "The previous interaction is not completed.");
    }
    return true;
}

static bool check_background(struct exchange *exchange, struct json_value body,
                             struct interaction_ask *ask)
{
    ask->plan.stored = true;
    json_bool(json_get(body, "store"), &ask->plan.stored);
    json_bool(json_get(body, "background"), &ask->background);
    bool stream = false;
    json_bool(json_get(body, "stream"), &stream);
    if (stream) {
        return INVALID(exchange, "veosim does not stream.");
    }
    if (ask->background && !ask->plan.stored) {
        return INVALID(exchange, "'background' needs 'store' to be true.");
    }
    return true;
}

static bool check_top(struct exchange *exchange, struct json_value body)
{
    static const struct member_rule rules[] = {
        {"model", JSON_STRING, false},
        {"input", JSON_NONE, false},
        {"response_format", JSON_NONE, false},
        {"response_modalities", JSON_ARRAY, false},
        {"generation_config", JSON_OBJECT, false},
        {"background", JSON_BOOL, false},
        {"store", JSON_BOOL, false},
        {"stream", JSON_BOOL, false},
        {"previous_interaction_id", JSON_STRING, false},
        {"webhook_config", JSON_OBJECT, false},
        {"labels", JSON_OBJECT, false},
        {"service_tier", JSON_STRING, false},
        {"system_instruction", JSON_NONE, true},
        {"safety_settings", JSON_NONE, true},
        {"tools", JSON_NONE, true},
        {NULL, JSON_NONE, false},
    };
    return members_check(exchange, body, rules);
}

static const struct model *check_model(struct exchange *exchange, struct json_value body,
                                       struct interaction_ask *ask)
{
    ask->model = json_strdup(json_get(body, "model"), NULL);
    if (!ask->model) {
        INVALID(exchange, "'model' is required.");
        return NULL;
    }
    const struct model *model = model_find(exchange, ask->model);
    if (model && !(model->family & FAMILIES_OMNI)) {
        reply_error(exchange, 400, "invalid_request",
                    "Model %s does not support the Interactions API.", ask->model);
        return NULL;
    }
    return model;
}

void interaction_ask_init(struct interaction_ask *ask)
{
    *ask = (struct interaction_ask){
        .plan = {
            .dialect = DIALECT_INTERACTIONS, .resolution = "720p", .seconds = 10, .samples = 1}};
    buf_init(&ask->prompt, PROMPT_BYTES_MAX);
}

void interaction_ask_free(struct interaction_ask *ask)
{
    buf_free(&ask->prompt);
    inputs_free(&ask->plan.inputs);
    free(ask->model);
    free(ask->storage_uri);
}

bool interaction_check(struct exchange *exchange, struct json_value body,
                       struct interaction_ask *ask)
{
    const struct model *model = NULL;
    bool good = check_top(exchange, body) && (model = check_model(exchange, body, ask)) &&
                interaction_check_input(exchange, json_get(body, "input"), ask) &&
                check_format(exchange, json_get(body, "response_format"), model, ask) &&
                check_config(exchange, json_get(body, "generation_config"), model) &&
                check_modalities(exchange, json_get(body, "response_modalities")) &&
                check_task(exchange, body, ask) &&
                check_previous(exchange, json_get(body, "previous_interaction_id")) &&
                check_background(exchange, body, ask);
    if (good && ask->prompt.length == 0) {
        return INVALID(exchange, "'input' holds no text.");
    }
    bool previous = json_type(json_get(body, "previous_interaction_id")) != JSON_NONE;
    good = good && interaction_check_tags(exchange, ask, previous);
    ask->plan.on_vertex = *exchange->project;
    ask->plan.prompt = buf_text(&ask->prompt);
    ask->plan.model = ask->model;
    return good;
}
