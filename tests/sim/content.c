#include "tests/sim/content.h"

#include <ctype.h>
#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/check.h"
#include "tests/sim/predict.h"
#include "tests/sim/reply.h"
#include "tests/sim/sim.h"

#define TEMPERATURE_MAX 2

struct json_value content_get(struct json_value value, const char *camel, const char *snake)
{
    struct json_value found = json_get(value, camel);
    return json_type(found) == JSON_NONE ? json_get(value, snake) : found;
}

/* "maxOutputTokens" and "max_output_tokens". */
static bool is_same_name(const char *camel, const char *name)
{
    for (; *camel; camel++, name++) {
        if (*camel != *name) {
            if (!isupper((unsigned char)*camel) || *name != '_' ||
                name[1] != tolower((unsigned char)*camel)) {
                return false;
            }
            name++;
        }
    }
    return *name == '\0';
}

bool content_check_members(struct exchange *exchange, struct json_value object,
                           const char *const *known, const char *place)
{
    for (struct json_iter it = json_iter(object); json_next(&it);) {
        char *name = json_strdup(it.name, NULL);
        const char *const *row = known;
        while (*row && !(name && is_same_name(*row, name))) {
            row++;
        }
        free(name);
        if (!*row) {
            return chat_refuse_member(exchange, it.name, place);
        }
    }
    return true;
}

static bool check_sampling(struct exchange *exchange, struct json_value config,
                           const struct chat_talk *talk)
{
    static const char *const names[][2] = {
        {"temperature", "temperature"}, {"topP", "top_p"}, {"topK", "top_k"}};
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
        if (json_type(content_get(config, names[i][0], names[i][1])) != JSON_NONE &&
            !chat_takes_sampling(talk)) {
            return reply_error(exchange, 400, NULL, "`%s` isn't supported by models/%s.",
                               names[i][0], talk->model);
        }
    }
    double number;
    struct json_value temperature = json_get(config, "temperature");
    return json_type(temperature) == JSON_NONE ||
           json_double(temperature, 0, TEMPERATURE_MAX, &number) == 0 ||
           reply_error(exchange, 400, NULL,
                       "* GenerateContentRequest.generation_config.temperature: temperature must "
                       "be in the range [0.0, 2.0].");
}

static bool check_config(struct exchange *exchange, struct chat_ask *ask)
{
    static const char *const known[] = {
        "temperature",
        "topP",
        "topK",
        "candidateCount",
        "maxOutputTokens",
        "stopSequences",
        "responseMimeType",
        "responseSchema",
        "responseJsonSchema",
        "presencePenalty",
        "frequencyPenalty",
        "seed",
        "responseLogprobs",
        "logprobs",
        "thinkingConfig",
        "speechConfig",
        "responseModalities",
        "mediaResolution",
        "imageConfig",
        NULL,
    };
    struct json_value config = content_get(ask->body, "generationConfig", "generation_config");
    int64_t number;
    ask->note.temperature = json_get(config, "temperature");
    ask->note.max_tokens = content_get(config, "maxOutputTokens", "max_output_tokens");
    if (!content_check_members(exchange, config, known, "generation_config") ||
        !check_sampling(exchange, config, &ask->talk)) {
        return false;
    }
    return json_type(ask->note.max_tokens) == JSON_NONE ||
           json_int(ask->note.max_tokens, 1, INT32_MAX, &number) == 0 ||
           reply_error(exchange, 400, NULL,
                       "* GenerateContentRequest.generation_config.max_output_tokens: "
                       "max_output_tokens must be positive.");
}

static bool check_choice(struct exchange *exchange, struct chat_ask *ask)
{
    static const char *const modes[] = {"AUTO", "ANY", "NONE", "VALIDATED", NULL};
    struct json_value config = content_get(ask->body, "toolConfig", "tool_config");
    struct json_value calling =
        content_get(config, "functionCallingConfig", "function_calling_config");
    struct json_value mode = json_get(calling, "mode");
    ask->talk.may_call = !json_equals(mode, "NONE");
    return json_type(mode) == JSON_NONE || check_one_of(mode, modes, NULL) ||
           reply_error(exchange, 400, NULL,
                       "Invalid value at 'tool_config.function_calling_config.mode'");
}

static bool check_system(struct exchange *exchange, struct chat_ask *ask)
{
    struct json_value system = content_get(ask->body, "systemInstruction", "system_instruction");
    char *text = chat_text(json_get(system, "parts"));
    bool good = json_type(system) == JSON_NONE || (text && *text);
    free(text);
    return good || reply_error(exchange, 400, NULL,
                               "* GenerateContentRequest.system_instruction.parts: "
                               "contents.parts must not be empty.");
}

static bool check_body_members(struct exchange *exchange, struct json_value body)
{
    static const char *const known[] = {"contents",
                                        "tools",
                                        "toolConfig",
                                        "safetySettings",
                                        "cachedContent",
                                        "systemInstruction",
                                        "model",
                                        "serviceTier",
                                        "generationConfig",
                                        "store",
                                        NULL};
    return content_check_members(exchange, body, known, "");
}

static bool check(struct exchange *exchange, struct chat_ask *ask)
{
    struct error error = {0};
    struct chat_talk *talk = &ask->talk;
    ask->note.messages = json_get(ask->body, "contents");
    chat_talk_measure(talk, ask->note.messages);
    if (!chat_check_model(exchange, exchange->model, talk) ||
        !check_body_members(exchange, ask->body) || !check_config(exchange, ask) ||
        !check_choice(exchange, ask) || !check_system(exchange, ask) ||
        !content_check_tools(exchange, json_get(ask->body, "tools"), talk) ||
        !content_check_turns(exchange, ask)) {
        return false;
    }
    return chat_script_open(talk, &error) == 0 ||
           reply_error(exchange, 400, NULL, "%s", error.message);
}

/* Those of the models for video are met here as well. */
static bool is_for_video(struct exchange *exchange, const char *method)
{
    bool video = fnmatch("gemini-omni-*", exchange->model, 0) == 0 ||
                 fnmatch("veo-*", exchange->model, 0) == 0;
    if (video) {
        strcpy(exchange->id, method);
        predict_serve_method(exchange);
    }
    return video;
}

static void serve(struct exchange *exchange, bool stream)
{
    if (is_for_video(exchange, stream ? "streamGenerateContent" : "generateContent")) {
        return;
    }
    struct chat_ask ask = {.note.route = "content"};
    struct json *doc = check_body(exchange);
    chat_talk_init(&ask.talk);
    ask.talk.stream = stream;
    if (doc) {
        ask.body = json_root(doc);
        if (check(exchange, &ask)) {
            chat_answer(exchange, &ask.talk, content_write);
        }
    }
    chat_log_add(exchange, &ask.note, &ask.talk);
    chat_talk_free(&ask.talk);
    json_free(doc);
}

void content_serve_generate(struct exchange *exchange)
{
    serve(exchange, false);
}

void content_serve_stream(struct exchange *exchange)
{
    serve(exchange, true);
}
