#include "tests/sim/reply.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/mem.h"

#define TYPE_JSON "application/json; charset=UTF-8"

/* The usual code of a status: google.rpc's, and that of interactions. */
static const struct problem_name {
    unsigned status;
    const char *google;
    const char *interactions;
    const char *message;
} names[] = {
    {400, "INVALID_ARGUMENT", "invalid_request", "Request contains an invalid argument."},
    {401, "UNAUTHENTICATED", "authentication", "Request is missing required authentication."},
    {402, "RESOURCE_EXHAUSTED", "payment_required", "Your prepayment credits are depleted."},
    {403, "PERMISSION_DENIED", "permission_denied", "The caller does not have permission."},
    {404, "NOT_FOUND", "not_found", "Requested entity was not found."},
    {408, "DEADLINE_EXCEEDED", "deadline_exceeded", "The request timed out."},
    {409, "ABORTED", "aborted", "The operation was aborted."},
    {416, "OUT_OF_RANGE", "out_of_range", "The requested range is not satisfiable."},
    {429, "RESOURCE_EXHAUSTED", "rate_limit_exceeded", "You exceeded your current quota."},
    {499, "CANCELLED", "cancelled", "The operation was cancelled."},
    {500, "INTERNAL", "api_error", "An internal error has occurred."},
    {503, "UNAVAILABLE", "service_unavailable", "The model is overloaded. Try again later."},
    {504, "DEADLINE_EXCEEDED", "deadline_exceeded", "Deadline expired."},
    {0, "UNKNOWN", "api_error", "Unknown Error."},
};

static const struct problem_name *find_name(unsigned status)
{
    const struct problem_name *name = names;
    while (name->status != status && name->status != 0) {
        name++;
    }
    return name;
}

static void open_detail(struct jsonw *w, const char *type)
{
    char text[96];
    snprintf(text, sizeof(text), "type.googleapis.com/google.rpc.%s", type);
    jsonw_object(w);
    jsonw_member_string(w, "@type", text);
}

static void write_quota(struct jsonw *w, const char *quota_id, bool vertex)
{
    open_detail(w, "QuotaFailure");
    jsonw_name(w, "violations");
    jsonw_array(w);
    jsonw_object(w);
    jsonw_member_string(w, "quotaMetric",
                        vertex
                            ? "aiplatform.googleapis.com/online_prediction_requests_per_base_model"
                            : "generativelanguage.googleapis.com/generate_requests_per_model");
    jsonw_member_string(w, "quotaId", quota_id);
    jsonw_object_end(w);
    jsonw_array_end(w);
    jsonw_object_end(w);
}

static void write_help(struct jsonw *w)
{
    open_detail(w, "Help");
    jsonw_name(w, "links");
    jsonw_array(w);
    jsonw_object(w);
    jsonw_member_string(w, "description", "Learn more about Gemini API quotas");
    jsonw_member_string(w, "url", "https://ai.google.dev/gemini-api/docs/rate-limits");
    jsonw_object_end(w);
    jsonw_array_end(w);
    jsonw_object_end(w);
}

static void write_reason(struct jsonw *w, const char *reason)
{
    open_detail(w, "ErrorInfo");
    jsonw_member_string(w, "reason", reason);
    jsonw_member_string(w, "domain", "googleapis.com");
    jsonw_object_end(w);
}

static void write_details(struct jsonw *w, const struct reply_problem *problem, bool vertex)
{
    if (!problem->reason && !problem->quota_id && !problem->retry_delay && problem->status != 429) {
        return;
    }
    jsonw_name(w, "details");
    jsonw_array(w);
    if (problem->reason) {
        write_reason(w, problem->reason);
    }
    if (problem->quota_id) {
        write_quota(w, problem->quota_id, vertex);
    }
    if (problem->status == 429) {
        write_help(w);
    }
    if (problem->retry_delay) {
        open_detail(w, "RetryInfo");
        jsonw_member_string(w, "retryDelay", problem->retry_delay);
        jsonw_object_end(w);
    }
    jsonw_array_end(w);
}

static void write_google(struct jsonw *w, const struct reply_problem *problem,
                         const struct problem_name *name, bool vertex)
{
    jsonw_object(w);
    jsonw_name(w, "error");
    jsonw_object(w);
    jsonw_member_int(w, "code", problem->status);
    jsonw_member_string(w, "message", problem->message ? problem->message : name->message);
    jsonw_member_string(w, "status", problem->code ? problem->code : name->google);
    write_details(w, problem, vertex);
    jsonw_object_end(w);
    jsonw_object_end(w);
}

static void write_short(struct jsonw *w, const struct reply_problem *problem,
                        const struct problem_name *name, bool openai)
{
    jsonw_object(w);
    jsonw_name(w, "error");
    jsonw_object(w);
    char number[16];
    snprintf(number, sizeof(number), "%u", problem->status);
    const char *code = openai ? number : name->interactions;
    jsonw_member_string(w, "code", problem->code ? problem->code : code);
    jsonw_member_string(w, "message", problem->message ? problem->message : name->message);
    if (openai) {
        jsonw_member_string(w, "type", problem->status == 429 ? "throttling_error" : "None");
        jsonw_member_string(w, "param", "None");
    }
    jsonw_object_end(w);
    jsonw_object_end(w);
}

static void write_oauth(struct jsonw *w, const struct reply_problem *problem,
                        const struct problem_name *name)
{
    const char *code = problem->status < 500 ? "invalid_grant" : "internal_failure";
    jsonw_object(w);
    jsonw_member_string(w, "error", problem->code ? problem->code : code);
    jsonw_member_string(w, "error_description",
                        problem->message ? problem->message : name->message);
    jsonw_object_end(w);
}

static void write_problem(struct jsonw *w, enum reply_shape shape,
                          const struct reply_problem *problem, bool vertex)
{
    const struct problem_name *name = find_name(problem->status);
    switch (shape) {
    case SHAPE_OAUTH:
        write_oauth(w, problem, name);
        break;
    case SHAPE_ARRAY:
        jsonw_array(w);
        write_google(w, problem, name, vertex);
        jsonw_array_end(w);
        break;
    case SHAPE_INTERACTIONS:
    case SHAPE_OPENAI:
        write_short(w, problem, name, shape == SHAPE_OPENAI);
        break;
    default:
        write_google(w, problem, name, vertex);
    }
}

static void reply_html(struct reply *reply, unsigned status, const char *message)
{
    char *text = mem_format("<!DOCTYPE html>\n<html lang=en>\n<title>Error %u</title>\n"
                            "<p><b>%u.</b> <ins>That’s an error.</ins>\n<p>%s\n",
                            status, status, message);
    reply_text(reply, status, "text/html; charset=UTF-8", text);
    free(text);
}

void reply_reset(struct reply *reply)
{
    stream_free(&reply->body);
    for (unsigned i = 0; i < reply->header_count; i++) {
        free(reply->headers[i].value);
    }
    reply->header_count = 0;
    reply->content_type = NULL;
    reply->is_video = false;
    reply->is_video_whole = false;
}

void reply_header(struct reply *reply, const char *name, char *value)
{
    if (reply->header_count == REPLY_HEADERS) {
        abort();
    }
    reply->headers[reply->header_count].name = name;
    reply->headers[reply->header_count++].value = value;
}

void reply_text(struct reply *reply, unsigned status, const char *content_type, const char *text)
{
    reply_reset(reply);
    reply->status = status;
    reply->content_type = content_type;
    if (*text) {
        stream_add_text(&reply->body, mem_strdup(text), strlen(text));
    }
}

void reply_json(struct reply *reply, unsigned status, struct buf *json)
{
    reply_reset(reply);
    reply->status = status;
    reply->content_type = TYPE_JSON;
    size_t length = json->length;
    stream_add_text(&reply->body, buf_steal(json), length);
}

void reply_split(struct exchange *exchange, struct buf *json)
{
    size_t length = json->length;
    stream_add_text(&exchange->reply.body, buf_steal(json), length);
}

void reply_rest(struct exchange *exchange, struct buf *json)
{
    reply_split(exchange, json);
    exchange->reply.status = 200;
    exchange->reply.content_type = TYPE_JSON;
}

bool reply_error(struct exchange *exchange, unsigned status, const char *code, const char *format,
                 ...)
{
    char message[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, sizeof(message), format, arguments);
    va_end(arguments);
    reply_problem(exchange, SHAPE_DIALECT,
                  &(struct reply_problem){.status = status, .code = code, .message = message});
    return false;
}

enum reply_shape reply_usual_shape(const struct exchange *exchange)
{
    return exchange->event == EVENT_TOKEN              ? SHAPE_OAUTH
           : exchange->dialect == DIALECT_INTERACTIONS ? SHAPE_INTERACTIONS
           : exchange->dialect == DIALECT_VIDEOS       ? SHAPE_OPENAI
           : exchange->dialect == DIALECT_CHAT         ? SHAPE_ARRAY
                                                       : SHAPE_GOOGLE;
}

void reply_problem(struct exchange *exchange, enum reply_shape shape,
                   const struct reply_problem *problem)
{
    if (shape == SHAPE_DIALECT) {
        shape = reply_usual_shape(exchange);
    }
    if (shape == SHAPE_EMPTY) {
        reply_text(&exchange->reply, problem->status, NULL, "");
        return;
    }
    if (shape == SHAPE_HTML) {
        const char *usual = find_name(problem->status)->message;
        reply_html(&exchange->reply, problem->status, problem->message ? problem->message : usual);
        return;
    }
    struct buf json;
    struct jsonw w;
    buf_init(&json, REPLY_BYTES_MAX);
    jsonw_init(&w, &json);
    write_problem(&w, shape, problem, *exchange->project != '\0');
    reply_json(&exchange->reply, problem->status, &json);
}
