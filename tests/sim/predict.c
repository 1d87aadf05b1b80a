#include "tests/sim/predict.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/mem.h"
#include "tests/sim/check.h"
#include "tests/sim/files.h"
#include "tests/sim/reply.h"
#include "tests/sim/routes.h"
#include "tests/sim/sim.h"
#include "tests/sim/vertex.h"

#define RESPONSE_TYPE \
    "type.googleapis.com/google.ai.generativelanguage.v1beta.PredictLongRunningResponse"
#define SUPPORT_CODE "58061214"

unsigned predict_samples_left(const struct operation *operation)
{
    const struct directives *directives = &operation->directives;
    if (!directives->filter || !operation_misfortune(operation)) {
        return operation->samples;
    }
    return strcmp(directives->filter_how, "partial") == 0 ? operation->samples - 1 : 0;
}

static void write_sample(struct exchange *exchange, struct jsonw *w, const struct file *file)
{
    jsonw_object(w);
    jsonw_name(w, "video");
    jsonw_object(w);
    if (file->operation->directives.encoded) {
        struct media media = file_media(exchange->sim, file);
        jsonw_name(w, "encodedVideo");
        buf_add_byte(w->out, '"');
        reply_split(exchange, w->out);
        stream_add_base64(&exchange->reply.body, &media);
        buf_add_byte(w->out, '"');
        w->needs_comma = true;
        jsonw_member_string(w, "encoding", "video/mp4");
    } else {
        char *uri = file_uri(exchange, file);
        jsonw_member_string(w, "uri", uri);
        free(uri);
    }
    jsonw_object_end(w);
    jsonw_object_end(w);
}

void predict_write_filtered(struct jsonw *w, const struct operation *operation, unsigned count)
{
    const char *how = operation->directives.filter_how;
    const char *code = *how && strcmp(how, "partial") != 0 ? how : SUPPORT_CODE;
    char *reason = mem_format("The video could not be generated because it goes against the "
                              "usage guidelines. Try rephrasing the prompt. Support codes: %s",
                              code);
    jsonw_member_uint(w, "raiMediaFilteredCount", count);
    jsonw_name(w, "raiMediaFilteredReasons");
    jsonw_array(w);
    for (unsigned i = 0; i < count; i++) {
        jsonw_string(w, reason);
    }
    jsonw_array_end(w);
    free(reason);
}

static void write_response(struct exchange *exchange, struct jsonw *w,
                           const struct operation *operation)
{
    unsigned left = predict_samples_left(operation);
    bool silent = strcmp(operation->directives.filter_how, "empty") == 0;
    jsonw_name(w, "response");
    jsonw_object(w);
    jsonw_member_string(w, "@type", RESPONSE_TYPE);
    jsonw_name(w, "generateVideoResponse");
    jsonw_object(w);
    if (left > 0) {
        jsonw_name(w, "generatedSamples");
        jsonw_array(w);
        for (unsigned i = 0; i < left; i++) {
            write_sample(exchange, w, &operation->files[i]);
        }
        jsonw_array_end(w);
    }
    if (left < operation->samples && !silent) {
        predict_write_filtered(w, operation, operation->samples - left);
    }
    jsonw_object_end(w);
    jsonw_object_end(w);
}

bool predict_has_failed(const struct operation *operation)
{
    return operation->directives.fail && operation_misfortune(operation);
}

void predict_write_error(struct jsonw *w, const struct operation *operation)
{
    const char *code = operation->directives.fail_code;
    char *end;
    long number = strtol(code, &end, 10);
    jsonw_name(w, "error");
    jsonw_object(w);
    jsonw_member_int(w, "code", *end ? 13 : number);
    jsonw_member_string(w, "message",
                        "Video generation failed due to an internal server issue. Please try "
                        "again in a few minutes.");
    jsonw_object_end(w);
}

static void write_result(struct exchange *exchange, struct jsonw *w,
                         const struct operation *operation)
{
    if (operation->dialect == DIALECT_VERTEX) {
        vertex_write_response(exchange, w, operation);
    } else {
        write_response(exchange, w, operation);
    }
}

void predict_answer(struct exchange *exchange, const struct operation *operation, bool with_end)
{
    struct buf json;
    struct jsonw w;
    reply_reset(&exchange->reply);
    buf_init(&json, REPLY_BYTES_MAX);
    jsonw_init(&w, &json);
    jsonw_object(&w);
    jsonw_member_string(&w, "name", operation->name);
    if (with_end) {
        jsonw_member_bool(&w, "done", true);
        if (predict_has_failed(operation)) {
            predict_write_error(&w, operation);
        } else {
            write_result(exchange, &w, operation);
        }
    }
    jsonw_object_end(&w);
    reply_rest(exchange, &json);
}

void predict_submit(struct exchange *exchange, struct predict_ask *ask)
{
    struct sim *sim = exchange->sim;
    char *own = mem_format("models/%s", ask->model->id);
    if (!ask->plan.parent) {
        ask->plan.parent = own;
    }
    if (check_admission(exchange, &ask->plan)) {
        sim->stats.accepted++;
        predict_answer(exchange, operation_start(&sim->operations, &ask->plan), false);
    }
    free(own);
}

struct json *predict_open(struct exchange *exchange, const struct model **ret)
{
    *ret = model_find(exchange, exchange->model);
    if (*ret && (*ret)->family & FAMILIES_OMNI) {
        reply_error(exchange, 400, NULL, "This model only supports Interactions API.");
        return NULL;
    }
    return *ret ? check_body(exchange) : NULL;
}

void predict_serve_submit(struct exchange *exchange)
{
    const struct model *model;
    struct json *doc = predict_open(exchange, &model);
    if (!doc) {
        return;
    }
    struct predict_ask ask;
    predict_ask_init(&ask, model);
    if (predict_check(exchange, json_root(doc), &ask)) {
        predict_submit(exchange, &ask);
    }
    predict_ask_free(&ask);
    json_free(doc);
}

void predict_serve_poll(struct exchange *exchange)
{
    char name[sizeof(exchange->model) + sizeof(exchange->id) + 32];
    snprintf(name, sizeof(name), "models/%s/operations/%s", exchange->model, exchange->id);
    struct operation *operation = operation_find(&exchange->sim->operations, name);
    if (!operation) {
        reply_error(exchange, 404, NULL, "Operation %s was not found.", exchange->id);
        rules_intercept(exchange, NULL);
        return;
    }
    if (routes_poll(exchange, operation)) {
        predict_answer(exchange, operation, operation->ended);
    }
}

void predict_serve_method(struct exchange *exchange)
{
    const struct model *model = model_find(exchange, exchange->model);
    if (model && model->family & FAMILIES_OMNI) {
        reply_error(exchange, 400, NULL, "This model only supports Interactions API.");
    } else if (model) {
        reply_error(exchange, 404, NULL,
                    "models/%s is not found for API version %s, or is not supported for %s.",
                    model->id, exchange->version, exchange->id);
    }
}
