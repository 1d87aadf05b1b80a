#include "tests/sim/exchange.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/mem.h"
#include "tests/sim/form.h"
#include "tests/sim/reply.h"
#include "tests/sim/routes.h"
#include "tests/sim/sim.h"

#define BLOCK_BYTES 65536

/* A connection; those that only ask the simulator about itself are not counted. */
struct link {
    bool counted;
};

static void link_into(struct exchange *exchange, struct exchange **list)
{
    exchange->next = *list;
    exchange->at = list;
    if (*list) {
        (*list)->at = &exchange->next;
    }
    *list = exchange;
}

static void unlink_it(struct exchange *exchange)
{
    if (exchange->at) {
        *exchange->at = exchange->next;
        if (exchange->next) {
            exchange->next->at = exchange->at;
        }
        exchange->at = NULL;
    }
}

static void on_timer(struct timer *timer)
{
    struct exchange *exchange =
        (struct exchange *)((char *)timer - offsetof(struct exchange, timer));
    exchange->waited = true;
    exchange_wake(exchange, false);
}

static void suspend(struct exchange *exchange, struct exchange **list)
{
    link_into(exchange, list);
    MHD_suspend_connection(exchange->connection);
}

static void suspend_for(struct exchange *exchange, int64_t ms)
{
    struct sim *sim = exchange->sim;
    suspend(exchange, &sim->stalled);
    timer_set(&sim->timers, &exchange->timer, timer_now_ms() + ms + 1, on_timer);
}

static void log_answer(const struct exchange *exchange)
{
    if (!exchange->sim->options.quiet) {
        fprintf(stderr, "veosim: %s %.200s %s%u\n", exchange->method, exchange->path,
                exchange->reply.drop ? "dropped, not " : "", exchange->reply.status);
    }
}

static int64_t due_pause(const struct exchange *exchange, uint64_t position)
{
    const struct reply *reply = &exchange->reply;
    if (exchange->waited) {
        return 0;
    }
    return reply->pause_ms && position == reply->pause_at ? reply->pause_ms : reply->interval_ms;
}

static size_t allowed_bytes(const struct reply *reply, uint64_t position, size_t size)
{
    uint64_t limit = size;
    if (reply->interval_ms) {
        limit = 1;
    }
    if (reply->cut_at && reply->cut_at - position < limit) {
        limit = reply->cut_at - position;
    }
    if (reply->pause_ms && position < reply->pause_at && reply->pause_at - position < limit) {
        limit = reply->pause_at - position;
    }
    return (size_t)limit;
}

static ssize_t on_read(void *closure, uint64_t position, char *out, size_t size)
{
    struct exchange *exchange = closure;
    struct reply *reply = &exchange->reply;
    if (reply->cut_at && position >= reply->cut_at) {
        return MHD_CONTENT_READER_END_WITH_ERROR;
    }
    if (position >= reply->body.length) {
        return MHD_CONTENT_READER_END_OF_STREAM;
    }
    int64_t pause_ms = due_pause(exchange, position);
    if (pause_ms > 0) {
        suspend_for(exchange, pause_ms);
        return 0;
    }
    exchange->waited = false;
    size_t got = stream_read(&reply->body, position, out, allowed_bytes(reply, position, size));
    exchange->sim->stats.bytes_sent += reply->is_video ? got : 0;
    return (ssize_t)got;
}

static struct MHD_Response *make_response(struct exchange *exchange)
{
    struct reply *reply = &exchange->reply;
    struct stream *body = &reply->body;
    bool plain = !reply->cut_at && !reply->pause_ms && !reply->interval_ms;
    if (body->length == 0) {
        return MHD_create_response_from_buffer(0, (char[1]){0}, MHD_RESPMEM_MUST_COPY);
    }
    if (plain && stream_is_text(body)) {
        return MHD_create_response_from_buffer((size_t)body->length, body->pieces[0].text,
                                               MHD_RESPMEM_PERSISTENT);
    }
    uint64_t size = body->length == STREAM_FOREVER ? MHD_SIZE_UNKNOWN : body->length;
    size_t block = body->length < BLOCK_BYTES ? (size_t)body->length : BLOCK_BYTES;
    return MHD_create_response_from_callback(size, block, on_read, exchange, NULL);
}

static enum MHD_Result answer(struct exchange *exchange)
{
    struct reply *reply = &exchange->reply;
    exchange->state = EXCHANGE_ANSWERED;
    exchange->waited = false;
    log_answer(exchange);
    if (reply->drop) {
        return MHD_NO;
    }
    struct MHD_Response *response = make_response(exchange);
    MHD_add_response_header(response, "Server", SIM_NAME);
    if (reply->content_type) {
        MHD_add_response_header(response, "Content-Type", reply->content_type);
    }
    for (unsigned i = 0; i < reply->header_count; i++) {
        MHD_add_response_header(response, reply->headers[i].name, reply->headers[i].value);
    }
    enum MHD_Result result = MHD_queue_response(exchange->connection, reply->status, response);
    MHD_destroy_response(response);
    return result;
}

/* Called when the request is complete, and again each time it has been resumed. */
static enum MHD_Result go_on(struct exchange *exchange)
{
    switch (exchange->state) {
    case EXCHANGE_READING:
        routes_dispatch(exchange);
        if (exchange->operation) {
            exchange->state = EXCHANGE_WAITING;
            return MHD_YES;
        }
        break;
    case EXCHANGE_WAITING:
        routes_operation_ended(exchange);
        break;
    case EXCHANGE_STALLED:
        return answer(exchange);
    case EXCHANGE_ANSWERED:
        return MHD_YES;
    }
    int64_t stall_ms = rule_apply(exchange) + exchange->reply.hold_ms;
    if (stall_ms > 0) {
        exchange->state = EXCHANGE_STALLED;
        suspend_for(exchange, stall_ms);
        return MHD_YES;
    }
    return answer(exchange);
}

static void count(struct exchange *exchange)
{
    struct stats *stats = &exchange->sim->stats;
    stats->requests++;
    stats->foreign_requests += exchange->foreign;
    struct link *link =
        MHD_get_connection_info(exchange->connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT)
            ->socket_context;
    if (!link->counted) {
        link->counted = true;
        stats->connections++;
        stats->connections_now++;
    }
}

static void begin(struct exchange *exchange)
{
    exchange->begun = true;
    if (strncmp(exchange->path, "/__", 3) != 0) {
        count(exchange);
    }
    if (form_is_one(exchange_header(exchange, "Content-Type"))) {
        exchange->form = form_open(exchange->connection);
    }
}

static void take(struct exchange *exchange, const char *data, size_t length)
{
    exchange->received += length;
    if (exchange->form) {
        form_add(exchange->form, data, length);
    } else {
        intake_add(&exchange->intake, data, length);
    }
}

void *exchange_on_uri(void *closure, const char *uri, struct MHD_Connection *connection)
{
    const struct listener *listener = closure;
    struct exchange *exchange = mem_alloc(sizeof(*exchange));
    exchange->sim = listener->sim;
    exchange->connection = connection;
    exchange->foreign = listener->foreign;
    exchange->path = mem_strndup(uri, strcspn(uri, "?"));
    intake_init(&exchange->intake);
    return exchange;
}

enum MHD_Result exchange_on_request(void *closure, struct MHD_Connection *connection,
                                    const char *url, const char *method, const char *version,
                                    const char *upload_data, size_t *upload_data_size,
                                    void **request_closure)
{
    struct exchange *exchange = *request_closure;
    (void)closure;
    (void)connection;
    (void)url;
    (void)version;
    exchange->method = method;
    if (!exchange->begun) {
        begin(exchange);
        return routes_early(exchange) ? MHD_YES : MHD_NO;
    }
    if (*upload_data_size > 0) {
        take(exchange, upload_data, *upload_data_size);
        *upload_data_size = 0;
        return MHD_YES;
    }
    return go_on(exchange);
}

void exchange_on_completed(void *closure, struct MHD_Connection *connection, void **request_closure,
                           enum MHD_RequestTerminationCode code)
{
    struct exchange *exchange = *request_closure;
    (void)closure;
    (void)connection;
    if (!exchange) {
        return;
    }
    struct reply *reply = &exchange->reply;
    if (reply->is_video_whole && code == MHD_REQUEST_TERMINATED_COMPLETED_OK) {
        exchange->sim->stats.downloads_complete++;
    }
    exchange->sim->stats.chat_now -= exchange->chats;
    unlink_it(exchange);
    timer_cancel(&exchange->sim->timers, &exchange->timer);
    rule_unref(exchange->rule);
    reply_reset(reply);
    form_close(exchange->form);
    intake_free(&exchange->intake);
    free(exchange->path);
    free(exchange);
    *request_closure = NULL;
}

void exchange_on_connection(void *closure, struct MHD_Connection *connection, void **socket_context,
                            enum MHD_ConnectionNotificationCode code)
{
    struct listener *listener = closure;
    (void)connection;
    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
        *socket_context = mem_alloc(sizeof(struct link));
        return;
    }
    struct link *link = *socket_context;
    listener->sim->stats.connections_now -= link->counted;
    free(link);
}

const char *exchange_header(const struct exchange *exchange, const char *name)
{
    return MHD_lookup_connection_value(exchange->connection, MHD_HEADER_KIND, name);
}

const char *exchange_argument(const struct exchange *exchange, const char *name)
{
    return MHD_lookup_connection_value(exchange->connection, MHD_GET_ARGUMENT_KIND, name);
}

void exchange_wait_for(struct exchange *exchange, struct operation *operation)
{
    exchange->operation = operation;
    suspend(exchange, &operation->waiting);
}

void exchange_wake(struct exchange *exchange, bool gone)
{
    unlink_it(exchange);
    timer_cancel(&exchange->sim->timers, &exchange->timer);
    if (gone) {
        exchange->operation = NULL;
    }
    MHD_resume_connection(exchange->connection);
}

void exchange_wake_all(struct sim *sim)
{
    operations_reset(&sim->operations);
    while (sim->stalled) {
        exchange_wake(sim->stalled, false);
    }
}
