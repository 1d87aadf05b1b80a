/* A file that goes into a generation: an image, or a video to be edited or extended. A client names
 * it in one of several ways; resolved, it is a blob, a job's result, or something that the provider
 * has already. */
#ifndef VEO_INPUT_H
#define VEO_INPUT_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/error.h"
#include "proto/json.h"
#include "proto/jsonw.h"

/* All strings are owned; absent ones are NULL. */
struct input {
    /* As the client named it, one of these; all NULL once it is resolved (daemon/cmd/inputs.c). */
    char *name; /* "sha256-…", a job's id or a prefix of it, an operation's name, or an address */
    char *path; /* a file on the server, to be read with the sender's own rights */
    char *data; /* base64 */

    char *blob;      /* "sha256-" and 64 hexadecimal digits */
    char *job;       /* whose result it is */
    char *file;      /* that result's absolute path */
    char *mime_type; /* of the blob or file: by its first bytes, never by its name */
    uint64_t bytes;  /* of the blob or file */
    char *provider;  /* where the result was made, and is known as: */
    char *operation;
    char *uri;
};

/* Reads a client's word: a string, or {"mime_type":…,"data":…}. With `stored` what input_write
 * wrote. NULL with `error`; `field` is the member's name. */
struct input *input_parse(struct json_value value, const char *field, bool stored,
                          struct error *error);

/* A file on the server. */
struct input *input_parse_path(struct json_value value, const char *field, struct error *error);

void input_free(struct input *input); /* takes NULL */

bool input_is_resolved(const struct input *input);

/* True if there are bytes of it to be sent: a blob or a job's file. */
bool input_has_bytes(const struct input *input);

/* Writes a resolved input as one object. */
void input_write(const struct input *input, struct jsonw *w);

/* What the first bytes of a file say that it is: image/jpeg, image/png, image/webp, image/gif,
 * image/heic, video/mp4, video/quicktime or video/webm (a static string); NULL: none of these.
 * 16 bytes suffice. */
#define INPUT_SNIFF_BYTES 16
const char *input_sniff(const void *bytes, size_t length);

#endif
