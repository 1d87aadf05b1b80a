/* A job as every verb and --json shows it. */
#include "daemon/core/job.h"

static void write_files(const struct job *job, struct jsonw *w)
{
    if (job->file_count == 0)
        return;
    jsonw_name(w, "files");
    jsonw_array(w);
    for (size_t i = 0; i < job->file_count; i++) {
        const struct job_file *file = &job->files[i];
        jsonw_object(w);
        jsonw_member_string(w, "path", file->path);
        jsonw_member_uint(w, "bytes", file->bytes);
        jsonw_member_string(w, "sha256", file->sha256);
        jsonw_member_string(w, "mime_type", file->mime_type);
        jsonw_member_time(w, "removed_at", file->removed_at);
        jsonw_object_end(w);
    }
    jsonw_array_end(w);
}

void job_write_error(const struct job *job, struct jsonw *w)
{
    if (!job->error.code)
        return;
    jsonw_name(w, "error");
    jsonw_object(w);
    jsonw_member_string(w, "code", job->error.code);
    jsonw_member_string(w, "message", job->error.message);
    jsonw_member_bool(w, "retryable", job->error.retryable);
    jsonw_member_string(w, "provider", job->error.provider);
    jsonw_object_end(w);
}

static void write_cost(const struct job *job, struct jsonw *w)
{
    bool ended = (job_state_flags(job->state) & JOB_ENDED) != 0;
    if (job->estimate <= 0 && job->charged <= 0)
        return;
    jsonw_name(w, "cost");
    jsonw_object(w);
    if (job->estimate > 0)
        jsonw_member_usd(w, "estimate_usd", job->estimate);
    if (ended || job->charged > 0)
        jsonw_member_usd(w, "charged_usd", job->charged);
    if (job->presumed)
        jsonw_member_bool(w, "presumed", true);
    jsonw_object_end(w);
}

void job_write(const struct job *job, struct jsonw *w)
{
    const char *provider = job->provider ? job->provider : job->request->provider;
    jsonw_member_string(w, "id", job->id);
    jsonw_member_string(w, "state", job_state_name(job->state));
    jsonw_member_string(w, "provider", provider);
    request_write(job->request, w);
    jsonw_member_string(w, "operation_name", job->operation);
    if (job->uri_count > 0)
        jsonw_member_string(w, "video_uri", job->uris[0]);
    write_files(job, w);
    job_write_error(job, w);
    write_cost(job, w);
    jsonw_member_int(w, "attempts", job->attempt);
    jsonw_member_uint(w, "polls", job->polls);
    jsonw_name(w, "owner");
    jsonw_object(w);
    jsonw_member_uint(w, "uid", job->owner);
    jsonw_object_end(w);
    jsonw_member_time(w, "created_at", job->created_at);
    jsonw_member_time(w, "updated_at", job->updated_at);
    jsonw_member_time(w, "submitted_at", job->submitted_at);
    jsonw_member_time(w, "running_at", job->running_at);
    jsonw_member_time(w, "noticed_at", job->noticed_at);
    jsonw_member_time(w, "ended_at", job->ended_at);
    jsonw_member_time(w, "deadline_at", job->deadline_at);
    if (job->state == JOB_QUEUED && job->not_before > job->updated_at)
        jsonw_member_time(w, "starts_at", job->not_before);
}
