/* Reading JSON (RFC 8259), on top of jsmn. jsmn only marks tokens; here the grammar is checked in
 * full, duplicate members are refused, and depth and token count are bounded, so that a document
 * that was accepted can be walked without further care. */
#ifndef VEO_JSON_H
#define VEO_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/error.h"

#define JSON_DEFAULT_DEPTH  32
#define JSON_DEFAULT_TOKENS 65536

struct json; /* a parsed document; borrows its text */

enum json_type {
    JSON_NONE, /* absent */
    JSON_OBJECT,
    JSON_ARRAY,
    JSON_STRING,
    JSON_NUMBER,
    JSON_BOOL,
    JSON_NULL,
};

/* A place in a document: a plain value, valid as long as the document. */
struct json_value {
    const struct json *doc;
    int token; /* below 0: absent */
};

struct json_limits {
    unsigned depth;  /* 0: JSON_DEFAULT_DEPTH */
    unsigned tokens; /* 0: JSON_DEFAULT_TOKENS */
};

/* Parses exactly one JSON text with nothing but white space around it. `text` is borrowed and must
 * outlive the result. NULL on error, with `error` (bad-request) saying what and at which byte,
 * counted from 0. Invalid UTF-8 and escaped lone surrogates are errors. */
struct json *json_parse(const char *text, size_t length, struct json_limits limits,
                        struct error *error);
void json_free(struct json *doc); /* takes NULL */

struct json_value json_root(const struct json *doc);
enum json_type json_type(struct json_value value);
const char *json_type_name(enum json_type type); /* "object", …, "absent" */

/* A member by its name; absent if there is none or `value` is no object. */
struct json_value json_get(struct json_value value, const char *name);

/* As json_get along a path: names split by '.', a number taking an array's element.
 * json_path(v, "response.generatedSamples.0.video.uri") */
struct json_value json_path(struct json_value value, const char *path);

/* Elements of an array or members of an object; 0 for anything else. */
size_t json_size(struct json_value value);
struct json_value json_at(struct json_value array, size_t index);

/* Walks the elements of an array or the members of an object, in order and in linear time:
 *   for (struct json_iter it = json_iter(v); json_next(&it);) … it.name, it.value
 * `name` is absent for arrays. */
struct json_iter {
    struct json_value name;
    struct json_value value;
    struct json_value container;
    int next_token;
    int left;
};
struct json_iter json_iter(struct json_value container);
bool json_next(struct json_iter *it);

/* A string's characters with escapes resolved, as fresh memory; NULL if it is no string or holds
 * U+0000, which a C string can't. `ret_length` may be NULL. */
char *json_strdup(struct json_value value, size_t *ret_length);

/* True if it is a string that equals `text`. */
bool json_equals(struct json_value value, const char *text);

/* Numbers: 0, or -1 when it is none, has a fraction (json_int), or lies outside min..max; the
 * result is untouched then. 1e3 and 4.0 are integers. */
int json_int(struct json_value value, int64_t min, int64_t max, int64_t *ret);
int json_double(struct json_value value, double min, double max, double *ret);
int json_bool(struct json_value value, bool *ret);

/* The value's own bytes in the document, quotes included; NULL and 0 if absent. Not terminated. */
const char *json_raw(struct json_value value, size_t *ret_length);

#endif
