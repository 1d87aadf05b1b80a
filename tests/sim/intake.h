/* A request's body as it arrives. Where it is JSON, a long string of base64 doesn't stay in memory:
 * {"sha256":…,"bytes":…} takes its place. */
#ifndef SIM_INTAKE_H
#define SIM_INTAKE_H

#include "proto/buf.h"
#include "tests/sim/blob.h"

#define INTAKE_BYTES_MAX ((size_t)100 << 20)

struct intake_blob {
    size_t place; /* of what replaces it, in the text */
    struct blob blob;
};

struct intake {
    struct buf text; /* what stays */
    uint64_t received;
    bool failed;               /* it is too much */
    struct intake_blob *blobs; /* by place */
    size_t blob_count;

    bool in_string;
    bool escaped;
    bool judged; /* whether this string stays is known */
    bool taking; /* it doesn't */
    size_t begin;
    struct blob_reader reader;
};

void intake_init(struct intake *intake);
void intake_free(struct intake *intake); /* leaves an empty, usable one */

void intake_add(struct intake *intake, const char *data, size_t length);

/* Puts another text in the place of what stayed, and takes it; `blob` (may be NULL) is what was at
 * this place of it. */
void intake_replace(struct intake *intake, struct buf *text, size_t place, const struct blob *blob);

/* The base64 that was at this place; NULL if none was taken there. */
const struct blob *intake_blob_at(const struct intake *intake, size_t place);

#endif
