/* The lines on their way: read, sent, answered, some hundred of them at a time. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/ctl/batch.h"
#include "proto/ctl/interrupt.h"
#include "proto/ctl/job_view.h"
#include "proto/limits.h"
#include "proto/line.h"
#include "proto/mem.h"

#define WINDOW_BYTES \
    (256 * 1024) /* without an answer; those fit into what the daemon holds for us */
#define INPUT_BYTES 65536
#define PAUSE_MS    100

struct pending {
    size_t line; /* 0: free */
    char *job;
    size_t length;
    char tag[COMMAND_TAG_MAX + 1];
};

struct sending {
    struct batch *batch;
    int fd;
    struct line_reader reader;
    const char *data; /* read, not yet looked at */
    size_t length;
    size_t line; /* number of the last one */
    bool at_end;
    int64_t deadline;   /* of the next answer */
    int64_t give_up_at; /* unless something is heard; 0: the last connection was a good one */
    bool is_stopped;    /* no more lines: the daemon takes no jobs */
    struct pending window[BATCH_COMMANDS];
    size_t count;
    size_t bytes;
    char input[INPUT_BYTES];
};

/* ---- the window ---- */

static struct pending *find_tag(struct sending *sending, const char *tag)
{
    for (size_t i = 0; i < BATCH_COMMANDS; i++) {
        if (sending->window[i].line > 0 && strcmp(sending->window[i].tag, tag) == 0)
            return &sending->window[i];
    }
    return NULL;
}

static struct pending *find_free(struct sending *sending)
{
    struct pending *pending = sending->window;
    while (pending->line > 0)
        pending++;
    return pending;
}

static void release(struct sending *sending, struct pending *pending)
{
    sending->count--;
    sending->bytes -= pending->length;
    free(pending->job);
    *pending = (struct pending){0};
}

static bool has_room(const struct sending *sending)
{
    return sending->count < sending->batch->commands && sending->bytes < WINDOW_BYTES;
}

static enum connection_result send_pending(struct sending *sending, struct pending *pending)
{
    return connection_send(&sending->batch->connection, "GENERATE", pending->job,
                           clock_after(ctl_reply_timeout(sending->batch->ctl)), pending->tag);
}

/* Their keys make it safe to say them again. */
static enum connection_result send_again(struct sending *sending)
{
    struct batch *batch = sending->batch;
    enum connection_result result = CONNECTION_BROKEN;
    batch_draw_clear(batch);
    if (sending->give_up_at == 0) {
        ctl_complain(batch->ctl, "the connection broke before the answer; sending the same again");
        sending->give_up_at = clock_after(batch->reconnect_ms);
    }
    while (result == CONNECTION_BROKEN && clock_left(sending->give_up_at) > 0) {
        if (interrupt_poll(NULL, 0, PAUSE_MS) < 0)
            return CONNECTION_INTERRUPTED;
        result = connection_reopen(&batch->connection, sending->give_up_at);
        for (size_t i = 0; i < BATCH_COMMANDS && result == CONNECTION_OK; i++) {
            if (sending->window[i].line > 0)
                result = send_pending(sending, &sending->window[i]);
        }
    }
    sending->deadline = clock_after(ctl_reply_timeout(batch->ctl));
    return result;
}

/* ---- answers ---- */

static void keep_job(struct batch *batch, size_t line, const char *id)
{
    if (batch->job_count == batch->job_capacity) {
        batch->job_capacity = batch->job_capacity ? batch->job_capacity * 2 : 256;
        batch->jobs = mem_resize(batch->jobs, batch->job_capacity, sizeof *batch->jobs);
    }
    struct batch_job *job = &batch->jobs[batch->job_count++];
    *job = (struct batch_job){.line = (uint32_t)line};
    memcpy(job->id, id, strlen(id) + 1);
}

static void take_ok(struct batch *batch, size_t line, const struct answer *answer)
{
    bool existing = false;
    if (batch->dry_run) {
        batch->counts.accepted++;
        batch_show_priced(batch, line, answer->value);
        return;
    }
    char *id = job_member(answer->value, "id");
    if (!id || strlen(id) >= BATCH_ID_SIZE) {
        batch_show_refused(batch, line, "the daemon's answer names no job");
        batch->status = exit_worse(batch->status, EXIT_PROTOCOL);
    } else {
        json_bool(json_get(answer->value, "existing"), &existing);
        batch->counts.accepted++;
        batch->counts.existing += existing;
        if (batch->waits)
            keep_job(batch, line, id);
        else
            batch_show_job(batch, line, answer->value);
    }
    free(id);
}

/* What the next line would meet as well: nothing more is sent then. */
static bool is_for_all(const struct answer *err)
{
    static const char *const codes[] = {"too-many", "busy",      "disk-full",
                                        "internal", "forbidden", "unknown-verb"};
    struct json_value code = json_get(err->value, "code");
    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++) {
        if (json_equals(code, codes[i]))
            return true;
    }
    return false;
}

static void take_answer(struct sending *sending, const struct answer *answer)
{
    struct batch *batch = sending->batch;
    struct pending *pending = find_tag(sending, answer->tag);
    if (!pending || answer->word == REPLY_EVENT || answer->word == REPLY_ITEM)
        return;
    if (answer->word == REPLY_ERR)
        batch_show_error(batch, pending->line, answer);
    else
        take_ok(batch, pending->line, answer);
    sending->is_stopped = sending->is_stopped || (answer->word == REPLY_ERR && is_for_all(answer));
    release(sending, pending);
}

/* ---- lines ---- */

/* The window has room. */
static enum connection_result take_text(struct sending *sending, const char *text, size_t length)
{
    struct batch *batch = sending->batch;
    char why[UPLOAD_TEXT];
    struct buf job;
    while (length > 0 && strchr(" \t", text[length - 1]))
        length--;
    if (length == 0)
        return CONNECTION_OK;
    batch->counts.lines++;
    int status = batch_line_make(batch, text, length, &job, why);
    if (status != EXIT_ALL_DONE) {
        buf_free(&job);
        if (interrupt_pending())
            return CONNECTION_INTERRUPTED;
        sending->is_stopped = status == EXIT_NO_DAEMON || status == EXIT_PROTOCOL;
        batch_show_refused(batch, sending->line, why);
        return CONNECTION_OK;
    }
    struct pending *pending = find_free(sending);
    if (sending->count == 0)
        sending->deadline = clock_after(ctl_reply_timeout(sending->batch->ctl));
    pending->line = sending->line;
    pending->length = job.length;
    pending->job = buf_steal(&job);
    sending->count++;
    sending->bytes += pending->length;
    return send_pending(sending, pending);
}

static void refuse_line(struct sending *sending, const char *why)
{
    sending->batch->counts.lines++;
    batch_show_refused(sending->batch, sending->line, why);
}

/* At the end, a last line without its LF gets one. */
static void read_more(struct sending *sending)
{
    struct batch *batch = sending->batch;
    ssize_t n = read(sending->fd, sending->input, sizeof sending->input);
    if (n < 0 && (errno == EINTR || errno == EAGAIN))
        return;
    if (n < 0) {
        batch_draw_clear(batch);
        ctl_complain(batch->ctl, "%s: %m", batch->file);
        batch->status = exit_worse(batch->status, EXIT_USAGE);
    }
    sending->data = n > 0 ? sending->input : "\n";
    sending->length = n > 0 ? (size_t)n : 1;
    sending->at_end = n <= 0;
    batch->read += n > 0 ? (uint64_t)n : 0;
}

/* One line, if there is a whole one. */
static enum connection_result take_line(struct sending *sending)
{
    struct line_piece piece;
    enum line_event event = line_next(&sending->reader, &sending->data, &sending->length, &piece);
    if (event == LINE_MORE)
        return CONNECTION_OK;
    sending->line++;
    if (sending->batch->counts.lines == BATCH_LINES_MAX) {
        refuse_line(sending, "the file has too many lines; split it");
        sending->is_stopped = true;
    } else if (event == LINE_TEXT) {
        return take_text(sending, piece.data, piece.length);
    } else {
        refuse_line(sending, event == LINE_TOO_LONG ? "the line has more than 65536 bytes"
                                                    : "the line is not UTF-8 text");
    }
    return CONNECTION_OK;
}

/* ---- both at once ---- */

static bool wants_lines(const struct sending *sending)
{
    return !sending->is_stopped && (sending->length > 0 || !sending->at_end) && has_room(sending);
}

/* Whichever of the file and the daemon has something; neither has to wait for the other. */
static enum connection_result move_on(struct sending *sending)
{
    struct connection *connection = &sending->batch->connection;
    struct answer answer;
    bool wants = wants_lines(sending);
    if (wants && sending->length > 0)
        return take_line(sending);
    struct pollfd polls[] = {{.fd = connection->fd, .events = POLLIN},
                             {.fd = sending->fd, .events = POLLIN}};
    bool has_answer = connection->length > 0;
    int64_t pause = sending->count > 0 ? clock_left(sending->deadline) : REPLY_TIMEOUT_MS;
    if (!has_answer && interrupt_poll(polls, wants ? 2 : 1, pause) < 0 && interrupt_pending())
        return CONNECTION_INTERRUPTED;
    if (wants && polls[1].revents)
        read_more(sending);
    bool is_late = sending->count > 0 && clock_left(sending->deadline) == 0;
    if (!has_answer && !polls[0].revents && !is_late)
        return CONNECTION_OK;
    enum connection_result result = connection_read(connection, &answer, sending->deadline);
    if (result != CONNECTION_OK)
        return result;
    sending->deadline = clock_after(ctl_reply_timeout(sending->batch->ctl));
    if (call_is_leaving(&answer))
        return CONNECTION_BROKEN;
    sending->give_up_at = 0;
    take_answer(sending, &answer);
    if (connection->length == 0)
        fflush(stdout);
    return CONNECTION_OK;
}

static enum connection_result run(struct sending *sending)
{
    enum connection_result result = CONNECTION_OK;
    while (result == CONNECTION_OK && (sending->count > 0 || wants_lines(sending))) {
        result = move_on(sending);
        if (result == CONNECTION_BROKEN)
            result = send_again(sending);
        batch_draw(sending->batch);
    }
    return result;
}

int batch_send(struct batch *batch, int fd)
{
    struct sending *sending = mem_alloc(sizeof *sending);
    sending->batch = batch;
    sending->fd = fd;
    line_init(&sending->reader, LIMIT_LINE);
    enum connection_result result = run(sending);
    batch_draw_clear(batch);
    if (sending->is_stopped)
        ctl_complain(batch->ctl, "lines after %zu were not sent; the same command goes on there",
                     sending->line);
    for (size_t i = 0; i < BATCH_COMMANDS; i++)
        free(sending->window[i].job);
    line_free(&sending->reader);
    free(sending);
    return result == CONNECTION_OK ? EXIT_ALL_DONE
                                   : call_failed(batch->ctl, &batch->connection, result);
}
