#include "daemon/io/token_command.h"

#include <ctype.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/io/credential.h"
#include "proto/mem.h"

#define OUTPUT_MAX    8192 /* bytes */
#define COMPLAINT_MAX 200  /* bytes of its first line on stderr that are shown */
#define WORDS_MAX     64

struct token_command {
    uv_process_t process;
    uv_pipe_t output, complaints;
    uv_timer_t limit;
    int handles;
    bool is_running, has_output, has_complaints; /* what is not at its end */
    token_command_fn *done;
    void *arg;

    char out[OUTPUT_MAX + 1];
    size_t out_length;
    char err[COMPLAINT_MAX + 1];
    size_t err_length;
    char scratch[1024]; /* what is more than that */

    int64_t limit_ms;
    bool overdue;
    bool too_long;
    int64_t status;
    int signal;
};

static void on_closed(uv_handle_t *handle)
{
    struct token_command *command = handle->data;
    if (--command->handles > 0)
        return;
    explicit_bzero(command->out, sizeof(command->out));
    free(command);
}

static void close_all(struct token_command *command)
{
    uv_close((uv_handle_t *)&command->process, on_closed);
    uv_close((uv_handle_t *)&command->output, on_closed);
    uv_close((uv_handle_t *)&command->complaints, on_closed);
    uv_close((uv_handle_t *)&command->limit, on_closed);
}

/* With all that it has started. */
static void kill_group(const struct token_command *command)
{
    if (command->is_running || command->has_output)
        (void)uv_kill(-command->process.pid, SIGKILL);
}

/* ---- what it said ---- */

/* Cut at the first line's end; what a terminal would act on is made harmless. */
static const char *first_line(char *text, size_t length)
{
    text[length] = '\0';
    text[strcspn(text, "\r\n")] = '\0';
    for (char *c = text; *c; c++)
        if (iscntrl((unsigned char)*c) || (unsigned char)*c >= 0x80)
            *c = '?';
    return text;
}

static void say_why(struct token_command *command, char *ret, size_t size)
{
    const char *complaint = first_line(command->err, command->err_length);
    const char *colon = complaint[0] ? ": " : "";
    if (command->overdue)
        snprintf(ret, size, "token_command said nothing for %lld s and was ended%s%s",
                 (long long)(command->limit_ms / 1000), colon, complaint);
    else if (command->too_long)
        snprintf(ret, size, "token_command printed more than %d bytes", OUTPUT_MAX);
    else if (command->signal)
        snprintf(ret, size, "token_command was ended by signal %d%s%s", command->signal, colon,
                 complaint);
    else if (command->status < 0)
        snprintf(ret, size, "token_command cannot be run: %s", uv_strerror((int)command->status));
    else if (command->status > 0)
        snprintf(ret, size, "token_command ended with status %lld%s%s", (long long)command->status,
                 colon, complaint);
    else
        snprintf(ret, size, "token_command printed no token in its first line%s%s", colon,
                 complaint);
}

static void finish(struct token_command *command)
{
    char why[COMPLAINT_MAX + 120];
    bool well = !command->overdue && !command->too_long && !command->signal && !command->status;
    command->out[command->out_length] = '\0';
    command->out[strcspn(command->out, "\r\n")] = '\0';
    well = well && credential_is_word(command->out);
    if (!well)
        say_why(command, why, sizeof(why));
    close_all(command);
    command->done(command->arg, well ? command->out : NULL, well ? NULL : why);
}

static void maybe_finish(struct token_command *command)
{
    if (!command->is_running && !command->has_output && !command->has_complaints)
        finish(command);
}

static void stop_reading(uv_pipe_t *pipe, bool *has_more)
{
    uv_read_stop((uv_stream_t *)pipe);
    *has_more = false;
}

/* ---- libuv's callbacks ---- */

static void on_exit_of(uv_process_t *process, int64_t status, int signal)
{
    struct token_command *command = process->data;
    command->status = status;
    command->signal = signal;
    command->is_running = false;
    maybe_finish(command);
}

static void on_limit(uv_timer_t *timer)
{
    struct token_command *command = timer->data;
    command->overdue = true;
    kill_group(command);
    /* Somebody who left the group may hold them for ever. */
    stop_reading(&command->output, &command->has_output);
    stop_reading(&command->complaints, &command->has_complaints);
    maybe_finish(command);
}

static void give_room(uv_handle_t *handle, size_t wanted, uv_buf_t *ret)
{
    struct token_command *command = handle->data;
    (void)wanted;
    bool is_output = handle == (uv_handle_t *)&command->output;
    char *at = is_output ? command->out + command->out_length : command->err + command->err_length;
    size_t left =
        is_output ? OUTPUT_MAX - command->out_length : COMPLAINT_MAX - command->err_length;
    *ret = left > 0 ? uv_buf_init(at, (unsigned)left)
                    : uv_buf_init(command->scratch, sizeof(command->scratch));
}

static void on_output(uv_stream_t *stream, ssize_t length, const uv_buf_t *buf)
{
    struct token_command *command = stream->data;
    if (length < 0) {
        stop_reading(&command->output, &command->has_output);
        maybe_finish(command);
    } else if (buf->base != command->scratch) {
        command->out_length += (size_t)length;
    } else if (length > 0) {
        explicit_bzero(command->scratch, sizeof(command->scratch));
        command->too_long = true;
        kill_group(command);
    }
}

static void on_complaint(uv_stream_t *stream, ssize_t length, const uv_buf_t *buf)
{
    struct token_command *command = stream->data;
    if (length < 0) {
        stop_reading(&command->complaints, &command->has_complaints);
        maybe_finish(command);
    } else if (buf->base != command->scratch) {
        command->err_length += (size_t)length;
    }
}

static void on_not_started(uv_timer_t *timer)
{
    finish(timer->data);
}

/* ---- the start ---- */

static void init_handles(struct token_command *command, uv_loop_t *loop)
{
    uv_pipe_init(loop, &command->output, 0);
    uv_pipe_init(loop, &command->complaints, 0);
    uv_timer_init(loop, &command->limit);
    command->process.data = command->output.data = command;
    command->complaints.data = command->limit.data = command;
    command->handles = 4;
}

static int spawn(struct token_command *command, uv_loop_t *loop, char **words)
{
    uv_stdio_container_t stdio[3] = {
        {.flags = UV_IGNORE},
        {.flags = UV_CREATE_PIPE | UV_WRITABLE_PIPE,
         .data.stream = (uv_stream_t *)&command->output},
        {.flags = UV_CREATE_PIPE | UV_WRITABLE_PIPE,
         .data.stream = (uv_stream_t *)&command->complaints},
    };
    const uv_process_options_t options = {
        .exit_cb = on_exit_of,
        .file = words[0] ? words[0] : "",
        .args = words,
        .flags = UV_PROCESS_DETACHED,
        .stdio = stdio,
        .stdio_count = 3,
    };
    return uv_spawn(loop, &command->process, &options);
}

struct token_command *token_command_run(uv_loop_t *loop, const char *text, int64_t limit_ms,
                                        token_command_fn *done, void *arg)
{
    struct token_command *command = mem_alloc(sizeof(*command));
    char *copy = mem_strdup(text), *words[WORDS_MAX + 1] = {NULL}, *position = NULL;
    char *word = strtok_r(copy, " \t", &position);
    for (size_t i = 0; word && i < WORDS_MAX; i++, word = strtok_r(NULL, " \t", &position))
        words[i] = word;
    command->done = done;
    command->arg = arg;
    command->limit_ms = limit_ms;
    init_handles(command, loop);
    int status = spawn(command, loop, words);
    free(copy);
    if (status == 0) {
        command->is_running = command->has_output = command->has_complaints = true;
        uv_read_start((uv_stream_t *)&command->output, give_room, on_output);
        uv_read_start((uv_stream_t *)&command->complaints, give_room, on_complaint);
        uv_timer_start(&command->limit, on_limit, (uint64_t)limit_ms, 0);
    } else {
        command->status = status;
        uv_timer_start(&command->limit, on_not_started, 0, 0);
    }
    return command;
}

void token_command_stop(struct token_command *command)
{
    if (!command)
        return;
    kill_group(command);
    close_all(command);
}
