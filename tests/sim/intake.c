#include "tests/sim/intake.h"

#include <stdlib.h>
#include <string.h>

#include "proto/mem.h"

#define LONG_STRING 65536

static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=\\";

/* Takes the backslash from each escaped '/'; returns the new length, or 0 if anything else is
 * escaped. */
static size_t unescape(char *text, size_t length)
{
    size_t kept = 0;
    for (size_t i = 0; i < length; i++) {
        if (text[i] == '\\' && (++i == length || text[i] != '/')) {
            return 0;
        }
        text[kept++] = text[i];
    }
    return kept;
}

/* What was kept of the string so far becomes the beginning of a blob, if it is base64. */
static void judge(struct intake *intake)
{
    const char *text = buf_text(&intake->text) + intake->begin + 1;
    size_t length = intake->text.length - intake->begin - 1;
    intake->judged = true;
    if (strspn(text, letters) != length) {
        return;
    }
    char *copy = mem_strndup(text, length);
    length = unescape(copy, length);
    if (length > 0) {
        blob_begin(&intake->reader);
        blob_add_base64(&intake->reader, copy, length);
        intake->text.length = intake->begin;
        intake->taking = true;
    }
    free(copy);
}

static void put(struct intake *intake, const char *data, size_t length)
{
    if (intake->taking) {
        blob_add_base64(&intake->reader, data, length);
        return;
    }
    buf_add(&intake->text, data, length);
    if (intake->in_string && !intake->judged && intake->text.length - intake->begin > LONG_STRING) {
        judge(intake);
    }
}

static void note_blob(struct intake *intake, size_t place, const struct blob *blob)
{
    intake->blobs = mem_resize(intake->blobs, intake->blob_count + 1, sizeof(*intake->blobs));
    intake->blobs[intake->blob_count++] = (struct intake_blob){.place = place, .blob = *blob};
}

static void stop_taking(struct intake *intake)
{
    struct blob blob = blob_end(&intake->reader);
    note_blob(intake, intake->text.length, &blob);
    buf_addf(&intake->text, "{\"sha256\":\"%s\",\"bytes\":%llu}", blob.sha256,
             (unsigned long long)blob.bytes);
    intake->taking = false;
}

static void on_quote(struct intake *intake)
{
    if (intake->taking) {
        stop_taking(intake);
    } else {
        buf_add_byte(&intake->text, '"');
    }
    intake->in_string = !intake->in_string;
    intake->judged = false;
    intake->begin = intake->text.length - 1;
}

/* The only escape that base64 may hold is that of '/'. */
static void on_escaped(struct intake *intake, char byte)
{
    intake->escaped = false;
    intake->reader.bad = intake->reader.bad || (intake->taking && byte != '/');
    put(intake, &byte, 1);
}

static void on_backslash(struct intake *intake)
{
    intake->escaped = true;
    if (!intake->taking) {
        buf_add_byte(&intake->text, '\\');
    }
}

/* The bytes before the next quote, or in a string also before the next backslash. */
static size_t run_length(const struct intake *intake, const char *data, size_t length)
{
    const char *quote = memchr(data, '"', length);
    size_t run = quote ? (size_t)(quote - data) : length;
    const char *backslash = intake->in_string ? memchr(data, '\\', run) : NULL;
    return backslash ? (size_t)(backslash - data) : run;
}

void intake_init(struct intake *intake)
{
    *intake = (struct intake){0};
    buf_init(&intake->text, INTAKE_BYTES_MAX);
}

void intake_free(struct intake *intake)
{
    if (intake->taking) {
        blob_end(&intake->reader);
    }
    buf_free(&intake->text);
    free(intake->blobs);
    intake_init(intake);
}

void intake_add(struct intake *intake, const char *data, size_t length)
{
    intake->received += length;
    intake->failed = intake->text.failed || intake->received > INTAKE_BYTES_MAX;
    while (length > 0 && !intake->failed) {
        size_t run = intake->escaped ? 0 : run_length(intake, data, length);
        put(intake, data, run);
        data += run;
        length -= run;
        if (length == 0) {
            return;
        }
        length--;
        if (intake->escaped) {
            on_escaped(intake, *data++);
        } else if (*data++ == '"') {
            on_quote(intake);
        } else {
            on_backslash(intake);
        }
    }
}

void intake_replace(struct intake *intake, struct buf *text, size_t place, const struct blob *blob)
{
    buf_free(&intake->text);
    intake->text = *text;
    intake->blob_count = 0;
    if (blob) {
        note_blob(intake, place, blob);
    }
}

const struct blob *intake_blob_at(const struct intake *intake, size_t place)
{
    for (size_t i = 0; i < intake->blob_count; i++) {
        if (intake->blobs[i].place == place) {
            return &intake->blobs[i].blob;
        }
    }
    return NULL;
}
