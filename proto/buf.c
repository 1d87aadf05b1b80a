#include "proto/buf.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/mem.h"

#define FIRST_CAPACITY 128

void buf_init(struct buf *buf, size_t max)
{
    /* Halved so that sizes can be doubled and counted up without wrapping. */
    *buf = (struct buf){.max = max < SIZE_MAX / 2 ? max : SIZE_MAX / 2};
}

void buf_free(struct buf *buf)
{
    if (buf == NULL)
        return;
    free(buf->data);
    buf_init(buf, buf->max);
}

/* One byte more than max at most: the NUL of buf_text() is not counted. */
static void grow_to(struct buf *buf, size_t needed)
{
    if (needed <= buf->capacity)
        return;
    size_t capacity = buf->capacity != 0 ? buf->capacity * 2 : FIRST_CAPACITY;
    if (capacity > buf->max + 1)
        capacity = buf->max + 1;
    if (capacity < needed)
        capacity = needed;
    buf->data = mem_resize(buf->data, capacity, 1);
    buf->capacity = capacity;
}

char *buf_reserve(struct buf *buf, size_t length)
{
    if (buf->failed || length > buf->max - buf->length) {
        buf->failed = true;
        return NULL;
    }
    grow_to(buf, buf->length + length + 1);
    return buf->data + buf->length;
}

void buf_add(struct buf *buf, const void *bytes, size_t length)
{
    char *to = buf_reserve(buf, length);
    if (to == NULL || length == 0)
        return;
    memcpy(to, bytes, length);
    buf->length += length;
}

void buf_add_text(struct buf *buf, const char *text)
{
    buf_add(buf, text, strlen(text));
}

void buf_add_byte(struct buf *buf, char byte)
{
    buf_add(buf, &byte, 1);
}

void buf_addf(struct buf *buf, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    char *to = length >= 0 ? buf_reserve(buf, (size_t)length) : NULL;
    if (to == NULL) {
        buf->failed = true;
        return;
    }
    va_start(arguments, format);
    vsnprintf(to, (size_t)length + 1, format, arguments);
    va_end(arguments);
    buf->length += (size_t)length;
}

void buf_consume(struct buf *buf, size_t length)
{
    if (length >= buf->length) {
        buf->length = 0;
        return;
    }
    memmove(buf->data, buf->data + length, buf->length - length);
    buf->length -= length;
}

void buf_reset(struct buf *buf)
{
    buf->length = 0;
    buf->failed = false;
}

const char *buf_text(struct buf *buf)
{
    grow_to(buf, buf->length + 1);
    buf->data[buf->length] = '\0';
    return buf->data;
}

char *buf_steal(struct buf *buf)
{
    buf_text(buf);
    char *ret = buf->data;
    buf_init(buf, buf->max);
    return ret;
}
