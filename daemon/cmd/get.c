/* GET: a result's bytes, as fast as the client reads them. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/cmd/call.h"
#include "proto/mem.h"
#include "proto/units.h"

#define GET_CHUNK (128 * 1024)

struct getting {
    struct job *job;
    const struct job_file *file;
    uv_fs_t request;
    int fd;
    int64_t offset;
    int64_t end;
    bool reading;
    char *chunk;
};

static void free_getting(struct call *call)
{
    struct getting *getting = call->state;
    if (getting->fd >= 0)
        close(getting->fd);
    free(getting->chunk);
    job_free(getting->job);
    free(getting);
}

static void read_on(struct call *call);

static void end_stream(struct call *call)
{
    call_stream_end(call);
    call_end(call);
}

static void on_read(uv_fs_t *request)
{
    struct call *call = request->data;
    struct getting *getting = call->state;
    ssize_t count = request->result;
    uv_fs_req_cleanup(request);
    getting->reading = false;
    if (!call_arrived(call))
        return;
    if (count <= 0) {
        call_cut_client(call);
        end_stream(call);
        return;
    }
    call_stream_bytes(call, getting->chunk, (size_t)count);
    getting->offset += count;
    if (getting->offset >= getting->end)
        end_stream(call);
    else if (!call_is_full(call))
        read_on(call);
}

static void read_on(struct call *call)
{
    struct getting *getting = call->state;
    if (getting->reading || getting->fd < 0)
        return;
    int64_t left = getting->end - getting->offset;
    uv_buf_t buffer =
        uv_buf_init(getting->chunk, left < GET_CHUNK ? (unsigned)left : (unsigned)GET_CHUNK);
    getting->reading = true;
    getting->request.data = call;
    call_expect(call);
    uv_fs_read(call->commands->loop, &getting->request, getting->fd, &buffer, 1, getting->offset,
               on_read);
}

/* Now, or when what is being sent has been read: `drained` comes back here. */
static void begin_stream(struct call *call)
{
    struct getting *getting = call->state;
    call->drained = begin_stream;
    if (call_is_full(call))
        return;
    struct jsonw *w = call_reply(call, REPLY_DATA);
    jsonw_member_int(w, "bytes", getting->end - getting->offset);
    jsonw_member_string(w, "mime", getting->file->mime_type);
    jsonw_member_string(w, "id", getting->job->id);
    jsonw_member_int(w, "file", getting->file - getting->job->files);
    jsonw_member_int(w, "offset", getting->offset);
    jsonw_member_uint(w, "size", getting->file->bytes);
    jsonw_member_string(w, "sha256", getting->file->sha256);
    call_send(call);
    call_stream_begin(call);
    if (getting->offset == getting->end) {
        end_stream(call);
        return;
    }
    getting->chunk = mem_resize(NULL, GET_CHUNK, 1);
    call->drained = read_on;
    read_on(call);
}

static void on_opened(uv_fs_t *request)
{
    struct call *call = request->data;
    struct getting *getting = call->state;
    ssize_t result = request->result;
    uv_fs_req_cleanup(request);
    getting->fd = result >= 0 ? (int)result : -1;
    if (!call_arrived(call))
        return;
    if (result < 0)
        call_fail(call, ERROR_UNAVAILABLE, "file", "cannot open %s: %s", getting->file->path,
                  uv_strerror((int)result));
    else
        begin_stream(call);
}

static void open_file(struct call *call, struct job **jobs, size_t count)
{
    int64_t index = 0, offset = 0;
    struct getting *getting = mem_alloc(sizeof(*getting));
    getting->fd = -1;
    getting->job = jobs[0];
    jobs[0] = NULL;
    free_jobs(jobs, count);
    call->state = getting;
    call->free_state = free_getting;
    if (getting->job->state != JOB_DONE) {
        call_fail(call, ERROR_CONFLICT, NULL, "job %s is %s: only a job that is done has a result",
                  getting->job->id, job_state_name(getting->job->state));
        return;
    }
    if (call_int(call, "file", 0, (int64_t)getting->job->file_count - 1, &index) < 0)
        return;
    getting->file = &getting->job->files[index];
    if (getting->file->removed_at) {
        char when[UNITS_TEXT];
        units_format_time(getting->file->removed_at, when);
        call_fail(call, ERROR_NOT_FOUND, "file",
                  "the result was removed at %s, to keep to [output] max_age and max_bytes", when);
        return;
    }
    getting->end = (int64_t)getting->file->bytes;
    if (call_int(call, "offset", 0, getting->end, &offset) < 0)
        return;
    getting->offset = offset;
    getting->request.data = call;
    call_expect(call);
    uv_fs_open(call->commands->loop, &getting->request, getting->file->path,
               O_RDONLY | O_CLOEXEC | O_NOFOLLOW, 0, on_opened);
}

void cmd_get(struct call *call)
{
    static const char *const members[] = {"id", "file", "offset", NULL};
    if (call_check_members(call, members) == 0)
        call_resolve(call, open_file);
}
