#include <stdlib.h>

#include "tests/sim/check.h"
#include "tests/sim/interactions.h"
#include "tests/sim/members.h"
#include "tests/sim/reply.h"

#define INVALID(exchange, ...) reply_error(exchange, 400, "invalid_request", __VA_ARGS__)

static const char *const image_types[] = {"image/png", "image/jpeg", "image/webp", NULL};
static const char *const video_types[] = {"video/mp4", "video/quicktime", "video/webm", NULL};

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

static bool answer_fault(struct exchange *exchange, enum input_fault fault)
{
    switch (fault) {
    case INPUT_GOOD:
        return true;
    case INPUT_TOO_MANY:
        return INVALID(exchange, "Too many media blocks.");
    case INPUT_BAD_TYPE:
        return INVALID(exchange, "Unsupported or missing 'mime_type'.");
    case INPUT_BAD_BASE64:
        return INVALID(exchange, "'data' is not valid base64.");
    case INPUT_TOO_LARGE:
        return INVALID(exchange, "The media block is too large.");
    case INPUT_MISMATCH:
        break;
    }
    return INVALID(exchange, "The bytes of 'data' are not of the given 'mime_type'.");
}

static bool check_media_uri(struct exchange *exchange, struct json_value block,
                            const struct input_rule *rule, struct interaction_ask *ask)
{
    struct json_value uri = json_get(block, "uri");
    bool video = rule->types == video_types;
    if (json_type(uri) != JSON_STRING) {
        return INVALID(exchange, "'uri' must be a string.");
    }
    bool stored = *exchange->project && check_storage_uri(uri);
    if (video && !stored && !check_file_uri(exchange, uri)) {
        return INVALID(exchange, "Unsupported video uri: only files of the Files API are taken.");
    }
    return answer_fault(exchange,
                        inputs_add_uri(&ask->plan.inputs, rule, json_get(block, "mime_type"), uri));
}

static bool check_media(struct exchange *exchange, struct json_value block, bool video,
                        struct interaction_ask *ask)
{
    const struct input_rule rule = {
        .role = video ? "video" : "image",
        .types = video ? video_types : image_types,
        .most_bytes = video ? INPUT_VIDEO_BYTES : INPUT_IMAGE_BYTES,
    };
    struct json_value data = json_get(block, "data");
    *(video ? &ask->videos : &ask->images) += 1;
    if (!json_type(data) == !json_type(json_get(block, "uri"))) {
        return INVALID(exchange, "A media block needs one of 'data' and 'uri'.");
    }
    return json_type(data)
               ? answer_fault(exchange, inputs_add(&ask->plan.inputs, &rule, &exchange->intake,
                                                   json_get(block, "mime_type"), data))
               : check_media_uri(exchange, block, &rule, ask);
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
        return members_check(exchange, block, text_rules) &&
               check_text(exchange, json_get(block, "text"), ask);
    }
    if (json_equals(type, "audio")) {
        return INVALID(exchange, "Audio input is not supported by this model.");
    }
    bool video = json_equals(type, "video");
    if (!video && !json_equals(type, "image")) {
        return INVALID(exchange, "A content block's 'type' is text, image, audio or video.");
    }
    return members_check(exchange, block, media_rules) && check_media(exchange, block, video, ask);
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

bool interaction_check_input(struct exchange *exchange, struct json_value input,
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
