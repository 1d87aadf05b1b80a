#include "tests/sim/files.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "proto/mem.h"
#include "tests/sim/reply.h"
#include "tests/sim/sim.h"

#define UNFOLLOWED \
    "{\"error\":{\"code\":302,\"message\":\"Unknown Error.\",\"status\":\"UNKNOWN\"}}\n"
#define KEPT_MS ((int64_t)48 * 3600 * 1000)

/* What the client calls this server. */
static char *own_base(const struct exchange *exchange)
{
    const struct options *options = &exchange->sim->options;
    const char *host = exchange_header(exchange, "Host");
    return host ? mem_format("http://%s", host)
                : mem_format("http://%s:%u", options->address, options->port);
}

static char *base_of(const struct exchange *exchange)
{
    const char *public = exchange->sim->options.public_base;
    return public ? mem_strdup(public) : own_base(exchange);
}

static struct file *find(struct exchange *exchange)
{
    struct file *file = operation_file(&exchange->sim->operations, exchange->id);
    if (!file) {
        reply_error(exchange, 404, NULL, "The File %s was not found, or is no longer there.",
                    exchange->id);
    }
    return file;
}

static const char *state_of(const struct exchange *exchange, const struct file *file)
{
    const struct operation *operation = file->operation;
    int64_t processing_ms = operation->directives.processing_ms;
    if (processing_ms < 0) {
        bool omni = operation->dialect == DIALECT_INTERACTIONS;
        processing_ms = omni ? exchange->sim->options.processing_ms : 0;
    }
    if (unix_now_ms() < operation->finished_at + processing_ms) {
        return "PROCESSING";
    }
    return operation->directives.processing_fail ? "FAILED" : "ACTIVE";
}

static void write_file(struct exchange *exchange, struct jsonw *w, const struct file *file,
                       const char *state)
{
    struct media media = file_media(exchange->sim, file);
    int64_t made = file->operation->finished_at;
    char *name = mem_format("files/%s", file->id);
    char *size = mem_format("%" PRIu64, media.length);
    char *uri = file_uri(exchange, file);
    jsonw_object(w);
    jsonw_member_string(w, "name", name);
    jsonw_member_string(w, "mimeType", "video/mp4");
    jsonw_member_string(w, "sizeBytes", size);
    jsonw_member_time(w, "createTime", made);
    jsonw_member_time(w, "updateTime", made);
    jsonw_member_time(w, "expirationTime", made + KEPT_MS);
    jsonw_member_string(w, "downloadUri", uri);
    jsonw_member_string(w, "state", state);
    jsonw_member_string(w, "source", "GENERATED");
    if (strcmp(state, "FAILED") == 0) {
        static const char error[] =
            "{\"code\":13,\"message\":\"The file could not be processed.\"}";
        jsonw_name(w, "error");
        jsonw_raw(w, error, sizeof(error) - 1);
    }
    jsonw_object_end(w);
    free(name);
    free(size);
    free(uri);
}

/* Digits up to `end`; NULL if there are none or too many. */
static const char *read_number(const char *text, uint64_t *ret)
{
    size_t digits = strspn(text, "0123456789");
    if (digits == 0 || digits > 18) {
        return NULL;
    }
    *ret = strtoull(text, NULL, 10);
    return text + digits;
}

enum range { RANGE_WHOLE, RANGE_PART, RANGE_IMPOSSIBLE };

/* "bytes=a-b", "bytes=a-", "bytes=-n"; anything else is ignored, as RFC 9110 has it. */
static enum range read_range(const char *header, uint64_t length, uint64_t *ret_from,
                             uint64_t *ret_to)
{
    uint64_t last = 0;
    if (!header || strncmp(header, "bytes=", 6) != 0) {
        return RANGE_WHOLE;
    }
    header += 6;
    if (*header == '-') {
        const char *rest = read_number(header + 1, &last);
        *ret_from = last < length ? length - last : 0;
        *ret_to = length;
        return !rest || *rest ? RANGE_WHOLE : last && length ? RANGE_PART : RANGE_IMPOSSIBLE;
    }
    const char *rest = read_number(header, ret_from);
    if (!rest || *rest++ != '-') {
        return RANGE_WHOLE;
    }
    last = UINT64_MAX - 1;
    if (*rest && (!(rest = read_number(rest, &last)) || *rest || last < *ret_from)) {
        return RANGE_WHOLE;
    }
    *ret_to = last < length ? last + 1 : length;
    return *ret_from < length ? RANGE_PART : RANGE_IMPOSSIBLE;
}

static const char *wanted_range(const struct exchange *exchange, const char *etag)
{
    const char *only_if = exchange_header(exchange, "If-Range");
    bool ignored = exchange->rule && exchange->rule->action == ACTION_NO_RANGE;
    return ignored || (only_if && strcmp(only_if, etag) != 0) ? NULL
                                                              : exchange_header(exchange, "Range");
}

static void send_bytes(struct exchange *exchange, struct file *file)
{
    struct reply *reply = &exchange->reply;
    struct media media = file_media(exchange->sim, file);
    uint64_t from = 0;
    uint64_t to = media.length;
    char *etag = mem_format("\"%s\"", file->id);
    enum range range = read_range(wanted_range(exchange, etag), media.length, &from, &to);
    if (range == RANGE_IMPOSSIBLE) {
        reply_error(exchange, 416, NULL, "The requested range is not satisfiable.");
        reply_header(reply, "Content-Range", mem_format("bytes */%" PRIu64, media.length));
        free(etag);
        return;
    }
    if (range == RANGE_WHOLE) {
        from = 0;
        to = media.length;
    }
    reply->status = range == RANGE_PART ? 206 : 200;
    reply->content_type = "video/mp4";
    reply->is_video = true;
    reply->is_video_whole = to == media.length;
    reply_header(reply, "ETag", etag);
    reply_header(reply, "Accept-Ranges", mem_strdup("bytes"));
    if (range == RANGE_PART) {
        reply_header(
            reply, "Content-Range",
            mem_format("bytes %" PRIu64 "-%" PRIu64 "/%" PRIu64, from, to - 1, media.length));
    }
    if (to > from) {
        stream_add_media(&reply->body, &media, from, to - from);
    }
}

void files_serve_get(struct exchange *exchange)
{
    struct file *file = find(exchange);
    exchange->sim->stats.files++;
    if (rules_intercept(exchange, file ? file->operation->prompt : NULL) || !file) {
        return;
    }
    struct buf json;
    struct jsonw w;
    buf_init(&json, REPLY_BYTES_MAX);
    jsonw_init(&w, &json);
    write_file(exchange, &w, file, state_of(exchange, file));
    reply_json(&exchange->reply, 200, &json);
}

void files_serve_link(struct exchange *exchange)
{
    const char *alt = exchange_argument(exchange, "alt");
    if (!alt || strcmp(alt, "media") != 0) {
        reply_error(exchange, 400, NULL, "The parameter alt=media is missing.");
        return;
    }
    if (!find(exchange)) {
        return;
    }
    const char *key =
        MHD_lookup_connection_value(exchange->connection, MHD_GET_ARGUMENT_KIND, "key");
    char *base = own_base(exchange);
    reply_text(&exchange->reply, 302, "application/json; charset=UTF-8", UNFOLLOWED);
    reply_header(&exchange->reply, "Location",
                 mem_format("%s/download/%s/files/%s:download?alt=media%s%s", base,
                            exchange->version, exchange->id, key ? "&key=" : "", key ? key : ""));
    free(base);
}

void files_send(struct exchange *exchange, struct file *file)
{
    exchange->sim->stats.downloads++;
    if (file) {
        file->operation->downloads++;
    }
    if (rules_intercept(exchange, file ? file->operation->prompt : NULL) || !file) {
        return;
    }
    if (strcmp(state_of(exchange, file), "ACTIVE") != 0) {
        reply_error(exchange, 400, "FAILED_PRECONDITION",
                    "The File %s is not in an ACTIVE state and usage is not allowed.", file->id);
        return;
    }
    send_bytes(exchange, file);
}

void files_serve_download(struct exchange *exchange)
{
    files_send(exchange, find(exchange));
}

char *file_uri(const struct exchange *exchange, const struct file *file)
{
    const struct options *options = &exchange->sim->options;
    if (file->operation->directives.foreign) {
        return mem_format("http://%s:%u/media/%s", options->address, options->foreign_port,
                          file->id);
    }
    if (file->object) {
        return mem_format("gs://%s", file->object);
    }
    char *base = base_of(exchange);
    const char *version = *exchange->version ? exchange->version : "v1beta";
    char *uri = mem_format("%s/%s/files/%s:download?alt=media", base, version, file->id);
    free(base);
    return uri;
}

struct media file_media(const struct sim *sim, const struct file *file)
{
    const struct operation *operation = file->operation;
    uint64_t bytes = operation->directives.bytes;
    return media_open(operation->directives.video, operation->portrait,
                      bytes ? bytes : sim->options.video_bytes);
}
