/* What lies inside the strings and numbers of a JSON text: the grammar of their bytes, and what
 * those bytes mean. For json.c alone; everybody else reads values through proto/json.h. */
#ifndef VEO_JSON_TEXT_H
#define VEO_JSON_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Walks from the byte after the opening quote to the closing one, or to the first byte that is
 * wrong; *at stops there. NULL, or what is wrong. Lone surrogates and invalid UTF-8 are. */
const char *json_text_check_string(const char **at, const char *end);

/* Walks over the longest number at *at. NULL, or what is missing. */
const char *json_text_check_number(const char **at, const char *end);

/* The functions below take the bytes between a string's quotes, or of a number, once checked. */

/* Order by code points, escapes resolved: below 0, 0, above 0. */
int json_text_compare(const char *a, size_t a_length, const char *b, size_t b_length);

/* `text` has no escapes. */
bool json_text_equals(const char *escaped, size_t length, const char *text, size_t text_length);

/* Fresh memory, NUL-terminated; NULL if it would hold U+0000. `ret_length` may be NULL. */
char *json_text_unescape(const char *escaped, size_t length, size_t *ret_length);

/* 0, or -1 when it has a fraction or doesn't fit. */
int json_text_int(const char *number, size_t length, int64_t *ret);

/* 0, or -1 when it is too large to be finite. */
int json_text_double(const char *number, size_t length, double *ret);

#endif
