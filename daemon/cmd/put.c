/* PUT: the bytes behind its line become a blob, as fast as the disk takes them. */
#include <stdlib.h>

#include "daemon/cmd/call.h"
#include "daemon/io/blob.h"
#include "proto/limits.h"
#include "proto/mem.h"

struct putting {
    struct blob_put *put;
    uint64_t bytes;
    uint64_t taken;
    bool waits; /* for room */
};

static void free_putting(struct call *call)
{
    struct putting *putting = call->state;
    blob_put_end(putting->put);
    free(putting);
}

static void on_ready(void *arg)
{
    struct call *call = arg;
    struct putting *putting = call->state;
    if (!putting->waits)
        return;
    putting->waits = false;
    call_resume_body(call);
}

static void on_done(void *arg, const struct store_blob *blob, const struct error *error)
{
    struct call *call = arg;
    struct putting *putting = call->state;
    putting->put = NULL;
    if (putting->waits)
        call_resume_body(call); /* to be skipped */
    if (error) {
        call_error(call, error);
        return;
    }
    struct jsonw *w = call_reply(call, REPLY_OK);
    jsonw_member_string(w, "blob", blob->name);
    jsonw_member_uint(w, "bytes", blob->bytes);
    jsonw_member_string(w, "mime_type", blob->mime_type);
    call_send(call);
    call_end(call);
}

static size_t on_body(struct call *call, const char *bytes, size_t length)
{
    struct putting *putting = call->state;
    struct error error;
    size_t taken;
    if (blob_put_write(putting->put, bytes, length, &taken, &error) < 0) {
        call_error(call, &error);
        return length;
    }
    putting->taken += taken;
    putting->waits = taken < length;
    return taken;
}

static void on_cut(struct call *call)
{
    const struct putting *putting = call->state;
    call_fail(call, ERROR_BAD_REQUEST, "bytes",
              "%llu bytes were announced, and after %llu there came no more",
              (unsigned long long)putting->bytes, (unsigned long long)putting->taken);
}

static void on_abandoned(struct call *call)
{
    struct putting *putting = call->state;
    blob_put_end(putting->put);
    putting->put = NULL;
}

static char *read_type(struct call *call)
{
    size_t length = 0;
    struct json_value given = json_get(call->args, "mime_type");
    char *type = json_strdup(given, &length);
    if (json_type(given) == JSON_NONE || (type && length > 0 && length <= LIMIT_MIME))
        return type;
    call_fail(call, ERROR_INVALID_ARGUMENT, "mime_type",
              "mime_type must be a string of 1 to %d bytes, such as image/png", LIMIT_MIME);
    free(type);
    return NULL;
}

static void begin(struct call *call, const char *type)
{
    static const struct blob_put_hooks hooks = {on_ready, on_done};
    struct putting *putting = call->state;
    struct error error;
    putting->put = blob_put_begin(call->commands->config.blobs, call->uid, putting->bytes, type,
                                  NULL, &hooks, call, &error);
    if (!putting->put) {
        call_error(call, &error);
        return;
    }
    call->body = on_body;
    call->body_cut = on_cut;
    call->abandoned = on_abandoned;
    call_take_body(call);
}

void cmd_put(struct call *call)
{
    static const char *const members[] = {"bytes", "mime_type", NULL};
    int64_t bytes = -1;
    if (call_check_members(call, members) < 0 || call_int(call, "bytes", 0, INT64_MAX, &bytes) < 0)
        return;
    if (bytes < 0) {
        call_fail(call, ERROR_INVALID_ARGUMENT, "bytes",
                  "PUT needs the number of the bytes that follow its line");
        return;
    }
    struct putting *putting = mem_alloc(sizeof(*putting));
    putting->bytes = (uint64_t)bytes;
    call->state = putting;
    call->free_state = free_putting;
    bool is_said = json_type(json_get(call->args, "mime_type")) != JSON_NONE;
    char *type = read_type(call);
    if (type || !is_said)
        begin(call, type);
    free(type);
}
