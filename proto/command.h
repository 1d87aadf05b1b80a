/* A command line, taken apart: `[@tag ]VERB[ argument]`. And a reply line: `[@tag ]WORD {…}`. */
#ifndef VEO_COMMAND_H
#define VEO_COMMAND_H

#include <stdbool.h>
#include <stddef.h>

#include "proto/error.h"
#include "proto/verb.h"

#define COMMAND_TAG_MAX 64 /* bytes, without the '@'; printable ASCII without spaces */

struct command {
    char tag[COMMAND_TAG_MAX + 1]; /* empty: none */
    enum verb verb;
    const char *argument;   /* in the line; "" if there is none; white space before it is off */
    size_t argument_length; /* without the white space behind it */
    bool is_json;           /* the argument begins with '{' */
};

/* `line` must be NUL-terminated and outlive the result. 0, or -1 with `error`: bad-request,
 * unknown-verb (with the nearest verb named), invalid-argument. The tag is filled in even on
 * error, if it could be read, so that the answer can carry it. */
int command_parse(const char *line, size_t length, struct command *ret, struct error *error);

enum reply_word { REPLY_OK, REPLY_ERR, REPLY_ITEM, REPLY_EVENT, REPLY_DATA, REPLY_UNKNOWN };

const char *reply_word_name(enum reply_word word);

struct reply {
    char tag[COMMAND_TAG_MAX + 1];
    enum reply_word word;
    const char *json; /* in the line */
    size_t json_length;
};

/* 0, or -1 if the line isn't a reply. */
int reply_parse(const char *line, size_t length, struct reply *ret);

#endif
