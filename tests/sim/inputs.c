#include "tests/sim/inputs.h"

#include <stdlib.h>
#include <string.h>

#include "proto/mem.h"
#include "tests/sim/intake.h"

static const char *find_type(const struct input_rule *rule, struct json_value type)
{
    for (const char *const *at = rule->types; *at; at++) {
        if (json_equals(type, *at)) {
            return *at;
        }
    }
    return NULL;
}

static bool agrees(const char *type, const struct blob *blob)
{
    const char *found = blob_type(blob);
    if (strcmp(type, "video/quicktime") == 0) {
        type = "video/mp4";
    }
    return found && strcmp(found, type) == 0;
}

static struct blob decode(struct json_value data)
{
    size_t length;
    char *text = json_strdup(data, &length);
    struct blob blob = {0};
    if (text) {
        blob = blob_of_base64(text, length);
    }
    free(text);
    return blob;
}

static enum input_fault add(struct inputs *inputs, struct input input)
{
    if (inputs->count == INPUTS_MAX) {
        free(input.uri);
        return INPUT_TOO_MANY;
    }
    inputs->list = mem_resize(inputs->list, inputs->count + 1, sizeof(*inputs->list));
    inputs->list[inputs->count++] = input;
    return INPUT_GOOD;
}

void inputs_free(struct inputs *inputs)
{
    for (unsigned i = 0; i < inputs->count; i++) {
        free(inputs->list[i].uri);
    }
    free(inputs->list);
    *inputs = (struct inputs){0};
}

enum input_fault inputs_add(struct inputs *inputs, const struct input_rule *rule,
                            const struct intake *intake, struct json_value type,
                            struct json_value data)
{
    struct input input = {.role = rule->role, .type = find_type(rule, type)};
    if (!input.type) {
        return INPUT_BAD_TYPE;
    }
    const char *raw = json_raw(data, &input.length);
    if (!raw) {
        return INPUT_BAD_BASE64;
    }
    input.place = (size_t)(raw - intake->text.data);
    const struct blob *taken = intake_blob_at(intake, input.place);
    input.blob = taken ? *taken : decode(data);
    if (!input.blob.good) {
        return INPUT_BAD_BASE64;
    }
    if (input.blob.bytes > rule->most_bytes) {
        return INPUT_TOO_LARGE;
    }
    return agrees(input.type, &input.blob) ? add(inputs, input) : INPUT_MISMATCH;
}

enum input_fault inputs_add_uri(struct inputs *inputs, const struct input_rule *rule,
                                struct json_value type, struct json_value uri)
{
    struct input input = {.role = rule->role, .type = find_type(rule, type)};
    if (json_type(type) != JSON_NONE && !input.type) {
        return INPUT_BAD_TYPE;
    }
    input.uri = json_strdup(uri, NULL);
    return add(inputs, input);
}

static const struct input *next_inline(const struct inputs *inputs, size_t from)
{
    const struct input *next = NULL;
    for (unsigned i = 0; i < inputs->count; i++) {
        const struct input *input = &inputs->list[i];
        if (!input->uri && input->place >= from && (!next || input->place < next->place)) {
            next = input;
        }
    }
    return next;
}

char *inputs_shorten(const struct inputs *inputs, const char *text, size_t length,
                     size_t *ret_length)
{
    struct buf out;
    buf_init(&out, length + INPUTS_MAX * 256);
    size_t at = 0;
    for (const struct input *input; (input = next_inline(inputs, at));) {
        buf_add(&out, text + at, input->place - at);
        buf_addf(&out, "{\"sha256\":\"%s\",\"bytes\":%llu}", input->blob.sha256,
                 (unsigned long long)input->blob.bytes);
        at = input->place + input->length;
    }
    buf_add(&out, text + at, length - at);
    *ret_length = out.length;
    return buf_steal(&out);
}

void inputs_write(struct jsonw *w, const struct input *list, unsigned count)
{
    jsonw_array(w);
    for (unsigned i = 0; i < count; i++) {
        const struct input *input = &list[i];
        jsonw_object(w);
        jsonw_member_string(w, "role", input->role);
        jsonw_member_string(w, "mime_type", input->type);
        jsonw_member_string(w, "uri", input->uri);
        if (!input->uri) {
            jsonw_member_uint(w, "bytes", input->blob.bytes);
            jsonw_member_string(w, "sha256", input->blob.sha256);
        }
        jsonw_object_end(w);
    }
    jsonw_array_end(w);
}
