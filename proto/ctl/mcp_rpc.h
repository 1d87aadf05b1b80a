/* JSON-RPC 2.0 as MCP uses it: one message a line, requests with a string or a number as id,
 * parameters as an object, no batches. Pure. */
#ifndef VEO_CTL_MCP_RPC_H
#define VEO_CTL_MCP_RPC_H

#include <stdbool.h>
#include <stddef.h>

#include "proto/buf.h"
#include "proto/json.h"
#include "proto/jsonw.h"

#define RPC_ID_MAX 1024 /* bytes of a request's id as JSON */

enum rpc_code {
    RPC_PARSE_ERROR = -32700,
    RPC_INVALID_REQUEST = -32600,
    RPC_METHOD_NOT_FOUND = -32601,
    RPC_INVALID_PARAMS = -32602,
    RPC_BUSY = -32000,
};

enum rpc_kind {
    RPC_REQUEST,
    RPC_NOTIFICATION,
    RPC_RESPONSE, /* to a request that we never make */
    RPC_BAD,      /* `code` and `problem` are the answer to it */
};

struct rpc_message {
    enum rpc_kind kind;
    struct json *doc;         /* owned; borrows the line */
    const char *id;           /* as sent, in the line, not terminated; NULL: none */
    size_t id_length;         /* at most RPC_ID_MAX */
    char *method;             /* owned; requests and notifications */
    struct json_value params; /* an object, or absent */
    enum rpc_code code;
    char problem[320];
};

/* Always fills `ret`, which is to be freed. */
void rpc_read(const char *line, size_t length, struct rpc_message *ret);
void rpc_free(struct rpc_message *message); /* what it owns, not itself */

/* Lines to be sent, with their ends. `id` is JSON of that length; NULL stands for null. */
void rpc_write_error(struct buf *out, const char *id, size_t id_length, enum rpc_code code,
                     const char *message);

/* The caller writes one value in between. */
void rpc_begin_result(struct buf *out, struct jsonw *w, const char *id, size_t id_length);
void rpc_begin_notification(struct buf *out, struct jsonw *w, const char *method);
void rpc_end(struct buf *out, struct jsonw *w);

#endif
