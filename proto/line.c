#include "proto/line.h"

#include <stdbool.h>
#include <string.h>

#define ASCII_WORD 0x8080808080808080u

/* The bytes of the character at `text`, 0 if it is not one of UTF-8 (RFC 3629): overlong forms,
 * surrogates and what lies above U+10FFFF show in the lead byte and the byte after it. */
static size_t utf8_character(const unsigned char *text, size_t length)
{
    unsigned char lead = text[0];
    if (lead < 0x80)
        return 1;
    size_t size = lead < 0xC2 || lead > 0xF4 ? 0 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
    if (size == 0 || size > length)
        return 0;
    unsigned char low = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
    unsigned char high = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
    if (text[1] < low || text[1] > high)
        return 0;
    for (size_t i = 2; i < size; i++)
        if ((text[i] & 0xC0) != 0x80)
            return 0;
    return size;
}

size_t utf8_valid_prefix(const char *text, size_t length)
{
    size_t at = 0;
    while (at < length) {
        uint64_t word;
        if (length - at >= sizeof(word)) {
            memcpy(&word, text + at, sizeof(word));
            if ((word & ASCII_WORD) == 0) {
                at += sizeof(word);
                continue;
            }
        }
        size_t size = utf8_character((const unsigned char *)text + at, length - at);
        if (size == 0)
            return at;
        at += size;
    }
    return length;
}

void line_init(struct line_reader *reader, size_t max_line)
{
    *reader = (struct line_reader){.state = LINE_COLLECTING, .max_line = max_line};
    /* One byte more for a CR, which belongs to the line's end if an LF follows. */
    buf_init(&reader->partial, max_line + 1);
}

void line_free(struct line_reader *reader)
{
    if (reader != NULL)
        buf_free(&reader->partial);
}

void line_expect_body(struct line_reader *reader, uint64_t bytes)
{
    reader->state = LINE_COUNTING;
    reader->left = bytes;
}

void line_return_body(struct line_reader *reader, uint64_t bytes)
{
    reader->left += bytes;
}

size_t line_pending(const struct line_reader *reader)
{
    return reader->partial.length;
}

static void advance(const char **data, size_t *length, size_t bytes)
{
    *data += bytes;
    *length -= bytes;
}

static enum line_event count_body(struct line_reader *reader, const char **data, size_t *length,
                                  struct line_piece *ret)
{
    buf_free(&reader->partial);
    if (reader->left == 0) {
        reader->state = LINE_COLLECTING;
        return LINE_BODY_END;
    }
    if (*length == 0)
        return LINE_MORE;
    size_t bytes = *length < reader->left ? *length : (size_t)reader->left;
    *ret = (struct line_piece){*data, bytes};
    reader->left -= bytes;
    advance(data, length, bytes);
    return LINE_BODY;
}

static enum line_event skip_rest(struct line_reader *reader, const char **data, size_t *length,
                                 struct line_piece *ret)
{
    const char *end = memchr(*data, '\n', *length);
    size_t bytes = end != NULL ? (size_t)(end - *data) : *length;
    reader->skipped += bytes;
    advance(data, length, end != NULL ? bytes + 1 : bytes);
    if (end == NULL)
        return LINE_MORE;
    reader->state = LINE_COLLECTING;
    ret->length = (size_t)reader->skipped;
    return LINE_TOO_LONG;
}

/* The line stays in `partial`'s memory, though no longer counted there, until the next call. */
static enum line_event finish_line(struct line_reader *reader, struct line_piece *ret)
{
    struct buf *line = &reader->partial;
    if (line->length > 0 && line->data[line->length - 1] == '\r')
        line->length--;
    size_t nul = strnlen(buf_text(line), line->length);
    size_t valid = utf8_valid_prefix(line->data, nul);
    bool good = valid == line->length;
    line->data[valid] = '\0';
    *ret = (struct line_piece){line->data, valid};
    buf_reset(line);
    return good ? LINE_TEXT : LINE_BAD_TEXT;
}

/* A CR as the one byte above the limit may turn out to be half of the line's end. */
static bool is_too_long(const struct line_reader *reader, const char *data, size_t bytes)
{
    size_t total = reader->partial.length + bytes;
    if (total <= reader->max_line || bytes == 0)
        return false;
    return total > reader->max_line + 1 || data[bytes - 1] != '\r';
}

static enum line_event collect(struct line_reader *reader, const char **data, size_t *length,
                               struct line_piece *ret)
{
    const char *end = memchr(*data, '\n', *length);
    size_t bytes = end != NULL ? (size_t)(end - *data) : *length;
    if (is_too_long(reader, *data, bytes)) {
        reader->state = LINE_SKIPPING;
        reader->skipped = reader->partial.length;
        buf_free(&reader->partial);
        return skip_rest(reader, data, length, ret);
    }
    buf_add(&reader->partial, *data, bytes);
    advance(data, length, end != NULL ? bytes + 1 : bytes);
    return end != NULL ? finish_line(reader, ret) : LINE_MORE;
}

enum line_event line_next(struct line_reader *reader, const char **data, size_t *length,
                          struct line_piece *ret)
{
    *ret = (struct line_piece){NULL, 0};
    if (reader->state == LINE_COUNTING)
        return count_body(reader, data, length, ret);
    if (*length == 0) {
        if (reader->partial.length == 0)
            buf_free(&reader->partial);
        return LINE_MORE;
    }
    if (reader->state == LINE_SKIPPING)
        return skip_rest(reader, data, length, ret);
    return collect(reader, data, length, ret);
}
