/* What a job asks for: the fields of GENERATE, checked, immutable, shared by counting. */
#ifndef VEO_REQUEST_H
#define VEO_REQUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/core/input.h"
#include "proto/error.h"
#include "proto/json.h"
#include "proto/jsonw.h"

struct label {
    char *name;
    char *value;
};

/* Absent strings are NULL. What the client didn't give is not sent to the provider, so numbers and
 * flags say whether they were given. All strings are owned. */
struct request {
    unsigned holders; /* how many hold it */
    bool is_stored;   /* read from the store: its inputs are resolved */

    char *prompt;
    char *model;    /* never NULL once parsed: the configuration's default fills it */
    char *provider; /* only if the client named one */
    char *aspect_ratio;
    char *resolution;
    char *negative_prompt;
    char *person_generation;
    double duration_seconds; /* 0: not given */
    int64_t seed;            /* -1: not given */
    int sample_count;        /* 0: not given */
    int generate_audio;      /* -1: not given, else 0 or 1 */
    int enhance_prompt;      /* -1: not given, else 0 or 1 */
    struct input *image;     /* the first frame */
    struct input *last_frame;
    struct input *video; /* to be edited or extended */
    char *video_task;    /* which of the two: "edit" or "extend"; NULL: not given */
    struct input **references;
    size_t reference_count;

    int priority; /* -100..100, higher first */
    struct label *labels;
    size_t label_count;
    char *key;           /* idempotency */
    char *output;        /* a relative name below output_directory/<uid>/ */
    int64_t not_before;  /* Unix time in ms; 0: now */
    int64_t deadline_ms; /* from acceptance */
    int max_attempts;    /* 0: the configuration's */
    bool force;
};

struct request_defaults {
    const char *model;
    int64_t deadline_ms;
    bool is_stored; /* what request_write wrote is read again */
};

/* Reads a GENERATE object. Its inputs are unresolved yet: daemon/cmd/inputs.c does that, before
 * anybody else holds it. `dry_run` is the command's, not the request's: it is accepted and
 * ignored here. NULL with `error` if a member is unknown, missing or bad. One reference. */
struct request *request_parse(struct json_value object, const struct request_defaults *defaults,
                              struct error *error);

/* Reads what request_write wrote: the store's form. NULL if that is damaged. */
struct request *request_load(const char *json, size_t length);

struct request *request_ref(struct request *request);
void request_unref(struct request *request); /* takes NULL */

/* Writes all that was given as members of the object that the caller has opened, always in the
 * same order: two requests are the same if these bytes are. */
void request_write(const struct request *request, struct jsonw *w);

/* The same as one JSON object in fresh memory. */
char *request_to_json(const struct request *request);

#endif
