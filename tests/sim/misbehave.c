#include "tests/sim/misbehave.h"

#include <stdlib.h>
#include <string.h>

#include "proto/mem.h"
#include "tests/sim/sim.h"

#define HUGE_BYTES  ((int64_t)1 << 30)
#define STALL_MS    60000
#define INTERVAL_MS 20
#define TYPE_HTML   "text/html; charset=UTF-8"
#define TYPE_JSON   "application/json; charset=UTF-8"
#define UNFOLLOWED_JSON \
    "{\"error\":{\"code\":302,\"message\":\"Unknown Error.\",\"status\":\"UNKNOWN\"}}\n"
#define NO_VIDEO_HTML "<!DOCTYPE html>\n<html><body>This is no video.</body></html>\n"
#define GARBAGE       "\x1f\x8b{\"name\": \xff\xfe,,]"

static bool is(const char *text, const char *word)
{
    return text && strcmp(text, word) == 0;
}

/* What the provider says of each of its quotas. Interactions has a code of its own for days. */
static const struct quota_text {
    const char *id;
    const char *code;
    const char *message;
} quota_texts[] = {
    [QUOTA_MINUTE] = {"GenerateRequestsPerMinutePerProjectPerModel", "rate_limit_exceeded",
                      "You exceeded your current quota, please check your plan and billing "
                      "details."},
    [QUOTA_DAY] = {"GenerateRequestsPerDayPerProjectPerModel", "quota_exceeded",
                   "You exceeded your current quota, please check your plan and billing details."},
    [QUOTA_SPEND] = {NULL, "rate_limit_exceeded",
                     "Your project has exceeded its spend limit of $10 in 10 minutes. Please try "
                     "again later."},
};

static void answer_status(struct exchange *exchange, const struct rule *rule)
{
    const struct quota_text *text = &quota_texts[rule->quota];
    bool interactions = reply_usual_shape(exchange) == SHAPE_INTERACTIONS;
    unsigned status = rule->quota ? 429 : 500;
    reply_problem(exchange, rule->shape,
                  &(struct reply_problem){
                      .status = rule->status ? (unsigned)rule->status : status,
                      .code = rule->code     ? rule->code
                              : interactions ? text->code
                                             : NULL,
                      .message = rule->message ? rule->message : text->message,
                      .reason = rule->reason,
                      .quota_id = rule->quota_id ? rule->quota_id : text->id,
                      .retry_delay = rule->retry_info,
                  });
}

static void answer_huge(struct exchange *exchange, const struct rule *rule)
{
    static const char begin[] = "{\"padding\":\"";
    struct reply *reply = &exchange->reply;
    unsigned status = reply->status;
    reply_text(reply, status, TYPE_JSON, begin);
    int64_t bytes = rule->bytes < 0 ? HUGE_BYTES : rule->bytes;
    stream_add_filler(&reply->body, bytes == 0 ? STREAM_FOREVER : (uint64_t)bytes);
    if (bytes != 0) {
        stream_add_text(&reply->body, mem_strdup("\"}"), 2);
    }
}

static void answer_wrong_type(struct exchange *exchange)
{
    static const char submission[] =
        "{\"name\":42,\"id\":{\"value\":true},\"status\":[],\"steps\":7}";
    static const char poll[] = "{\"name\":[1],\"id\":7,\"done\":\"yes\",\"response\":\"later\","
                               "\"error\":\"none\",\"status\":{\"is\":\"completed\"},\"steps\":{}}";
    static const char chat[] =
        "{\"id\":7,\"object\":[],\"choices\":{\"message\":\"none\"},\"usage\":[],"
        "\"candidates\":\"none\"}";
    static const char file[] = "{\"name\":{},\"state\":3,\"sizeBytes\":[],\"uri\":false}";
    const char *text = exchange->event == EVENT_SUBMIT ? submission
                       : exchange->event == EVENT_FILE ? file
                       : exchange->event == EVENT_CHAT ? chat
                                                       : poll;
    reply_text(&exchange->reply, 200, TYPE_JSON, text);
}

static void answer_redirect(struct exchange *exchange, const struct rule *rule)
{
    const struct options *options = &exchange->sim->options;
    reply_text(&exchange->reply, 302, TYPE_JSON, UNFOLLOWED_JSON);
    char *to = rule->location ? mem_strdup(rule->location)
                              : mem_format("http://%s:%u/media/%s", options->address,
                                           options->foreign_port, exchange->id);
    reply_header(&exchange->reply, "Location", to);
}

static void answer_no_video(struct exchange *exchange, const struct rule *rule)
{
    bool json = is(rule->type, "json");
    reply_text(&exchange->reply, 200, json ? TYPE_JSON : TYPE_HTML,
               json ? UNFOLLOWED_JSON : NO_VIDEO_HTML);
}

static int64_t stall(struct exchange *exchange, const struct rule *rule)
{
    int64_t ms = rule->seconds_ms ? rule->seconds_ms : STALL_MS;
    if (rule->after < 0) {
        return ms;
    }
    exchange->reply.pause_at = (uint64_t)rule->after;
    exchange->reply.pause_ms = ms;
    return 0;
}

static void truncate_body(struct reply *reply, const struct rule *rule)
{
    uint64_t keep = rule->bytes < 0 ? reply->body.length / 2 : (uint64_t)rule->bytes;
    reply->cut_at = keep > 0 ? keep : 1;
}

static int64_t change_body(struct exchange *exchange, const struct rule *rule)
{
    struct reply *reply = &exchange->reply;
    switch (rule->action) {
    case ACTION_STALL:
        return stall(exchange, rule);
    case ACTION_SLOW:
        reply->interval_ms = rule->interval_ms ? rule->interval_ms : INTERVAL_MS;
        break;
    case ACTION_TRUNCATE:
        truncate_body(reply, rule);
        break;
    case ACTION_CONTENT_TYPE:
        reply->content_type = is(rule->type, "json")   ? TYPE_JSON
                              : is(rule->type, "none") ? NULL
                                                       : TYPE_HTML;
        break;
    case ACTION_NOT_A_VIDEO:
        answer_no_video(exchange, rule);
        break;
    default:
        break;
    }
    return 0;
}

static int64_t change_answer(struct exchange *exchange, const struct rule *rule)
{
    struct reply *reply = &exchange->reply;
    switch (rule->action) {
    case ACTION_STATUS:
        answer_status(exchange, rule);
        break;
    case ACTION_RESET_BEFORE:
    case ACTION_RESET_AFTER:
        reply->drop = true;
        break;
    case ACTION_GARBAGE:
        reply_text(reply, 200, TYPE_JSON, GARBAGE);
        break;
    case ACTION_EMPTY:
        reply_text(reply, 200, TYPE_JSON, "");
        break;
    case ACTION_HUGE:
        answer_huge(exchange, rule);
        break;
    case ACTION_WRONG_TYPE:
        answer_wrong_type(exchange);
        break;
    case ACTION_NO_NAME:
        reply_text(reply, 200, TYPE_JSON,
                   "{\"object\":\"interaction\",\"status\":\"in_progress\"}");
        break;
    case ACTION_REDIRECT:
        answer_redirect(exchange, rule);
        break;
    case ACTION_EXPIRED:
        reply_error(exchange, 404, NULL, "Requested entity was not found.");
        break;
    default:
        return change_body(exchange, rule);
    }
    return 0;
}

int64_t misbehave(struct exchange *exchange, const struct rule *rule)
{
    int64_t stall_ms = change_answer(exchange, rule);
    if (exchange->reply.status == 0 && !exchange->reply.drop) {
        reply_error(exchange, 503, NULL, "veosim: refused by a rule");
    }
    if (rule->retry_after && exchange->reply.header_count < REPLY_HEADERS) {
        reply_header(&exchange->reply, "Retry-After", mem_strdup(rule->retry_after));
    }
    return stall_ms;
}
