#include "daemon/io/http_slot.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/io/http_url.h"
#include "proto/mem.h"

#define BODY_KEPT (64 * 1024) /* a larger buffer is not kept for the next answer */

/* Servers close idle connections when they like: uvicorn, which LiteLLM runs on, after 5 s. What
 * must not be sent twice takes none that is about to be closed. */
#define ONLY_ONCE_IDLE_MAX 3L /* seconds */

static size_t on_header(char *line, size_t size, size_t length, void *arg)
{
    struct http_slot *slot = arg;
    if (line[0] == '\r' || line[0] == '\n')
        slot->head_ended = true;
    else if (size * length > 5 && memcmp(line, "HTTP/", 5) == 0)
        slot->head_ended = false;
    slot->progress_at = uv_now(slot->loop->uv);
    slot->head_bytes += size * length;
    slot->head_too_large = slot->head_bytes > HTTP_HEAD_MAX;
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
        slot_fill_head(slot);
    if (slot->transfer->body && slot->reply.status / 100 == 2)
        return hand_over(slot, data, size * length);
    return keep(slot, data, size * length);
}

static size_t read_memory(struct http_slot *slot, char *room, size_t size)
{
    size_t left = slot->request.body_length - (size_t)slot->body_read;
    size_t taken = left < size ? left : size;
    if (taken > 0)
        memcpy(room, slot->request.body + slot->body_read, taken);
    return taken;
}

static size_t read_upload(struct http_slot *slot, char *room, size_t size)
{
    size_t taken = 0;
    switch (upload_take(slot->upload, room, size, &taken)) {
    case UPLOAD_WAIT:
        slot->starving = true;
        return CURL_READFUNC_PAUSE;
    case UPLOAD_FAILED:
        return CURL_READFUNC_ABORT;
    case UPLOAD_TAKEN:
        break;
    }
    if (!upload_is_at_end(slot->upload))
        return taken;
    slot->sent_at = uv_now(slot->loop->uv);
    if (slot->request.total_ms > 0)
        http_loop_alarm(slot->loop, (uint64_t)slot->request.total_ms);
    return taken;
}

static size_t on_read(char *room, size_t size, size_t length, void *arg)
{
    struct http_slot *slot = arg;
    size_t taken = slot->upload ? read_upload(slot, room, size * length)
                                : read_memory(slot, room, size * length);
    if (taken == CURL_READFUNC_PAUSE || taken == CURL_READFUNC_ABORT)
        return taken;
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
    if (origin != SEEK_SET || offset < 0 || (size_t)offset > slot->request.body_length ||
        (slot->upload && offset > 0))
        return CURL_SEEKFUNC_CANTSEEK;
    slot->body_read = (uint64_t)offset;
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
    if (slot->request.total_ms > 0 && !slot->upload)
        curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)slot->request.total_ms);
}

static void set_lane(struct http_slot *slot)
{
    CURL *easy = slot->easy;
    bool small = slot->lane == HTTP_CALLS || slot->lane == HTTP_CHATS;
    /* Over plain HTTP there is nothing to wait for: only TLS says whether HTTP/2 is spoken. */
    if (small && http_is_https(slot->request.url)) {
        curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_2TLS);
        curl_easy_setopt(easy, CURLOPT_PIPEWAIT, 1L);
    } else {
        curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    }
    /* libcurl keeps it as long as the handle, and half of its default costs little speed. */
    if (slot->lane == HTTP_UPLOADS)
        curl_easy_setopt(easy, CURLOPT_UPLOAD_BUFFERSIZE, 32 * 1024L);
    curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, small ? 16 * 1024L : 128 * 1024L);
    /* libcurl 7.88 puts a request on a busy HTTP/1.1 connection if another one to the same host
     * speaks HTTP/2. The scope is part of a host's identity there, and the kernel ignores it for
     * all but link-local addresses. */
    if (!small && http_is_https(slot->request.url))
        curl_easy_setopt(easy, CURLOPT_ADDRESS_SCOPE, 1L);
}

static void set_proxy(struct http_slot *slot)
{
    const char *proxy = http_proxy(slot->request.url);
    if (slot->request.no_proxy)
        proxy = NULL;
    slot->through_proxy = proxy != NULL;
    if (slot->request.allow_private && !slot->request.no_proxy)
        return;
    /* No address to look at behind a proxy, so what goes there must not depend on no_proxy. */
    curl_easy_setopt(slot->easy, CURLOPT_PROXY, proxy ? proxy : "");
    curl_easy_setopt(slot->easy, CURLOPT_NOPROXY, "");
}

static void set_body(struct http_slot *slot)
{
    CURL *easy = slot->easy;
    curl_off_t length =
        (curl_off_t)(slot->upload ? upload_length(slot->upload) : slot->request.body_length);
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
    const struct http_request *request = &slot->request;
    size_t count = 0;
    add_header(slot, &count, no_expect);
    if (request->method == HTTP_POST)
        add_header(slot, &count, slot->type_line);
    if (slot->secret_line)
        add_header(slot, &count, slot->secret_line);
    if (request->header)
        add_header(slot, &count, (char *)(uintptr_t)request->header);
    curl_easy_setopt(slot->easy, CURLOPT_HTTPHEADER, slot->headers);
    if (request->range_from > 0) {
        char range[32];
        snprintf(range, sizeof(range), "%" PRIu64 "-", request->range_from);
        curl_easy_setopt(slot->easy, CURLOPT_RANGE, range);
    }
}

/* Lines of a header are kept here: what they are made of may be gone when the files are open. */
static CURLcode make_lines(struct http_slot *slot)
{
    const struct http_request *request = &slot->request;
    const char *type = request->content_type ? request->content_type : "application/json";
    if (request->secret_name && strpbrk(request->secret_value, "\r\n")) {
        snprintf(slot->reason, sizeof(slot->reason), "the credential has a line break in it");
        return CURLE_BAD_FUNCTION_ARGUMENT;
    }
    slot->type_line = mem_format("Content-Type: %s", type);
    if (request->secret_name)
        slot->secret_line = mem_format("%s: %s", request->secret_name, request->secret_value);
    slot->request.secret_value = NULL;
    return CURLE_OK;
}

static CURLcode put_on_wire(struct http_slot *slot)
{
    curl_easy_setopt(slot->easy, CURLOPT_URL, slot->request.url);
    set_callbacks(slot);
    set_connection(slot);
    set_lane(slot);
    set_proxy(slot);
    set_body(slot);
    set_headers(slot);
    slot->progress_at = uv_now(slot->loop->uv);
    CURLMcode code = curl_multi_add_handle(slot->loop->multi, slot->easy);
    slot->on_wire = code == CURLM_OK;
    if (!slot->on_wire)
        snprintf(slot->reason, sizeof(slot->reason), "%s", curl_multi_strerror(code));
    return slot->on_wire ? CURLE_OK : CURLE_FAILED_INIT;
}

static void notice(struct http_slot *slot, bool *what)
{
    *what = true;
    *slot->noticed = true;
    http_loop_wake(slot->loop);
}

static void on_files_open(void *arg, bool well)
{
    struct http_slot *slot = arg;
    (void)well;
    notice(slot, &slot->opened);
}

static void on_upload_ready(void *arg)
{
    struct http_slot *slot = arg;
    if (slot->starving)
        notice(slot, &slot->fed);
}

static void open_files(struct http_slot *slot)
{
    static const struct upload_hooks hooks = {on_files_open, on_upload_ready};
    struct http_request *request = &slot->request;
    slot->upload = upload_open(slot->loop->uv, request->body, request->body_length, request->parts,
                               request->part_count, &hooks, slot);
    request->parts = NULL;
    request->part_count = 0;
    request->only_once = true;
}

CURLcode slot_begin(struct http_slot *slot, struct http_request *request)
{
    slot->request = *request;
    slot->body.max = request->max_body < SIZE_MAX / 2 ? request->max_body : SIZE_MAX / 2;
    if (request->is_secret) /* growing would leave copies of it behind */
        (void)buf_reserve(&slot->body, request->max_body);
    slot_clear_reply(&slot->reply);
    if (!slot->easy)
        slot->easy = curl_easy_init();
    if (!slot->easy)
        return CURLE_OUT_OF_MEMORY;
    if (!http_is_url(request->url))
        return CURLE_URL_MALFORMAT;
    if (!request->allow_private && http_names_private_host(request->url)) {
        slot->refused_peer = true;
        return CURLE_COULDNT_CONNECT;
    }
    CURLcode code = make_lines(slot);
    if (code != CURLE_OK || request->part_count == 0)
        return code == CURLE_OK ? put_on_wire(slot) : code;
    open_files(slot);
    return CURLE_OK;
}

void slot_wish_resume(struct http_slot *slot)
{
    notice(slot, &slot->resume);
}

static CURLcode unpause(struct http_slot *slot)
{
    slot->paused = slot->paused && !slot->resume;
    slot->starving = slot->starving && !slot->fed;
    slot->resume = slot->fed = false;
    slot->progress_at = uv_now(slot->loop->uv);
    slot->loop->depth++;
    CURLcode code = curl_easy_pause(slot->easy, (slot->paused ? CURLPAUSE_RECV : 0) |
                                                    (slot->starving ? CURLPAUSE_SEND : 0));
    slot->loop->depth--;
    /* It has ended, and libcurl will say how. */
    return code == CURLE_BAD_FUNCTION_ARGUMENT ? CURLE_OK : code;
}

CURLcode slot_attend(struct http_slot *slot)
{
    if (slot->opened) {
        slot->opened = false;
        return upload_reason(slot->upload) ? CURLE_READ_ERROR : put_on_wire(slot);
    }
    return slot->on_wire && (slot->resume || slot->fed) ? unpause(slot) : CURLE_OK;
}

static int64_t left_of(const struct http_slot *slot, int64_t limit, uint64_t since)
{
    int64_t gone = (int64_t)(uv_now(slot->loop->uv) - since);
    return gone < limit ? limit - gone : 0;
}

/* libcurl counts from the transfer's begin, and a large body may take its time. */
int64_t slot_until_overdue(const struct http_slot *slot)
{
    if (!slot->sent_at || slot->request.total_ms <= 0)
        return -1;
    return left_of(slot, slot->request.total_ms, slot->sent_at);
}

int64_t slot_patience(const struct http_slot *slot)
{
    int64_t overdue = slot_until_overdue(slot);
    if (slot->request.stall_ms <= 0 || slot->paused)
        return overdue;
    if (!slot->dispatched) /* connecting has a bound of its own */
        return slot->request.stall_ms;
    int64_t stall = left_of(slot, slot->request.stall_ms, slot->progress_at);
    return overdue >= 0 && overdue < stall ? overdue : stall;
}

void slot_free_request(struct http_request *request)
{
    if (request->is_secret && request->body)
        explicit_bzero(request->body, request->body_length);
    free(request->url);
    free(request->body);
    free(request->content_type);
    upload_free_parts(request->parts, request->part_count);
    *request = (struct http_request){0};
}

static void free_secret(struct http_slot *slot)
{
    if (slot->secret_line)
        explicit_bzero(slot->secret_line, strlen(slot->secret_line));
    if (slot->request.is_secret && slot->body.data)
        explicit_bzero(slot->body.data, slot->body.capacity);
    free(slot->secret_line);
}

void slot_clear(struct http_slot *slot)
{
    if (slot->on_wire)
        curl_multi_remove_handle(slot->loop->multi, slot->easy);
    if (slot->easy)
        curl_easy_reset(slot->easy);
    upload_free(slot->upload);
    free_secret(slot);
    free(slot->type_line);
    slot_free_request(&slot->request);
    buf_reset(&slot->body);
    if (slot->body.capacity > BODY_KEPT)
        buf_free(&slot->body);
    *slot = (struct http_slot){.next = slot->next,
                               .loop = slot->loop,
                               .noticed = slot->noticed,
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
