/* Writing JSON. The writer puts commas and colons where they belong and escapes strings; what is
 * not valid UTF-8 becomes U+FFFD, and control characters are escaped, DEL and C1 included: lines
 * are shown on terminals. Size is bounded by the buffer's max: look at buf->failed. */
#ifndef VEO_JSONW_H
#define VEO_JSONW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/buf.h"

struct jsonw {
    struct buf *out;  /* borrowed */
    bool needs_comma; /* before the next element or member */
};

void jsonw_init(struct jsonw *w, struct buf *out);

void jsonw_object(struct jsonw *w); /* { */
void jsonw_object_end(struct jsonw *w);
void jsonw_array(struct jsonw *w); /* [ */
void jsonw_array_end(struct jsonw *w);
void jsonw_name(struct jsonw *w, const char *name);

void jsonw_string(struct jsonw *w, const char *text);
void jsonw_string_n(struct jsonw *w, const char *text, size_t length);
void jsonw_int(struct jsonw *w, int64_t number);
void jsonw_uint(struct jsonw *w, uint64_t number);
void jsonw_double(struct jsonw *w, double number); /* shortest that reads back the same; or null */
void jsonw_bool(struct jsonw *w, bool yes);
void jsonw_raw(struct jsonw *w, const char *json, size_t length); /* already JSON */

/* A name and its value. The string one leaves the member out when `text` is NULL. */
void jsonw_member_string(struct jsonw *w, const char *name, const char *text);
void jsonw_member_int(struct jsonw *w, const char *name, int64_t number);
void jsonw_member_uint(struct jsonw *w, const char *name, uint64_t number);
void jsonw_member_double(struct jsonw *w, const char *name, double number);
void jsonw_member_usd(struct jsonw *w, const char *name, int64_t micro); /* dollars: 0.8 */
void jsonw_member_bool(struct jsonw *w, const char *name, bool yes);
void jsonw_member_time(struct jsonw *w, const char *name, int64_t unix_ms); /* left out when 0 */

#endif
