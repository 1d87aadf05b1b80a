/* What a transfer heard, and how it ended. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/io/http_slot.h"
#include "daemon/io/http_url.h"

#define RETRY_AFTER_MAX (366LL * 24 * 3600)
#define SECRET_MIN      8 /* bytes; what is shorter hides too much else */

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

void slot_clear_reply(struct http_reply *reply)
{
    *reply = (struct http_reply){.body = "",
                                 .content_length = -1,
                                 .range_start = -1,
                                 .range_total = -1,
                                 .retry_after_ms = -1};
}

void slot_fill_head(struct http_slot *slot)
{
    struct http_reply *reply = &slot->reply;
    char *content_type = NULL;
    curl_off_t length = -1;
    slot_clear_reply(reply);
    reply->status = (int)slot_status(slot);
    curl_easy_getinfo(slot->easy, CURLINFO_CONTENT_TYPE, &content_type);
    curl_easy_getinfo(slot->easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length);
    reply->content_type = content_type;
    reply->content_length = length;
    reply->peer_private = slot->peer_private;
    if (slot->request.wanted)
        reply->wanted = slot_header(slot, slot->request.wanted);
    if (reply->status == 206)
        read_content_range(slot_header(slot, "Content-Range"), reply);
    slot->head_known = true;
}

/* LiteLLM hands the provider's headers on with a prefix. libcurl doesn't know it: seconds only. */
static int64_t passed_on_ms(const struct http_slot *slot)
{
    const char *text = slot_header(slot, "llm_provider-retry-after");
    if (!text || !*text || text[strspn(text, "0123456789")] || strlen(text) > 9)
        return -1;
    long seconds = strtol(text, NULL, 10);
    return (seconds < RETRY_AFTER_MAX ? seconds : RETRY_AFTER_MAX) * INT64_C(1000);
}

static int64_t retry_after_ms(const struct http_slot *slot)
{
    const char *text = slot_header(slot, "Retry-After");
    curl_off_t seconds = 0;
    if (!text)
        return passed_on_ms(slot);
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
        snprintf(slot->reason, size, "the answer's header is longer than %d bytes", HTTP_HEAD_MAX);
    else if (upload_reason(slot->upload))
        snprintf(slot->reason, size, "%s", upload_reason(slot->upload));
    else if (slot->stalled && slot_until_overdue(slot) == 0)
        snprintf(slot->reason, size, "no answer within %" PRId64 " ms", slot->request.total_ms);
    else if (slot->stalled)
        snprintf(slot->reason, size, "no progress for %" PRId64 " ms", slot->request.stall_ms);
    else if (code == CURLE_OK)
        snprintf(slot->reason, size, "the answer ended within its header");
    else if (slot->reason[0] == '\0')
        snprintf(slot->reason, size, "%s", curl_easy_strerror(code));
}

void http_hide(char *text, size_t length, const char *secret)
{
    const char *value = secret ? strrchr(secret, ' ') : NULL;
    value = value ? value + 1 : secret;
    size_t secret_length = value ? strlen(value) : 0;
    if (!text || secret_length < SECRET_MIN)
        return;
    for (char *at = text; (at = memmem(at, length - (size_t)(at - text), value, secret_length));)
        memset(at, '*', secret_length);
}

const struct http_reply *slot_reply(struct http_slot *slot, CURLcode code)
{
    struct http_reply *reply = &slot->reply;
    char *location = NULL;
    if (slot->on_wire) {
        slot_fill_head(slot);
        reply->retry_after_ms = retry_after_ms(slot);
        curl_easy_getinfo(slot->easy, CURLINFO_REDIRECT_URL, &location);
        reply->location = location;
    }
    reply->end = how_it_ended(slot, code);
    http_hide(slot->body.data, slot->body.length, slot->secret_line);
    reply->body_length = slot->body.length;
    reply->body = buf_text(&slot->body);
    if (reply->end != HTTP_ANSWERED) {
        give_reason(slot, code);
        reply->reason = slot->reason;
        reply->input_gone = upload_is_gone(slot->upload);
    }
    return reply;
}
