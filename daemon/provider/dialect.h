/* What the dialects share among themselves; nobody else includes this. */
#ifndef VEO_DIALECT_H
#define VEO_DIALECT_H

#include <stdbool.h>
#include <stddef.h>

#include "daemon/provider/provider.h"
#include "proto/json.h"
#include "proto/jsonw.h"

#define OUTCOME_MESSAGE_MAX   1000 /* bytes */
#define OUTCOME_RESULTS_MAX   16
#define OPERATION_NAME_MAX    1024 /* bytes */
#define OUTCOME_EXCERPT_BYTES 200  /* of an answer that can't be read */

extern const struct dialect dialect_interactions;
extern const struct dialect dialect_predict;
extern const struct dialect dialect_vertex;
extern const struct dialect dialect_videos;

/* Begins an address: base, version and a slash. */
void wire_begin(struct wire_request *request, const struct provider *provider, bool post);

/* Appends text to an address: all but RFC 3986's unreserved characters is percent-encoded. */
void wire_escape(struct buf *url, const char *text);

/* Writes the member `name`, a string that will be the file's base64. `w` writes the body. */
void wire_add_file(struct wire_request *request, struct jsonw *w, const char *name,
                   const struct input *input);

/* A GET of a result's uri, for whichever dialect: an object of Cloud Storage, or an address. One at
 * Google's own API is asked for at the provider instead: a proxy hands Google's addresses on, and
 * its key is of no use there. */
void wire_localize(const struct provider *provider, const char *uri, struct wire_request *ret);

/* Any printable text that makes one segment of a path once it is encoded. */
bool wire_is_id(const char *text);

/* A number as text, with no more digits than it takes. */
void wire_add_number(struct buf *out, double number);

/* An answer with a 2xx status. */
bool wire_accepted(const struct wire_reply *reply);

/* The answer's document; NULL if it isn't JSON, with `error` saying why. */
struct json *wire_document(const struct wire_reply *reply, struct error *error);

/* A value as text for a person: a string's characters, or the value's own bytes; "" if absent or
 * null. Never NULL. */
char *wire_text(struct json_value value);

/* Sets kind, code (made lower case with dashes; NULL for none) and message (made one line). */
void outcome_set(struct outcome *outcome, enum outcome_kind kind, const char *code,
                 const char *format, ...) __attribute__((format(printf, 4, 5)));

/* UNREADABLE: says `what` is wrong with the answer, its status, and its first bytes. */
void outcome_set_unreadable(struct outcome *outcome, const struct wire_reply *reply,
                            const char *what);

/* The document of a 2xx, which is an object; NULL with the outcome set to UNREADABLE. */
struct json *outcome_open(struct outcome *outcome, const struct wire_reply *reply);

/* The document of a submission's answer whose `member` names the operation, which the outcome keeps
 * from then on. NULL with the outcome set: an error, or `lack` for want of a usable name. */
struct json *outcome_open_named(struct outcome *outcome, const struct wire_reply *reply,
                                const char *member, bool (*is_name)(const char *),
                                const char *lack);

/* What is still pending in a submission's answer was accepted. */
void outcome_accept(struct outcome *outcome);

/* A result at `uri`, or else the inline run that the string `data` stands for. Nothing is added if
 * neither is usable, if it is there already, or if there are too many. */
void outcome_add_result(struct outcome *outcome, struct json_value uri, struct json_value data,
                        struct json_value mime_type);

/* Fills code, message, retryable and retry_after_ms from an error object of any shape, or a bare
 * string; what it doesn't say stays. `status` is HTTP's, 0 if the error came inside a 2xx. */
void outcome_read_error(struct outcome *outcome, struct json_value error, int status);

/* What a poll's answer with an error status means. */
void outcome_poll_error(struct outcome *outcome, const struct wire_reply *reply);

#endif
