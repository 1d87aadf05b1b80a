/* Video inside JSON: a filter for an answer's bytes as they arrive. Long runs of base64 in strings
 * are decoded and handed on; the rest, with a short placeholder in their place, is the document
 * that the dialect reads. So an answer of any size is read with a few KiB of memory.
 *
 * A string is taken out once its first INLINE_THRESHOLD characters are all of base64's alphabet
 * (RFC 4648 section 4, or the URL-safe one of section 5). The placeholder is "inline:N", N counting
 * the strings taken out from 0. Escapes inside a run are resolved, escaped line ends skipped, and
 * padding may be missing.
 */
#ifndef VEO_INLINE_H
#define VEO_INLINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/buf.h"

#define INLINE_THRESHOLD 1024 /* characters */

struct inline_hooks {
    /* A new run begins; then its bytes; then its end. `data` returns how many bytes it took:
     * fewer than given means that the filter must stop (inline_feed then says so). */
    void (*begin)(void *arg, unsigned index);
    size_t (*data)(void *arg, unsigned index, const unsigned char *bytes, size_t length);
    void (*end)(void *arg, unsigned index, bool intact); /* intact: valid base64 to the end */
};

struct inline_filter;

/* `document` (borrowed) receives the JSON without the long strings; nobody else writes to it
 * meanwhile. It needs room for a string's first characters until they have proved to be a run. */
struct inline_filter *inline_new(struct buf *document, const struct inline_hooks *hooks, void *arg);
void inline_free(struct inline_filter *filter); /* takes NULL */

/* Takes bytes; returns how many it took. Fewer than `length`: `data` had no room; feed the rest
 * again later. A run that the input's end cuts short gets no `end`. */
size_t inline_feed(struct inline_filter *filter, const char *bytes, size_t length);

/* The N of "inline:N", or -1 if `text` is no placeholder. */
int inline_index(const char *text);

#endif
