#include "daemon/provider/provider.h"

#include <ctype.h>
#include <fnmatch.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/provider/dialect.h"
#include "daemon/provider/inline.h"
#include "proto/limits.h"
#include "proto/line.h"
#include "proto/mem.h"

#define URL_MAX  (16 * 1024)
#define BODY_MAX (1024 * 1024) /* two prompts of LIMIT_PROMPT, each byte escaped, fit */
#define URI_MAX  8192          /* bytes of a result's address */
#define MIME_MAX 128
#define CODE_MAX 64

const struct dialect *const dialects[] = {&dialect_interactions, &dialect_predict, &dialect_vertex,
                                          &dialect_videos, NULL};

const struct dialect *dialect_find(const char *name)
{
    for (const struct dialect *const *dialect = dialects; *dialect; dialect++)
        if (strcmp((*dialect)->name, name) == 0)
            return *dialect;
    return NULL;
}

bool provider_takes(const struct provider *provider, const char *model)
{
    for (char *const *glob = provider->models; glob && *glob; glob++)
        if (fnmatch(*glob, model, 0) == 0)
            return true;
    return false;
}

void wire_request_init(struct wire_request *request)
{
    *request = (struct wire_request){0};
    buf_init(&request->url, URL_MAX);
    buf_init(&request->body, BODY_MAX);
}

void wire_request_free(struct wire_request *request)
{
    buf_free(&request->url);
    buf_free(&request->body);
    free(request->content_type);
    request->content_type = NULL;
}

void wire_begin(struct wire_request *request, const struct provider *provider, bool post)
{
    request->post = post;
    request->part_count = 0;
    buf_reset(&request->url);
    buf_reset(&request->body);
    buf_addf(&request->url, "%s/%s/", provider->base_url, provider->api_version);
}

void wire_escape(struct buf *url, const char *text)
{
    for (const unsigned char *c = (const unsigned char *)text; *c; c++)
        if (*c < 0x80 && (isalnum(*c) || strchr("-._~", *c)))
            buf_add_byte(url, (char)*c);
        else
            buf_addf(url, "%%%02X", *c);
}

void wire_add_number(struct buf *out, double number)
{
    if (number == floor(number) && fabs(number) < 1e15) {
        buf_addf(out, "%.0f", number);
        return;
    }
    char text[40];
    snprintf(text, sizeof(text), "%.15g", number);
    if (strtod(text, NULL) != number)
        snprintf(text, sizeof(text), "%.17g", number);
    buf_add_text(out, text);
}

_Static_assert(WIRE_PARTS_MAX >= LIMIT_REFERENCES + 3, "first and last frame, and a video");

void wire_add_file(struct wire_request *request, struct jsonw *w, const char *name,
                   const struct input *input)
{
    jsonw_member_string(w, name, "");
    if (request->body.failed)
        return;
    request->parts[request->part_count++] =
        (struct wire_part){.at = request->body.length - 1, .input = input, .base64 = true};
}

/* True if `url` is at `origin` or below it. */
static bool is_below(const char *url, const char *origin)
{
    size_t length = strlen(origin);
    return strncmp(url, origin, length) == 0 && (url[length] == '/' || url[length] == '\0');
}

/* "gs://BUCKET/OBJECT", by Cloud Storage's JSON API (cloud.google.com/storage/docs/json_api);
 * false: it is none. */
static bool locate_object(const struct provider *provider, const char *uri, struct buf *url)
{
    const char *slash = strncmp(uri, "gs://", 5) == 0 ? strchr(uri + 5, '/') : NULL;
    if (!slash || !provider->storage_url)
        return false;
    char *bucket = mem_strndup(uri + 5, (size_t)(slash - uri - 5));
    buf_addf(url, "%s/storage/v1/b/", provider->storage_url);
    wire_escape(url, bucket);
    buf_add_text(url, "/o/");
    wire_escape(url, slash + 1);
    buf_add_text(url, "?alt=media");
    free(bucket);
    return true;
}

void wire_localize(const struct provider *provider, const char *uri, struct wire_request *ret)
{
    static const char google[] = "https://generativelanguage.googleapis.com";
    ret->post = false;
    buf_reset(&ret->body);
    buf_reset(&ret->url);
    if (locate_object(provider, uri, &ret->url))
        return;
    if (is_below(uri, google) && !is_below(provider->base_url, google))
        buf_addf(&ret->url, "%s%s", provider->base_url, uri + sizeof(google) - 1);
    else
        buf_add_text(&ret->url, uri);
}

bool wire_accepted(const struct wire_reply *reply)
{
    return reply->status >= 200 && reply->status <= 299;
}

struct json *wire_document(const struct wire_reply *reply, struct error *error)
{
    if (!reply->body || reply->length == 0) {
        error_set(error, ERROR_BAD_REQUEST, NULL, "the answer is empty");
        return NULL;
    }
    return json_parse(reply->body, reply->length, (struct json_limits){0}, error);
}

char *wire_text(struct json_value value)
{
    if (json_type(value) == JSON_NONE || json_type(value) == JSON_NULL)
        return mem_strdup("");
    char *text = json_strdup(value, NULL);
    if (text)
        return text;
    size_t length = 0;
    const char *raw = json_raw(value, &length);
    return mem_strndup(raw, length);
}

/* The length of the character that `text` begins with; 0 if it is no valid UTF-8. */
static size_t character_length(const char *text, size_t length)
{
    unsigned char lead = (unsigned char)*text;
    size_t size = lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
    return size <= length && utf8_valid_prefix(text, size) == size ? size : 0;
}

/* White space and controls: C0, DEL, C1 (U+0080 to U+009F), and Unicode's line separators. */
static bool is_blank(const char *text, size_t size)
{
    const unsigned char *c = (const unsigned char *)text;
    if (size == 1)
        return *c <= 0x20 || *c == 0x7f;
    if (size == 2)
        return c[0] == 0xc2 && c[1] < 0xa0;
    return size == 3 && c[0] == 0xe2 && c[1] == 0x80 && (c[2] == 0xa8 || c[2] == 0xa9);
}

char *one_line(const char *text, size_t length, size_t max)
{
    static const char ellipsis[] = "…";
    struct buf line;
    buf_init(&line, max);
    bool space = false;
    for (size_t at = 0; at < length;) {
        size_t size = character_length(text + at, length - at);
        if (size && is_blank(text + at, size)) {
            space = line.length > 0;
            at += size;
            continue;
        }
        if (line.length + space + (size ? size : 1) + sizeof(ellipsis) - 1 > max) {
            buf_add_text(&line, ellipsis);
            break;
        }
        if (space)
            buf_add_byte(&line, ' ');
        space = false;
        buf_add(&line, size ? text + at : "?", size ? size : 1);
        at += size ? size : 1;
    }
    return buf_steal(&line);
}

void outcome_init(struct outcome *outcome)
{
    *outcome =
        (struct outcome){.kind = OUTCOME_UNREADABLE, .retry_after_ms = -1, .usage = {-1, -1, -1}};
}

void outcome_free(struct outcome *outcome)
{
    for (size_t i = 0; i < outcome->result_count; i++) {
        free(outcome->results[i].uri);
        free(outcome->results[i].mime_type);
    }
    free(outcome->results);
    free(outcome->operation);
    free(outcome->code);
    free(outcome->message);
    free(outcome->quota_id);
    outcome_init(outcome);
}

/* "RESOURCE_EXHAUSTED" and "rate_limit_exceeded" become words with dashes; "unknown" if nothing is
 * left, NULL if there was none. */
static char *normal_code(const char *code)
{
    struct buf out;
    buf_init(&out, CODE_MAX);
    for (; code && *code && out.length < CODE_MAX; code++) {
        unsigned char c = (unsigned char)*code;
        if (c < 0x80 && isalnum(c))
            buf_add_byte(&out, (char)tolower(c));
        else if (out.length > 0 && out.data[out.length - 1] != '-')
            buf_add_byte(&out, '-');
    }
    while (out.length > 0 && out.data[out.length - 1] == '-')
        out.length--;
    if (out.length > 0)
        return buf_steal(&out);
    buf_free(&out);
    return code ? mem_strdup("unknown") : NULL;
}

void outcome_set(struct outcome *outcome, enum outcome_kind kind, const char *code,
                 const char *format, ...)
{
    char text[3 * OUTCOME_MESSAGE_MAX];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);

    size_t cut = length < 0 ? 0 : (size_t)length;
    if (cut >= sizeof(text))
        cut = sizeof(text) - 1;
    char *normal = normal_code(code);
    free(outcome->code);
    free(outcome->message);
    outcome->kind = kind;
    outcome->code = normal;
    outcome->message = one_line(text, cut, OUTCOME_MESSAGE_MAX);
}

void outcome_set_unreadable(struct outcome *outcome, const struct wire_reply *reply,
                            const char *what)
{
    size_t length = reply->body ? reply->length : 0;
    if (length > OUTCOME_EXCERPT_BYTES) {
        length = OUTCOME_EXCERPT_BYTES;
        while (length > 0 && ((unsigned char)reply->body[length] & 0xc0) == 0x80)
            length--;
    }
    char *excerpt = one_line(reply->body, length, OUTCOME_MESSAGE_MAX);
    if (*excerpt)
        outcome_set(outcome, OUTCOME_UNREADABLE, "unreadable-answer", "HTTP %d: %s: %s",
                    reply->status, what, excerpt);
    else
        outcome_set(outcome, OUTCOME_UNREADABLE, "unreadable-answer",
                    "HTTP %d: %s; its body is "
                    "empty",
                    reply->status, what);
    free(excerpt);
}

struct json *outcome_open(struct outcome *outcome, const struct wire_reply *reply)
{
    struct error error;
    struct json *doc = wire_document(reply, &error);
    if (doc && json_type(json_root(doc)) == JSON_OBJECT)
        return doc;
    outcome_set_unreadable(outcome, reply, doc ? "not a JSON object" : error.message);
    json_free(doc);
    return NULL;
}

bool wire_is_id(const char *text)
{
    size_t length = strlen(text);
    if (length == 0 || length > OPERATION_NAME_MAX || inline_index(text) >= 0)
        return false;
    for (const char *c = text; *c; c++)
        if (*c <= 0x20 || *c >= 0x7f)
            return false;
    return strcmp(text, ".") != 0 && strcmp(text, "..") != 0;
}

struct json *outcome_open_named(struct outcome *outcome, const struct wire_reply *reply,
                                const char *member, bool (*is_name)(const char *), const char *lack)
{
    if (!wire_accepted(reply)) {
        provider_submission_error(reply, outcome);
        return NULL;
    }
    struct json *doc = outcome_open(outcome, reply);
    char *name = doc ? json_strdup(json_get(json_root(doc), member), NULL) : NULL;
    if (name && is_name(name)) {
        outcome->operation = name;
        return doc;
    }
    if (doc)
        outcome_set_unreadable(outcome, reply, lack);
    free(name);
    json_free(doc);
    return NULL;
}

void outcome_accept(struct outcome *outcome)
{
    if (outcome->kind == OUTCOME_PENDING)
        outcome->kind = OUTCOME_ACCEPTED;
}

/* An address as it may stand in a request line: what isn't printable ASCII is percent-encoded. But
 * the name of an object in Cloud Storage is no address, and stays as it is. */
static char *printable_uri(const char *text)
{
    bool is_object = strncmp(text, "gs://", 5) == 0;
    struct buf uri;
    buf_init(&uri, URI_MAX);
    for (const unsigned char *c = (const unsigned char *)text; *c; c++)
        if (is_object ? *c >= 0x20 && *c != 0x7f : *c > 0x20 && *c < 0x7f)
            buf_add_byte(&uri, (char)*c);
        else
            buf_addf(&uri, "%%%02X", *c);
    if (!uri.failed && uri.length > 0)
        return buf_steal(&uri);
    buf_free(&uri);
    return NULL;
}

static char *sound_mime_type(struct json_value value)
{
    char *type = json_strdup(value, NULL);
    bool sound = type && *type && strlen(type) <= MIME_MAX;
    for (const char *c = type; sound && *c; c++)
        sound = *c > 0x20 && *c < 0x7f;
    if (sound)
        return type;
    free(type);
    return NULL;
}

static bool has_result(const struct outcome *outcome, const char *uri, int run)
{
    for (size_t i = 0; i < outcome->result_count; i++) {
        const struct outcome_result *result = &outcome->results[i];
        if (uri ? result->uri && strcmp(result->uri, uri) == 0 : result->inline_index == run)
            return true;
    }
    return false;
}

static char *read_uri(struct json_value value)
{
    char *text = json_strdup(value, NULL);
    char *uri = text ? printable_uri(text) : NULL;
    free(text);
    return uri;
}

/* The run that a placeholder stands for; -1 if it is none. */
static int read_placeholder(struct json_value value)
{
    char *text = json_strdup(value, NULL);
    int run = text ? inline_index(text) : -1;
    free(text);
    return run;
}

void outcome_add_result(struct outcome *outcome, struct json_value uri, struct json_value data,
                        struct json_value mime_type)
{
    char *address = read_uri(uri);
    int run = address ? -1 : read_placeholder(data);
    if (outcome->result_count == OUTCOME_RESULTS_MAX || (!address && run < 0) ||
        has_result(outcome, address, run)) {
        free(address);
        return;
    }
    outcome->results =
        mem_resize(outcome->results, outcome->result_count + 1, sizeof(*outcome->results));
    outcome->results[outcome->result_count++] = (struct outcome_result){
        .uri = address, .inline_index = run, .mime_type = sound_mime_type(mime_type)};
}
