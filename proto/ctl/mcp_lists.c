#include "proto/ctl/mcp_lists.h"

#include <stdlib.h>
#include <string.h>

#include "proto/ctl/mcp_call.h"
#include "proto/ctl/text.h"
#include "proto/schema.h"

#define PROMPT_SHOWN 300 /* bytes of a prompt in a list */
#define COUNT(rows)  (sizeof(rows) / sizeof((rows)[0]))

/* ---- schemas ---- */

static void begin_schema(struct jsonw *w)
{
    static const struct schema_property common[] = {
        {"success", "boolean", "True if there is an answer."},
        {"count", "integer", "How many rows there are."},
        {"more", "boolean", "True if there are more than these."},
        {"error", "string", "What went wrong, in one line."},
        {"code", "string", "The same as a word for programs."},
        {"field", "string", "The argument that is to blame."},
        {"message", "string", "What to do next."},
    };
    schema_begin(w);
    schema_write_properties(w, common, COUNT(common));
}

static void end_schema(struct jsonw *w)
{
    static const char *const required[] = {"success", NULL};
    schema_end(w, required);
}

void lists_write_videos_schema(struct jsonw *w)
{
    static const struct schema_property rows[] = {
        {"job", "string", "The job's id."},
        {"operation_name", "string", "What check_video_status and wait_for_video take."},
        {"status", "string", "completed, processing, failed, filtered, …"},
        {"prompt", "string", "The beginning of what was asked for."},
        {"model", "string", "The video model."},
        {"path", "string", "The video's file."},
        {"error", "string", "Why there is no video."},
        {"cost_usd", "number", "Dollars that it cost; an estimate until its end."},
        {"created_at", "string", "When it was asked for."},
    };
    begin_schema(w);
    schema_write_rows(w, "videos", NULL, rows, COUNT(rows));
    end_schema(w);
}

void lists_write_costs_schema(struct jsonw *w)
{
    static const struct schema_property rows[] = {
        {"day", "string", "A day in UTC."},
        {"provider", "string", "A provider."},
        {"model", "string", "A model."},
        {"label", "string", "A label's name."},
        {"value", "string", "That label's value."},
        {"jobs", "integer", "How many videos were charged."},
        {"charged_usd", "number", "Dollars."},
        {"presumed_usd", "number", "That part of which nobody knows whether it is charged."},
    };
    static const struct schema_property budgets[] = {
        {"for", "string", "all, owner or provider."},
        {"owner", "integer", "Whose it is."},
        {"provider", "string", "Which one's it is."},
        {"daily_usd", "number", "Dollars a day."},
        {"charged_usd", "number", "Charged today."},
        {"reserved_usd", "number", "Kept for what is being generated."},
        {"left_usd", "number", "What is left today."},
    };
    static const struct schema_property sums[] = {
        {"jobs", "integer", "All that were charged."},
        {"charged_usd", "number", "Dollars, all together."},
        {"presumed_usd", "number", "That part of which nobody knows whether it is charged."},
        {"reserved_usd", "number", "Estimates of what is being generated."},
    };
    begin_schema(w);
    schema_write_rows(w, "rows", NULL, rows, COUNT(rows));
    schema_write_rows(w, "budgets", NULL, budgets, COUNT(budgets));
    schema_write_properties(w, sums, COUNT(sums));
    end_schema(w);
}

/* What of a MODELS item is of use to a model. */
static const struct schema_property models[] = {
    {"model", "string", "Its name, or a pattern of names."},
    {"provider", "string", "Who has it."},
    {"default_model", "string", "The model that is used if none is named, if it is this one."},
    {"state", "string", "current, preview, or shut-down."},
    {"replaced_by", "string", "What to use instead."},
    {"note", "string", "What else is to be known."},
    {"aspect_ratios", "array", "Those that it takes."},
    {"resolutions", "array", "Those that it takes."},
    {"durations", NULL, "Seconds: a list, or an object with min and max."},
    {"inputs", "array", "The images and videos that it takes."},
    {"accepts", "array", "What else it takes, as negative_prompt."},
    {"default_resolution", "string", "What it does if nothing is asked for."},
    {"default_duration_seconds", "number", "What it does if nothing is asked for."},
    {"rules", "array", "Which values go together."},
    {"price_per_second", "object", "Dollars by resolution; * is any."},
    {"silent_price_per_second", "object", "The same without sound."},
    {"median_ms", "number", "How long such videos took lately."},
};

void lists_write_models_schema(struct jsonw *w)
{
    begin_schema(w);
    schema_write_rows(w, "models", NULL, models, COUNT(models));
    end_schema(w);
}

/* ---- results ---- */

static char *member(struct json_value object, const char *path)
{
    return json_strdup(json_path(object, path), NULL);
}

static void copy_member(struct jsonw *w, struct json_value object, const char *name)
{
    size_t length;
    const char *raw = json_raw(json_get(object, name), &length);
    if (!raw)
        return;
    jsonw_name(w, name);
    jsonw_raw(w, raw, length);
}

static void write_prompt(struct jsonw *w, struct json_value job)
{
    char *prompt = member(job, "prompt");
    struct buf shown;
    if (!prompt)
        return;
    buf_init(&shown, 8 * PROMPT_SHOWN);
    text_cut(&shown, prompt, strlen(prompt), PROMPT_SHOWN);
    jsonw_member_string(w, "prompt", buf_text(&shown));
    buf_free(&shown);
    free(prompt);
}

/* The same words as in the result of one video. */
static void copy_result(struct jsonw *w, struct json_value job, bool with_error)
{
    static const char *const copied[] = {"job",  "operation_name", "status", "model",
                                         "path", "cost_usd",       "error"};
    size_t count = COUNT(copied) - (with_error ? 0 : 1);
    struct tool_call call = {.tool = TOOL_CHECK};
    struct buf text;
    struct jsonw result;
    buf_init(&text, MCP_RESULT_MAX);
    jsonw_init(&result, &text);
    tool_write_result(&call, job, &result);
    struct json *doc =
        text.failed ? NULL : json_parse(text.data, text.length, (struct json_limits){0}, NULL);
    for (size_t i = 0; i < count; i++)
        copy_member(w, json_root(doc), copied[i]);
    json_free(doc);
    buf_free(&text);
}

void lists_write_video(struct json_value job, struct jsonw *w)
{
    jsonw_object(w);
    copy_result(w, job, true);
    write_prompt(w, job);
    copy_member(w, job, "created_at");
    jsonw_object_end(w);
}

void lists_write_model(struct json_value item, struct jsonw *w)
{
    jsonw_object(w);
    for (size_t i = 0; i < COUNT(models); i++)
        copy_member(w, item, models[i].name);
    jsonw_object_end(w);
}

bool lists_takes_model(const struct mcp_call *call, struct json_value item)
{
    char *name = member(item, "model");
    bool takes = !call->call.model || (name && strcasestr(name, call->call.model));
    free(name);
    return takes;
}

static void begin_result(struct mcp_call *call, struct buf *text, struct jsonw *w, const char *rows)
{
    buf_init(text, 2 * MCP_RESULT_MAX);
    jsonw_init(w, text);
    jsonw_object(w);
    jsonw_member_bool(w, "success", true);
    jsonw_name(w, rows);
    jsonw_array(w);
    if (call->rows.length > 0)
        jsonw_raw(w, call->rows.data, call->rows.length);
    jsonw_array_end(w);
    jsonw_member_uint(w, "count", call->row_count);
}

static void end_result(struct mcp_call *call, struct buf *text, struct jsonw *w)
{
    jsonw_object_end(w);
    char *result = buf_steal(text);
    mcp_call_finish(call, result);
    free(result);
}

void lists_answer_videos(struct mcp_call *call, struct json_value ok)
{
    struct buf text;
    struct jsonw w;
    begin_result(call, &text, &w, "videos");
    jsonw_member_bool(&w, "more",
                      call->has_more_rows || json_type(json_get(ok, "after")) != JSON_NONE);
    end_result(call, &text, &w);
}

void lists_answer_costs(struct mcp_call *call, struct json_value ok)
{
    struct buf text;
    struct jsonw w;
    begin_result(call, &text, &w, "rows");
    for (struct json_iter it = json_iter(ok); json_next(&it);) {
        size_t length;
        char *name = json_strdup(it.name, NULL);
        const char *raw = json_raw(it.value, &length);
        if (name && strcmp(name, "count") != 0) {
            jsonw_name(&w, name);
            jsonw_raw(&w, raw, length);
        }
        free(name);
    }
    end_result(call, &text, &w);
}

void lists_answer_models(struct mcp_call *call, struct json_value ok)
{
    struct buf text;
    struct jsonw w;
    (void)ok;
    begin_result(call, &text, &w, "models");
    end_result(call, &text, &w);
}

void lists_answer_cancelled(struct mcp_call *call, struct json_value ok)
{
    struct buf text;
    struct jsonw w;
    buf_init(&text, MCP_RESULT_MAX);
    jsonw_init(&w, &text);
    jsonw_object(&w);
    jsonw_member_bool(&w, "success", true);
    copy_result(&w, ok, false);
    jsonw_member_string(&w, "message",
                        "What the provider had begun of it may be charged all the same.");
    end_result(call, &text, &w);
}
