#include "daemon/io/http_slot.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/io/http_url.h"
#include "proto/mem.h"

#define HEAD_MAX        (128 * 1024) /* bytes of an answer's header lines */
#define BODY_KEPT       (64 * 1024)  /* a larger buffer is not kept for the next answer */
#define RETRY_AFTER_MAX (366LL * 24 * 3600)

/* Servers close idle connections when they like: uvicorn, which LiteLLM runs on, after 5 s. What
 * must not be sent twice takes none that is about to be closed. */
#define ONLY_ONCE_IDLE_MAX 3L /* seconds */

static long slot_status(const struct http_slot *slot)
{
    long status = 0;
    curl_easy_getinfo(slot->easy, CURLINFO_RESPONSE_CODE, &status);
    return status;
}

static const char *slot_header(const struct http_slot *slot, const char *name)
{
    struct curl_header *header;
    if (curl_easy_header(slot->easy, name, 0, CURLH_HEADER, -1, &header) != CURLHE_OK)
        return NULL;
    return header->value;
}

/* "bytes 100-199/1000"; the total may be "*". */
static void read_content_range(const char *text, struct http_reply *ret)
{
    uint64_t first, last, total;
    int end = 0;
    if (!text || sscanf(text, "bytes %" SCNu64 "-%" SCNu64 "/%n", &first, &last, &end) != 2 ||
        end == 0 || first > last || last >= INT64_MAX)
        return;
    ret->range_start = (int64_t)first;
    if (sscanf(text + end, "%" SCNu64, &total) == 1 && total > last && total <= INT64_MAX)
        ret->range_total = (int64_t)total;
}

static void reply_clear(struct http_reply *reply)
{
    *reply = (struct http_reply){.body = "",
                                 .content_length = -1,
                                 .range_start = -1,
                                 .range_total = -1,
                                 .retry_after_ms = -1};
}

static void fill_head(struct http_slot *slot)
{
    struct http_reply *reply = &slot->reply;
    char *content_type = NULL;
    curl_off_t length = -1;
    reply_clear(reply);
    reply->status = (int)slot_status(slot);
    curl_easy_getinfo(slot->easy, CURLINFO_CONTENT_TYPE, &content_type);
    curl_easy_getinfo(slot->easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length);
    reply->content_type = content_type;
    reply->content_length = length;
    reply->peer_private = slot->peer_private;
    if (reply->status == 206)
        read_content_range(slot_header(slot, "Content-Range"), reply);
    slot->head_known = true;
}

static size_t on_header(char *line, size_t size, size_t length, void *arg)
{
    struct http_slot *slot = arg;
    if (line[0] == '\r' || line[0] == '\n')
        slot->head_ended = true;
    else if (size * length > 5 && memcmp(line, "HTTP/", 5) == 0)
        slot->head_ended = false;
    slot->progress_at = uv_now(slot->loop->uv);
    slot->head_bytes += size * length;
    slot->head_too_large = slot->head_bytes > HEAD_MAX;
    return slot->head_too_large ? 0 : size * length;
}

static size_t hand_over(struct http_slot *slot, const char *data, size_t length)
{
    enum http_flow flow = slot->transfer->body(slot->transfer, &slot->reply, data, length);
    if (!slot->transfer) /* taken back meanwhile */
        return 0;
    slot->paused = flow == HTTP_PAUSE;
    slot->stopped = flow == HTTP_STOP;
    if (slot->paused)
        return CURL_WRITEFUNC_PAUSE;
    return slot->stopped ? 0 : length;
}

static size_t keep(struct http_slot *slot, const char *data, size_t length)
{
    if (slot->reply.content_length > (int64_t)slot->request.max_body)
        slot->too_large = true;
    else
        buf_add(&slot->body, data, length);
    slot->too_large = slot->too_large || slot->body.failed;
    return slot->too_large ? 0 : length;
}

static size_t on_body(char *data, size_t size, size_t length, void *arg)
{
    struct http_slot *slot = arg;
    if (!slot->transfer)
        return 0;
    slot->progress_at = uv_now(slot->loop->uv);
    if (!slot->head_known)
        fill_head(slot);
    if (slot->transfer->body && slot->reply.status / 100 == 2)
        return hand_over(slot, data, size * length);
    return keep(slot, data, size * length);
}

static size_t on_read(char *room, size_t size, size_t length, void *arg)
{
    struct http_slot *slot = arg;
    size_t left = slot->request.body_length - slot->body_read;
    size_t taken = left < size * length ? left : size * length;
    if (taken > 0)
        memcpy(room, slot->request.body + slot->body_read, taken);
    slot->body_read += taken;
    slot->progress_at = uv_now(slot->loop->uv);
    return taken;
}

static int on_seek(void *arg, curl_off_t offset, int origin)
{
    struct http_slot *slot = arg;
    if (slot->request.only_once && slot->body_read > 0) {
        slot->refused_resend = true;
        return CURL_SEEKFUNC_FAIL;
    }
    if (origin != SEEK_SET || offset < 0 || (size_t)offset > slot->request.body_length)
        return CURL_SEEKFUNC_CANTSEEK;
    slot->body_read = (size_t)offset;
    return CURL_SEEKFUNC_OK;
}

static bool may_talk_to(const struct http_slot *slot, bool is_private)
{
    return slot->request.allow_private || slot->through_proxy || !is_private;
}

static curl_socket_t on_open_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *address)
{
    struct http_slot *slot = arg;
    (void)purpose;
    if (!may_talk_to(slot, http_address_is_private(&address->addr))) {
        slot->refused_peer = true;
        return CURL_SOCKET_BAD;
    }
    return http_loop_open(slot->loop, address);
}

/* Called before each sending, also on a connection that stood already, and also when libcurl sends
 * again by itself because the connection it had reused died under it. */
static int on_prerequest(void *arg, char *peer, char *local, int peer_port, int local_port)
{
    struct http_slot *slot = arg;
    (void)local;
    (void)peer_port;
    (void)local_port;
    if (slot->through_proxy)
        slot->peer_private = http_names_private_host(slot->request.url);
    else
        slot->peer_private = http_literal_is_private(peer);
    slot->refused_peer = !may_talk_to(slot, slot->peer_private);
    slot->refused_resend = slot->request.only_once && slot->dispatched;
    if (slot->refused_peer || slot->refused_resend)
        return CURL_PREREQFUNC_ABORT;
    slot->dispatched = true;
    slot->progress_at = uv_now(slot->loop->uv);
    return CURL_PREREQFUNC_OK;
}

static void set_callbacks(struct http_slot *slot)
{
    CURL *easy = slot->easy;
    curl_easy_setopt(easy, CURLOPT_PRIVATE, slot);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, slot->reason);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, slot);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, slot);
    curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, on_open_socket);
    curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, slot);
    curl_easy_setopt(easy, CURLOPT_PREREQFUNCTION, on_prerequest);
    curl_easy_setopt(easy, CURLOPT_PREREQDATA, slot);
    http_loop_adopt(slot->loop, easy);
}

static void set_connection(struct http_slot *slot)
{
    CURL *easy = slot->easy;
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L); /* never wait for a resolver's thread */
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(easy, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
    curl_easy_setopt(easy, CURLOPT_HEADEROPT, (long)CURLHEADER_SEPARATE);
    curl_easy_setopt(easy, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
    curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
    if (slot->ca_file)
        curl_easy_setopt(easy, CURLOPT_CAINFO, slot->ca_file);
    /* Without a path libcurl keeps the parsed bundle, and a connection costs a 30th. */
    curl_easy_setopt(easy, CURLOPT_CAPATH, NULL);
    if (slot->user_agent)
        curl_easy_setopt(easy, CURLOPT_USERAGENT, slot->user_agent);
    if (slot->request.connect_ms > 0)
        curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)slot->request.connect_ms);
    if (slot->request.total_ms > 0)
        curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)slot->request.total_ms);
}

static void set_lane(struct http_slot *slot)
{
    CURL *easy = slot->easy;
    /* Over plain HTTP there is nothing to wait for: only TLS says whether HTTP/2 is spoken. */
    if (slot->lane == HTTP_CALLS && http_is_https(slot->request.url)) {
        curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_2TLS);
        curl_easy_setopt(easy, CURLOPT_PIPEWAIT, 1L);
    } else {
        curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    }
    curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, slot->lane == HTTP_CALLS ? 16 * 1024L : 128 * 1024L);
    /* libcurl 7.88 puts a request on a busy HTTP/1.1 connection if another one to the same host
     * speaks HTTP/2. The scope is part of a host's identity there, and the kernel ignores it for
     * all but link-local addresses. */
    if (slot->lane == HTTP_TRANSFERS && http_is_https(slot->request.url))
        curl_easy_setopt(easy, CURLOPT_ADDRESS_SCOPE, 1L);
}

static void set_proxy(struct http_slot *slot)
{
    const char *proxy = http_proxy(slot->request.url);
    slot->through_proxy = proxy != NULL;
    if (slot->request.allow_private)
        return;
    /* No address to look at behind a proxy, so what goes there must not depend on no_proxy. */
    curl_easy_setopt(slot->easy, CURLOPT_PROXY, proxy ? proxy : "");
    curl_easy_setopt(slot->easy, CURLOPT_NOPROXY, "");
}

static void set_body(struct http_slot *slot)
{
    CURL *easy = slot->easy;
    curl_off_t length = (curl_off_t)slot->request.body_length;
    if (slot->request.method == HTTP_DELETE)
        curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, "DELETE");
    if (slot->request.method != HTTP_POST)
        return;
    curl_easy_setopt(easy, CURLOPT_POST, 1L);
    curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, length);
    if (!slot->request.only_once) {
        curl_easy_setopt(easy, CURLOPT_POSTFIELDS, slot->request.body ? slot->request.body : "");
        return;
    }
    curl_easy_setopt(easy, CURLOPT_MAXAGE_CONN, ONLY_ONCE_IDLE_MAX);
    curl_easy_setopt(easy, CURLOPT_READFUNCTION, on_read);
    curl_easy_setopt(easy, CURLOPT_READDATA, slot);
    curl_easy_setopt(easy, CURLOPT_SEEKFUNCTION, on_seek);
    curl_easy_setopt(easy, CURLOPT_SEEKDATA, slot);
}

static void add_header(struct http_slot *slot, size_t *count, char *line)
{
    struct curl_slist *node = &slot->headers[*count];
    *node = (struct curl_slist){.data = line};
    if (*count > 0)
        slot->headers[*count - 1].next = node;
    ++*count;
}

/* The list's nodes are ours: curl_slist_append would leave copies of the secret in freed memory. */
static void set_headers(struct http_slot *slot)
{
    static char no_expect[] = "Expect:";
    static char json[] = "Content-Type: application/json";
    const struct http_request *request = &slot->request;
    size_t count = 0;
    add_header(slot, &count, no_expect);
    if (request->method == HTTP_POST)
        add_header(slot, &count, json);
    if (request->secret_name) {
        slot->secret_line = mem_format("%s: %s", request->secret_name, request->secret_value);
        add_header(slot, &count, slot->secret_line);
    }
    curl_easy_setopt(slot->easy, CURLOPT_HTTPHEADER, slot->headers);
    if (request->range_from > 0) {
        char range[32];
        snprintf(range, sizeof(range), "%" PRIu64 "-", request->range_from);
        curl_easy_setopt(slot->easy, CURLOPT_RANGE, range);
    }
}

CURLcode slot_begin(struct http_slot *slot, struct http_request *request)
{
    slot->request = *request;
    slot->body.max = request->max_body < SIZE_MAX / 2 ? request->max_body : SIZE_MAX / 2;
    slot->progress_at = uv_now(slot->loop->uv);
    reply_clear(&slot->reply);
    if (!slot->easy)
        slot->easy = curl_easy_init();
    if (!slot->easy)
        return CURLE_OUT_OF_MEMORY;
    if (!http_is_url(request->url))
        return CURLE_URL_MALFORMAT;
    if (request->secret_name && strpbrk(request->secret_value, "\r\n")) {
        snprintf(slot->reason, sizeof(slot->reason), "the credential has a line break in it");
        return CURLE_BAD_FUNCTION_ARGUMENT;
    }
    if (!request->allow_private && http_names_private_host(request->url)) {
        slot->refused_peer = true;
        return CURLE_COULDNT_CONNECT;
    }
    curl_easy_setopt(slot->easy, CURLOPT_URL, request->url);
    set_callbacks(slot);
    set_connection(slot);
    set_lane(slot);
    set_proxy(slot);
    set_body(slot);
    set_headers(slot);
    CURLMcode code = curl_multi_add_handle(slot->loop->multi, slot->easy);
    slot->on_wire = code == CURLM_OK;
    if (!slot->on_wire)
        snprintf(slot->reason, sizeof(slot->reason), "%s", curl_multi_strerror(code));
    return slot->on_wire ? CURLE_OK : CURLE_FAILED_INIT;
}

CURLcode slot_resume(struct http_slot *slot)
{
    slot->resume = false;
    slot->paused = false;
    slot->progress_at = uv_now(slot->loop->uv);
    slot->loop->depth++;
    CURLcode code = curl_easy_pause(slot->easy, CURLPAUSE_CONT);
    slot->loop->depth--;
    /* It has ended, and libcurl will say how. */
    return code == CURLE_BAD_FUNCTION_ARGUMENT ? CURLE_OK : code;
}

int64_t slot_patience(const struct http_slot *slot)
{
    if (slot->request.stall_ms <= 0 || slot->paused)
        return -1;
    if (!slot->dispatched) /* connecting has a bound of its own */
        return slot->request.stall_ms;
    int64_t quiet = (int64_t)(uv_now(slot->loop->uv) - slot->progress_at);
    return quiet < slot->request.stall_ms ? slot->request.stall_ms - quiet : 0;
}

static int64_t retry_after_ms(const struct http_slot *slot)
{
    const char *text = slot_header(slot, "Retry-After");
    curl_off_t seconds = 0;
    if (!text)
        return -1;
    curl_easy_getinfo(slot->easy, CURLINFO_RETRY_AFTER, &seconds);
    if (seconds == 0 && text[0] != '0' && curl_getdate(text, NULL) == -1)
        return -1;
    if (seconds < 0)
        seconds = 0;
    return (seconds < RETRY_AFTER_MAX ? seconds : RETRY_AFTER_MAX) * 1000;
}

static enum http_end how_it_ended(const struct http_slot *slot, CURLcode code)
{
    if (slot->stopped)
        return HTTP_STOPPED;
    if (slot->too_large)
        return HTTP_TOO_LARGE;
    if (!slot->dispatched)
        return HTTP_NOT_SENT;
    /* libcurl is content with a header that was cut short. */
    return code == CURLE_OK && slot->head_ended ? HTTP_ANSWERED : HTTP_NO_ANSWER;
}

static void give_reason(struct http_slot *slot, CURLcode code)
{
    size_t size = sizeof(slot->reason);
    if (slot->refused_peer && !slot->dispatched) {
        char *host = http_host(slot->request.url);
        snprintf(slot->reason, size, "refused: %s is a private address", host);
        free(host);
    } else if (slot->refused_resend)
        snprintf(slot->reason, size, "the connection was lost before the answer; not sent again");
    else if (slot->stopped)
        snprintf(slot->reason, size, "stopped");
    else if (slot->too_large)
        snprintf(slot->reason, size, "the answer is longer than %zu bytes", slot->request.max_body);
    else if (slot->head_too_large)
        snprintf(slot->reason, size, "the answer's header is longer than %d bytes", HEAD_MAX);
    else if (slot->stalled)
        snprintf(slot->reason, size, "no progress for %" PRId64 " ms", slot->request.stall_ms);
    else if (code == CURLE_OK)
        snprintf(slot->reason, size, "the answer ended within its header");
    else if (slot->reason[0] == '\0')
        snprintf(slot->reason, size, "%s", curl_easy_strerror(code));
}

const struct http_reply *slot_reply(struct http_slot *slot, CURLcode code)
{
    struct http_reply *reply = &slot->reply;
    char *location = NULL;
    if (slot->on_wire) {
        fill_head(slot);
        reply->retry_after_ms = retry_after_ms(slot);
        curl_easy_getinfo(slot->easy, CURLINFO_REDIRECT_URL, &location);
        reply->location = location;
    }
    reply->end = how_it_ended(slot, code);
    reply->body_length = slot->body.length;
    reply->body = buf_text(&slot->body);
    if (reply->end != HTTP_ANSWERED) {
        give_reason(slot, code);
        reply->reason = slot->reason;
    }
    return reply;
}

static void request_free(struct http_request *request)
{
    free(request->url);
    free(request->body);
    *request = (struct http_request){0};
}

void slot_clear(struct http_slot *slot)
{
    if (slot->on_wire)
        curl_multi_remove_handle(slot->loop->multi, slot->easy);
    if (slot->easy)
        curl_easy_reset(slot->easy);
    if (slot->secret_line) {
        explicit_bzero(slot->secret_line, strlen(slot->secret_line));
        free(slot->secret_line);
    }
    request_free(&slot->request);
    buf_reset(&slot->body);
    if (slot->body.capacity > BODY_KEPT)
        buf_free(&slot->body);
    *slot = (struct http_slot){.next = slot->next,
                               .loop = slot->loop,
                               .ca_file = slot->ca_file,
                               .user_agent = slot->user_agent,
                               .lane = slot->lane,
                               .easy = slot->easy,
                               .body = slot->body};
}

void slot_free(struct http_slot *slot)
{
    slot_clear(slot);
    curl_easy_cleanup(slot->easy);
    slot->easy = NULL;
    buf_free(&slot->body);
}
