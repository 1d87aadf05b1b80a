#include <stdlib.h>
#include <string.h>

#include "tests/sim/check.h"
#include "tests/sim/interactions.h"
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
static const char *const image_types[] = {"image/png", "image/jpeg", "image/webp", NULL};
static const char *const video_types[] = {"video/mp4", "video/quicktime", "video/webm", NULL};

struct member_rule {
    const char *name;
    enum json_type type; /* JSON_NONE: looked at elsewhere */
    bool unsupported;    /* the API knows it, these models refuse it */
};

static bool unknown_member(struct exchange *exchange, struct json_value name)
{
    char *text = json_strdup(name, NULL);
    reply_error(exchange, 400, "parameter_unknown", "Unknown parameter: '%s'.", text ? text : "");
    free(text);
    return false;
}

static bool check_member(struct exchange *exchange, const struct member_rule *rule,
                         struct json_value value)
{
    if (rule->unsupported) {
        return INVALID(exchange, "'%s' is not supported by this model.", rule->name);
    }
    if (rule->type != JSON_NONE && json_type(value) != rule->type) {
        return INVALID(exchange, "'%s' must be of type %s, not %s.", rule->name,
                       json_type_name(rule->type), json_type_name(json_type(value)));
    }
    return true;
}

/* Every member must be in the table and of its type. */
static bool check_members(struct exchange *exchange, struct json_value object,
                          const struct member_rule *rules)
{
    for (struct json_iter it = json_iter(object); json_next(&it);) {
        const struct member_rule *rule = rules;
        while (rule->name && !json_equals(it.name, rule->name)) {
            rule++;
        }
        if (!rule->name) {
            return unknown_member(exchange, it.name);
        }
        if (!check_member(exchange, rule, it.value)) {
            return false;
        }
    }
    return true;
}

static bool check_text(struct exchange *exchange, struct json_value text,
                       struct interaction_ask *ask)
{
    size_t length;
    char *copy = json_strdup(text, &length);
    if (!copy || length == 0) {
        free(copy);
        return INVALID(exchange, "Text content must be a string that is not empty.");
    }
    if (ask->prompt.length > 0) {
        buf_add_byte(&ask->prompt, '\n');
    }
    buf_add(&ask->prompt, copy, length);
    free(copy);
    return true;
}

static bool check_media_uri(struct exchange *exchange, struct json_value uri, bool video)
{
    if (json_type(uri) != JSON_STRING) {
        return INVALID(exchange, "'uri' must be a string.");
    }
    if (video && !check_file_uri(exchange, uri)) {
        return INVALID(exchange, "Unsupported video uri: only files of the Files API are taken.");
    }
    return true;
}

static bool check_media(struct exchange *exchange, struct json_value block, bool video,
                        struct interaction_ask *ask)
{
    struct json_value data = json_get(block, "data");
    struct json_value uri = json_get(block, "uri");
    bool has_data = json_type(data) != JSON_NONE;
    bool has_uri = json_type(uri) != JSON_NONE;
    *(video ? &ask->videos : &ask->images) += 1;
    if (has_data == has_uri) {
        return INVALID(exchange, "A media block needs one of 'data' and 'uri'.");
    }
    bool typed = json_type(json_get(block, "mime_type")) != JSON_NONE;
    if ((has_data || typed) &&
        !check_one_of(json_get(block, "mime_type"), video ? video_types : image_types, NULL)) {
        return INVALID(exchange, "Unsupported or missing 'mime_type'.");
    }
    if (has_uri) {
        return check_media_uri(exchange, uri, video);
    }
    size_t bytes = 0;
    if (!check_base64(data, &bytes)) {
        return INVALID(exchange, "'data' is not valid base64.");
    }
    if (!video && bytes > IMAGE_BYTES_MAX) {
        return INVALID(exchange, "The image exceeds %zu bytes.", IMAGE_BYTES_MAX);
    }
    return true;
}

static bool check_block(struct exchange *exchange, struct json_value block,
                        struct interaction_ask *ask)
{
    static const struct member_rule text_rules[] = {
        {"type", JSON_STRING, false}, {"text", JSON_STRING, false}, {NULL, JSON_NONE, false}};
    static const struct member_rule media_rules[] = {{"type", JSON_STRING, false},
                                                     {"data", JSON_NONE, false},
                                                     {"uri", JSON_NONE, false},
                                                     {"mime_type", JSON_STRING, false},
                                                     {NULL, JSON_NONE, false}};
    struct json_value type = json_get(block, "type");
    if (json_equals(type, "text")) {
        return check_members(exchange, block, text_rules) &&
               check_text(exchange, json_get(block, "text"), ask);
    }
    if (json_equals(type, "audio")) {
        return INVALID(exchange, "Audio input is not supported by this model.");
    }
    bool video = json_equals(type, "video");
    if (!video && !json_equals(type, "image")) {
        return INVALID(exchange, "A content block's 'type' is text, image, audio or video.");
    }
    return check_members(exchange, block, media_rules) && check_media(exchange, block, video, ask);
}

static bool check_blocks(struct exchange *exchange, struct json_value blocks,
                         struct interaction_ask *ask)
{
    if (json_type(blocks) != JSON_ARRAY || json_size(blocks) == 0) {
        return INVALID(exchange, "'content' must be an array that is not empty.");
    }
    for (struct json_iter it = json_iter(blocks); json_next(&it);) {
        if (!check_block(exchange, it.value, ask)) {
            return false;
        }
    }
    return true;
}

static bool check_input(struct exchange *exchange, struct json_value input,
                        struct interaction_ask *ask)
{
    if (json_type(input) == JSON_STRING) {
        return check_text(exchange, input, ask);
    }
    if (json_type(input) != JSON_ARRAY || json_size(input) == 0) {
        return INVALID(exchange, "'input' must be a string or an array that is not empty.");
    }
    for (struct json_iter it = json_iter(input); json_next(&it);) {
        bool turn = json_equals(json_get(it.value, "type"), "user_input");
        if (!(turn ? check_blocks(exchange, json_get(it.value, "content"), ask)
                   : check_block(exchange, it.value, ask))) {
            return false;
        }
    }
    return true;
}

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

static bool check_format(struct exchange *exchange, struct json_value format,
                         const struct model *model, struct operation_plan *plan)
{
    static const struct member_rule rules[] = {
        {"type", JSON_STRING, false},       {"aspect_ratio", JSON_STRING, false},
        {"resolution", JSON_STRING, false}, {"duration", JSON_NONE, false},
        {"delivery", JSON_STRING, false},   {"gcs_uri", JSON_NONE, true},
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
    return check_members(exchange, format, rules) &&
           check_format_values(exchange, format, model, plan);
}

static bool check_task(struct exchange *exchange, struct json_value body,
                       const struct interaction_ask *ask)
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
    if (json_equals(task, "reference_to_video") && ask->images + ask->videos == 0) {
        return INVALID(exchange, "The task reference_to_video needs a reference.");
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
    return check_members(exchange, config, rules) &&
           check_members(exchange, json_get(config, "video_config"), video_rules);
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
    if (!operation || operation->dialect != DIALECT_INTERACTIONS) {
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
    return check_members(exchange, body, rules);
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
    free(ask->model);
}

bool interaction_check(struct exchange *exchange, struct json_value body,
                       struct interaction_ask *ask)
{
    const struct model *model = NULL;
    bool good = check_top(exchange, body) && (model = check_model(exchange, body, ask)) &&
                check_input(exchange, json_get(body, "input"), ask) &&
                check_format(exchange, json_get(body, "response_format"), model, &ask->plan) &&
                check_config(exchange, json_get(body, "generation_config"), model) &&
                check_modalities(exchange, json_get(body, "response_modalities")) &&
                check_task(exchange, body, ask) &&
                check_previous(exchange, json_get(body, "previous_interaction_id")) &&
                check_background(exchange, body, ask);
    if (good && ask->prompt.length == 0) {
        return INVALID(exchange, "'input' holds no text.");
    }
    ask->plan.prompt = buf_text(&ask->prompt);
    ask->plan.model = ask->model;
    return good;
}
