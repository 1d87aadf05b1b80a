/* Filling in an exchange's reply. */
#ifndef SIM_REPLY_H
#define SIM_REPLY_H

#include "proto/jsonw.h"
#include "tests/sim/exchange.h"

#define REPLY_BYTES_MAX ((size_t)1 << 20) /* of text */

/* Empties it. */
void reply_reset(struct reply *reply);

/* A header; `value` is taken. */
void reply_header(struct reply *reply, const char *name, char *value);

/* Replaces the body by this text; `content_type` is static. */
void reply_text(struct reply *reply, unsigned status, const char *content_type, const char *text);

/* Replaces the body by the buffer's content, which it takes. */
void reply_json(struct reply *reply, unsigned status, struct buf *json);

/* For a body of several pieces: moves the buffer's content to its end and leaves the buffer empty.
 */
void reply_split(struct exchange *exchange, struct buf *json);

/* The last piece, which makes it a 200 with JSON. */
void reply_rest(struct exchange *exchange, struct buf *json);

/* An error in the shape of the exchange's dialect. `code` may be NULL for the usual one: a string
 * as interactions has it, or a google.rpc name as the others have it. Always false. */
bool reply_error(struct exchange *exchange, unsigned status, const char *code, const char *format,
                 ...) __attribute__((format(printf, 4, 5)));

enum reply_shape {
    SHAPE_DIALECT, /* whichever the route speaks */
    SHAPE_GOOGLE,
    SHAPE_INTERACTIONS,
    SHAPE_OPENAI,
    SHAPE_OAUTH,
    SHAPE_ARRAY,
    SHAPE_HTML,
    SHAPE_EMPTY,
};

struct reply_problem {
    unsigned status;
    const char *code;    /* NULL: the usual one */
    const char *message; /* NULL: likewise */
    const char *reason;  /* of an ErrorInfo; NULL: none */
    const char *quota_id;
    const char *retry_delay; /* of a RetryInfo; NULL: none */
};

void reply_problem(struct exchange *exchange, enum reply_shape shape,
                   const struct reply_problem *problem);

/* The shape of the exchange's dialect. */
enum reply_shape reply_usual_shape(const struct exchange *exchange);

#endif
