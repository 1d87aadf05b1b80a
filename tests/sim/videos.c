#include "tests/sim/videos.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/check.h"
#include "tests/sim/files.h"
#include "tests/sim/form.h"
#include "tests/sim/predict.h"
#include "tests/sim/reply.h"
#include "tests/sim/routes.h"
#include "tests/sim/sim.h"

#define KEPT_MS ((int64_t)48 * 3600 * 1000)

static bool is_filtered(const struct operation *operation)
{
    return predict_samples_left(operation) == 0;
}

static bool has_ended_badly(const struct operation *operation)
{
    return operation->ended && (is_filtered(operation) || predict_has_failed(operation));
}

/* Older gateways call everything completed that has ended. */
static bool is_old(const struct exchange *exchange, const struct operation *operation)
{
    return operation->directives.completed || exchange->sim->options.old_videos;
}

static const char *size_of(const struct operation *operation)
{
    bool large = strcmp(operation->resolution, "1080p") == 0;
    if (operation->portrait) {
        return large ? "1080x1920" : "720x1280";
    }
    return large ? "1920x1080" : "1280x720";
}

static void write_error(struct jsonw *w, const struct operation *operation)
{
    bool filtered = is_filtered(operation) && !predict_has_failed(operation);
    jsonw_name(w, "error");
    jsonw_object(w);
    jsonw_member_string(w, "code",
                        filtered ? "rai_media_filtered" : operation->directives.fail_code);
    jsonw_member_string(w, "message",
                        filtered ? "The video could not be generated because it goes against the "
                                   "usage guidelines. Support codes: 58061214"
                                 : "Video generation failed due to an internal server issue.");
    jsonw_object_end(w);
}

static void write_progress(struct exchange *exchange, struct jsonw *w,
                           const struct operation *operation, bool created)
{
    bool bad = has_ended_badly(operation) && !is_old(exchange, operation);
    const char *running = created ? "queued" : "in_progress";
    jsonw_member_string(w, "status", bad ? "failed" : operation->ended ? "completed" : running);
    jsonw_member_int(w, "progress", operation->ended ? 100 : 0);
    jsonw_member_int(w, "created_at", operation->submitted_at / 1000);
    if (operation->ended) {
        jsonw_member_int(w, "completed_at", operation->finished_at / 1000);
        jsonw_member_int(w, "expires_at", (operation->finished_at + KEPT_MS) / 1000);
    }
    if (bad) {
        write_error(w, operation);
    }
}

static void answer_with(struct exchange *exchange, const struct operation *operation, bool created)
{
    struct buf json;
    struct jsonw w;
    char seconds[16];
    buf_init(&json, REPLY_BYTES_MAX);
    jsonw_init(&w, &json);
    snprintf(seconds, sizeof(seconds), "%g", operation->seconds);
    jsonw_object(&w);
    jsonw_member_string(&w, "id", operation->name);
    jsonw_member_string(&w, "object", "video");
    write_progress(exchange, &w, operation, created);
    jsonw_member_string(&w, "model", operation->model);
    jsonw_member_string(&w, "seconds", seconds);
    jsonw_member_string(&w, "size", size_of(operation));
    jsonw_name(&w, "usage");
    jsonw_object(&w);
    jsonw_member_double(&w, "duration_seconds", operation->seconds);
    jsonw_object_end(&w);
    jsonw_object_end(&w);
    reply_json(&exchange->reply, 200, &json);
}

static void submit(struct exchange *exchange, struct predict_ask *ask)
{
    struct sim *sim = exchange->sim;
    if (check_admission(exchange, &ask->plan)) {
        sim->stats.accepted++;
        answer_with(exchange, operation_start(&sim->operations, &ask->plan), true);
    }
}

/* "gemini/veo-…", "vertex_ai/veo-…", "veo-…" */
static const struct model *find_model(struct exchange *exchange, struct form *form)
{
    const char *name = form_text(form, "model");
    const char *slash = name ? strrchr(name, '/') : NULL;
    if (!name || !*name) {
        reply_error(exchange, 400, NULL, "model is required.");
        return NULL;
    }
    const struct model *model = model_find(exchange, slash ? slash + 1 : name);
    if (model && model->family & FAMILIES_OMNI) {
        reply_error(exchange, 400, NULL, "This model only supports Interactions API.");
        return NULL;
    }
    return model;
}

static void create(struct exchange *exchange, struct form *form)
{
    const struct model *model = find_model(exchange, form);
    char *shown = model ? videos_translate(exchange, form) : NULL;
    if (!shown) {
        return;
    }
    struct buf *text = &exchange->intake.text;
    struct json *doc = json_parse(buf_text(text), text->length, (struct json_limits){0}, NULL);
    struct predict_ask ask;
    predict_ask_init(&ask, model);
    ask.plan.dialect = DIALECT_VIDEOS;
    ask.plan.shown = shown;
    if (!doc) {
        reply_error(exchange, 400, NULL, "A field is given twice.");
    } else if (predict_check(exchange, json_root(doc), &ask)) {
        submit(exchange, &ask);
    }
    predict_ask_free(&ask);
    json_free(doc);
    free(shown);
}

static struct operation *find(struct exchange *exchange)
{
    struct operation *operation = operation_find(&exchange->sim->operations, exchange->id);
    if (operation && operation->dialect == DIALECT_VIDEOS) {
        return operation;
    }
    reply_error(exchange, 404, NULL, "Video %s was not found.", exchange->id);
    return NULL;
}

void videos_serve_create(struct exchange *exchange)
{
    if (exchange->form) {
        form_end(exchange->form);
        create(exchange, exchange->form);
        return;
    }
    struct json *doc = check_body(exchange);
    if (doc) {
        struct form *form = form_of_json(json_root(doc));
        json_free(doc);
        create(exchange, form);
        form_close(form);
    }
}

void videos_serve_get(struct exchange *exchange)
{
    struct operation *operation = find(exchange);
    if (!operation) {
        rules_intercept(exchange, NULL);
    } else if (routes_poll(exchange, operation)) {
        answer_with(exchange, operation, false);
    }
}

void videos_serve_content(struct exchange *exchange)
{
    struct operation *operation = find(exchange);
    if (!operation) {
        return;
    }
    if (!operation->ended) {
        reply_error(exchange, 400, NULL, "Video %s is not ready yet.", exchange->id);
    } else if (!has_ended_badly(operation)) {
        files_send(exchange, &operation->files[0]);
    } else if (is_old(exchange, operation)) {
        predict_answer(exchange, operation, true);
    } else {
        reply_error(exchange, 400, NULL, "Video %s has failed.", exchange->id);
    }
}
