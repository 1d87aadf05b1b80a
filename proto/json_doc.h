/* A parsed document from within: for json.c, json_check.c and json_value.c alone. */
#ifndef VEO_JSON_DOC_H
#define VEO_JSON_DOC_H

#include <stdbool.h>
#include <stddef.h>

#include "proto/json.h"

struct json_token {
    enum json_type type; /* JSON_NONE: a primitive that was not looked at yet */
    int start;           /* byte; of a string the one after its quote */
    int end;             /* byte after it; of a string its closing quote */
    int size;            /* members or elements */
    int next;            /* the token after the whole value: siblings are one step apart */
};

struct json {
    const char *text;
    size_t length;
    struct json_token *tokens;
    int count;
};

enum json_marked { JSON_MARKED_ALL, JSON_MARKED_PART, JSON_TOO_MANY_TOKENS };

/* jsmn marks tokens but lets much pass that is not JSON: this follows the grammar over the tokens
 * and over the bytes between them, and fills in `type`, `size` and `next`. If not all could be
 * marked, it looks for the reason, and fails in any case. 0, or -1 with `error`. */
int json_check(struct json *doc, struct json_limits limits, enum json_marked marked,
               struct error *error);

#endif
