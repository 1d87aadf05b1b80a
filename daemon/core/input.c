#include "daemon/core/input.h"

#include <stdlib.h>
#include <string.h>

#include "proto/limits.h"
#include "proto/mem.h"

static struct input *refuse(struct input *input, struct error *error, const char *field,
                            const char *expected)
{
    error_set(error, ERROR_INVALID_ARGUMENT, field, "%s must be %s", field, expected);
    input_free(input);
    return NULL;
}

/* The members of what input_write wrote, in that order. */
static const struct {
    const char *name;
    size_t offset;
} texts[] = {
    {"blob", offsetof(struct input, blob)},
    {"job", offsetof(struct input, job)},
    {"file", offsetof(struct input, file)},
    {"mime_type", offsetof(struct input, mime_type)},
    {"provider", offsetof(struct input, provider)},
    {"operation", offsetof(struct input, operation)},
    {"uri", offsetof(struct input, uri)},
};
#define TEXTS (sizeof(texts) / sizeof(texts[0]))

static char **text_at(const struct input *input, size_t index)
{
    return (char **)(void *)((char *)(uintptr_t)input + texts[index].offset);
}

static struct input *parse_stored(struct json_value value, const char *field, struct error *error)
{
    struct input *input = mem_alloc(sizeof(*input));
    int64_t bytes = 0;
    for (size_t i = 0; i < TEXTS; i++)
        *text_at(input, i) = json_strdup(json_get(value, texts[i].name), NULL);
    (void)json_int(json_get(value, "bytes"), 0, INT64_MAX, &bytes);
    input->bytes = (uint64_t)bytes;
    if (!input_has_bytes(input) && !input->operation && !input->uri)
        return refuse(input, error, field, "a resolved input");
    return input;
}

static struct input *parse_data(struct json_value value, const char *field, struct error *error)
{
    struct input *input = mem_alloc(sizeof(*input));
    for (struct json_iter it = json_iter(value); json_next(&it);)
        if (!json_equals(it.name, "mime_type") && !json_equals(it.name, "data"))
            return refuse(input, error, field,
                          "\"sha256-…\", a job's id, or {\"mime_type\":…,\"data\":base64}");
    input->data = json_strdup(json_get(value, "data"), NULL);
    input->mime_type = json_strdup(json_get(value, "mime_type"), NULL);
    if (!input->data || !*input->data)
        return refuse(input, error, field, "given with `data`: the file as base64");
    if (input->mime_type && strlen(input->mime_type) > LIMIT_MIME)
        return refuse(input, error, field, "given with a `mime_type` of at most 64 bytes");
    return input;
}

struct input *input_parse(struct json_value value, const char *field, bool stored,
                          struct error *error)
{
    if (json_type(value) == JSON_OBJECT)
        return stored ? parse_stored(value, field, error) : parse_data(value, field, error);
    struct input *input = mem_alloc(sizeof(*input));
    size_t length = 0;
    input->name = json_strdup(value, &length);
    if (!input->name || length == 0 || length > 2048 || strpbrk(input->name, " \t\r\n"))
        return refuse(input, error, field,
                      "\"sha256-…\" (a blob, from PUT), a job's id, an operation's name, or "
                      "{\"mime_type\":…,\"data\":base64}");
    return input;
}

struct input *input_parse_path(struct json_value value, const char *field, struct error *error)
{
    struct input *input = mem_alloc(sizeof(*input));
    size_t length = 0;
    input->path = json_strdup(value, &length);
    if (!input->path || input->path[0] != '/' || length >= 4096)
        return refuse(input, error, field, "the absolute path of a file on the server");
    return input;
}

void input_free(struct input *input)
{
    if (!input)
        return;
    free(input->name);
    free(input->path);
    free(input->data);
    for (size_t i = 0; i < TEXTS; i++)
        free(*text_at(input, i));
    free(input);
}

bool input_is_resolved(const struct input *input)
{
    return !input->name && !input->path && !input->data;
}

bool input_has_bytes(const struct input *input)
{
    return input->blob || input->file;
}

void input_write(const struct input *input, struct jsonw *w)
{
    jsonw_object(w);
    for (size_t i = 0; i < TEXTS; i++)
        jsonw_member_string(w, texts[i].name, *text_at(input, i));
    if (input->bytes > 0)
        jsonw_member_uint(w, "bytes", input->bytes);
    jsonw_object_end(w);
}

/* JPEG: ITU-T T.81 B.1.1.3. PNG: RFC 2083 3.1. GIF89a 17. WebM is Matroska, EBML: RFC 8794 8.1. The
 * rest are brands of ISO/IEC 14496-12 4.3, behind "ftyp". */
static const struct {
    size_t at;
    const char *bytes;
    size_t length;
    const char *mime_type;
} signatures[] = {
    {0, "\xff\xd8\xff", 3, "image/jpeg"},
    {0, "\x89PNG\r\n\x1a\n", 8, "image/png"},
    {0, "GIF87a", 6, "image/gif"},
    {0, "GIF89a", 6, "image/gif"},
    {0, "\x1a\x45\xdf\xa3", 4, "video/webm"},
    {4, "ftypheic", 8, "image/heic"},
    {4, "ftypheix", 8, "image/heic"},
    {4, "ftypmif1", 8, "image/heic"},
    {4, "ftypavif", 8, NULL},
    {4, "ftypM4A ", 8, NULL},
    {4, "ftypqt  ", 8, "video/quicktime"},
    {4, "ftyp", 4, "video/mp4"},
};

/* RFC 9649 2.4. */
static bool is_webp(const char *bytes, size_t length)
{
    return length >= 12 && memcmp(bytes, "RIFF", 4) == 0 && memcmp(bytes + 8, "WEBP", 4) == 0;
}

const char *input_sniff(const void *bytes, size_t length)
{
    for (size_t i = 0; i < sizeof(signatures) / sizeof(signatures[0]); i++)
        if (signatures[i].at + signatures[i].length <= length &&
            memcmp((const char *)bytes + signatures[i].at, signatures[i].bytes,
                   signatures[i].length) == 0)
            return signatures[i].mime_type;
    return is_webp(bytes, length) ? "image/webp" : NULL;
}
