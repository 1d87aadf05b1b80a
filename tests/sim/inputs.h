/* The images and videos that a submission came with. */
#ifndef SIM_INPUTS_H
#define SIM_INPUTS_H

#include "proto/json.h"
#include "proto/jsonw.h"
#include "tests/sim/blob.h"

#define INPUTS_MAX        32
#define INPUT_IMAGE_BYTES ((uint64_t)20 << 20)
#define INPUT_VIDEO_BYTES ((uint64_t)60 << 20)

struct intake;

/* The roles, in all dialects: "image" (also a first frame), "last_frame", "reference", "video",
 * "mask". */
struct input {
    const char *role; /* static */
    const char *type; /* static; NULL: not given */
    char *uri;        /* owned; NULL: it came inline */
    struct blob blob;
    size_t place;  /* of its base64 in the submission's text, … */
    size_t length; /* … quotes included */
};

struct inputs {
    struct input *list; /* owned */
    unsigned count;
};

enum input_fault {
    INPUT_GOOD,
    INPUT_TOO_MANY,
    INPUT_BAD_TYPE,
    INPUT_BAD_BASE64,
    INPUT_TOO_LARGE,
    INPUT_MISMATCH, /* its bytes are of another type */
};

/* What one of them must be. `types` is a NULL-terminated list of static strings. */
struct input_rule {
    const char *role;
    const char *const *types;
    uint64_t most_bytes;
};

void inputs_free(struct inputs *inputs); /* leaves an empty, usable one */

/* Adds one that came as base64, a value of the JSON text in `intake`. */
enum input_fault inputs_add(struct inputs *inputs, const struct input_rule *rule,
                            const struct intake *intake, struct json_value type,
                            struct json_value data);

/* Adds one that came as a uri; without a type if `type` is absent. */
enum input_fault inputs_add_uri(struct inputs *inputs, const struct input_rule *rule,
                                struct json_value type, struct json_value uri);

/* The JSON text with each input's base64 replaced by {"sha256":…,"bytes":…}. To be freed. */
char *inputs_shorten(const struct inputs *inputs, const char *text, size_t length,
                     size_t *ret_length);

/* As an array. */
void inputs_write(struct jsonw *w, const struct input *list, unsigned count);

#endif
