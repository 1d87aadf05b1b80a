/* METRICS: what there is to be measured, for Prometheus. */
#include "daemon/cmd/metrics.h"

#include <stdlib.h>

#include "proto/mem.h"

#define TEXT_MAX (8 * 1024 * 1024) /* bytes */
#define CHUNK    (64 * 1024)

struct showing {
    char *text;
    size_t length;
    size_t sent;
    bool begun;
};

static void free_showing(struct call *call)
{
    struct showing *showing = call->state;
    free(showing->text);
    free(showing);
}

static void begin(struct call *call, struct showing *showing)
{
    struct jsonw *w = call_reply(call, REPLY_DATA);
    jsonw_member_uint(w, "bytes", showing->length);
    jsonw_member_string(w, "mime", "text/plain; version=0.0.4");
    call_send(call);
    call_stream_begin(call);
    showing->begun = true;
}

/* As much as the client reads; `drained` comes back here. */
static void send_on(struct call *call)
{
    struct showing *showing = call->state;
    if (!showing->begun && call_is_full(call))
        return;
    if (!showing->begun)
        begin(call, showing);
    while (showing->sent < showing->length) {
        size_t left = showing->length - showing->sent;
        if (call_is_full(call))
            return;
        call_stream_bytes(call, showing->text + showing->sent, left < CHUNK ? left : CHUNK);
        showing->sent += left < CHUNK ? left : CHUNK;
    }
    call_stream_end(call);
    call_end(call);
}

void cmd_metrics(struct call *call)
{
    static const char *const members[] = {NULL};
    struct buf text;
    struct expose expose = {.out = &text};
    if (call_check_members(call, members) < 0)
        return;
    buf_init(&text, TEXT_MAX);
    metrics_write(call->commands, call->admin, &expose);
    if (text.failed) {
        buf_free(&text);
        call_fail(call, ERROR_INTERNAL, NULL, "the metrics have more than %d bytes", TEXT_MAX);
        return;
    }
    struct showing *showing = mem_alloc(sizeof(*showing));
    showing->length = text.length;
    showing->text = buf_steal(&text);
    call->state = showing;
    call->free_state = free_showing;
    call->drained = send_on;
    send_on(call);
}
