#include "tests/sim/form.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "proto/mem.h"

#define PROCESSOR_BYTES 65536

static struct form_field *add_field(struct form *form, const char *name, bool is_file,
                                    const char *type)
{
    if (form->count == FORM_FIELDS) {
        return NULL;
    }
    struct form_field *field = &form->fields[form->count++];
    field->name = mem_strdup(name);
    field->is_file = is_file;
    field->type = mem_strdup(type);
    buf_init(&field->text, FORM_TEXT_BYTES);
    if (is_file) {
        blob_begin(&field->reader);
    }
    return field;
}

static enum MHD_Result on_data(void *closure, enum MHD_ValueKind kind, const char *name,
                               const char *file_name, const char *type, const char *encoding,
                               const char *data, uint64_t offset, size_t size)
{
    struct form *form = closure;
    (void)kind;
    (void)encoding;
    bool goes_on = offset > 0 && form->count > 0;
    struct form_field *field = goes_on ? &form->fields[form->count - 1]
                                       : add_field(form, name ? name : "", file_name, type);
    if (!field) {
        form->failed = true;
    } else if (field->is_file) {
        blob_add(&field->reader, data, size);
    } else {
        buf_add(&field->text, data, size);
        form->failed = form->failed || field->text.failed;
    }
    return form->failed ? MHD_NO : MHD_YES;
}

bool form_is_one(const char *content_type)
{
    static const char *const types[] = {"multipart/form-data", "application/x-www-form-urlencoded"};
    for (size_t i = 0; content_type && i < sizeof(types) / sizeof(*types); i++) {
        if (strncasecmp(content_type, types[i], strlen(types[i])) == 0) {
            return true;
        }
    }
    return false;
}

struct form *form_open(struct MHD_Connection *connection)
{
    struct form *form = mem_alloc(sizeof(*form));
    form->processor = MHD_create_post_processor(connection, PROCESSOR_BYTES, on_data, form);
    if (!form->processor) {
        free(form);
        return NULL;
    }
    return form;
}

static void add_member(struct form *form, struct json_value name, struct json_value value)
{
    char *name_text = json_strdup(name, NULL);
    size_t length = 0;
    char *text = json_strdup(value, &length);
    enum json_type type = json_type(value);
    if (!text && (type == JSON_NUMBER || type == JSON_BOOL)) {
        const char *raw = json_raw(value, &length);
        text = mem_strndup(raw, length);
    }
    struct form_field *field = name_text && text ? add_field(form, name_text, false, NULL) : NULL;
    if (field) {
        buf_add(&field->text, text, length);
    }
    form->failed = form->failed || !field || field->text.failed;
    free(name_text);
    free(text);
}

struct form *form_of_json(struct json_value object)
{
    struct form *form = mem_alloc(sizeof(*form));
    form->complete = true;
    for (struct json_iter it = json_iter(object); json_next(&it);) {
        add_member(form, it.name, it.value);
    }
    return form;
}

void form_add(struct form *form, const char *data, size_t length)
{
    form->received += length;
    form->failed = form->failed || form->received > FORM_BYTES;
    if (!form->failed && MHD_post_process(form->processor, data, length) != MHD_YES) {
        form->failed = true;
    }
}

void form_end(struct form *form)
{
    if (form->complete) {
        return;
    }
    form->complete = true;
    form->failed = MHD_destroy_post_processor(form->processor) != MHD_YES || form->failed;
    for (unsigned i = 0; i < form->count; i++) {
        if (form->fields[i].is_file) {
            form->fields[i].blob = blob_end(&form->fields[i].reader);
        }
    }
}

void form_close(struct form *form)
{
    if (!form) {
        return;
    }
    form_end(form);
    for (unsigned i = 0; i < form->count; i++) {
        free(form->fields[i].name);
        free(form->fields[i].type);
        buf_free(&form->fields[i].text);
    }
    free(form);
}

struct form_field *form_field(struct form *form, const char *name)
{
    for (unsigned i = 0; i < form->count; i++) {
        if (strcmp(form->fields[i].name, name) == 0) {
            return &form->fields[i];
        }
    }
    return NULL;
}

const char *form_text(struct form *form, const char *name)
{
    struct form_field *field = form_field(form, name);
    return field && !field->is_file ? buf_text(&field->text) : NULL;
}
