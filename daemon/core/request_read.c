#include "daemon/core/request_read.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/limits.h"
#include "proto/mem.h"
#include "proto/units.h"

/* Reads one member into the request. 0 or -1. */
typedef int read_fn(struct request *request, struct json_value value, const char *name,
                    struct error *error);

static int wrong_type(struct json_value value, const char *name, const char *expected,
                      struct error *error)
{
    size_t length = 0;
    const char *raw = json_raw(value, &length);
    return error_set(error, ERROR_INVALID_ARGUMENT, name, "%s must be %s, not %.*s", name, expected,
                     length > 60 ? 60 : (int)length, raw ? raw : "absent");
}

static int read_text(struct json_value value, const char *name, size_t max, char **ret,
                     struct error *error)
{
    size_t length = 0;
    char *text = json_strdup(value, &length);
    if (!text)
        return wrong_type(value, name, "a string without NUL", error);
    if (length == 0 || length > max || strspn(text, " \t\r\n") == length) {
        free(text);
        return error_set(error, ERROR_INVALID_ARGUMENT, name,
                         "%s must have 1 to %zu bytes and not be blank; it has %zu", name, max,
                         length);
    }
    free(*ret);
    *ret = text;
    return 0;
}

/* A word: printable, no spaces. What it says is the provider's to judge. */
static int read_word(struct json_value value, const char *name, size_t max, char **ret,
                     struct error *error)
{
    if (read_text(value, name, max, ret, error) < 0)
        return -1;
    /* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): error_set() returns -1, always */
    for (const char *c = *ret; *c; c++)
        if (!isgraph((unsigned char)*c))
            return error_set(error, ERROR_INVALID_ARGUMENT, name,
                             "%s must be printable ASCII without spaces, not \"%s\"", name, *ret);
    return 0;
}

static int read_flag(struct json_value value, const char *name, int *ret, struct error *error)
{
    bool yes;
    if (json_bool(value, &yes) < 0)
        return wrong_type(value, name, "true or false", error);
    *ret = yes;
    return 0;
}

static int read_int(struct json_value value, const char *name, int64_t min, int64_t max,
                    int64_t *ret, struct error *error)
{
    if (json_int(value, min, max, ret) == 0)
        return 0;
    char expected[80];
    snprintf(expected, sizeof(expected), "a whole number from %lld to %lld", (long long)min,
             (long long)max);
    return wrong_type(value, name, expected, error);
}

static int read_prompt(struct request *r, struct json_value v, const char *name, struct error *e)
{
    return read_text(v, name, LIMIT_PROMPT, &r->prompt, e);
}

static int read_model(struct request *r, struct json_value v, const char *name, struct error *e)
{
    return read_word(v, name, 128, &r->model, e);
}

static int read_provider(struct request *r, struct json_value v, const char *name, struct error *e)
{
    return read_word(v, name, 64, &r->provider, e);
}

static int read_aspect_ratio(struct request *r, struct json_value v, const char *name,
                             struct error *e)
{
    unsigned wide = 0, high = 0;
    int colon = 0, end = 0;
    if (read_word(v, name, 16, &r->aspect_ratio, e) < 0)
        return -1;
    if (isdigit((unsigned char)*r->aspect_ratio) &&
        sscanf(r->aspect_ratio, "%4u:%n%4u%n", &wide, &colon, &high, &end) == 2 &&
        isdigit((unsigned char)r->aspect_ratio[colon]) && !r->aspect_ratio[end] && wide && high)
        return 0;
    return error_set(e, ERROR_INVALID_ARGUMENT, name,
                     "%s must be two numbers such as 16:9 or 9:16, not \"%s\"", name,
                     r->aspect_ratio);
}

static int read_resolution(struct request *r, struct json_value v, const char *name,
                           struct error *e)
{
    return read_word(v, name, 16, &r->resolution, e);
}

static int read_negative_prompt(struct request *r, struct json_value v, const char *name,
                                struct error *e)
{
    return read_text(v, name, LIMIT_PROMPT, &r->negative_prompt, e);
}

static int read_person_generation(struct request *r, struct json_value v, const char *name,
                                  struct error *e)
{
    return read_word(v, name, 32, &r->person_generation, e);
}

static int read_duration(struct request *r, struct json_value v, const char *name, struct error *e)
{
    if (json_double(v, 0.1, 3600, &r->duration_seconds) < 0)
        return wrong_type(v, name, "a number of seconds from 0.1 to 3600", e);
    return 0;
}

static int read_seed(struct request *r, struct json_value v, const char *name, struct error *e)
{
    return read_int(v, name, 0, UINT32_MAX, &r->seed, e);
}

static int read_sample_count(struct request *r, struct json_value v, const char *name,
                             struct error *e)
{
    int64_t number;
    if (read_int(v, name, 1, 4, &number, e) < 0)
        return -1;
    r->sample_count = (int)number;
    return 0;
}

static int read_generate_audio(struct request *r, struct json_value v, const char *name,
                               struct error *e)
{
    return read_flag(v, name, &r->generate_audio, e);
}

static int read_enhance_prompt(struct request *r, struct json_value v, const char *name,
                               struct error *e)
{
    return read_flag(v, name, &r->enhance_prompt, e);
}

/* Each input has one place, whichever of its two members names it. */
static int keep_input(struct input **place, struct input *input, const char *name, struct error *e)
{
    if (!input)
        return -1;
    if (*place) {
        input_free(input);
        return error_set(e, ERROR_INVALID_ARGUMENT, name, "%s is given twice", name);
    }
    *place = input;
    return 0;
}

static int read_image(struct request *r, struct json_value v, const char *name, struct error *e)
{
    return keep_input(&r->image, input_parse(v, name, r->is_stored, e), name, e);
}

static int read_image_path(struct request *r, struct json_value v, const char *name,
                           struct error *e)
{
    return keep_input(&r->image, input_parse_path(v, name, e), name, e);
}

static int read_last_frame(struct request *r, struct json_value v, const char *name,
                           struct error *e)
{
    return keep_input(&r->last_frame, input_parse(v, name, r->is_stored, e), name, e);
}

static int read_last_frame_path(struct request *r, struct json_value v, const char *name,
                                struct error *e)
{
    return keep_input(&r->last_frame, input_parse_path(v, name, e), name, e);
}

static int read_video(struct request *r, struct json_value v, const char *name, struct error *e)
{
    return keep_input(&r->video, input_parse(v, name, r->is_stored, e), name, e);
}

static int read_video_task(struct request *r, struct json_value v, const char *name,
                           struct error *e)
{
    if (!json_equals(v, "edit") && !json_equals(v, "extend"))
        return wrong_type(v, name, "\"edit\" or \"extend\"", e);
    return read_word(v, name, 16, &r->video_task, e);
}

static int read_reference_images(struct request *r, struct json_value v, const char *name,
                                 struct error *e)
{
    if (json_type(v) != JSON_ARRAY || json_size(v) == 0 || json_size(v) > LIMIT_REFERENCES)
        return error_set(e, ERROR_INVALID_ARGUMENT, name, "%s must be an array of 1 to %d images",
                         name, LIMIT_REFERENCES);
    r->references = mem_alloc(json_size(v) * sizeof(struct input *));
    for (struct json_iter it = json_iter(v); json_next(&it);) {
        struct input *input = input_parse(it.value, name, r->is_stored, e);
        if (!input)
            return -1;
        r->references[r->reference_count++] = input;
    }
    return 0;
}

static int read_priority(struct request *r, struct json_value v, const char *name, struct error *e)
{
    int64_t number;
    if (read_int(v, name, -100, 100, &number, e) < 0)
        return -1;
    r->priority = (int)number;
    return 0;
}

static int compare_labels(const void *a, const void *b)
{
    return strcmp(((const struct label *)a)->name, ((const struct label *)b)->name);
}

/* Sorted, since the order of members means nothing. */
static int read_labels(struct request *r, struct json_value v, const char *name, struct error *e)
{
    if (json_type(v) != JSON_OBJECT)
        return wrong_type(v, name, "an object of strings", e);
    if (json_size(v) > LIMIT_LABELS)
        return error_set(e, ERROR_INVALID_ARGUMENT, name, "%s has %zu members; at most %d are kept",
                         name, json_size(v), LIMIT_LABELS);
    r->labels = mem_alloc((json_size(v) + 1) * sizeof(*r->labels));
    for (struct json_iter it = json_iter(v); json_next(&it);) {
        struct label *label = &r->labels[r->label_count++];
        if (read_word(it.name, name, LIMIT_LABEL, &label->name, e) < 0 ||
            read_text(it.value, name, LIMIT_LABEL, &label->value, e) < 0)
            return -1;
    }
    qsort(r->labels, r->label_count, sizeof(*r->labels), compare_labels);
    return 0;
}

static int read_key(struct request *r, struct json_value v, const char *name, struct error *e)
{
    return read_text(v, name, LIMIT_KEY, &r->key, e);
}

static bool is_plain_path(const char *path)
{
    for (const char *c = path; *c; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f || *c == '\\')
            return false;
    /* No part may be empty or begin with a dot: that rules out "/x", "..", and our own .part. */
    for (const char *part = path;; part++) {
        if (*part == '\0' || *part == '/' || *part == '.')
            return false;
        part = strchr(part, '/');
        if (!part)
            return true;
    }
}

static int read_output(struct request *r, struct json_value v, const char *name, struct error *e)
{
    if (read_text(v, name, 240, &r->output, e) < 0)
        return -1;
    if (!is_plain_path(r->output))
        return error_set(e, ERROR_INVALID_ARGUMENT, name,
                         "%s must be a relative file name without \"..\", hidden parts or control "
                         "bytes, not \"%s\"",
                         name, r->output);
    return 0;
}

static int read_not_before(struct request *r, struct json_value v, const char *name,
                           struct error *e)
{
    char *text = NULL;
    if (read_word(v, name, 64, &text, e) < 0) {
        free(text);
        return -1;
    }
    int status = units_parse_time(text, &r->not_before);
    if (status < 0)
        error_set(e, ERROR_INVALID_ARGUMENT, name,
                  "%s must be a time such as 2026-11-22T18:00:00Z, not \"%s\"", name, text);
    free(text);
    return status;
}

static int read_deadline(struct request *r, struct json_value v, const char *name, struct error *e)
{
    double seconds;
    if (json_double(v, 1, 30 * 86400.0, &seconds) < 0)
        return wrong_type(v, name, "a number of seconds from 1 to 2592000 (30 days)", e);
    r->deadline_ms = llround(seconds * 1000);
    return 0;
}

static int read_max_attempts(struct request *r, struct json_value v, const char *name,
                             struct error *e)
{
    int64_t number;
    if (read_int(v, name, 1, 100, &number, e) < 0)
        return -1;
    r->max_attempts = (int)number;
    return 0;
}

static int read_force(struct request *r, struct json_value v, const char *name, struct error *e)
{
    int yes = 0;
    if (read_flag(v, name, &yes, e) < 0)
        return -1;
    r->force = yes;
    return 0;
}

static int read_dry_run(struct request *r, struct json_value v, const char *name, struct error *e)
{
    (void)r;
    int yes;
    return read_flag(v, name, &yes, e);
}

static const struct {
    const char *name;
    read_fn *read;
} members[] = {
    {"prompt", read_prompt},
    {"model", read_model},
    {"provider", read_provider},
    {"aspect_ratio", read_aspect_ratio},
    {"resolution", read_resolution},
    {"duration_seconds", read_duration},
    {"negative_prompt", read_negative_prompt},
    {"seed", read_seed},
    {"sample_count", read_sample_count},
    {"person_generation", read_person_generation},
    {"generate_audio", read_generate_audio},
    {"enhance_prompt", read_enhance_prompt},
    {"image", read_image},
    {"image_path", read_image_path},
    {"last_frame", read_last_frame},
    {"last_frame_path", read_last_frame_path},
    {"reference_images", read_reference_images},
    {"video", read_video},
    {"video_task", read_video_task},
    {"priority", read_priority},
    {"labels", read_labels},
    {"key", read_key},
    {"output", read_output},
    {"not_before", read_not_before},
    {"deadline_seconds", read_deadline},
    {"max_attempts", read_max_attempts},
    {"force", read_force},
    {"dry_run", read_dry_run},
};

int request_read_member(struct request *request, const struct json_iter *it, struct error *error)
{
    for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++)
        if (json_equals(it->name, members[i].name))
            return members[i].read(request, it->value, members[i].name, error);
    char *name = json_strdup(it->name, NULL);
    error_set(error, ERROR_INVALID_ARGUMENT, name, "unknown member \"%s\"", name ? name : "");
    free(name);
    return -1;
}
