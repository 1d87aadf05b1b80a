#include "proto/ctl/mcp_tools.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/ctl/mcp_call.h"
#include "proto/ctl/mcp_lists.h"
#include "proto/limits.h"
#include "proto/mem.h"
#include "proto/schema.h"

/* ---- what they do ---- */

static char *argument_of(struct buf *text, struct jsonw *w, struct error *error)
{
    jsonw_object_end(w);
    if (!text->failed)
        return buf_steal(text);
    buf_free(text);
    error_set(error, ERROR_TOO_LONG, NULL, "the arguments have more than %d bytes together",
              LIMIT_LINE);
    return NULL;
}

static void begin_argument(struct buf *text, struct jsonw *w)
{
    buf_init(text, LIMIT_LINE - 128);
    jsonw_init(w, text);
    jsonw_object(w);
}

static int ask_about(struct mcp_call *call, const char *verb, const char *name, struct error *error)
{
    struct buf text;
    struct jsonw w;
    begin_argument(&text, &w);
    jsonw_member_string(&w, "id", name);
    char *argument = argument_of(&text, &w, error);
    if (!argument)
        return -1;
    mcp_call_ask(call, STEP_ASK, verb, argument);
    return 0;
}

int mcp_tool_generate(struct mcp_call *call, const char *blob, struct error *error)
{
    struct buf text;
    struct jsonw w;
    begin_argument(&text, &w);
    tool_write_request(&call->call, &w);
    jsonw_member_string(&w, "image", blob);
    jsonw_member_string(&w, "key", call->key);
    char *argument = argument_of(&text, &w, error);
    if (!argument)
        return -1;
    mcp_call_ask(call, STEP_ASK, "GENERATE", argument);
    return 0;
}

static int start_shared(struct mcp_call *call, struct json_value arguments, struct error *error)
{
    enum tool tool = call->tool->shared;
    if (tool_read(tool, arguments, &call->call, error) < 0)
        return -1;
    call->call.ask_again = "wait_for_video";
    call->wait_ms = call->call.wait ? call->mcp->wait_ms : 0;
    if (tool == TOOL_CHECK)
        return ask_about(call, "STATUS", call->call.operation, error);
    if (key_make(call->mcp->ctl, call->key) != EXIT_ALL_DONE)
        return error_set(error, ERROR_INTERNAL, NULL, "no random bytes for a key");
    return tool == TOOL_FROM_IMAGE ? mcp_call_upload(call, error)
                                   : mcp_tool_generate(call, NULL, error);
}

static int start_wait(struct mcp_call *call, const struct mcp_value *values, struct error *error)
{
    double seconds = values[1].number;
    call->call.operation = mem_strdup(values[0].text);
    call->wait_ms = call->mcp->wait_ms > 0 ? call->mcp->wait_ms : MCP_WAIT_MS;
    if (values[1].is_given && !(seconds >= 0))
        return error_set(error, ERROR_INVALID_ARGUMENT, "timeout_seconds",
                         "timeout_seconds must be a number from 0 to %d", MCP_WAIT_MOST_MS / 1000);
    if (values[1].is_given)
        call->wait_ms =
            seconds * 1000 > MCP_WAIT_MOST_MS ? MCP_WAIT_MOST_MS : (int64_t)(seconds * 1000);
    return ask_about(call, "STATUS", call->call.operation, error);
}

static int start_cancel(struct mcp_call *call, const struct mcp_value *values, struct error *error)
{
    call->call.operation = mem_strdup(values[0].text);
    return ask_about(call, "CANCEL", call->call.operation, error);
}

static int start_models(struct mcp_call *call, const struct mcp_value *values, struct error *error)
{
    (void)error;
    if (values[0].text && *values[0].text)
        call->call.model = mem_strdup(values[0].text);
    mcp_call_ask(call, STEP_ASK, "MODELS", NULL);
    return 0;
}

/* "completed" and "processing" are the tools' words, all others the protocol's as well. */
static void write_state(struct jsonw *w, const char *state)
{
    static const char *const live[] = {"queued", "submitting", "running", "fetching"};
    if (!state)
        return;
    jsonw_name(w, "state");
    if (strcmp(state, "processing") != 0) {
        jsonw_string(w, strcmp(state, "completed") == 0 ? "done" : state);
        return;
    }
    jsonw_array(w);
    for (size_t i = 0; i < sizeof live / sizeof live[0]; i++)
        jsonw_string(w, live[i]);
    jsonw_array_end(w);
}

/* An agent of an admin has no business with what others asked for. */
static void write_owner(struct jsonw *w)
{
    jsonw_member_uint(w, "owner", getuid());
}

#define LIST_DEFAULT 20
#define LIST_MOST    100

static int start_list(struct mcp_call *call, const struct mcp_value *values, struct error *error)
{
    struct buf text;
    struct jsonw w;
    double limit = values[1].is_given ? values[1].number : LIST_DEFAULT;
    if (!(limit >= 1))
        return error_set(error, ERROR_INVALID_ARGUMENT, "limit",
                         "limit must be a whole number from 1 to %d", LIST_MOST);
    begin_argument(&text, &w);
    write_state(&w, values[0].text);
    jsonw_member_int(&w, "limit", limit > LIST_MOST ? LIST_MOST : (int64_t)limit);
    jsonw_member_string(&w, "label", values[2].text);
    write_owner(&w);
    char *argument = argument_of(&text, &w, error);
    if (!argument)
        return -1;
    mcp_call_ask(call, STEP_ASK, "LIST", argument);
    return 0;
}

/* A date is its first moment, in UTC, as budgets have it. */
static int start_costs(struct mcp_call *call, const struct mcp_value *values, struct error *error)
{
    struct buf text;
    struct jsonw w;
    const char *since = values[1].text;
    char *midnight =
        since && strlen(since) == strlen("2026-11-01") ? mem_format("%sT00:00:00Z", since) : NULL;
    begin_argument(&text, &w);
    jsonw_member_string(&w, "by", values[0].text);
    jsonw_member_string(&w, "since", midnight ? midnight : since);
    free(midnight);
    write_owner(&w);
    char *argument = argument_of(&text, &w, error);
    if (!argument)
        return -1;
    mcp_call_ask(call, STEP_ASK, "COST", argument);
    return 0;
}

/* ---- the table ---- */

static const struct mcp_argument list_arguments[] = {
    {"state", false, false,
     "Only these: \"processing\", \"completed\", \"failed\", \"filtered\", \"cancelled\", "
     "\"expired\", \"uncertain\" or \"held\"."},
    {"limit", true, false, "At most so many, 1 to 100; 20 if left out."},
    {"label", false, false, "Only videos with this label: \"name\" or \"name=value\"."},
    {0},
};

static const struct mcp_argument wait_arguments[] = {
    {"operation_name", false, true, "The operation_name or job of an earlier result."},
    {"timeout_seconds", true, false, "How long to wait, at most 50; 45 if left out."},
    {0},
};

static const struct mcp_argument cancel_arguments[] = {
    {"operation_name", false, true, "The operation_name or job of an earlier result."},
    {0},
};

static const struct mcp_argument cost_arguments[] = {
    {"by", false, false,
     "What to add up by: \"day\" (in UTC, the default), \"model\", \"provider\" or "
     "\"label:NAME\"."},
    {"since", false, false, "A date such as 2026-11-01, or a time in RFC 3339."},
    {0},
};

/* Not without any: Gemini refuses a schema that has no properties. */
static const struct mcp_argument model_arguments[] = {
    {"model", false, false, "Only models with this in their name, such as \"omni\"."},
    {0},
};

static void write_video_schema(struct jsonw *w)
{
    tool_write_output_schema(TOOL_CHECK, w);
}

static const struct mcp_tool tools[] = {
    {.shared = TOOL_FROM_TEXT, .is_open_world = true, .answered = mcp_call_take_job},
    {.shared = TOOL_FROM_IMAGE, .is_open_world = true, .answered = mcp_call_take_job},
    {.shared = TOOL_CHECK,
     .is_read_only = true,
     .is_idempotent = true,
     .is_open_world = true,
     .answered = mcp_call_take_job},
    {.shared = TOOL_COUNT,
     .name = "wait_for_video",
     .title = "Wait for a video",
     .description = "Waits until a video that was asked for earlier is completed or has failed, "
                    "but not longer than the time-out: then its status is \"processing\", and it "
                    "can be waited for again.",
     .arguments = wait_arguments,
     .is_read_only = true,
     .is_idempotent = true,
     .is_open_world = true,
     .write_output_schema = write_video_schema,
     .start = start_wait,
     .answered = mcp_call_take_job},
    {.shared = TOOL_COUNT,
     .name = "list_videos",
     .title = "List videos",
     .description = "Lists the videos that the user has asked for, newest first: those that are "
                    "being generated, those that are there, and those that failed.",
     .arguments = list_arguments,
     .is_read_only = true,
     .is_idempotent = true,
     .write_output_schema = lists_write_videos_schema,
     .start = start_list,
     .write_row = lists_write_video,
     .answered = lists_answer_videos},
    {.shared = TOOL_COUNT,
     .name = "cancel_video",
     .title = "Cancel a video",
     .description = "Stops a video that is waiting or being generated. What the provider has "
                    "begun may be charged all the same.",
     .arguments = cancel_arguments,
     .is_destructive = true,
     .is_idempotent = true,
     .is_open_world = true,
     .write_output_schema = write_video_schema,
     .start = start_cancel,
     .answered = lists_answer_cancelled},
    {.shared = TOOL_COUNT,
     .name = "get_costs",
     .title = "Get costs",
     .description = "Tells what the user's videos have cost in dollars, and what is left of the "
                    "budgets.",
     .arguments = cost_arguments,
     .is_read_only = true,
     .is_idempotent = true,
     .write_output_schema = lists_write_costs_schema,
     .start = start_costs,
     .answered = lists_answer_costs},
    {.shared = TOOL_COUNT,
     .name = "list_models",
     .title = "List video models",
     .description = "Lists the video models that can be asked for, with the aspect ratios, "
                    "resolutions and durations that they take, and their prices.",
     .arguments = model_arguments,
     .is_read_only = true,
     .is_idempotent = true,
     .write_output_schema = lists_write_models_schema,
     .start = start_models,
     .takes_row = lists_takes_model,
     .write_row = lists_write_model,
     .answered = lists_answer_models},
};
#define TOOLS (sizeof tools / sizeof tools[0])

const char *mcp_tool_name(const struct mcp_tool *tool)
{
    return tool->shared == TOOL_COUNT ? tool->name : tool_info(tool->shared)->name;
}

const struct mcp_tool *mcp_tool_find(const char *name)
{
    for (size_t i = 0; i < TOOLS; i++)
        if (strcmp(mcp_tool_name(&tools[i]), name) == 0)
            return &tools[i];
    return NULL;
}

/* ---- tools/list ---- */

static void write_input_schema(const struct mcp_tool *tool, struct jsonw *w)
{
    const char *required[MCP_ARGUMENTS_MAX + 1] = {NULL};
    size_t count = 0;
    if (tool->shared != TOOL_COUNT) {
        tool_write_input_schema(tool->shared, w);
        return;
    }
    schema_begin(w);
    for (const struct mcp_argument *argument = tool->arguments; argument->name; argument++) {
        const struct schema_property property = {
            argument->name, argument->is_number ? "number" : "string", argument->description};
        schema_write_properties(w, &property, 1);
        if (argument->is_required)
            required[count++] = argument->name;
    }
    schema_end(w, required);
}

static void write_output_schema(const struct mcp_tool *tool, struct jsonw *w)
{
    if (tool->shared != TOOL_COUNT)
        tool_write_output_schema(tool->shared, w);
    else
        tool->write_output_schema(w);
}

static void write_annotations(const struct mcp_tool *tool, const char *title, struct jsonw *w)
{
    jsonw_name(w, "annotations");
    jsonw_object(w);
    jsonw_member_string(w, "title", title);
    jsonw_member_bool(w, "readOnlyHint", tool->is_read_only);
    jsonw_member_bool(w, "destructiveHint", tool->is_destructive);
    jsonw_member_bool(w, "idempotentHint", tool->is_idempotent);
    jsonw_member_bool(w, "openWorldHint", tool->is_open_world);
    jsonw_object_end(w);
}

static void write_tool(const struct mcp_tool *tool, const struct mcp_version *version,
                       struct jsonw *w)
{
    bool is_shared = tool->shared != TOOL_COUNT;
    const char *title = is_shared ? tool_info(tool->shared)->title : tool->title;
    jsonw_object(w);
    jsonw_member_string(w, "name", mcp_tool_name(tool));
    jsonw_member_string(w, "title", version->has_structure ? title : NULL);
    jsonw_member_string(w, "description",
                        is_shared ? tool_info(tool->shared)->description : tool->description);
    jsonw_name(w, "inputSchema");
    write_input_schema(tool, w);
    if (version->has_structure) {
        jsonw_name(w, "outputSchema");
        write_output_schema(tool, w);
    }
    if (version->has_annotations)
        write_annotations(tool, title, w);
    jsonw_object_end(w);
}

void mcp_tools_write(const struct mcp_version *version, struct jsonw *w)
{
    jsonw_array(w);
    for (size_t i = 0; i < TOOLS; i++)
        write_tool(&tools[i], version, w);
    jsonw_array_end(w);
}

int mcp_tool_start(struct mcp_call *call, struct json_value arguments, struct error *error)
{
    struct mcp_value values[MCP_ARGUMENTS_MAX] = {0};
    if (call->tool->shared != TOOL_COUNT)
        return start_shared(call, arguments, error);
    int status = mcp_arguments_read(call->tool, arguments, values, error);
    if (status == 0)
        status = call->tool->start(call, values, error);
    for (size_t i = 0; i < MCP_ARGUMENTS_MAX; i++)
        free(values[i].text);
    return status;
}
