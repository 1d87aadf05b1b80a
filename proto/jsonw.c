#include "proto/jsonw.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/line.h"
#include "proto/units.h"

void jsonw_init(struct jsonw *w, struct buf *out)
{
    *w = (struct jsonw){.out = out};
}

static void begin_value(struct jsonw *w)
{
    if (w->needs_comma)
        buf_add_byte(w->out, ',');
    w->needs_comma = true;
}

static void open_container(struct jsonw *w, char bracket)
{
    begin_value(w);
    buf_add_byte(w->out, bracket);
    w->needs_comma = false;
}

static void close_container(struct jsonw *w, char bracket)
{
    buf_add_byte(w->out, bracket);
    w->needs_comma = true;
}

void jsonw_object(struct jsonw *w)
{
    open_container(w, '{');
}

void jsonw_object_end(struct jsonw *w)
{
    close_container(w, '}');
}

void jsonw_array(struct jsonw *w)
{
    open_container(w, '[');
}

void jsonw_array_end(struct jsonw *w)
{
    close_container(w, ']');
}

/* The characters that can't stand for themselves, and those that would drive a terminal on which
 * the line is shown (DEL, and the C1 controls U+0080 to U+009F, whose first byte is 0xC2). */
static bool needs_care(unsigned char byte)
{
    return byte < ' ' || byte == '"' || byte == '\\' || byte == 0x7F || byte == 0xC2;
}

/* Writes one character that needs care and returns how many bytes it took. */
static size_t add_escaped(struct buf *out, const unsigned char *at)
{
    static const char short_forms[] = "\"\"\\\\\bb\ff\nn\rr\tt";
    for (const char *form = short_forms; *form != '\0'; form += 2) {
        if (*at == (unsigned char)form[0]) {
            buf_add(out, (char[]){'\\', form[1]}, 2);
            return 1;
        }
    }
    if (*at != 0xC2) {
        buf_addf(out, "\\u%04x", *at);
        return 1;
    }
    if (at[1] < 0xA0)
        buf_addf(out, "\\u%04x", at[1]);
    else
        buf_add(out, at, 2);
    return 2;
}

static void add_valid(struct buf *out, const char *text, size_t length)
{
    const unsigned char *bytes = (const unsigned char *)text;
    size_t at = 0;
    while (at < length) {
        size_t plain = at;
        while (plain < length && !needs_care(bytes[plain]))
            plain++;
        buf_add(out, text + at, plain - at);
        at = plain;
        if (at < length)
            at += add_escaped(out, bytes + at);
    }
}

void jsonw_string_n(struct jsonw *w, const char *text, size_t length)
{
    begin_value(w);
    buf_add_byte(w->out, '"');
    for (size_t at = 0; at < length;) {
        size_t valid = utf8_valid_prefix(text + at, length - at);
        add_valid(w->out, text + at, valid);
        at += valid;
        if (at < length) {
            buf_add_text(w->out, "\uFFFD");
            at++;
        }
    }
    buf_add_byte(w->out, '"');
}

void jsonw_string(struct jsonw *w, const char *text)
{
    jsonw_string_n(w, text, strlen(text));
}

void jsonw_name(struct jsonw *w, const char *name)
{
    jsonw_string(w, name);
    buf_add_byte(w->out, ':');
    w->needs_comma = false;
}

void jsonw_int(struct jsonw *w, int64_t number)
{
    begin_value(w);
    buf_addf(w->out, "%" PRId64, number);
}

void jsonw_uint(struct jsonw *w, uint64_t number)
{
    begin_value(w);
    buf_addf(w->out, "%" PRIu64, number);
}

void jsonw_double(struct jsonw *w, double number)
{
    char text[32] = "null";
    for (int digits = 15; isfinite(number) && digits <= 17; digits++) {
        snprintf(text, sizeof(text), "%.*g", digits, number);
        if (strtod(text, NULL) >= number && strtod(text, NULL) <= number)
            break;
    }
    begin_value(w);
    buf_add_text(w->out, text);
}

void jsonw_bool(struct jsonw *w, bool yes)
{
    begin_value(w);
    buf_add_text(w->out, yes ? "true" : "false");
}

void jsonw_raw(struct jsonw *w, const char *json, size_t length)
{
    begin_value(w);
    buf_add(w->out, json, length);
}

void jsonw_member_string(struct jsonw *w, const char *name, const char *text)
{
    if (text == NULL)
        return;
    jsonw_name(w, name);
    jsonw_string(w, text);
}

void jsonw_member_int(struct jsonw *w, const char *name, int64_t number)
{
    jsonw_name(w, name);
    jsonw_int(w, number);
}

void jsonw_member_uint(struct jsonw *w, const char *name, uint64_t number)
{
    jsonw_name(w, name);
    jsonw_uint(w, number);
}

void jsonw_member_double(struct jsonw *w, const char *name, double number)
{
    jsonw_name(w, name);
    jsonw_double(w, number);
}

void jsonw_member_usd(struct jsonw *w, const char *name, int64_t micro)
{
    char text[40];
    uint64_t amount = micro < 0 ? 0 - (uint64_t)micro : (uint64_t)micro;
    int length =
        snprintf(text, sizeof(text), "%s%llu.%06llu", micro < 0 ? "-" : "",
                 (unsigned long long)(amount / 1000000), (unsigned long long)(amount % 1000000));
    while (text[length - 1] == '0')
        length--;
    if (text[length - 1] == '.')
        length--;
    jsonw_name(w, name);
    jsonw_raw(w, text, (size_t)length);
}

void jsonw_member_bool(struct jsonw *w, const char *name, bool yes)
{
    jsonw_name(w, name);
    jsonw_bool(w, yes);
}

void jsonw_member_time(struct jsonw *w, const char *name, int64_t unix_ms)
{
    if (unix_ms == 0)
        return;
    char text[UNITS_TEXT];
    units_format_time(unix_ms, text);
    jsonw_member_string(w, name, text);
}
