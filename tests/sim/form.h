/* A body of fields: multipart/form-data or application/x-www-form-urlencoded. Files aren't kept,
 * only what is known of them. */
#ifndef SIM_FORM_H
#define SIM_FORM_H

#include <microhttpd.h>
#include <stdbool.h>

#include "proto/buf.h"
#include "proto/json.h"
#include "tests/sim/blob.h"

#define FORM_FIELDS     64
#define FORM_TEXT_BYTES ((size_t)1 << 20) /* of one field */
#define FORM_BYTES      ((size_t)100 << 20)

struct form_field {
    char *name;
    struct buf text; /* of a plain field */
    bool is_file;
    char *type; /* of a file, as it was sent; NULL: it wasn't */
    struct blob_reader reader;
    struct blob blob; /* once the form is complete */
};

struct form {
    struct MHD_PostProcessor *processor;
    struct form_field fields[FORM_FIELDS];
    unsigned count;
    size_t received;
    bool failed; /* malformed, or too much */
    bool complete;
};

bool form_is_one(const char *content_type); /* takes NULL */

/* Reads the request's headers. NULL if they are wrong. */
struct form *form_open(struct MHD_Connection *connection);

/* The members of a JSON object as if they were fields of a form; those that are neither text nor a
 * number nor a boolean make it `failed`. */
struct form *form_of_json(struct json_value object);

void form_add(struct form *form, const char *data, size_t length);
void form_end(struct form *form);
void form_close(struct form *form); /* takes NULL */

/* NULL if there is none. form_text(): nor if it is a file. Valid as long as the form. */
struct form_field *form_field(struct form *form, const char *name);
const char *form_text(struct form *form, const char *name);

#endif
