#include "daemon/cmd/inputs.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "daemon/cmd/call.h"
#include "daemon/cmd/seek.h"
#include "daemon/io/blob.h"
#include "proto/limits.h"
#include "proto/mem.h"

/* One walk over all inputs of all requests; one of them is being resolved at a time. */
struct inputs {
    struct commands *commands;
    const struct peer *peer;
    struct request *const *requests;
    size_t count;
    inputs_done_fn *done; /* NULL: abandoned */
    void *arg;
    bool is_starting; /* who does that has no hold of it yet */
    bool has_ended;

    size_t at; /* the request */
    struct input *input;
    bool is_video; /* that is what it must be */
    char *field;

    struct seek *seek;
    struct job *job; /* whose result it is to be */
    uv_fs_t look;

    char *seen; /* the name or path that was resolved last, and what it came to */
    struct input *seen_input;
};

static void go_on(struct inputs *r);

static void inputs_free(struct inputs *r)
{
    job_free(r->job);
    free(r->field);
    free(r->seen);
    free(r);
}

/* After all that is waited for. False: nobody wants it any more, and `r` is gone. */
static bool is_wanted(struct inputs *r)
{
    if (r->done)
        return true;
    inputs_free(r);
    return false;
}

static void finish(struct inputs *r, const struct error *error)
{
    r->done(r->arg, r->at, error);
    r->has_ended = true;
    if (!r->is_starting)
        inputs_free(r);
}

static void fail(struct inputs *r, enum error_code code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void fail(struct inputs *r, enum error_code code, const char *format, ...)
{
    struct error error;
    char text[sizeof(error.message)];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    error_set(&error, code, r->field, "%s: %s", r->field, text);
    finish(r, &error);
}

/* ---- what an input came to ---- */

static void settle(struct inputs *r)
{
    struct input *input = r->input;
    free(r->seen);
    r->seen = input->name ? input->name : input->path;
    r->seen_input = input;
    if (r->seen != input->path)
        free(input->path);
    free(input->data);
    input->name = input->path = input->data = NULL;
    go_on(r);
}

static int check_type(struct inputs *r, const char *mime_type)
{
    const char *wanted = r->is_video ? "video/" : "image/";
    if (strncmp(mime_type, wanted, strlen(wanted)) == 0)
        return 0;
    fail(r, ERROR_INVALID_ARGUMENT, "expected %s, and this is %s",
         r->is_video ? "a video" : "an image", mime_type);
    return -1;
}

static void on_blob(void *arg, const struct store_blob *blob, const struct error *error)
{
    struct inputs *r = arg;
    if (!is_wanted(r))
        return;
    if (error) {
        finish(r, error);
        return;
    }
    if (check_type(r, blob->mime_type) < 0)
        return;
    free(r->input->mime_type);
    r->input->mime_type = mem_strdup(blob->mime_type);
    r->input->blob = mem_strdup(blob->name);
    r->input->bytes = blob->bytes;
    settle(r);
}

/* ---- a job's result ---- */

static void on_looked(uv_fs_t *look)
{
    struct inputs *r = look->data;
    bool is_there = look->result == 0 && S_ISREG(look->statbuf.st_mode);
    uint64_t bytes = look->statbuf.st_size;
    uv_fs_req_cleanup(look);
    if (!is_wanted(r))
        return;
    const struct job_file *file = &r->job->files[0];
    if (!is_there || bytes != file->bytes) {
        fail(r, ERROR_NOT_FOUND, "the result of job %s, %s, is no longer there", r->job->id,
             file->path);
        return;
    }
    struct input *input = r->input;
    input->job = mem_strdup(r->job->id);
    input->file = mem_strdup(file->path);
    input->bytes = file->bytes;
    input->mime_type = mem_strdup(file->mime_type);
    input->provider = mem_strdup(r->job->provider);
    input->operation = mem_strdup(r->job->operation);
    input->uri = r->job->uri_count > 0 ? mem_strdup(r->job->uris[0]) : NULL;
    job_free(r->job);
    r->job = NULL;
    settle(r);
}

static void take_result(struct inputs *r)
{
    const struct job *job = r->job;
    if (job->state != JOB_DONE) {
        fail(r, ERROR_CONFLICT, "job %s is %s; only a job that is done has a result", job->id,
             job_state_name(job->state));
        return;
    }
    if (job->file_count == 0 || job->files[0].removed_at > 0) {
        fail(r, ERROR_NOT_FOUND, "the result of job %s was removed", job->id);
        return;
    }
    if (check_type(r, job->files[0].mime_type ? job->files[0].mime_type : "no known kind") < 0)
        return;
    r->look.data = r;
    uv_fs_lstat(r->commands->loop, &r->look, job->files[0].path, on_looked);
}

/* ---- an operation that is no job's ---- */

static void take_operation(struct inputs *r, const char *provider, const struct outcome *outcome)
{
    if (outcome->kind != OUTCOME_RESULT) {
        bool runs = outcome->kind == OUTCOME_PENDING || outcome->kind == OUTCOME_ACCEPTED;
        fail(r, ERROR_CONFLICT, "provider %s has no result of \"%.80s\"%s%s", provider,
             r->input->name,
             runs               ? ": it is still running"
             : outcome->message ? ": "
                                : "",
             runs || !outcome->message ? "" : outcome->message);
        return;
    }
    r->input->provider = mem_strdup(provider);
    r->input->operation = mem_strdup(r->input->name);
    r->input->uri = outcome->result_count > 0 ? mem_strdup(outcome->results[0].uri) : NULL;
    settle(r);
}

static void on_sought(void *arg, struct sought *found)
{
    struct inputs *r = arg;
    const struct error *error = found->error;
    r->seek = NULL;
    r->job = found->job;
    if (r->job)
        take_result(r);
    else if (found->outcome)
        take_operation(r, found->provider, found->outcome);
    else if (error->code == ERROR_NOT_FOUND && !r->is_video)
        fail(r, ERROR_NOT_FOUND, "no such job of yours, and no blob: \"%.80s\"", r->input->name);
    else
        fail(r, error->code, "%s", error->message);
}

/* ---- by their names ---- */

static bool begins(const char *text, const char *with)
{
    return strncmp(text, with, strlen(with)) == 0;
}

static bool is_address(const char *name)
{
    return begins(name, "https://") || begins(name, "gs://");
}

static void take_name(struct inputs *r)
{
    const char *name = r->input->name;
    if (is_address(name)) {
        fail(r, ERROR_INVALID_ARGUMENT,
             "an address is taken for a video only; send the image with PUT");
    } else if (blob_is_name(name)) {
        blob_find(r->commands->config.blobs, r->peer->uid, name, r->field, on_blob, r);
    } else if (begins(name, "sha256-")) {
        fail(r, ERROR_INVALID_ARGUMENT,
             "a blob's name is sha256- and 64 hexadecimal digits in lower case, not \"%.80s\"",
             name);
    } else if (strstr(name, "://")) {
        fail(r, ERROR_INVALID_ARGUMENT, "expected an address with https:// or gs://, not \"%.80s\"",
             name);
    } else if (strlen(name) < ID_PREFIX_MIN) {
        fail(r, ERROR_INVALID_ARGUMENT, "an id must be a string of at least %d characters",
             ID_PREFIX_MIN);
    } else {
        r->seek =
            (r->is_video ? seek_start : seek_job)(r->commands, r->peer->uid, name, on_sought, r);
    }
}

/* ---- one after the other ---- */

/* Batches often name one thing many times. */
static bool take_seen(struct inputs *r)
{
    const char *name = r->input->name ? r->input->name : r->input->path;
    const struct input *from = r->seen_input;
    if (!from || !name || strcmp(name, r->seen) != 0 ||
        begins(from->mime_type ? from->mime_type : "video/", "video/") != r->is_video)
        return false;
    struct input *to = r->input;
    free(to->name);
    free(to->path);
    *to = (struct input){
        .blob = mem_strdup(from->blob),
        .job = mem_strdup(from->job),
        .file = mem_strdup(from->file),
        .mime_type = mem_strdup(from->mime_type),
        .bytes = from->bytes,
        .provider = mem_strdup(from->provider),
        .operation = mem_strdup(from->operation),
        .uri = mem_strdup(from->uri),
    };
    return true;
}

/* The provider's to fetch: nothing is to be waited for. */
static bool take_address(struct inputs *r)
{
    struct input *input = r->input;
    if (!r->is_video || !input->name || !is_address(input->name))
        return false;
    input->uri = input->name;
    input->name = NULL;
    return true;
}

static bool is_next(struct inputs *r, struct input *input, const char *field, bool is_video)
{
    if (!input || input_is_resolved(input))
        return false;
    r->input = input;
    r->is_video = is_video;
    free(r->field);
    r->field = mem_format("%s%s", field, input->path ? "_path" : "");
    return true;
}

static bool next_of(struct inputs *r, const struct request *request)
{
    if (is_next(r, request->image, "image", false) ||
        is_next(r, request->last_frame, "last_frame", false) ||
        is_next(r, request->video, "video", true))
        return true;
    for (size_t i = 0; i < request->reference_count; i++) {
        char field[40];
        snprintf(field, sizeof(field), "reference_images.%zu", i);
        if (is_next(r, request->references[i], field, false))
            return true;
    }
    return false;
}

static bool next_input(struct inputs *r)
{
    for (; r->at < r->count; r->at++)
        if (next_of(r, r->requests[r->at]))
            return true;
    return false;
}

static void begin(struct inputs *r)
{
    struct blobs *blobs = r->commands->config.blobs;
    const struct input *input = r->input;
    if (input->name)
        take_name(r);
    else if (input->path)
        blob_put_path(blobs, r->peer, input->path, r->field, on_blob, r);
    else
        blob_put_base64(blobs, r->peer->uid, input->data, input->mime_type, r->field, on_blob, r);
}

static void go_on(struct inputs *r)
{
    while (next_input(r)) {
        if (take_seen(r) || take_address(r))
            continue;
        begin(r);
        return;
    }
    finish(r, NULL);
}

struct inputs *inputs_start(struct commands *commands, const struct peer *peer,
                            struct request *const *requests, size_t count, inputs_done_fn *done,
                            void *arg)
{
    struct inputs *r = mem_alloc(sizeof(*r));
    r->commands = commands;
    r->peer = peer;
    r->requests = requests;
    r->count = count;
    r->done = done;
    r->arg = arg;
    r->is_starting = true;
    go_on(r);
    r->is_starting = false;
    if (!r->has_ended)
        return r;
    inputs_free(r);
    return NULL;
}

void inputs_abandon(struct inputs *inputs)
{
    if (!inputs)
        return;
    inputs->done = NULL;
    if (!inputs->seek)
        return;
    seek_abandon(inputs->seek);
    inputs_free(inputs);
}
