#include "proto/tool.h"

#include <float.h>
#include <stdlib.h>
#include <string.h>

#include "proto/buf.h"
#include "proto/mem.h"

#define COUNT(rows) (sizeof(rows) / sizeof((rows)[0]))

#define TEXT_MAX (64 * 1024)

/* What a state of the protocol is to the callers of tools. */
struct status {
    const char *state;
    const char *name;
    const char *message;
};

static const struct status statuses[] = {
    {"done", "completed", NULL},
    {"completed", "completed", NULL},
    {"failed", "failed", NULL},
    {"filtered", "filtered",
     "The safety filter stopped it; that costs nothing. Word the prompt differently, or use "
     "another image, and generate again."},
    {"cancelled", "cancelled", "It was cancelled. Generate again if the video is still wanted."},
    {"expired", "expired",
     "It was not done before its deadline. Whether to generate again is the user's to decide."},
    {"uncertain", "uncertain",
     "It was sent, and no answer came: it may be running, and charged. Don't generate it again by "
     "yourself; tell the user, who can retry or cancel the job."},
    {"held", "held",
     "It is accepted and waits, for the user to release it or for the budget to have room. Don't "
     "generate it again; tell the user."},
};

static const struct status processing = {NULL, "processing", NULL};

static const struct status *status_of(struct json_value job)
{
    struct json_value state = json_get(job, "state");
    for (size_t i = 0; i < COUNT(statuses); i++)
        if (json_equals(state, statuses[i].state))
            return &statuses[i];
    return &processing;
}

static char *member(struct json_value object, const char *path)
{
    return json_strdup(json_path(object, path), NULL);
}

/* The job's own words come first: defaults were filled in there. */
static void write_text(struct jsonw *w, struct json_value job, const char *name,
                       const char *otherwise)
{
    char *text = member(job, name);
    jsonw_member_string(w, name, text ? text : otherwise);
    free(text);
}

static void write_request(struct jsonw *w, struct json_value job, const struct tool_call *call)
{
    double seconds = call->duration_seconds;
    write_text(w, job, "prompt", call->prompt);
    write_text(w, job, "aspect_ratio", call->aspect_ratio);
    write_text(w, job, "resolution", call->resolution);
    write_text(w, job, "negative_prompt", call->negative_prompt);
    json_double(json_get(job, "duration_seconds"), 0, DBL_MAX, &seconds);
    if (seconds != 0)
        jsonw_member_double(w, "duration_seconds", seconds);
    jsonw_member_string(w, "image_path", call->image_path);
    write_text(w, job, "model", call->model);
    write_text(w, job, "provider", NULL);
}

char *tool_file_uri(const char *path)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                "-._~/!$&'()*+,;=:@";
    struct buf out;
    buf_init(&out, TEXT_MAX);
    buf_add_text(&out, "file://");
    for (; *path; path++) {
        if (strchr(plain, *path))
            buf_add_byte(&out, *path);
        else
            buf_addf(&out, "%%%02X", (unsigned)(unsigned char)*path);
    }
    return buf_steal(&out);
}

static void write_file(struct jsonw *w, struct json_value file)
{
    int64_t bytes;
    jsonw_object(w);
    write_text(w, file, "path", NULL);
    if (json_int(json_get(file, "bytes"), 0, INT64_MAX, &bytes) == 0)
        jsonw_member_int(w, "bytes", bytes);
    write_text(w, file, "mime_type", NULL);
    jsonw_object_end(w);
}

static bool is_there(struct json_value file)
{
    return json_type(json_get(file, "path")) == JSON_STRING &&
           json_type(json_get(file, "removed_at")) == JSON_NONE;
}

/* Of the files that were not removed since. The first one's path, owned, or NULL. */
static char *write_files(struct jsonw *w, struct json_value job)
{
    char *first = NULL;
    for (struct json_iter it = json_iter(json_get(job, "files")); json_next(&it);) {
        if (!is_there(it.value))
            continue;
        if (!first) {
            first = member(it.value, "path");
            jsonw_member_string(w, "path", first);
            jsonw_name(w, "files");
            jsonw_array(w);
        }
        write_file(w, it.value);
    }
    if (first)
        jsonw_array_end(w);
    return first;
}

static void write_video(struct jsonw *w, struct json_value job)
{
    char *path = write_files(w, job);
    char *uri = member(job, "video_uri");
    if (!uri && path)
        uri = tool_file_uri(path);
    jsonw_member_string(w, "video_uri", uri);
    if (!path && json_size(json_get(job, "files")) > 0)
        jsonw_member_string(w, "message", "The video's file has been removed since.");
    free(uri);
    free(path);
}

static void write_line(struct jsonw *w, const char *name, char *text)
{
    for (char *c = text; c && *c; c++)
        if ((unsigned char)*c < ' ')
            *c = ' ';
    jsonw_member_string(w, name, text);
    free(text);
}

static const char *advice_on_failure(struct json_value job)
{
    bool retryable = false;
    json_bool(json_path(job, "error.retryable"), &retryable);
    return retryable ? "There is no video. The same request may succeed if it is made again later."
                     : "There is no video. Change what the error speaks of before generating "
                       "again.";
}

static void write_advice(struct jsonw *w, struct json_value job, const struct tool_call *call,
                         const struct status *status)
{
    if (status == &processing) {
        struct buf text;
        buf_init(&text, TEXT_MAX);
        buf_addf(&text, "It is still being generated; ask again with %s.",
                 call->ask_again ? call->ask_again : tool_info(TOOL_CHECK)->name);
        jsonw_member_string(w, "message", buf_text(&text));
        buf_free(&text);
    } else {
        bool failed = strcmp(status->name, "failed") == 0;
        jsonw_member_string(w, "message", failed ? advice_on_failure(job) : status->message);
    }
}

static void write_cost(struct jsonw *w, struct json_value job)
{
    double usd;
    struct json_value cost = json_get(job, "cost");
    if (json_double(json_get(cost, "charged_usd"), 0, DBL_MAX, &usd) == 0 ||
        json_double(json_get(cost, "estimate_usd"), 0, DBL_MAX, &usd) == 0)
        jsonw_member_double(w, "cost_usd", usd);
}

static void write_progress(struct jsonw *w, struct json_value job)
{
    double elapsed, expected;
    struct json_value progress = json_get(job, "progress");
    if (json_double(json_get(progress, "elapsed_ms"), 0, DBL_MAX, &elapsed) < 0 ||
        json_double(json_get(progress, "expected_ms"), 0, DBL_MAX, &expected) < 0)
        return;
    jsonw_name(w, "progress");
    jsonw_object(w);
    jsonw_member_double(w, "elapsed_seconds", elapsed / 1000);
    jsonw_member_double(w, "expected_seconds", expected / 1000);
    jsonw_object_end(w);
}

static void write_names(struct jsonw *w, struct json_value job, const struct tool_call *call)
{
    char *id = member(job, "id");
    char *operation = member(job, "operation_name");
    jsonw_member_string(w, "job", id);
    jsonw_member_string(w, "operation_name", operation ? operation : id ? id : call->operation);
    free(operation);
    free(id);
}

void tool_write_result(const struct tool_call *call, struct json_value job, struct jsonw *w)
{
    const struct status *status = status_of(job);
    bool completed = strcmp(status->name, "completed") == 0;
    bool success = completed || status == &processing;
    jsonw_object(w);
    jsonw_member_bool(w, "success", success);
    jsonw_member_string(w, "status", status->name);
    write_names(w, job, call);
    if (completed)
        write_video(w, job);
    write_request(w, job, call);
    if (!success) {
        write_line(w, "error", member(job, "error.message"));
        write_line(w, "code", member(job, "error.code"));
    }
    write_advice(w, job, call, status);
    write_cost(w, job);
    write_progress(w, job);
    jsonw_object_end(w);
}

static const char *advice_on_error(enum error_code code)
{
    switch (code) {
    case ERROR_INVALID_ARGUMENT:
        return "Mend the call and make it again.";
    case ERROR_TOO_LONG:
        return "Make the call with a shorter text or a smaller image.";
    case ERROR_NOT_FOUND:
        return "There is no such job or operation of this user's. Check the name.";
    case ERROR_BUDGET_EXCEEDED:
        return "Nothing was generated. A shorter video, a lower resolution or a cheaper model "
               "may fit the budget.";
    case ERROR_FORBIDDEN:
    case ERROR_CONFLICT:
        return NULL;
    case ERROR_TOO_MANY:
    case ERROR_BUSY:
    case ERROR_DRAINING:
    case ERROR_DISK_FULL:
    case ERROR_UNAVAILABLE:
        return "Try again later, or tell the user.";
    default:
        return "Tell the user.";
    }
}

/* A look that fails says nothing of the video; a generation that was refused has failed. */
void tool_write_failure(const struct tool_call *call, const struct error *error, struct jsonw *w)
{
    jsonw_object(w);
    jsonw_member_bool(w, "success", false);
    if (call->tool != TOOL_CHECK)
        jsonw_member_string(w, "status", "failed");
    jsonw_member_string(w, "operation_name", call->operation);
    write_request(w, (struct json_value){.token = -1}, call);
    jsonw_member_string(w, "error", error->message);
    jsonw_member_string(w, "code", error_code_name(error->code));
    jsonw_member_string(w, "field", *error->field ? error->field : NULL);
    jsonw_member_string(w, "message", advice_on_error(error->code));
    jsonw_object_end(w);
}
