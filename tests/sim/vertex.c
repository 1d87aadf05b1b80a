#include "tests/sim/vertex.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "proto/mem.h"
#include "tests/sim/check.h"
#include "tests/sim/files.h"
#include "tests/sim/predict.h"
#include "tests/sim/reply.h"
#include "tests/sim/routes.h"
#include "tests/sim/sim.h"

#define RESPONSE_TYPE "type.googleapis.com/cloud.ai.large_models.vision.GenerateVideoResponse"

static void write_video(struct exchange *exchange, struct jsonw *w, const struct file *file)
{
    jsonw_object(w);
    if (file->object) {
        char *uri = mem_format("gs://%s", file->object);
        jsonw_member_string(w, "gcsUri", uri);
        free(uri);
    } else {
        struct media media = file_media(exchange->sim, file);
        jsonw_name(w, "bytesBase64Encoded");
        buf_add_byte(w->out, '"');
        reply_split(exchange, w->out);
        stream_add_base64(&exchange->reply.body, &media);
        buf_add_byte(w->out, '"');
        w->needs_comma = true;
    }
    jsonw_member_string(w, "mimeType", "video/mp4");
    jsonw_object_end(w);
}

void vertex_write_response(struct exchange *exchange, struct jsonw *w,
                           const struct operation *operation)
{
    unsigned left = predict_samples_left(operation);
    bool silent = strcmp(operation->directives.filter_how, "empty") == 0;
    jsonw_name(w, "response");
    jsonw_object(w);
    jsonw_member_string(w, "@type", RESPONSE_TYPE);
    if (left < operation->samples && !silent) {
        predict_write_filtered(w, operation, operation->samples - left);
    } else if (left > 0) {
        jsonw_member_uint(w, "raiMediaFilteredCount", 0);
    }
    if (left > 0) {
        jsonw_name(w, "videos");
        jsonw_array(w);
        for (unsigned i = 0; i < left; i++) {
            write_video(exchange, w, &operation->files[i]);
        }
        jsonw_array_end(w);
    }
    jsonw_object_end(w);
}

static char *parent_of(const struct exchange *exchange)
{
    return mem_format("projects/%s/locations/%s/publishers/google/models/%s", exchange->project,
                      exchange->location, exchange->model);
}

void vertex_serve_submit(struct exchange *exchange)
{
    const struct model *model;
    struct json *doc = predict_open(exchange, &model);
    if (!doc) {
        return;
    }
    struct predict_ask ask;
    char *parent = parent_of(exchange);
    predict_ask_init(&ask, model);
    ask.vertex = true;
    ask.plan.parent = parent;
    ask.plan.on_vertex = true;
    ask.plan.dialect = DIALECT_VERTEX;
    if (predict_check(exchange, json_root(doc), &ask)) {
        predict_submit(exchange, &ask);
    }
    predict_ask_free(&ask);
    free(parent);
    json_free(doc);
}

/* The name must belong to the path it is asked at. NULL with the reply set. */
static struct operation *find(struct exchange *exchange, struct json_value body)
{
    char *name = json_strdup(json_get(body, "operationName"), NULL);
    char *parent = parent_of(exchange);
    size_t length = strlen(parent);
    struct operation *operation = NULL;
    if (!name) {
        reply_error(exchange, 400, NULL, "The request's `operationName` is missing.");
    } else if (strncmp(name, parent, length) != 0 ||
               strncmp(name + length, "/operations/", strlen("/operations/")) != 0) {
        reply_error(exchange, 400, NULL, "The operation %s is not one of %s.", name, parent);
    } else if (!(operation = operation_find(&exchange->sim->operations, name))) {
        reply_error(exchange, 404, NULL, "Operation %s was not found.", name);
    }
    free(name);
    free(parent);
    return operation;
}

void vertex_serve_fetch(struct exchange *exchange)
{
    struct json *doc = check_body(exchange);
    if (!doc) {
        return;
    }
    struct operation *operation = find(exchange, json_root(doc));
    if (!operation) {
        rules_intercept(exchange, NULL);
    } else if (routes_poll(exchange, operation)) {
        predict_answer(exchange, operation, operation->ended);
    }
    json_free(doc);
}

static void describe(struct exchange *exchange, const struct file *file)
{
    struct buf json;
    struct jsonw w;
    char *size = mem_format("%" PRIu64, file_media(exchange->sim, file).length);
    buf_init(&json, REPLY_BYTES_MAX);
    jsonw_init(&w, &json);
    jsonw_object(&w);
    jsonw_member_string(&w, "kind", "storage#object");
    jsonw_member_string(&w, "bucket", exchange->model);
    jsonw_member_string(&w, "name", exchange->id);
    jsonw_member_string(&w, "contentType", "video/mp4");
    jsonw_member_string(&w, "size", size);
    jsonw_object_end(&w);
    reply_json(&exchange->reply, 200, &json);
    free(size);
}

void vertex_serve_object(struct exchange *exchange)
{
    const char *alt = exchange_argument(exchange, "alt");
    char *name = mem_format("%s/%s", exchange->model, exchange->id);
    struct file *file = operation_object(&exchange->sim->operations, name);
    if (!file) {
        reply_error(exchange, 404, NULL, "No such object: %s", name);
    }
    if (alt && strcmp(alt, "media") == 0) {
        files_send(exchange, file);
    } else if (file) {
        describe(exchange, file);
    }
    free(name);
}
