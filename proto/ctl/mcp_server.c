/* What a client may ask for, but for what the tools do. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/ctl/mcp.h"
#include "proto/ctl/mcp_call.h"

/* The first one is offered to clients that want one that we don't have. */
static const struct mcp_version versions[] = {
    {"2025-11-25", true, true},   {"2025-06-18", true, true},   {"2025-03-26", true, false},
    {"2024-11-05", false, false}, {"2024-10-07", false, false},
};

static const char instructions[] =
    "Generates videos with Google's video models. A video takes from half a minute to several "
    "minutes and costs money: generate each one that is wanted once. A result with status "
    "\"processing\" goes on by itself; call wait_for_video with its operation_name until it is "
    "completed. Give the user the path of the finished video.";

void mcp_init_version(struct mcp *mcp)
{
    mcp->version = &versions[0];
}

static void answer_error(struct mcp *mcp, const struct rpc_message *message, enum rpc_code code,
                         const char *problem)
{
    if (message->kind != RPC_NOTIFICATION)
        rpc_write_error(&mcp->out, message->id, message->id_length, code, problem);
}

static void initialize(struct mcp *mcp, const struct rpc_message *message)
{
    struct json_value wanted = json_get(message->params, "protocolVersion");
    struct jsonw w;
    if (json_type(wanted) != JSON_STRING) {
        answer_error(mcp, message, RPC_INVALID_PARAMS, "protocolVersion must be a string");
        return;
    }
    mcp->version = &versions[0];
    for (size_t i = 0; i < sizeof versions / sizeof versions[0]; i++)
        if (json_equals(wanted, versions[i].name))
            mcp->version = &versions[i];
    rpc_begin_result(&mcp->out, &w, message->id, message->id_length);
    jsonw_object(&w);
    jsonw_member_string(&w, "protocolVersion", mcp->version->name);
    jsonw_name(&w, "capabilities");
    jsonw_object(&w);
    jsonw_name(&w, "tools");
    jsonw_object(&w);
    jsonw_object_end(&w);
    jsonw_object_end(&w);
    jsonw_name(&w, "serverInfo");
    jsonw_object(&w);
    jsonw_member_string(&w, "name", "veod");
    jsonw_member_string(&w, "version", VEOD_VERSION);
    jsonw_object_end(&w);
    jsonw_member_string(&w, "instructions", instructions);
    jsonw_object_end(&w);
    rpc_end(&mcp->out, &w);
}

static void ping(struct mcp *mcp, const struct rpc_message *message)
{
    struct jsonw w;
    rpc_begin_result(&mcp->out, &w, message->id, message->id_length);
    jsonw_object(&w);
    jsonw_object_end(&w);
    rpc_end(&mcp->out, &w);
}

static void list_tools(struct mcp *mcp, const struct rpc_message *message)
{
    struct jsonw w;
    if (json_type(json_get(message->params, "cursor")) != JSON_NONE) {
        answer_error(mcp, message, RPC_INVALID_PARAMS, "no such cursor: all tools are on one page");
        return;
    }
    rpc_begin_result(&mcp->out, &w, message->id, message->id_length);
    jsonw_object(&w);
    jsonw_name(&w, "tools");
    mcp_tools_write(mcp->version, &w);
    jsonw_object_end(&w);
    rpc_end(&mcp->out, &w);
}

static void refuse_tool(struct mcp *mcp, const struct rpc_message *message, struct json_value name)
{
    struct error error;
    size_t length;
    const char *raw = json_raw(name, &length);
    if (json_type(name) == JSON_STRING)
        error_set(&error, ERROR_NOT_FOUND, NULL, "unknown tool: %.*s",
                  length > 100 ? 100 : (int)length, raw);
    else
        error_set(&error, ERROR_INVALID_ARGUMENT, NULL, "name must be a tool's name");
    answer_error(mcp, message, RPC_INVALID_PARAMS, error.message);
}

static void refuse_one_more(struct mcp *mcp, const struct rpc_message *message)
{
    char problem[80];
    snprintf(problem, sizeof problem, "at most %d calls can be under way; try again later",
             MCP_CALLS_MAX);
    answer_error(mcp, message, RPC_BUSY, problem);
}

static void call_tool(struct mcp *mcp, const struct rpc_message *message)
{
    struct json_value arguments = json_get(message->params, "arguments");
    struct json_value token = json_path(message->params, "_meta.progressToken");
    enum json_type type = json_type(arguments), token_type = json_type(token);
    char *name = json_strdup(json_get(message->params, "name"), NULL);
    const struct mcp_tool *tool = name ? mcp_tool_find(name) : NULL;
    size_t length = 0;
    const char *raw =
        token_type == JSON_STRING || token_type == JSON_NUMBER ? json_raw(token, &length) : NULL;
    free(name);
    if (!tool)
        refuse_tool(mcp, message, json_get(message->params, "name"));
    else if (type != JSON_OBJECT && type != JSON_NONE && type != JSON_NULL)
        answer_error(mcp, message, RPC_INVALID_PARAMS, "arguments must be an object");
    else if (mcp_call_find(mcp, message->id, message->id_length))
        answer_error(mcp, message, RPC_INVALID_REQUEST, "a call with this id is under way");
    else if (!mcp_call_has_room(mcp))
        refuse_one_more(mcp, message);
    else
        mcp_call_start(mcp, tool, arguments, message->id, message->id_length,
                       length <= RPC_ID_MAX ? raw : NULL, length);
}

static void take_cancellation(struct mcp *mcp, const struct rpc_message *message)
{
    size_t length;
    const char *id = json_raw(json_get(message->params, "requestId"), &length);
    struct mcp_call *call = id ? mcp_call_find(mcp, id, length) : NULL;
    if (call)
        mcp_call_cancel(call);
}

static void take_request(struct mcp *mcp, const struct rpc_message *message)
{
    static const struct {
        const char *name;
        void (*run)(struct mcp *mcp, const struct rpc_message *message);
    } methods[] = {
        {"initialize", initialize},
        {"ping", ping},
        {"tools/list", list_tools},
        {"tools/call", call_tool},
    };
    for (size_t i = 0; i < sizeof methods / sizeof methods[0]; i++) {
        if (strcmp(message->method, methods[i].name) == 0) {
            methods[i].run(mcp, message);
            return;
        }
    }
    answer_error(mcp, message, RPC_METHOD_NOT_FOUND, "no such method");
}

static void take_message(struct mcp *mcp, const struct rpc_message *message)
{
    if (message->kind == RPC_REQUEST)
        take_request(mcp, message);
    else if (message->kind == RPC_BAD)
        answer_error(mcp, message, message->code, message->problem);
    else if (message->kind == RPC_NOTIFICATION &&
             strcmp(message->method, "notifications/cancelled") == 0)
        take_cancellation(mcp, message);
}

static bool is_blank(struct line_piece piece)
{
    return strspn(piece.data, " \t\r") == piece.length;
}

static void refuse_long_line(struct mcp *mcp)
{
    char problem[80];
    snprintf(problem, sizeof problem, "a line has at most %d bytes", MCP_LINE_MAX);
    rpc_write_error(&mcp->out, NULL, 0, RPC_INVALID_REQUEST, problem);
}

void mcp_take_line(struct mcp *mcp, enum line_event event, struct line_piece piece)
{
    struct rpc_message message;
    if (event == LINE_TEXT && is_blank(piece))
        return;
    if (event == LINE_TEXT) {
        rpc_read(piece.data, piece.length, &message);
        take_message(mcp, &message);
        rpc_free(&message);
    } else if (event == LINE_TOO_LONG) {
        refuse_long_line(mcp);
    } else if (event == LINE_BAD_TEXT) {
        rpc_write_error(&mcp->out, NULL, 0, RPC_PARSE_ERROR, "a line must be UTF-8 without NUL");
    }
}
