/* Jobs in any state, and all of a job as one text. */
#ifndef VEO_TEST_JOB_FIXTURE_H
#define VEO_TEST_JOB_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/core/job.h"
#include "proto/mem.h"

#define JOB_ID    "01KAQ3ZZZZ0123456789ABCDEF"
#define T0        INT64_C(1790000000000) /* 2026-09-21T14:13:20Z */
#define DEADLINE  INT64_C(3600000)
#define OPERATION "models/veo-3.1/operations/abc"

static const struct job_policy policy = {
    .max_attempts = 3, .connect_for_ms = 60000, .resubmit_uncertain = false};

static inline struct request *request_of(const char *json)
{
    const struct request_defaults defaults = {.model = "veo-3.1", .deadline_ms = DEADLINE};
    struct error error = {0};
    struct json *doc = json_parse(json, strlen(json), (struct json_limits){0}, &error);
    assert_non_null(doc);
    struct request *request = request_parse(json_root(doc), &defaults, &error);
    json_free(doc);
    if (!request)
        fail_msg("%s: %s", json, error.message);
    return request;
}

static inline struct job *new_job(const char *json)
{
    struct request *request = request_of(json);
    struct job *job = job_new(JOB_ID, 1000, request, &policy, T0);
    request_unref(request);
    return job;
}

/* As job_step() would have left it on its usual way there, at T0 + 1 s. */
static inline struct job *job_in(enum job_state state)
{
    struct job *job = new_job("{\"prompt\":\"a dog\"}");
    job->state = state;
    job->updated_at = T0 + 1000;
    if (state == JOB_QUEUED || state == JOB_HELD)
        return job;
    job->attempt = 1;
    job->provider = mem_strdup("veo");
    job->submitted_at = T0 + 500;
    if (state == JOB_SUBMITTING)
        return job;
    job->attempts_counted = 1;
    if (job_state_flags(state) & JOB_ENDED)
        job->ended_at = T0 + 1000;
    if (state == JOB_UNCERTAIN)
        return job;
    job->operation = mem_strdup(OPERATION);
    job->running_at = T0 + 600;
    return job;
}

static inline void dump_files(const struct job *job, struct buf *out)
{
    for (size_t i = 0; i < job->file_count; i++)
        buf_addf(out, " file=%s,%llu,%s,%s", job->files[i].path,
                 (unsigned long long)job->files[i].bytes, job->files[i].sha256,
                 job->files[i].mime_type ? job->files[i].mime_type : "-");
}

/* job_write() and every member of the struct; to be freed. */
static inline char *dump(const struct job *job)
{
    struct buf out;
    struct jsonw w;
    buf_init(&out, 1 << 20);
    jsonw_init(&w, &out);
    jsonw_object(&w);
    job_write(job, &w);
    jsonw_object_end(&w);
    buf_addf(&out, " state=%d owner=%u provider=%s attempt=%d counted=%d allowed=%d polls=%u",
             (int)job->state, (unsigned)job->owner, job->provider ? job->provider : "-",
             job->attempt, job->attempts_counted, job->attempts_allowed, (unsigned)job->polls);
    buf_addf(&out, " operation=%s inline=%d", job->operation ? job->operation : "-",
             job->inline_result);
    for (size_t i = 0; i < job->uri_count; i++)
        buf_addf(&out, " uri=%s", job->uris[i]);
    dump_files(job, &out);
    buf_addf(&out, " error=%s,%s,%d,%s", job->error.code ? job->error.code : "-",
             job->error.message ? job->error.message : "-", job->error.retryable,
             job->error.provider ? job->error.provider : "-");
    const int64_t times[] = {job->created_at, job->updated_at,     job->deadline_at,
                             job->not_before, job->unreachable_at, job->submitted_at,
                             job->running_at, job->noticed_at,     job->ended_at};
    for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++)
        buf_addf(&out, " t%zu=%lld", i, (long long)times[i]);
    buf_addf(&out, " backoffs=%d", job->backoffs);
    assert_false(out.failed);
    return buf_steal(&out);
}

#endif
