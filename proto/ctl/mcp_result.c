#include "proto/ctl/mcp_result.h"

#include <stdlib.h>
#include <string.h>

#include "proto/ctl/job_view.h"
#include "proto/ctl/mcp_copy.h"
#include "proto/mem.h"

/* ---- a job ---- */

static void copy_raw(struct jsonw *w, struct json_value name, struct json_value value)
{
    size_t length;
    char *text = json_strdup(name, NULL);
    const char *raw = json_raw(value, &length);
    jsonw_name(w, text ? text : "");
    jsonw_raw(w, raw, length);
    free(text);
}

static void write_file(const struct mcp_call *call, struct jsonw *w, struct json_value file,
                       size_t number)
{
    jsonw_object(w);
    for (struct json_iter it = json_iter(file); json_next(&it);) {
        if (json_equals(it.name, "path")) {
            char *target = copy_target(call->mcp, call->job_id, number);
            jsonw_member_string(w, "path", target);
            free(target);
        } else {
            copy_raw(w, it.name, it.value);
        }
    }
    jsonw_object_end(w);
}

/* The job with the user's copies in place of the daemon's files. */
static void write_copied(const struct mcp_call *call, struct jsonw *w, struct json_value job)
{
    jsonw_object(w);
    for (struct json_iter it = json_iter(job); json_next(&it);) {
        size_t number = 0;
        if (!json_equals(it.name, "files")) {
            copy_raw(w, it.name, it.value);
            continue;
        }
        jsonw_name(w, "files");
        jsonw_array(w);
        for (struct json_iter file = json_iter(it.value); json_next(&file);)
            write_file(call, w, file.value, number++);
        jsonw_array_end(w);
    }
    jsonw_object_end(w);
}

static char *copied_job(const struct mcp_call *call)
{
    struct buf text;
    struct jsonw w;
    struct json *doc = json_parse(call->job, strlen(call->job), (struct json_limits){0}, NULL);
    buf_init(&text, MCP_RESULT_MAX);
    jsonw_init(&w, &text);
    write_copied(call, &w, json_root(doc));
    json_free(doc);
    return buf_steal(&text);
}

/* The result of a video that is there has no other message. */
static char *with_message(const char *result, const struct mcp_call *call, const char *problem)
{
    char *message =
        mem_format("The video could not be copied to %s: %s", call->mcp->output, problem);
    struct buf text;
    struct jsonw w;
    struct json *doc = json_parse(result, strlen(result), (struct json_limits){0}, NULL);
    buf_init(&text, MCP_RESULT_MAX);
    jsonw_init(&w, &text);
    jsonw_object(&w);
    for (struct json_iter it = json_iter(json_root(doc)); json_next(&it);)
        if (!json_equals(it.name, "message"))
            copy_raw(&w, it.name, it.value);
    jsonw_member_string(&w, "message", message);
    jsonw_object_end(&w);
    json_free(doc);
    free(message);
    return buf_steal(&text);
}

char *result_of_job(const struct mcp_call *call, bool is_copied, const char *problem)
{
    struct buf text;
    struct jsonw w;
    char *job = is_copied ? copied_job(call) : mem_strdup(call->job);
    struct json *doc = json_parse(job, strlen(job), (struct json_limits){0}, NULL);
    buf_init(&text, MCP_RESULT_MAX);
    jsonw_init(&w, &text);
    tool_write_result(&call->call, json_root(doc), &w);
    json_free(doc);
    free(job);
    char *result = buf_steal(&text);
    if (!problem)
        return result;
    char *complete = with_message(result, call, problem);
    free(result);
    return complete;
}

/* ---- for the client ---- */

static void write_text_block(struct jsonw *w, const char *text)
{
    jsonw_object(w);
    jsonw_member_string(w, "type", "text");
    jsonw_member_string(w, "text", text);
    jsonw_object_end(w);
}

static void write_link(struct jsonw *w, struct json_value result, struct json_value file)
{
    char *path = job_member(file, "path");
    char *mime_type = job_member(file, "mime_type");
    char *job = job_member(result, "job");
    int64_t bytes;
    if (path && *path == '/') {
        char *uri = tool_file_uri(path);
        char *description = mem_format("The video of job %s", job ? job : "");
        jsonw_object(w);
        jsonw_member_string(w, "type", "resource_link");
        jsonw_member_string(w, "uri", uri);
        jsonw_member_string(w, "name", strrchr(path, '/') + 1);
        jsonw_member_string(w, "description", description);
        jsonw_member_string(w, "mimeType", mime_type);
        if (json_int(json_get(file, "bytes"), 0, INT64_MAX, &bytes) == 0)
            jsonw_member_int(w, "size", bytes);
        jsonw_object_end(w);
        free(description);
        free(uri);
    }
    free(job);
    free(mime_type);
    free(path);
}

void result_write(struct mcp *mcp, const char *id, const char *result)
{
    struct jsonw w;
    bool success = false;
    struct json_limits limits = {.tokens = MCP_RESULT_MAX / 2};
    struct json *doc = json_parse(result, strlen(result), limits, NULL);
    struct json_value root = json_root(doc);
    json_bool(json_get(root, "success"), &success);
    rpc_begin_result(&mcp->out, &w, id, strlen(id));
    jsonw_object(&w);
    jsonw_name(&w, "content");
    jsonw_array(&w);
    write_text_block(&w, result);
    for (struct json_iter it = json_iter(json_get(root, "files"));
         mcp->version->has_structure && json_next(&it);)
        write_link(&w, root, it.value);
    jsonw_array_end(&w);
    if (mcp->version->has_structure && doc) {
        jsonw_name(&w, "structuredContent");
        jsonw_raw(&w, result, strlen(result));
    }
    if (!success)
        jsonw_member_bool(&w, "isError", true);
    jsonw_object_end(&w);
    rpc_end(&mcp->out, &w);
    json_free(doc);
}
