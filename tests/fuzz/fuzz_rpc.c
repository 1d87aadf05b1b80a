/* Any line of an MCP client. Each has one answer or none: what asks for one is a request with an id
 * that is sent back byte for byte, and the answer is a line of JSON, whatever the id is. */
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "proto/ctl/mcp_rpc.h"
#include "proto/line.h"
#include "tests/fuzz/require.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* It is one line, and says again what the request's id was. */
static void check_answer(struct buf *out, const struct rpc_message *message, const char *member)
{
    REQUIRE(!out->failed && out->length > 0);
    REQUIRE(memchr(out->data, '\n', out->length) == out->data + out->length - 1);
    REQUIRE(utf8_valid_prefix(out->data, out->length) == out->length);
    struct json *doc = json_parse(out->data, out->length, (struct json_limits){0}, NULL);
    REQUIRE(doc != NULL);
    struct json_value root = json_root(doc);
    size_t length;
    const char *raw = json_raw(json_get(root, "id"), &length);
    const char *id = message->id != NULL ? message->id : "null";
    REQUIRE(raw != NULL && length == (message->id != NULL ? message->id_length : strlen("null")));
    REQUIRE(memcmp(raw, id, length) == 0);
    REQUIRE(json_equals(json_get(root, "jsonrpc"), "2.0") && json_size(root) == 3);
    REQUIRE(json_type(json_get(root, member)) == JSON_OBJECT);
    json_free(doc);
}

static void answer(const struct rpc_message *message)
{
    struct buf out;
    struct jsonw w;
    buf_init(&out, 64 * 1024);
    if (message->kind == RPC_BAD) {
        REQUIRE(message->code < 0 && *message->problem);
        rpc_write_error(&out, message->id, message->id_length, message->code, message->problem);
        check_answer(&out, message, "error");
    } else {
        rpc_begin_result(&out, &w, message->id, message->id_length);
        jsonw_object(&w);
        jsonw_member_string(&w, "method", message->method);
        jsonw_object_end(&w);
        rpc_end(&out, &w);
        check_answer(&out, message, "result");
    }
    buf_free(&out);
}

static void check_message(const struct rpc_message *message)
{
    enum json_type params = json_type(message->params);
    REQUIRE(message->id_length <= RPC_ID_MAX && (message->id != NULL || message->id_length == 0));
    REQUIRE(params == JSON_OBJECT || params == JSON_NONE);
    switch (message->kind) {
    case RPC_REQUEST:
        REQUIRE(message->method != NULL && message->id != NULL);
        answer(message);
        break;
    case RPC_NOTIFICATION:
        REQUIRE(message->method != NULL && message->id == NULL);
        break;
    case RPC_RESPONSE:
        break;
    case RPC_BAD:
        answer(message);
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct rpc_message message;
    if (size > 16 * 1024)
        return 0;
    char *line = malloc(size + 1);
    REQUIRE(line != NULL);
    memcpy(line, data, size);
    line[size] = '\0';
    rpc_read(line, size, &message);
    check_message(&message);
    rpc_free(&message);
    free(line);
    return 0;
}
