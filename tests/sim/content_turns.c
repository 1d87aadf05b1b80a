#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/mem.h"
#include "tests/sim/content.h"
#include "tests/sim/intake.h"
#include "tests/sim/reply.h"
#include "tests/sim/sim.h"

/* A call that waits for its response. */
struct pending {
    char *id; /* NULL: it has none */
    char *name;
    bool answered;
};

struct walk {
    struct exchange *exchange;
    struct chat_ask *ask;
    struct pending calls[CHAT_CALLS_MAX]; /* of the last content, if it is the model's */
    size_t call_count;
    size_t answer_count;
    size_t index; /* of the content */
    bool model;   /* this one is the model's */
    struct buf text;
};

#define REFUSE(walk, ...) reply_error((walk)->exchange, 400, NULL, __VA_ARGS__)

static void forget_calls(struct walk *walk)
{
    for (size_t i = 0; i < walk->call_count; i++) {
        free(walk->calls[i].id);
        free(walk->calls[i].name);
    }
    walk->call_count = 0;
    walk->answer_count = 0;
}

static char *signature_of(struct json_value part)
{
    return json_strdup(content_get(part, "thoughtSignature", "thought_signature"), NULL);
}

static bool check_signature(struct walk *walk, struct json_value part, const char *name)
{
    char *signature = signature_of(part);
    bool good = true;
    if (signature) {
        good = chat_check_signature(walk->exchange, &walk->ask->talk, signature, name);
    } else if (walk->call_count == 0 && chat_wants_signatures(&walk->ask->talk)) {
        good = chat_refuse_unsigned(walk->exchange, name, walk->index);
    }
    free(signature);
    return good;
}

static bool take_call(struct walk *walk, struct json_value part, struct json_value call)
{
    struct json_value args = json_get(call, "args");
    char *name = json_strdup(json_get(call, "name"), NULL);
    bool good = false;
    if (!walk->model) {
        REFUSE(walk, "Please ensure that function call turn comes immediately after a user turn "
                     "or after a function response turn.");
    } else if (!name || !*name) {
        REFUSE(walk,
               "* GenerateContentRequest.contents[%zu].parts.function_call.name: Name "
               "cannot be empty.",
               walk->index);
    } else if (json_type(args) != JSON_NONE && json_type(args) != JSON_OBJECT) {
        REFUSE(walk,
               "Invalid value at 'contents[%zu].parts.function_call.args' (type.googleapis."
               "com/google.protobuf.Struct)",
               walk->index);
    } else if (walk->call_count == CHAT_CALLS_MAX) {
        REFUSE(walk, "Too many function calls.");
    } else {
        good = check_signature(walk, part, name);
    }
    if (!good) {
        free(name);
        return false;
    }
    walk->calls[walk->call_count++] =
        (struct pending){.id = json_strdup(json_get(call, "id"), NULL), .name = name};
    return true;
}

/* By its id, or by its name if it has none. */
static struct pending *find_pending(struct walk *walk, struct json_value answer)
{
    struct json_value id = json_get(answer, "id");
    for (size_t i = 0; i < walk->call_count; i++) {
        struct pending *call = &walk->calls[i];
        bool same = json_type(id) == JSON_STRING && call->id ? json_equals(id, call->id) : true;
        if (!call->answered && same && json_equals(json_get(answer, "name"), call->name)) {
            return call;
        }
    }
    return NULL;
}

/* What a tool said: clients wrap it in one member, and in parts. */
static char *text_of(struct json_value response)
{
    static const char *const wraps[] = {"output", "result", "content", NULL};
    struct json_value inner = response;
    for (const char *const *wrap = wraps; *wrap && json_size(response) == 1; wrap++) {
        struct json_value value = json_get(response, *wrap);
        inner = json_type(value) == JSON_NONE ? inner : value;
    }
    struct json_value part = json_at(inner, 0);
    inner = json_type(json_get(part, "json")) != JSON_NONE   ? json_get(part, "json")
            : json_type(json_get(part, "text")) != JSON_NONE ? json_get(part, "text")
                                                             : inner;
    size_t length;
    const char *raw = json_raw(inner, &length);
    char *text = json_strdup(inner, NULL);
    return text ? text : mem_strndup(raw, length);
}

static bool take_answer(struct walk *walk, struct json_value answer)
{
    struct json_value response = json_get(answer, "response");
    if (walk->model || walk->call_count == 0) {
        return REFUSE(walk, "Please ensure that function response turn comes immediately after a "
                            "function call turn.");
    }
    if (json_type(response) != JSON_OBJECT) {
        return REFUSE(walk,
                      "Invalid value at 'contents[%zu].parts.function_response.response' "
                      "(type.googleapis.com/google.protobuf.Struct)",
                      walk->index);
    }
    struct pending *call = find_pending(walk, answer);
    if (!call) {
        return REFUSE(walk,
                      "Please ensure that the function response parts match the function "
                      "call parts of the function call turn. contents[%zu]",
                      walk->index);
    }
    call->answered = true;
    walk->answer_count++;
    chat_talk_result(&walk->ask->talk, call->name, text_of(response));
    return true;
}

static bool has_data(struct json_value part)
{
    static const char *const names[][2] = {{"inlineData", "inline_data"},
                                           {"fileData", "file_data"},
                                           {"thoughtSignature", "thought_signature"}};
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
        if (json_type(content_get(part, names[i][0], names[i][1])) != JSON_NONE) {
            return true;
        }
    }
    return false;
}

static bool take_text(struct walk *walk, struct json_value part, size_t index)
{
    char *text = json_strdup(json_get(part, "text"), NULL);
    bool good = (text && *text) || has_data(part);
    if (text && *text) {
        buf_addf(&walk->text, "%s%s", walk->text.length > 0 ? "\n" : "", text);
    }
    free(text);
    return good || REFUSE(walk,
                          "* GenerateContentRequest.contents[%zu].parts[%zu].data: required oneof "
                          "field 'data' must have one initialized field",
                          walk->index, index);
}

static bool take_part(struct walk *walk, struct json_value part, size_t index)
{
    static const char *const known[] = {
        "text",          "inlineData",       "fileData", "functionCall", "functionResponse",
        "thought",       "thoughtSignature", "toolCall", "toolResponse", "executableCode",
        "videoMetadata", "mediaResolution",  NULL};
    char place[64];
    struct json_value call = content_get(part, "functionCall", "function_call");
    struct json_value answer = content_get(part, "functionResponse", "function_response");
    snprintf(place, sizeof(place), "contents[%zu].parts[%zu]", walk->index, index);
    if (!content_check_members(walk->exchange, part, known, place)) {
        return false;
    }
    return json_type(call) != JSON_NONE     ? take_call(walk, part, call)
           : json_type(answer) != JSON_NONE ? take_answer(walk, answer)
                                            : take_text(walk, part, index);
}

static bool take_parts(struct walk *walk, struct json_value parts)
{
    size_t index = 0;
    if (json_type(parts) != JSON_ARRAY || json_size(parts) == 0) {
        return REFUSE(walk,
                      "* GenerateContentRequest.contents[%zu].parts: contents.parts must "
                      "not be empty.",
                      walk->index);
    }
    for (struct json_iter it = json_iter(parts); json_next(&it); index++) {
        if (!take_part(walk, it.value, index)) {
            return false;
        }
    }
    return true;
}

static bool end_user(struct walk *walk)
{
    if (walk->answer_count != walk->call_count) {
        return REFUSE(walk, "Please ensure that the number of function response parts is equal to "
                            "the number of function call parts of the function call turn.");
    }
    forget_calls(walk);
    if (walk->text.length > 0) {
        chat_talk_user(&walk->ask->talk, buf_steal(&walk->text));
    }
    return true;
}

static bool begin_model(struct walk *walk)
{
    if (walk->call_count > 0) {
        return REFUSE(walk, "Please ensure that the number of function response parts is equal to "
                            "the number of function call parts of the function call turn.");
    }
    return walk->index > 0 ||
           REFUSE(walk, "Please ensure that function call turn comes immediately after a user turn "
                        "or after a function response turn.");
}

static bool take_content(struct walk *walk, struct json_value content)
{
    static const char *const known[] = {"role", "parts", NULL};
    struct json_value role = json_get(content, "role");
    char place[32];
    snprintf(place, sizeof(place), "contents[%zu]", walk->index);
    walk->model = json_equals(role, "model");
    bool user =
        json_type(role) == JSON_NONE || json_equals(role, "user") || json_equals(role, "function");
    if (!walk->model && !user) {
        return REFUSE(walk, "Please use a valid role: user, model.");
    }
    if (!content_check_members(walk->exchange, content, known, place) ||
        (walk->model && !begin_model(walk)) || !take_parts(walk, json_get(content, "parts"))) {
        return false;
    }
    if (walk->model) {
        buf_reset(&walk->text);
        walk->ask->note.last_role = "model";
        chat_talk_model(&walk->ask->talk);
        return true;
    }
    walk->ask->note.last_role = walk->text.length > 0 ? "user" : "tool";
    return end_user(walk);
}

static bool take_all(struct walk *walk)
{
    struct json_value contents = walk->ask->note.messages;
    if (json_type(contents) != JSON_ARRAY || json_size(contents) == 0) {
        return REFUSE(walk, "* GenerateContentRequest.contents: contents is not specified");
    }
    for (struct json_iter it = json_iter(contents); json_next(&it); walk->index++) {
        if (!take_content(walk, it.value)) {
            return false;
        }
    }
    return !walk->model ||
           REFUSE(walk, "Please ensure that single turn requests end with a user role or the role "
                        "field is empty. Prefilling the model's turn is not supported.");
}

bool content_check_turns(struct exchange *exchange, struct chat_ask *ask)
{
    struct walk walk = {.exchange = exchange, .ask = ask};
    buf_init(&walk.text, INTAKE_BYTES_MAX);
    bool good = take_all(&walk);
    forget_calls(&walk);
    buf_free(&walk.text);
    return good;
}
