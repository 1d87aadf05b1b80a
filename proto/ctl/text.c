#include "proto/ctl/text.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <wchar.h>

#include "proto/line.h"

#define BAD_BYTE UINT32_MAX

struct character {
    uint32_t code; /* BAD_BYTE: not UTF-8 */
    const char *bytes;
    size_t length;
};

static size_t sequence_length(unsigned char first)
{
    if (first < 0x80)
        return 1;
    return first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
}

static struct character next_character(const char *text, size_t length)
{
    size_t need = sequence_length((unsigned char)text[0]);
    struct character c = {.code = BAD_BYTE, .bytes = text, .length = 1};
    if (need > length || utf8_valid_prefix(text, need) != need)
        return c;
    c.length = need;
    c.code = (unsigned char)text[0];
    if (need > 1)
        c.code &= 0xffU >> (need + 1);
    for (size_t i = 1; i < need; i++)
        c.code = c.code << 6 | ((unsigned char)text[i] & 0x3f);
    return c;
}

static bool is_space(uint32_t code)
{
    return code == '\t' || code == '\n' || code == '\r' || code == 0x2028 || code == 0x2029;
}

static bool is_unsafe(uint32_t code)
{
    return code < 0x20 || (code >= 0x7f && code < 0xa0) || code == 0x200e || code == 0x200f ||
           (code >= 0x2028 && code <= 0x202e) || (code >= 0x2066 && code <= 0x2069) ||
           code == 0x061c || code == BAD_BYTE;
}

static size_t character_width(struct character c)
{
    if (is_unsafe(c.code))
        return 1;
    int width = wcwidth((wchar_t)c.code);
    return width < 0 ? 1 : (size_t)width;
}

static void add_clean(struct buf *out, struct character c)
{
    if (is_space(c.code))
        buf_add_byte(out, ' ');
    else if (is_unsafe(c.code))
        buf_add_byte(out, '?');
    else
        buf_add(out, c.bytes, c.length);
}

void text_clean(struct buf *out, const char *text, size_t length)
{
    for (size_t at = 0; at < length;) {
        struct character c = next_character(text + at, length - at);
        add_clean(out, c);
        at += c.length;
    }
}

void text_clean_lines(struct buf *out, const char *text, size_t length)
{
    for (size_t at = 0; at < length;) {
        const char *newline = memchr(text + at, '\n', length - at);
        size_t stop = newline ? (size_t)(newline - text) : length;
        bool has_cr = newline && stop > at && text[stop - 1] == '\r';
        text_clean(out, text + at, stop - at - has_cr);
        if (newline)
            buf_add_byte(out, '\n');
        at = stop + (newline != NULL);
    }
}

void text_cut(struct buf *out, const char *text, size_t length, size_t columns)
{
    if (text_width(text, length) <= columns) {
        text_clean(out, text, length);
        return;
    }
    if (columns == 0)
        return;
    size_t used = 0;
    for (size_t at = 0; at < length;) {
        struct character c = next_character(text + at, length - at);
        used += character_width(c);
        if (used > columns - 1)
            break;
        add_clean(out, c);
        at += c.length;
    }
    buf_add_text(out, "…");
}

void text_json(struct buf *out, const char *json, size_t length)
{
    for (size_t at = 0; at < length;) {
        struct character c = next_character(json + at, length - at);
        if (c.code == BAD_BYTE)
            buf_add_byte(out, '?');
        else if (is_unsafe(c.code))
            buf_addf(out, "\\u%04x", (unsigned)c.code);
        else
            buf_add(out, c.bytes, c.length);
        at += c.length;
    }
}

size_t text_width(const char *text, size_t length)
{
    size_t width = 0;
    for (size_t at = 0; at < length;) {
        struct character c = next_character(text + at, length - at);
        width += character_width(c);
        at += c.length;
    }
    return width;
}
