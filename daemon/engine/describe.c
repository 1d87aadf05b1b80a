#include "daemon/engine/task.h"
#include "proto/jsonw.h"

#define DETAIL_MAX (64 * 1024)

static void describe_files(const struct job *job, struct jsonw *w)
{
    jsonw_name(w, "files");
    jsonw_array(w);
    for (size_t i = 0; i < job->file_count; i++) {
        jsonw_object(w);
        jsonw_member_string(w, "path", job->files[i].path);
        jsonw_member_uint(w, "bytes", job->files[i].bytes);
        jsonw_object_end(w);
    }
    jsonw_array_end(w);
}

char *task_describe(const struct job *job)
{
    struct buf out;
    struct jsonw w;
    buf_init(&out, DETAIL_MAX);
    jsonw_init(&w, &out);
    jsonw_object(&w);
    switch (job->state) {
    case JOB_SUBMITTING:
        jsonw_member_string(&w, "provider", job->provider);
        jsonw_member_int(&w, "attempts", job->attempt);
        break;
    case JOB_QUEUED:
        if (job->not_before > job->updated_at)
            jsonw_member_time(&w, "starts_at", job->not_before);
        break;
    case JOB_FETCHING:
        if (job->uri_count > 0)
            jsonw_member_string(&w, "video_uri", job->uris[0]);
        break;
    case JOB_DONE:
        describe_files(job, &w);
        break;
    default:
        break;
    }
    if (job->state == JOB_RUNNING || job->state == JOB_CANCELLED)
        jsonw_member_string(&w, "operation_name", job->operation);
    job_write_error(job, &w);
    jsonw_object_end(&w);
    return buf_steal(&out);
}

void engine_write_job(const struct engine *engine, const struct job *job, struct jsonw *w)
{
    int64_t elapsed, expected;
    job_write(job, w);
    if (!engine_progress(engine, job, &elapsed, &expected))
        return;
    jsonw_name(w, "progress");
    jsonw_object(w);
    jsonw_member_int(w, "elapsed_ms", elapsed);
    jsonw_member_int(w, "expected_ms", expected);
    jsonw_object_end(w);
}
