/* What the engine counts of jobs and of the providers' answers, since its start. */
#ifndef VEO_METER_H
#define VEO_METER_H

#include "daemon/core/job.h"
#include "daemon/io/http_tally.h"

#define METER_CODES_MAX 64

enum meter_http { METER_SUBMIT, METER_POLL, METER_FETCH, METER_OTHER, METER_HTTP_COUNT };
const char *meter_http_name(enum meter_http what);

struct meter_provider {
    struct http_tally http[METER_HTTP_COUNT];
    struct histogram generation_ms; /* from its acceptance to the notice of its end */
    uint64_t charged, credited;     /* micro-dollars; credited: charged first, and not after all */
};

struct meter {
    uint64_t accepted;                            /* jobs */
    uint64_t became[JOB_STATE_COUNT];             /* by a change, not at acceptance */
    uint64_t failed[METER_CODES_MAX];             /* that became so, by meter_code() */
    uint64_t uncertain[METER_CODES_MAX];          /* likewise */
    struct histogram queue_ms, fetch_ms, done_ms; /* done: from acceptance on */
    size_t provider_count;
    struct meter_provider *providers; /* by their place in the configuration, and after them one for
                                         those that are in it no longer */
};

/* The codes of jobs' errors that are told apart, by index; the last is "other". NULL: no more. */
const char *meter_code(size_t index);

struct meter *meter_new(size_t providers);
void meter_free(struct meter *meter); /* takes NULL */

/* A job has changed, durably; `provider` is the place of its provider, or SIZE_MAX. */
void meter_changed(struct meter *meter, const struct job *before, const struct job *after,
                   size_t provider);

#endif
