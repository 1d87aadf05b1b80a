#include "tests/sim/interactions.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "proto/mem.h"
#include "tests/sim/check.h"
#include "tests/sim/files.h"
#include "tests/sim/reply.h"
#include "tests/sim/routes.h"
#include "tests/sim/sim.h"

/* Tokens of one second of video. */
static int64_t tokens_per_second(const char *resolution)
{
    return strcmp(resolution, "360p") == 0    ? 1931
           : strcmp(resolution, "1080p") == 0 ? 8688
           : strcmp(resolution, "4k") == 0    ? 17376
                                              : 5792;
}

/* The code of a google.rpc number, as interactions names it. */
static const char *error_code(const char *number)
{
    static const struct {
        const char *number;
        const char *code;
    } codes[] = {
        {"3", "invalid_request"},     {"4", "deadline_exceeded"}, {"7", "permission_denied"},
        {"8", "rate_limit_exceeded"}, {"13", "api_error"},        {"14", "service_unavailable"},
    };
    for (size_t i = 0; i < sizeof(codes) / sizeof(*codes); i++) {
        if (strcmp(codes[i].number, number) == 0) {
            return codes[i].code;
        }
    }
    return number;
}

struct ending {
    const char *status;
    const char *code; /* of an error; NULL: none */
    bool has_video;
};

static struct ending how_it_ended(const struct operation *operation)
{
    const struct directives *directives = &operation->directives;
    if (!operation->ended) {
        return (struct ending){.status = "in_progress"};
    }
    if (operation->cancelled) {
        return (struct ending){.status = "cancelled"};
    }
    if (*directives->status) {
        return (struct ending){.status = directives->status};
    }
    bool hit = operation_misfortune(operation);
    if (hit && directives->fail) {
        return (struct ending){.status = "failed", .code = error_code(directives->fail_code)};
    }
    if (hit && directives->filter && *directives->filter_how) {
        return (struct ending){.status = "failed", .code = directives->filter_how};
    }
    return (struct ending){.status = "completed", .has_video = !hit || !directives->filter};
}

static void write_user_input(struct jsonw *w, const struct operation *operation)
{
    jsonw_object(w);
    jsonw_member_string(w, "type", "user_input");
    jsonw_name(w, "content");
    jsonw_array(w);
    jsonw_object(w);
    jsonw_member_string(w, "type", "text");
    jsonw_member_string(w, "text", operation->prompt);
    jsonw_object_end(w);
    jsonw_array_end(w);
    jsonw_object_end(w);
    jsonw_object(w);
    jsonw_member_string(w, "type", "thought");
    jsonw_member_string(w, "signature", "dmVvc2ltIGRvZXMgbm90IHRoaW5r");
    jsonw_object_end(w);
}

/* The video's content block. Inline, the text so far goes into the body, and the base64 after it.
 */
static void write_video(struct exchange *exchange, struct jsonw *w,
                        const struct operation *operation)
{
    jsonw_object(w);
    jsonw_member_string(w, "type", "video");
    jsonw_member_string(w, "mime_type", "video/mp4");
    if (operation->deliver_uri || operation->directives.foreign) {
        char *uri = file_uri(exchange, &operation->files[0]);
        jsonw_member_string(w, "uri", uri);
        free(uri);
    } else {
        jsonw_name(w, "data");
        buf_add_byte(w->out, '"');
        reply_split(exchange, w->out);
        struct media media = file_media(exchange->sim, &operation->files[0]);
        stream_add_base64(&exchange->reply.body, &media);
        buf_add_byte(w->out, '"');
        w->needs_comma = true;
    }
    jsonw_object_end(w);
}

static void write_refusal(struct jsonw *w)
{
    jsonw_object(w);
    jsonw_member_string(w, "type", "text");
    jsonw_member_string(w, "text", "I can't generate that video. Try another prompt.");
    jsonw_object_end(w);
}

static void write_output(struct exchange *exchange, struct jsonw *w,
                         const struct operation *operation, bool has_video)
{
    bool old = operation->directives.old_outputs || exchange->sim->options.old_outputs;
    jsonw_name(w, old ? "outputs" : "steps");
    jsonw_array(w);
    if (!old) {
        write_user_input(w, operation);
        jsonw_object(w);
        jsonw_member_string(w, "type", "model_output");
        jsonw_name(w, "content");
        jsonw_array(w);
    }
    if (has_video) {
        write_video(exchange, w, operation);
    } else {
        write_refusal(w);
    }
    if (!old) {
        jsonw_array_end(w);
        jsonw_object_end(w);
    }
    jsonw_array_end(w);
}

static void write_usage(struct jsonw *w, const struct operation *operation, bool has_video)
{
    double tokens = (double)tokens_per_second(operation->resolution) * operation->seconds;
    int64_t output = has_video ? (int64_t)ceil(tokens) : 0;
    int64_t input = (int64_t)strlen(operation->prompt) / 4 + 1;
    jsonw_name(w, "usage");
    jsonw_object(w);
    jsonw_member_int(w, "total_input_tokens", input);
    jsonw_member_int(w, "total_output_tokens", output);
    jsonw_member_int(w, "total_tokens", input + output);
    jsonw_name(w, "output_tokens_by_modality");
    jsonw_array(w);
    jsonw_object(w);
    jsonw_member_string(w, "modality", "video");
    jsonw_member_int(w, "tokens", output);
    jsonw_object_end(w);
    jsonw_array_end(w);
    jsonw_object_end(w);
}

static void write_errors(struct jsonw *w, const char *code)
{
    jsonw_name(w, "errors");
    jsonw_array(w);
    jsonw_object(w);
    jsonw_member_string(w, "code", code);
    jsonw_member_string(w, "message", "The video could not be generated.");
    jsonw_object_end(w);
    jsonw_array_end(w);
}

static void answer_with(struct exchange *exchange, const struct operation *operation)
{
    struct ending ending = how_it_ended(operation);
    struct buf json;
    struct jsonw w;
    reply_reset(&exchange->reply);
    buf_init(&json, REPLY_BYTES_MAX * 4);
    jsonw_init(&w, &json);
    jsonw_object(&w);
    if (operation->stored) {
        jsonw_member_string(&w, "id", operation->name);
    }
    jsonw_member_string(&w, "object", "interaction");
    jsonw_member_string(&w, "model", operation->model);
    jsonw_member_string(&w, "status", ending.status);
    jsonw_member_time(&w, "created", operation->submitted_at);
    jsonw_member_time(&w, "updated",
                      operation->ended ? operation->finished_at : operation->submitted_at);
    if (strcmp(ending.status, "completed") == 0) {
        write_output(exchange, &w, operation, ending.has_video);
        write_usage(&w, operation, ending.has_video);
    }
    if (ending.code) {
        write_errors(&w, ending.code);
    }
    jsonw_object_end(&w);
    reply_rest(exchange, &json);
}

static void create(struct exchange *exchange, struct interaction_ask *ask)
{
    struct sim *sim = exchange->sim;
    if (!check_admission(exchange, &ask->plan)) {
        return;
    }
    struct operation *operation = operation_start(&sim->operations, &ask->plan);
    sim->stats.accepted++;
    bool reset = exchange->rule && exchange->rule->action == ACTION_RESET_AFTER;
    if (ask->background || reset) {
        answer_with(exchange, operation);
    } else {
        exchange_wait_for(exchange, operation);
    }
}

static struct operation *find(struct exchange *exchange)
{
    struct operation *operation = operation_find(&exchange->sim->operations, exchange->id);
    if (operation && operation->stored && operation->dialect == DIALECT_INTERACTIONS &&
        operation->on_vertex == (*exchange->project != '\0')) {
        return operation;
    }
    reply_error(exchange, 404, "not_found", "Interaction %s was not found.", exchange->id);
    return NULL;
}

void interactions_serve_create(struct exchange *exchange)
{
    struct json *doc = check_body(exchange);
    if (!doc) {
        return;
    }
    struct interaction_ask ask;
    interaction_ask_init(&ask);
    if (interaction_check(exchange, json_root(doc), &ask)) {
        create(exchange, &ask);
    }
    interaction_ask_free(&ask);
    json_free(doc);
}

void interactions_serve_get(struct exchange *exchange)
{
    struct operation *operation = find(exchange);
    if (!operation) {
        rules_intercept(exchange, NULL);
        return;
    }
    if (!routes_poll(exchange, operation)) {
        return;
    }
    answer_with(exchange, operation);
}

void interactions_serve_cancel(struct exchange *exchange)
{
    struct operation *operation = find(exchange);
    if (!operation || rules_intercept(exchange, operation->prompt)) {
        return;
    }
    if (operation->ended && !operation->cancelled) {
        reply_error(exchange, 400, "failed_precondition", "Interaction %s has already ended.",
                    exchange->id);
        return;
    }
    operation_cancel(operation);
    answer_with(exchange, operation);
}

void interactions_serve_delete(struct exchange *exchange)
{
    struct operation *operation = find(exchange);
    if (operation && !rules_intercept(exchange, operation->prompt)) {
        operation_cancel(operation);
        operation->deleted = true;
        reply_text(&exchange->reply, 200, "application/json; charset=UTF-8", "{}\n");
    }
}

void interactions_serve_held(struct exchange *exchange)
{
    if (exchange->operation) {
        answer_with(exchange, exchange->operation);
    } else {
        reply_error(exchange, 499, NULL, "The simulator was reset.");
    }
}
