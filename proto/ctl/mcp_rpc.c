#include "proto/ctl/mcp_rpc.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void refuse(struct rpc_message *message, enum rpc_code code, const char *problem)
{
    message->kind = RPC_BAD;
    message->code = code;
    snprintf(message->problem, sizeof message->problem, "%s", problem);
}

/* True if it has none, or a good one. */
static bool read_id(struct rpc_message *message, struct json_value id)
{
    size_t length;
    const char *raw = json_raw(id, &length);
    enum json_type type = json_type(id);
    if (type == JSON_NONE)
        return true;
    if ((type != JSON_STRING && type != JSON_NUMBER) || length > RPC_ID_MAX)
        return false;
    message->id = raw;
    message->id_length = length;
    return true;
}

static void read_object(struct rpc_message *message, struct json_value root)
{
    struct json_value params = json_get(root, "params");
    bool is_answer = json_type(json_get(root, "result")) != JSON_NONE ||
                     json_type(json_get(root, "error")) != JSON_NONE;
    if (!read_id(message, json_get(root, "id"))) {
        if (is_answer)
            message->kind = RPC_RESPONSE;
        else
            refuse(message, RPC_INVALID_REQUEST, "id must be a string or a number");
        return;
    }
    if (!json_equals(json_get(root, "jsonrpc"), "2.0")) {
        refuse(message, RPC_INVALID_REQUEST, "jsonrpc must be \"2.0\"");
        return;
    }
    message->method = json_strdup(json_get(root, "method"), NULL);
    if (!message->method && is_answer) {
        message->kind = RPC_RESPONSE;
        return;
    }
    if (!message->method) {
        refuse(message, RPC_INVALID_REQUEST, "method must be a string");
        return;
    }
    message->kind = message->id ? RPC_REQUEST : RPC_NOTIFICATION;
    if (json_type(params) == JSON_OBJECT)
        message->params = params;
    else if (json_type(params) != JSON_NONE && json_type(params) != JSON_NULL && message->id)
        refuse(message, RPC_INVALID_PARAMS, "params must be an object");
}

void rpc_read(const char *line, size_t length, struct rpc_message *ret)
{
    struct error error;
    *ret = (struct rpc_message){.params = {.token = -1}};
    ret->doc = json_parse(line, length, (struct json_limits){0}, &error);
    struct json_value root = json_root(ret->doc);
    if (!ret->doc)
        refuse(ret, RPC_PARSE_ERROR, error.message);
    else if (json_type(root) == JSON_ARRAY)
        refuse(ret, RPC_INVALID_REQUEST, "batches are not taken; send one message a line");
    else if (json_type(root) != JSON_OBJECT)
        refuse(ret, RPC_INVALID_REQUEST, "a message must be an object");
    else
        read_object(ret, root);
}

void rpc_free(struct rpc_message *message)
{
    free(message->method);
    json_free(message->doc);
    *message = (struct rpc_message){.params = {.token = -1}};
}

static void begin(struct buf *out, struct jsonw *w)
{
    jsonw_init(w, out);
    jsonw_object(w);
    jsonw_member_string(w, "jsonrpc", "2.0");
}

static void write_id(struct jsonw *w, const char *id, size_t id_length)
{
    jsonw_name(w, "id");
    if (id)
        jsonw_raw(w, id, id_length);
    else
        jsonw_raw(w, "null", strlen("null"));
}

void rpc_write_error(struct buf *out, const char *id, size_t id_length, enum rpc_code code,
                     const char *message)
{
    struct jsonw w;
    begin(out, &w);
    write_id(&w, id, id_length);
    jsonw_name(&w, "error");
    jsonw_object(&w);
    jsonw_member_int(&w, "code", code);
    jsonw_member_string(&w, "message", message);
    jsonw_object_end(&w);
    rpc_end(out, &w);
}

void rpc_begin_result(struct buf *out, struct jsonw *w, const char *id, size_t id_length)
{
    begin(out, w);
    write_id(w, id, id_length);
    jsonw_name(w, "result");
}

void rpc_begin_notification(struct buf *out, struct jsonw *w, const char *method)
{
    begin(out, w);
    jsonw_member_string(w, "method", method);
    jsonw_name(w, "params");
}

void rpc_end(struct buf *out, struct jsonw *w)
{
    jsonw_object_end(w);
    buf_add_byte(out, '\n');
}
