#include <stdlib.h>
#include <string.h>

#include "proto/mem.h"
#include "tests/sim/form.h"
#include "tests/sim/reply.h"
#include "tests/sim/videos.h"

#define REFERENCE "input_reference"

/* The gateway's names for the provider's parameters; what is not here goes on as it is. */
static const struct name {
    const char *from;
    const char *to;
    bool is_text;
} names[] = {
    {"seconds", "durationSeconds", false},
    {"aspect_ratio", "aspectRatio", true},
    {"negative_prompt", "negativePrompt", true},
    {"person_generation", "personGeneration", true},
    {"enhance_prompt", "enhancePrompt", false},
    {"generate_audio", "generateAudio", false},
    {"sample_count", "sampleCount", false},
    {"seed", "seed", false},
    {"resolution", "resolution", true},
    {"aspectRatio", "aspectRatio", true},
    {"negativePrompt", "negativePrompt", true},
    {"personGeneration", "personGeneration", true},
    {"durationSeconds", "durationSeconds", false},
};

static bool is_own(const char *name)
{
    static const char *const own[] = {"model", "prompt", "size", "user", REFERENCE};
    for (size_t i = 0; i < sizeof(own) / sizeof(*own); i++) {
        if (strcmp(name, own[i]) == 0) {
            return true;
        }
    }
    return false;
}

/* A number or boolean that came as a form's text; anything else stays text. */
static void write_plain(struct jsonw *w, const char *text)
{
    char *end;
    double number = strtod(text, &end);
    if (*text && !*end) {
        jsonw_double(w, number);
    } else if (strcmp(text, "true") == 0 || strcmp(text, "false") == 0) {
        jsonw_bool(w, *text == 't');
    } else {
        jsonw_string(w, text);
    }
}

static void write_parameter(struct jsonw *w, struct form_field *field)
{
    const struct name *name = NULL;
    for (size_t i = 0; i < sizeof(names) / sizeof(*names) && !name; i++) {
        name = strcmp(names[i].from, field->name) == 0 ? &names[i] : NULL;
    }
    jsonw_name(w, name ? name->to : field->name);
    if (name && name->is_text) {
        jsonw_string(w, buf_text(&field->text));
    } else {
        write_plain(w, buf_text(&field->text));
    }
}

static void write_size(struct jsonw *w, const char *size)
{
    bool upright = strcmp(size, "720x1280") == 0 || strcmp(size, "1080x1920") == 0;
    jsonw_member_string(w, "aspectRatio", upright ? "9:16" : "16:9");
    if (strcmp(size, "1920x1080") == 0 || strcmp(size, "1080x1920") == 0) {
        jsonw_member_string(w, "resolution", "1080p");
    }
}

static void write_parameters(struct jsonw *w, struct form *form)
{
    const char *size = form_text(form, "size");
    jsonw_name(w, "parameters");
    jsonw_object(w);
    for (unsigned i = 0; i < form->count; i++) {
        if (!is_own(form->fields[i].name)) {
            write_parameter(w, &form->fields[i]);
        }
    }
    if (size) {
        write_size(w, size);
    }
    jsonw_object_end(w);
}

static const char *type_of(const struct form_field *file)
{
    const char *found = blob_type(&file->blob);
    bool known = file->type && strcmp(file->type, "application/octet-stream") != 0;
    return known ? file->type : found ? found : "image/jpeg";
}

/* Returns where the image's bytes would be. */
static size_t write_image(struct jsonw *w, const struct form_field *file)
{
    jsonw_name(w, "image");
    jsonw_object(w);
    jsonw_member_string(w, "mimeType", type_of(file));
    jsonw_name(w, "bytesBase64Encoded");
    size_t place = w->out->length;
    jsonw_object(w);
    jsonw_member_string(w, "sha256", file->blob.sha256);
    jsonw_member_uint(w, "bytes", file->blob.bytes);
    jsonw_object_end(w);
    jsonw_object_end(w);
    return place;
}

static void replace_body(struct exchange *exchange, struct form *form)
{
    const struct form_field *file = form_field(form, REFERENCE);
    const char *prompt = form_text(form, "prompt");
    struct buf json;
    struct jsonw w;
    size_t place = 0;
    buf_init(&json, REPLY_BYTES_MAX * 4);
    jsonw_init(&w, &json);
    jsonw_object(&w);
    jsonw_name(&w, "instances");
    jsonw_array(&w);
    jsonw_object(&w);
    jsonw_member_string(&w, "prompt", prompt ? prompt : "");
    if (file) {
        place = write_image(&w, file);
    }
    jsonw_object_end(&w);
    jsonw_array_end(&w);
    write_parameters(&w, form);
    jsonw_object_end(&w);
    intake_replace(&exchange->intake, &json, place, file ? &file->blob : NULL);
}

static void write_field(struct jsonw *w, struct form_field *field)
{
    jsonw_name(w, field->name);
    if (!field->is_file) {
        jsonw_string_n(w, field->text.data, field->text.length);
        return;
    }
    jsonw_object(w);
    jsonw_member_string(w, "sha256", field->blob.sha256);
    jsonw_member_uint(w, "bytes", field->blob.bytes);
    jsonw_member_string(w, "mime_type", field->type);
    jsonw_object_end(w);
}

/* JSON is shown as it was sent, a form as an object of its fields. */
static char *show(struct exchange *exchange, struct form *form)
{
    struct buf json;
    struct jsonw w;
    if (!exchange->form) {
        return mem_strdup(buf_text(&exchange->intake.text));
    }
    buf_init(&json, REPLY_BYTES_MAX * 4);
    jsonw_init(&w, &json);
    jsonw_object(&w);
    for (unsigned i = 0; i < form->count; i++) {
        write_field(&w, &form->fields[i]);
    }
    jsonw_object_end(&w);
    return buf_steal(&json);
}

char *videos_translate(struct exchange *exchange, struct form *form)
{
    const struct form_field *file = form_field(form, REFERENCE);
    if (form->failed) {
        reply_error(exchange, 400, NULL,
                    "The body can't be read, or has members that are neither "
                    "text nor numbers.");
        return NULL;
    }
    if (file && !file->is_file) {
        reply_error(exchange, 400, NULL, REFERENCE " needs to be a file.");
        return NULL;
    }
    char *shown = show(exchange, form);
    replace_body(exchange, form);
    return shown;
}
