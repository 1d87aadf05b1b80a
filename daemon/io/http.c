#include "daemon/io/http.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/io/fault.h"
#include "daemon/io/http_loop.h"
#include "daemon/io/http_slot.h"
#include "daemon/io/http_tally.h"
#include "proto/mem.h"

#define CALLS_CONNECTIONS_MAX 64 /* more cost more than they bring; HTTP/2 needs a few */

struct lane {
    struct http_transfer *first, *last; /* waiting */
    struct http_slot *free;
    size_t waiting, active;
    uint64_t requests;
};

struct http {
    struct http_loop loop;
    struct lane lanes[HTTP_LANES];
    struct http_slot *slots;
    size_t slot_count;
    char *ca_file;
    char *user_agent;
    bool taken_back; /* a slot is to be cleared */
    bool noticed;    /* a slot is to be attended */
    bool closing;
    void (*closed)(void *);
    void *closed_arg;
};

static void queue_put(struct lane *lane, struct http_transfer *transfer)
{
    bool in_front = transfer->urgent;
    transfer->previous = in_front ? NULL : lane->last;
    transfer->next = in_front ? lane->first : NULL;
    *(transfer->previous ? &transfer->previous->next : &lane->first) = transfer;
    *(transfer->next ? &transfer->next->previous : &lane->last) = transfer;
    transfer->waiting = true;
    lane->waiting++;
}

static void queue_take(struct lane *lane, struct http_transfer *transfer)
{
    *(transfer->previous ? &transfer->previous->next : &lane->first) = transfer->next;
    *(transfer->next ? &transfer->next->previous : &lane->last) = transfer->previous;
    transfer->next = transfer->previous = NULL;
    transfer->waiting = false;
    lane->waiting--;
}

static struct http_slot *slot_take(struct lane *lane)
{
    struct http_slot *slot = lane->free;
    lane->free = slot->next;
    slot->next = NULL;
    lane->active++;
    return slot;
}

static void slot_give_back(struct http *http, struct http_slot *slot)
{
    struct lane *lane = &http->lanes[slot->lane];
    slot_clear(slot);
    slot->next = lane->free;
    lane->free = slot;
    lane->active--;
    if (lane->waiting > 0)
        http_loop_wake(&http->loop);
}

static void count_answer(const struct http_slot *slot, const struct http_reply *reply)
{
    if (slot->request.tally)
        http_tally_add(slot->request.tally, reply,
                       (int64_t)((uv_hrtime() - slot->began_at) / 1000000));
}

/* The slot's owner forgets it first: in `done` the transfer is already at rest. */
static void slot_finish(struct http *http, struct http_slot *slot, CURLcode code)
{
    struct http_transfer *transfer = slot->transfer;
    if (transfer) {
        int fault = fault_point("http.answered");
        if (fault < 0)
            snprintf(slot->reason, sizeof(slot->reason), "%s", strerror(-fault));
        const struct http_reply *reply = slot_reply(slot, fault < 0 ? CURLE_RECV_ERROR : code);
        slot->transfer = NULL;
        transfer->slot = NULL;
        count_answer(slot, reply);
        transfer->done(transfer, reply);
    }
    slot_give_back(http, slot);
}

static void clear_taken_back(struct http *http)
{
    if (!http->taken_back)
        return;
    http->taken_back = false;
    for (size_t i = 0; i < http->slot_count; i++)
        if ((http->slots[i].on_wire || http->slots[i].upload) && !http->slots[i].transfer)
            slot_give_back(http, &http->slots[i]);
}

static void finish_completed(struct http *http)
{
    CURLMsg *message;
    int left;
    while (!http->closing && (message = curl_multi_info_read(http->loop.multi, &left))) {
        struct http_slot *slot = NULL;
        CURLcode code = message->data.result;
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &slot);
        slot_finish(http, slot, code);
    }
}

static void attend_slots(struct http *http)
{
    if (!http->noticed)
        return;
    http->noticed = false;
    for (size_t i = 0; i < http->slot_count && !http->closing; i++) {
        struct http_slot *slot = &http->slots[i];
        if (!slot->transfer || !(slot->resume || slot->opened || slot->fed))
            continue;
        CURLcode code = slot_attend(slot);
        if (http->closing)
            return;
        if (code != CURLE_OK)
            slot_finish(http, slot, code);
        else if (slot_patience(slot) >= 0)
            http_loop_alarm(&http->loop, (uint64_t)slot_patience(slot));
    }
}

static void start_in(struct http *http, enum http_lane which, struct http_transfer *transfer,
                     struct http_request *request)
{
    struct lane *lane = &http->lanes[which];
    struct http_slot *slot = slot_take(lane);
    slot->transfer = transfer;
    transfer->slot = slot;
    slot->began_at = uv_hrtime();
    int fault = fault_point("http.sending");
    CURLcode code = fault < 0 ? CURLE_FAILED_INIT : slot_begin(slot, request);
    if (fault < 0)
        slot->request = *request;
    if (code != CURLE_OK) {
        slot_finish(http, slot, code);
        return;
    }
    lane->requests++;
    if (slot_patience(slot) >= 0)
        http_loop_alarm(&http->loop, (uint64_t)slot_patience(slot));
}

static void start_waiting(struct http *http, enum http_lane which)
{
    struct lane *lane = &http->lanes[which];
    /* Bounded: prepare and done may start others, and those have their turn in the next. */
    for (size_t left = lane->waiting; left > 0 && lane->free && lane->first; left--) {
        struct http_transfer *transfer = lane->first;
        struct http_request request = {0};
        queue_take(lane, transfer);
        bool wanted = transfer->prepare(transfer, &request);
        if (wanted && !http->closing) {
            start_in(http, which, transfer, &request);
        } else {
            slot_free_request(&request);
        }
        if (http->closing)
            return;
    }
    if (lane->free && lane->first)
        http_loop_wake(&http->loop);
}

static void on_loop_closed(void *arg)
{
    struct http *http = arg;
    void (*closed)(void *) = http->closed;
    void *closed_arg = http->closed_arg;
    free(http->slots);
    free(http->ca_file);
    free(http->user_agent);
    free(http);
    curl_global_cleanup();
    closed(closed_arg);
}

static void tear_down(struct http *http)
{
    for (size_t i = 0; i < http->slot_count; i++)
        slot_free(&http->slots[i]);
    http_loop_close(&http->loop, on_loop_closed);
}

static void on_turn(void *arg)
{
    struct http *http = arg;
    if (!http->closing) {
        clear_taken_back(http);
        attend_slots(http);
        for (int i = 0; i < HTTP_LANES && !http->closing; i++)
            start_waiting(http, (enum http_lane)i);
    }
    if (!http->closing)
        http_loop_act(&http->loop);
    if (!http->closing)
        finish_completed(http);
    if (http->closing)
        tear_down(http);
}

/* Ends what made no progress for too long. libcurl's own low-speed limit counts in seconds, and
 * looks at an average. */
static void on_alarm(void *arg)
{
    struct http *http = arg;
    int64_t nearest = -1;
    for (size_t i = 0; i < http->slot_count && !http->closing; i++) {
        struct http_slot *slot = &http->slots[i];
        int64_t patience = slot->on_wire ? slot_patience(slot) : -1;
        if (patience == 0) {
            slot->stalled = true;
            slot_finish(http, slot, CURLE_OPERATION_TIMEDOUT);
        } else if (patience > 0 && (nearest < 0 || patience < nearest)) {
            nearest = patience;
        }
    }
    if (nearest > 0)
        http_loop_alarm(&http->loop, (uint64_t)nearest);
}

static int find_ca_file(const char *wanted, char **ret, struct error *error)
{
    const char *path = wanted ? wanted : getenv("SSL_CERT_FILE");
    if (path && access(path, R_OK) < 0)
        return error_set(error, ERROR_UNAVAILABLE, "ca_file", "cannot read %s: %s", path,
                         strerror(errno));
    if (!path && access("/etc/ssl/certs/ca-certificates.crt", R_OK) == 0)
        path = "/etc/ssl/certs/ca-certificates.crt";
    *ret = mem_strdup(path);
    return 0;
}

static void make_slots(struct http *http, const struct http_config *config)
{
    for (int i = 0; i < HTTP_LANES; i++)
        http->slot_count += config->at_once[i];
    http->slots = mem_alloc(http->slot_count * sizeof(*http->slots));
    struct http_slot *slot = http->slots;
    for (int i = 0; i < HTTP_LANES; i++)
        for (unsigned n = 0; n < config->at_once[i]; n++, slot++) {
            slot->loop = &http->loop;
            slot->noticed = &http->noticed;
            slot->ca_file = http->ca_file;
            slot->user_agent = http->user_agent;
            slot->lane = (enum http_lane)i;
            slot->next = http->lanes[i].free;
            http->lanes[i].free = slot;
        }
}

/* Calls and chats never share a host's connections over TLS with the other lanes, so this bounds
 * the larger side. Over plain HTTP they do. */
static void limit_connections(struct http *http, const struct http_config *config)
{
    unsigned calls = config->at_once[HTTP_CALLS];
    unsigned others = config->at_once[HTTP_TRANSFERS] + config->at_once[HTTP_UPLOADS] +
                      config->at_once[HTTP_CHATS];
    if (calls > CALLS_CONNECTIONS_MAX)
        calls = CALLS_CONNECTIONS_MAX;
    long host = (long)calls + (long)others;
    curl_multi_setopt(http->loop.multi, CURLMOPT_MAX_HOST_CONNECTIONS, host);
    curl_multi_setopt(http->loop.multi, CURLMOPT_MAXCONNECTS, 2 * host);
}

int http_new(uv_loop_t *loop, const struct http_config *config, struct http **ret,
             struct error *error)
{
    char *ca_file = NULL;
    for (int i = 0; i < HTTP_LANES; i++)
        if (config->at_once[i] == 0)
            return error_set(error, ERROR_INVALID_ARGUMENT, NULL, "no transfers allowed at once");
    if (find_ca_file(config->ca_file, &ca_file, error) < 0)
        return -1;
    /* libcurl is told to keep its hands off signals; OpenSSL writes without MSG_NOSIGNAL. */
    signal(SIGPIPE, SIG_IGN);
    struct http *http = mem_alloc(sizeof(*http));
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK ||
        http_loop_init(&http->loop, loop, on_turn, on_alarm, http) < 0) {
        free(http);
        free(ca_file);
        return error_set(error, ERROR_UNAVAILABLE, NULL, "libcurl cannot be set up");
    }
    http->ca_file = ca_file;
    http->user_agent = mem_strdup(config->user_agent);
    make_slots(http, config);
    limit_connections(http, config);
    *ret = http;
    return 0;
}

void http_start(struct http *http, struct http_transfer *transfer)
{
    queue_put(&http->lanes[transfer->lane], transfer);
    if (http->lanes[transfer->lane].free)
        http_loop_wake(&http->loop);
}

void http_resume(struct http *http, struct http_transfer *transfer)
{
    (void)http;
    if (transfer->slot)
        slot_wish_resume(transfer->slot);
}

void http_cancel(struct http *http, struct http_transfer *transfer)
{
    struct http_slot *slot = transfer->slot;
    if (transfer->waiting)
        queue_take(&http->lanes[transfer->lane], transfer);
    if (!slot)
        return;
    slot->transfer = NULL;
    transfer->slot = NULL;
    if (http->loop.depth == 0) {
        slot_give_back(http, slot);
        return;
    }
    http->taken_back = true;
    http_loop_wake(&http->loop);
}

/* The rest is done in a turn: this may have been called by a transfer of ours. */
void http_close(struct http *http, void (*closed)(void *), void *arg)
{
    for (size_t i = 0; i < http->slot_count; i++) {
        if (http->slots[i].transfer)
            http->slots[i].transfer->slot = NULL;
        http->slots[i].transfer = NULL;
    }
    for (int i = 0; i < HTTP_LANES; i++)
        while (http->lanes[i].first)
            queue_take(&http->lanes[i], http->lanes[i].first);
    http->closed = closed;
    http->closed_arg = arg;
    http->closing = true;
    http_loop_wake(&http->loop);
}

void http_stats(const struct http *http, struct http_stats *ret)
{
    *ret = (struct http_stats){.connections = http->loop.opened};
    for (int i = 0; i < HTTP_LANES; i++) {
        ret->requests[i] = http->lanes[i].requests;
        ret->waiting[i] = http->lanes[i].waiting;
        ret->active[i] = http->lanes[i].active;
    }
}
