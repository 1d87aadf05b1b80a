/* A client's session: its lines become calls, in order, and the calls' replies become lines. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/cmd/call.h"
#include "proto/limits.h"
#include "proto/mem.h"

struct session {
    struct commands *commands;
    struct client *client;
    struct call *calls; /* newest first */
    size_t call_count;
    struct call *in_order;  /* the untagged one that is being answered */
    struct call *streaming; /* its raw bytes are being sent */
    struct call *paging;    /* it reads a page of a list */
    struct buf behind;      /* what others said meanwhile */
    char *waiting_line;     /* untagged, while another one is being answered */
    size_t waiting_length;
    enum line_event waiting_event;
    bool has_waiting;
    bool ended; /* the client sends no more */
    bool quit;
};

static verb_fn *const verbs[VERB_END] = {
    [VERB_GENERATE] = cmd_generate, [VERB_BATCH] = cmd_batch,   [VERB_STATUS] = cmd_status,
    [VERB_LIST] = cmd_list,         [VERB_WAIT] = cmd_wait,     [VERB_WATCH] = cmd_watch,
    [VERB_CANCEL] = cmd_cancel,     [VERB_RETRY] = cmd_retry,   [VERB_HOLD] = cmd_hold,
    [VERB_RELEASE] = cmd_release,   [VERB_FORGET] = cmd_forget, [VERB_WHY] = cmd_why,
    [VERB_GET] = cmd_get,           [VERB_MODELS] = cmd_models, [VERB_STATS] = cmd_stats,
    [VERB_HELLO] = cmd_hello,       [VERB_HELP] = cmd_help,     [VERB_PING] = cmd_ping,
    [VERB_QUIT] = cmd_quit,
};

static void take_waiting(struct session *session);

/* ---- the life of a call ---- */

static void unlink_call(struct call *call)
{
    struct session *session = call->session;
    if (!session)
        return;
    if (call->previous)
        call->previous->next = call->next;
    else
        session->calls = call->next;
    if (call->next)
        call->next->previous = call->previous;
    session->call_count--;
    if (session->streaming == call)
        session->streaming = NULL;
    if (session->paging == call)
        session->paging = NULL;
    call->session = NULL;
    if (session->in_order == call) {
        session->in_order = NULL;
        take_waiting(session);
    }
}

static void free_call(struct call *call)
{
    if (call->free_state)
        call->free_state(call);
    else
        free(call->state);
    json_free(call->doc);
    free(call->text);
    free(call);
}

static bool awaits_answers(const struct session *session)
{
    for (const struct call *call = session->calls; call; call = call->next)
        if (!call->answered)
            return true;
    return session->has_waiting;
}

/* Who sends no more may still want news; who quits doesn't. */
static void maybe_finish(struct session *session)
{
    if ((session->quit && !awaits_answers(session)) ||
        (session->ended && !session->calls && !session->has_waiting))
        client_finish(session->client);
}

void call_end(struct call *call)
{
    struct session *session = call->session;
    call->ended = true;
    unlink_call(call);
    if (session)
        maybe_finish(session);
    if (call->pending == 0)
        free_call(call);
}

void call_answered(struct call *call)
{
    struct session *session = call->session;
    call->answered = true;
    if (session->in_order != call)
        return;
    session->in_order = NULL;
    take_waiting(session);
}

void call_expect(struct call *call)
{
    call->pending++;
}

bool call_arrived(struct call *call)
{
    call->pending--;
    if (call->session)
        return true;
    if (call->pending == 0)
        free_call(call);
    return false;
}

/* ---- replies ---- */

static void send_bytes(struct call *call, const char *bytes, size_t length)
{
    struct session *session = call->session;
    if (session->streaming && session->streaming != call)
        buf_add(&session->behind, bytes, length);
    else
        client_send(session->client, bytes, length);
}

static struct jsonw *begin_line(struct commands *commands, const char *tag, enum reply_word word)
{
    struct jsonw *w = &commands->writer;
    buf_reset(&commands->line);
    if (tag[0])
        buf_addf(&commands->line, "@%s ", tag);
    buf_addf(&commands->line, "%s ", reply_word_name(word));
    jsonw_init(w, &commands->line);
    jsonw_object(w);
    return w;
}

static void end_line(struct commands *commands, const char *tag)
{
    buf_add_text(&commands->line, "}\n");
    if (!commands->line.failed)
        return;
    struct jsonw *w = begin_line(commands, tag, REPLY_ERR);
    jsonw_member_string(w, "code", error_code_name(ERROR_INTERNAL));
    jsonw_member_string(w, "message", "the reply would be longer than a line may be");
    buf_add_text(&commands->line, "}\n");
}

struct jsonw *call_reply(struct call *call, enum reply_word word)
{
    return begin_line(call->commands, call->tag, word);
}

void call_send(struct call *call)
{
    end_line(call->commands, call->tag);
    if (call->session)
        send_bytes(call, call->commands->line.data, call->commands->line.length);
}

static void write_error(struct jsonw *w, const struct error *error)
{
    jsonw_member_string(w, "code", error_code_name(error->code));
    jsonw_member_string(w, "message", error->message);
    jsonw_member_string(w, "field", error->field[0] ? error->field : NULL);
}

void call_error(struct call *call, const struct error *error)
{
    write_error(call_reply(call, REPLY_ERR), error);
    call_send(call);
    call_end(call);
}

int call_fail(struct call *call, enum error_code code, const char *field, const char *format, ...)
{
    struct error error;
    char text[sizeof(error.message)];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    error_set(&error, code, field, "%s", text);
    call_error(call, &error);
    return -1;
}

int call_store_failed(struct call *call, int status)
{
    return call_fail(call, ERROR_UNAVAILABLE, NULL, "the store could not be read: %s",
                     strerror(-status));
}

bool call_is_full(const struct call *call)
{
    const struct session *session = call->session;
    return client_is_full(session->client) || (session->streaming && session->streaming != call);
}

void call_stream_begin(struct call *call)
{
    call->session->streaming = call;
}

void call_stream_bytes(struct call *call, const char *bytes, size_t length)
{
    client_send(call->session->client, bytes, length);
}

void call_stream_end(struct call *call)
{
    struct session *session = call->session;
    session->streaming = NULL;
    if (session->behind.failed)
        client_finish(session->client);
    else if (session->behind.length > 0)
        client_send(session->client, session->behind.data, session->behind.length);
    buf_free(&session->behind);
    client_want_drained(session->client); /* others waited for the line */
}

bool call_page_begin(struct call *call)
{
    struct session *session = call->session;
    call->wants_page = session->paging != NULL;
    if (session->paging || call_is_full(call))
        return false;
    session->paging = call;
    return true;
}

void call_page_end(struct call *call)
{
    struct session *session = call->session;
    struct call *oldest = NULL;
    session->paging = NULL;
    for (struct call *other = session->calls; other; other = other->next)
        if (other->wants_page)
            oldest = other;
    if (oldest)
        oldest->drained(oldest);
}

void call_cut_client(struct call *call)
{
    call->session->quit = true;
    client_finish(call->session->client);
}

void call_close_client(struct call *call)
{
    call->session->quit = true;
}

/* ---- from a line to a call ---- */

static bool has_blank(const struct command *command)
{
    return memchr(command->argument, ' ', command->argument_length) ||
           memchr(command->argument, '\t', command->argument_length);
}

static char *argument_to_json(const struct command *command)
{
    enum verb_argument kind = verb_info(command->verb)->argument;
    struct buf out;
    struct jsonw w;
    if (command->is_json && kind != VERB_ANY_TOKEN)
        return mem_strndup(command->argument, command->argument_length);
    buf_init(&out, 8 * LIMIT_LINE);
    jsonw_init(&w, &out);
    jsonw_object(&w);
    if (command->argument_length > 0) {
        const char *name = kind == VERB_PROMPT ? "prompt" : kind == VERB_ID ? "id" : "text";
        if (kind == VERB_ID && has_blank(command)) {
            char *words = mem_strndup(command->argument, command->argument_length);
            char *position = NULL;
            jsonw_name(&w, "ids");
            jsonw_array(&w);
            for (char *word = strtok_r(words, " \t", &position); word;
                 word = strtok_r(NULL, " \t", &position))
                jsonw_string(&w, word);
            jsonw_array_end(&w);
            free(words);
        } else {
            jsonw_name(&w, name);
            jsonw_string_n(&w, command->argument, command->argument_length);
        }
    }
    jsonw_object_end(&w);
    return buf_steal(&out);
}

static struct call *call_new(struct session *session, const struct command *command)
{
    struct call *call = mem_alloc(sizeof(*call));
    call->session = session;
    call->commands = session->commands;
    call->verb = command->verb;
    call->uid = client_uid(session->client);
    call->admin = client_is_admin(session->client);
    memcpy(call->tag, command->tag, sizeof(call->tag));
    call->next = session->calls;
    if (session->calls)
        session->calls->previous = call;
    session->calls = call;
    session->call_count++;
    if (!call->tag[0])
        session->in_order = call;
    return call;
}

static void refuse_line(struct session *session, const char *tag, const struct error *error)
{
    struct commands *commands = session->commands;
    write_error(begin_line(commands, tag, REPLY_ERR), error);
    end_line(commands, tag);
    if (session->streaming)
        buf_add(&session->behind, commands->line.data, commands->line.length);
    else
        client_send(session->client, commands->line.data, commands->line.length);
}

static void refuse_text(struct session *session, enum line_event event, size_t length)
{
    struct error error;
    if (event == LINE_TOO_LONG)
        error_set(&error, ERROR_TOO_LONG, NULL,
                  "the line has %zu bytes; a line may have at most %d", length, LIMIT_LINE);
    else
        error_set(&error, ERROR_BAD_REQUEST, NULL,
                  "byte %zu of the line is NUL or not valid UTF-8; commands are text in UTF-8",
                  length);
    refuse_line(session, "", &error);
}

static void run_command(struct session *session, const struct command *command)
{
    struct error error;
    if (session->call_count >= session->commands->config.client_commands) {
        error_set(&error, ERROR_TOO_MANY, NULL,
                  "%zu commands of this client are being answered, which is [limits] "
                  "client_commands",
                  session->call_count);
        refuse_line(session, command->tag, &error);
        return;
    }
    struct call *call = call_new(session, command);
    session->commands->served++;
    call->text = argument_to_json(command);
    call->doc = json_parse(call->text, strlen(call->text), (struct json_limits){0}, &error);
    if (!call->doc) {
        call_error(call, &error);
        return;
    }
    call->args = json_root(call->doc);
    verbs[command->verb](call);
}

static void run_line(struct session *session, enum line_event event, const char *line,
                     size_t length)
{
    struct command command = {0};
    struct error error;
    if (event != LINE_TEXT)
        refuse_text(session, event, length);
    else if (command_parse(line, length, &command, &error) < 0)
        refuse_line(session, command.tag, &error);
    else
        run_command(session, &command);
}

/* Untagged commands are answered one after the other: the next one waits, and with it whatever
 * the client sent after it. */
static bool must_wait(const struct session *session, enum line_event event,
                      const struct line_piece *piece)
{
    return session->in_order && (event != LINE_TEXT || piece->data[0] != '@');
}

static void on_line(void *data, enum line_event event, const struct line_piece *piece)
{
    struct session *session = data;
    if (session->quit)
        return;
    if (!must_wait(session, event, piece)) {
        run_line(session, event, piece->data, piece->length);
        return;
    }
    session->has_waiting = true;
    session->waiting_event = event;
    session->waiting_length = piece->length;
    session->waiting_line =
        event == LINE_TEXT ? mem_strndup(piece->data, piece->length) : mem_strdup("");
    client_pause(session->client);
}

static void take_waiting(struct session *session)
{
    if (!session->has_waiting)
        return;
    char *line = session->waiting_line;
    session->waiting_line = NULL;
    session->has_waiting = false;
    if (!session->quit)
        run_line(session, session->waiting_event, line, session->waiting_length);
    free(line);
    if (!session->has_waiting)
        client_resume(session->client);
}

/* ---- the client ---- */

static void *on_connected(void *arg, struct client *client)
{
    struct commands *commands = arg;
    struct session *session = mem_alloc(sizeof(*session));
    session->commands = commands;
    session->client = client;
    buf_init(&session->behind, commands->config.output_max);
    return session;
}

static void on_ended(void *data, size_t cut)
{
    struct session *session = data;
    session->ended = true;
    if (cut > 0) {
        struct error error;
        error_set(&error, ERROR_BAD_REQUEST, NULL,
                  "the last %zu bytes had no line end and were not taken as a command", cut);
        refuse_line(session, "", &error);
    }
    maybe_finish(session);
}

static void on_drained(void *data)
{
    struct session *session = data;
    for (struct call *call = session->calls, *next; call; call = next) {
        next = call->next;
        if (call->drained && (!session->streaming || session->streaming == call))
            call->drained(call);
    }
}

static void on_gone(void *data)
{
    struct session *session = data;
    free(session->waiting_line);
    session->has_waiting = false;
    session->in_order = NULL;
    while (session->calls) {
        struct call *call = session->calls;
        /* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): all in this list have this session */
        unlink_call(call);
        if (call->abandoned)
            call->abandoned(call);
        if (call->pending == 0)
            free_call(call);
    }
    buf_free(&session->behind);
    free(session);
}

const struct clients_hooks commands_hooks = {
    .connected = on_connected,
    .line = on_line,
    .ended = on_ended,
    .drained = on_drained,
    .gone = on_gone,
};

struct commands *commands_new(uv_loop_t *loop, const struct commands_config *config,
                              struct engine *engine, struct store *store, struct http *http)
{
    struct commands *commands = mem_alloc(sizeof(*commands));
    commands->loop = loop;
    commands->config = *config;
    commands->engine = engine;
    commands->store = store;
    commands->http = http;
    commands->started_at = uv_now(loop);
    buf_init(&commands->line, LIMIT_REPLY_LINE);
    return commands;
}

void commands_set_clients(struct commands *commands, const struct clients *clients)
{
    commands->clients = clients;
}

void commands_free(struct commands *commands)
{
    if (!commands)
        return;
    buf_free(&commands->line);
    free(commands);
}
