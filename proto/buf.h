/* A growable run of bytes that must be told its greatest size. Once an addition would exceed it,
 * the buffer is marked `failed`, keeps what it had, and ignores what follows: callers write a whole
 * message and look once at the end. */
#ifndef VEO_BUF_H
#define VEO_BUF_H

#include <stdbool.h>
#include <stddef.h>

struct buf {
    char *data; /* owned; not NUL-terminated unless buf_text() was called */
    size_t length;
    size_t capacity;
    size_t max; /* bytes */
    bool failed;
};

void buf_init(struct buf *buf, size_t max);
void buf_free(struct buf *buf); /* leaves an empty, usable buffer with the same max */

void buf_add(struct buf *buf, const void *bytes, size_t length);
void buf_add_text(struct buf *buf, const char *text);
void buf_add_byte(struct buf *buf, char byte);
void buf_addf(struct buf *buf, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Room for `length` more bytes at the end, to be written by the caller and then claimed by raising
 * `length`; NULL (and `failed`) when that would exceed max. */
char *buf_reserve(struct buf *buf, size_t length);

/* Takes the first `length` bytes away. */
void buf_consume(struct buf *buf, size_t length);

/* Empties it, keeping the memory; clears `failed`. */
void buf_reset(struct buf *buf);

/* The content as a C string, valid until the next change. Never NULL. */
const char *buf_text(struct buf *buf);

/* Hands the content over as a malloc'd C string and leaves the buffer empty. Never NULL. */
char *buf_steal(struct buf *buf);

#endif
