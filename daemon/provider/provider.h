/* Providers and the dialects they speak. A dialect is pure: a job's request in, an HTTP request
 * out; an answer in, an outcome out. Facts and their sources are named in each dialect's file. */
#ifndef VEO_PROVIDER_H
#define VEO_PROVIDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/core/request.h"
#include "daemon/core/retry.h"
#include "proto/buf.h"
#include "proto/error.h"

struct dialect;

/* One way to reach a model, as configured. Strings are the configuration's. */
struct provider {
    const char *name;
    const struct dialect *dialect;
    const char *base_url;    /* no path of a version, no slash at the end */
    const char *api_version; /* "v1beta" */
    char *const *models;     /* globs (fnmatch(3)), NULL-terminated */
    const char *project;     /* Google Cloud's, for vertex and for interactions there; NULL: none */
    const char *location;
    const char *storage_uri; /* "gs://…": where vertex puts results; NULL: into its answer */
    const char *storage_url; /* of Cloud Storage, trusted with the credential; NULL: not used */
    bool seed_body;          /* predict: the route and the body of the project's first contract */
};

/* A file that goes into a body: as base64 inside a JSON string, or as it is. */
struct wire_part {
    size_t at;                 /* where in `body` its bytes go; parts are in that order */
    const struct input *input; /* the request's; input_has_bytes() */
    bool base64;
};
#define WIRE_PARTS_MAX 16

struct wire_request {
    bool post;
    struct buf url;
    struct buf body;    /* empty for GET */
    char *content_type; /* NULL: application/json */
    struct wire_part parts[WIRE_PARTS_MAX];
    size_t part_count;
};
void wire_request_init(struct wire_request *request);
void wire_request_free(struct wire_request *request);

struct wire_reply {
    int status;       /* HTTP */
    const char *body; /* JSON, with placeholders where inline results were (inline.h) */
    size_t length;
    int64_t retry_after_ms; /* Retry-After; -1: none */
    const char *operation;  /* of a poll: which one was asked about */
};

/* What an answer means. */
enum outcome_kind {
    OUTCOME_ACCEPTED,   /* submission: `operation`; goes on with polling */
    OUTCOME_PENDING,    /* poll: not yet */
    OUTCOME_RESULT,     /* `results`; for a submission too, with `operation` */
    OUTCOME_FILTERED,   /* `message` says why; not charged */
    OUTCOME_FAILED,     /* the operation ended badly; `retryable` if it was not charged and may
                           go well another time (gRPC 8, 13, 14) */
    OUTCOME_REJECTED,   /* submission: the provider won't have it (4xx) */
    OUTCOME_REFUSED,    /* submission: turned away, try again (429, 503, 500 with its own body) */
    OUTCOME_NO_CREDIT,  /* submission: 402 */
    OUTCOME_UNREADABLE, /* submission: a 2xx without a name, or a gateway's error: who knows.
                           Poll: an answer that says nothing; poll again */
};

struct outcome_result {
    char *uri;        /* NULL: inline */
    int inline_index; /* of the filter's run; -1: a uri */
    char *mime_type;  /* NULL: not said */
};

/* What the provider says that an operation used; -1: it doesn't say. */
struct outcome_usage {
    int64_t input_tokens;
    int64_t video_tokens; /* of the output */
    int64_t other_tokens; /* of the output: text and thoughts */
};

struct outcome {
    enum outcome_kind kind;
    char *operation;
    struct outcome_result *results;
    size_t result_count;
    char *code;    /* of an error: the provider's, lower case with dashes ("rate-limit-exceeded") */
    char *message; /* the provider's own words, one line, at most 1,000 bytes */
    bool retryable;
    bool gate;              /* turned away at a gate (429, 503): no attempt of the job's was used,
                               and the provider wants everybody to wait */
    int64_t retry_after_ms; /* RetryInfo or Retry-After; -1: not said */
    int status;             /* HTTP's of an answer that was an error; 0: it was none. Where a proxy
                               repeats the provider's answer, that answer's */
    char *quota_id;         /* QuotaFailure's first; NULL: none */
    bool plain;             /* set by who reads: errors get no advice about providers added */
    const struct retry_rule *rule; /* of a submission's error status; NULL: it was none */
    struct outcome_usage usage;
};
void outcome_init(struct outcome *outcome);
void outcome_free(struct outcome *outcome);

enum file_state { FILE_READY, FILE_PROCESSING, FILE_FAILED, FILE_UNKNOWN };

struct dialect {
    const char *name;        /* as in the configuration */
    const char *secret_name; /* the header for a key; NULL: Authorization, behind "Bearer " */
    const char *header;      /* goes with every request, "Name: value"; NULL: none */
    bool may_boast; /* says of failures, too, that they have a result: what then proves to be no
                       video was never made, and isn't charged */

    /* Refuses, with `field`, what the wire format has no room for. Checks no value that the
     * provider judges better itself. The request's inputs are resolved. 0 or -1. */
    int (*check)(const struct provider *provider, const struct request *request,
                 struct error *error);

    void (*submit)(const struct provider *provider, const struct request *request,
                   struct wire_request *ret);
    void (*submitted)(const struct provider *provider, const struct wire_reply *reply,
                      struct outcome *ret);

    void (*poll)(const struct provider *provider, const char *operation, struct wire_request *ret);
    void (*polled)(const struct provider *provider, const struct wire_reply *reply,
                   struct outcome *ret);

    /* Tells the provider to stop. NULL: it can't be told. */
    void (*cancel)(const struct provider *provider, const char *operation,
                   struct wire_request *ret);

    /* Is it the name of an operation in this dialect? */
    bool (*owns)(const char *operation);

    /* The address that says whether a result's uri is ready; false: no need to ask. And what the
     * answer means; that of a download with an error status as well. NULL: always ready, and no
     * such answer means that the result will never be there. */
    bool (*file)(const struct provider *provider, const char *uri, struct wire_request *ret);
    enum file_state (*filed)(const struct wire_reply *reply);

    /* The address that a result's uri is loaded from. NULL: the uri itself. */
    void (*download)(const struct provider *provider, const char *uri, struct wire_request *ret);
};

/* All dialects; NULL-terminated. */
extern const struct dialect *const dialects[];
const struct dialect *dialect_find(const char *name);

/* True if one of the provider's globs takes the model. */
bool provider_takes(const struct provider *provider, const char *model);

/* Reads an error body in any of Google's shapes: {"error":{"code":429,"status":"…","details":[…]}},
 * {"error":{"code":"rate_limit_exceeded"}}, and an array around either; fills code, message,
 * retry_after_ms. False if it is none of these: then a gateway spoke, not the provider. */
bool provider_error(const struct wire_reply *reply, struct outcome *ret);

/* What an answer says that should have been something else: its error's message, or else its first
 * bytes, as one line in fresh memory. */
char *provider_excerpt(const struct wire_reply *reply);

/* `text` as one line of valid UTF-8 with at most `max` bytes; white space and control characters
 * become single spaces. */
char *one_line(const char *text, size_t length, size_t max);

/* What a submission's answer with an error status means, for every dialect: fills kind, code,
 * message, gate and retry_after_ms. */
void provider_submission_error(const struct wire_reply *reply, struct outcome *ret);

#endif
