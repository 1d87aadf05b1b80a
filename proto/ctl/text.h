/* Text from elsewhere, made fit for a terminal: nothing in it can move the cursor, set a title or
 * turn the direction of reading, and its width in columns is known. */
#ifndef VEO_CTL_TEXT_H
#define VEO_CTL_TEXT_H

#include <stddef.h>

#include "proto/buf.h"

/* Adds `text` with white space as spaces, and with '?' for each other control character (C0, DEL,
 * C1, marks of direction) and each byte that isn't UTF-8. */
void text_clean(struct buf *out, const char *text, size_t length);

/* As text_clean, but lines stay lines. */
void text_clean_lines(struct buf *out, const char *text, size_t length);

/* As text_clean, but at most `columns` wide; what is cut ends in '…'. */
void text_cut(struct buf *out, const char *text, size_t length, size_t columns);

/* Adds JSON with those characters as \u escapes: it means the same, and is safe to look at. */
void text_json(struct buf *out, const char *json, size_t length);

/* Columns of cleaned text. */
size_t text_width(const char *text, size_t length);

#endif
