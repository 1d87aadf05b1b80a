#include <stdlib.h>
#include <string.h>

#include "daemon/agent/chat.h"
#include "proto/jsonw.h"
#include "proto/tool.h"

static void write_message(struct jsonw *w, const char *role, const char *content)
{
    jsonw_object(w);
    jsonw_member_string(w, "role", role);
    jsonw_member_string(w, "content", content);
    jsonw_object_end(w);
}

static void write_messages(struct jsonw *w, const struct chat_request *request)
{
    jsonw_name(w, "messages");
    jsonw_array(w);
    write_message(w, "system", request->system_prompt);
    for (size_t i = 0; i < request->message_count; i++)
        jsonw_raw(w, request->messages[i], strlen(request->messages[i]));
    jsonw_array_end(w);
}

static void write_tool(struct jsonw *w, enum tool tool)
{
    jsonw_object(w);
    jsonw_member_string(w, "type", "function");
    jsonw_name(w, "function");
    jsonw_object(w);
    jsonw_member_string(w, "name", tool_info(tool)->name);
    jsonw_member_string(w, "description", tool_info(tool)->description);
    jsonw_name(w, "parameters");
    tool_write_input_schema(tool, w);
    jsonw_object_end(w);
    jsonw_object_end(w);
}

/* Listed even where none may be called: the history speaks of them. */
static void write_tools(struct jsonw *w, bool no_tools)
{
    jsonw_name(w, "tools");
    jsonw_array(w);
    for (enum tool tool = 0; tool < TOOL_COUNT; tool++)
        write_tool(w, tool);
    jsonw_array_end(w);
    if (no_tools)
        jsonw_member_string(w, "tool_choice", "none");
}

/* Google refuses members that it doesn't know, so there is none that could be done without. */
void chat_write_request(const struct chat_request *request, struct buf *ret)
{
    struct jsonw w;
    jsonw_init(&w, ret);
    jsonw_object(&w);
    jsonw_member_string(&w, "model", request->model);
    write_messages(&w, request);
    write_tools(&w, request->no_tools);
    if (request->temperature)
        jsonw_member_double(&w, "temperature", strtod(request->temperature, NULL));
    if (request->max_tokens > 0)
        jsonw_member_int(&w, "max_tokens", request->max_tokens);
    jsonw_object_end(&w);
}

/* A byte becomes six at most. */
static void begin(struct buf *buf, struct jsonw *w, const char *text)
{
    buf_init(buf, 6 * strlen(text) + 64);
    jsonw_init(w, buf);
}

char *chat_user_message(const char *text)
{
    struct buf buf;
    struct jsonw w;
    begin(&buf, &w, text);
    write_message(&w, "user", text);
    return buf_steal(&buf);
}

char *chat_tool_message(const struct chat_call *call, const char *result)
{
    struct buf buf;
    struct jsonw w;
    begin(&buf, &w, result);
    buf.max += strlen(call->id);
    jsonw_object(&w);
    jsonw_member_string(&w, "role", "tool");
    jsonw_name(&w, "tool_call_id");
    jsonw_raw(&w, call->id, strlen(call->id));
    jsonw_member_string(&w, "content", result);
    jsonw_object_end(&w);
    return buf_steal(&buf);
}
