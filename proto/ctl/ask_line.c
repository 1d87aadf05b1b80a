#include "proto/ctl/ask_line.h"

#include <stdlib.h>
#include <string.h>

#include "proto/ctl/exit.h"
#include "proto/ctl/job_view.h"
#include "proto/ctl/text.h"
#include "proto/ctl/tree.h"
#include "proto/limits.h"

#define PROMPT_LEAST 16 /* columns of a prompt that are shown at any rate */

static void add_member(struct buf *out, struct json_value object, const char *path,
                       const char *before, const char *after)
{
    struct json_value value = json_path(object, path);
    if (json_type(value) == JSON_NONE)
        return;
    buf_add_text(out, before);
    tree_scalar(out, path, value);
    buf_add_text(out, after);
}

/* These speak for themselves. */
static bool is_bare(const char *name)
{
    static const char *const names[] = {"aspect_ratio", "resolution",     "duration_seconds",
                                        "image_path",   "operation_name", "model"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strcmp(names[i], name) == 0)
            return true;
    }
    return false;
}

static void add_argument(struct buf *out, const char *name, struct json_value value)
{
    bool is_text = json_type(value) == JSON_STRING;
    if (json_equals(value, ""))
        return;
    buf_add_byte(out, ' ');
    if (!is_bare(name)) {
        text_clean(out, name, strlen(name));
        buf_add_text(out, is_text ? "=\"" : "=");
    }
    tree_scalar(out, name, value);
    if (is_text && !is_bare(name))
        buf_add_byte(out, '"');
}

static void add_others(struct buf *out, struct json_value arguments)
{
    for (struct json_iter it = json_iter(arguments); json_next(&it);) {
        char *name = json_strdup(it.name, NULL);
        if (name && strcmp(name, "prompt") != 0)
            add_argument(out, name, it.value);
        free(name);
    }
}

static void add_quoted(struct buf *out, const char *text, size_t columns)
{
    buf_add_text(out, "  \"");
    text_cut(out, text, strlen(text), columns < PROMPT_LEAST ? PROMPT_LEAST : columns);
    buf_add_byte(out, '"');
}

void ask_line_call(struct buf *out, struct json_value event, size_t columns)
{
    struct buf others;
    struct json_value arguments = json_get(event, "arguments");
    bool is_broken = json_type(arguments) == JSON_STRING;
    char *prompt =
        is_broken ? json_strdup(arguments, NULL) : json_strdup(json_get(arguments, "prompt"), NULL);
    buf_init(&others, LIMIT_REPLY_LINE);
    if (json_type(arguments) == JSON_OBJECT)
        add_others(&others, arguments);
    add_member(out, event, "tool", "", "");
    if (prompt && *prompt) {
        size_t used = text_width(buf_text(out), out->length) +
                      text_width(buf_text(&others), others.length) + strlen("  \"\" ");
        add_quoted(out, prompt, used < columns ? columns - used : 0);
    }
    if (others.length > 0)
        buf_addf(out, " %s", buf_text(&others));
    buf_free(&others);
    free(prompt);
}

static enum ask_mark add_video(struct buf *out, struct json_value result)
{
    add_member(out, result, "job", "", "  ");
    add_member(out, result, "duration_seconds", "", " ");
    buf_add_text(out, "video");
    add_member(out, result, "cost_usd", "  ", "");
    if (json_type(json_get(result, "path")) == JSON_STRING)
        add_member(out, result, "path", "  ", "");
    else
        add_member(out, result, "video_uri", "  ", "");
    return ASK_MARK_DONE;
}

enum ask_mark ask_line_result(struct buf *out, struct json_value event)
{
    struct json_value result = json_get(event, "result");
    bool success = false;
    json_bool(json_get(result, "success"), &success);
    if (success && json_equals(json_get(result, "status"), "completed"))
        return add_video(out, result);
    if (json_type(json_get(result, "job")) == JSON_STRING)
        add_member(out, result, "job", "", "  ");
    else
        add_member(out, event, "tool", "", "  ");
    size_t before = out->length;
    add_member(out, result, "status", "", "");
    if (success)
        return ASK_MARK_GOING;
    add_member(out, result, "error", out->length > before ? ": " : "", "");
    add_member(out, result, "code", " (", ")");
    return ASK_MARK_BAD;
}

enum ask_mark ask_line_job(struct buf *out, struct json_value job)
{
    job_line(out, job);
    add_member(out, json_get(job, "files"), "0.path", "  ", "");
    return json_equals(json_get(job, "state"), "done") ? ASK_MARK_DONE : ASK_MARK_BAD;
}

void ask_line_file(struct buf *out, struct json_value file)
{
    add_member(out, file, "path", "", "");
    add_member(out, file, "bytes", "  ", "");
}
