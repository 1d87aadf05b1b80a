/* A client's session: its lines become calls, in order, and the calls' replies become lines. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/cmd/session.h"
#include "daemon/io/process.h"
#include "proto/limits.h"
#include "proto/mem.h"

#define PUTS_AT_ONCE 4 /* of a client: those behind them wait, unread */

static verb_fn *const verbs[VERB_END] = {
    [VERB_GENERATE] = cmd_generate, [VERB_BATCH] = cmd_batch,   [VERB_STATUS] = cmd_status,
    [VERB_LIST] = cmd_list,         [VERB_WAIT] = cmd_wait,     [VERB_WATCH] = cmd_watch,
    [VERB_CANCEL] = cmd_cancel,     [VERB_RETRY] = cmd_retry,   [VERB_HOLD] = cmd_hold,
    [VERB_RELEASE] = cmd_release,   [VERB_FORGET] = cmd_forget, [VERB_WHY] = cmd_why,
    [VERB_PUT] = cmd_put,           [VERB_GET] = cmd_get,       [VERB_MODELS] = cmd_models,
    [VERB_STATS] = cmd_stats,       [VERB_COST] = cmd_cost,     [VERB_RELOAD] = cmd_reload,
    [VERB_METRICS] = cmd_metrics,   [VERB_ASK] = cmd_ask,       [VERB_HELLO] = cmd_hello,
    [VERB_HELP] = cmd_help,         [VERB_PING] = cmd_ping,     [VERB_QUIT] = cmd_quit,
};

static void take_waiting(struct session *session);

/* ---- bytes that follow a line ---- */

static void let_body_go_on(struct session *session)
{
    if (!session->body_waits)
        return;
    session->body_waits = false;
    client_resume(session->client);
}

void call_take_body(struct call *call)
{
    call->session->taking = call;
}

void call_resume_body(struct call *call)
{
    if (call->session->taking == call)
        let_body_go_on(call->session);
}

/* The bytes of a PUT follow its line whatever becomes of it. Where their number can't be known,
 * what comes can't be told from commands. */
static void expect_body(struct session *session, struct json_value args)
{
    int64_t bytes;
    session->taking = NULL;
    session->body_left = 0;
    if (json_int(json_get(args, "bytes"), 0, INT64_MAX, &bytes) < 0) {
        session->quit = true;
        return;
    }
    session->body_left = (uint64_t)bytes;
    client_expect(session->client, session->body_left);
}

static size_t on_body(void *data, const char *bytes, size_t length)
{
    struct session *session = data;
    struct call *call = session->taking;
    size_t taken = length;
    if (call)
        taken = session->puts > PUTS_AT_ONCE ? 0 : call->body(call, bytes, length);
    session->body_left -= taken;
    session->body_waits = taken < length;
    if (session->body_left == 0)
        session->taking = NULL;
    return taken;
}

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
    if (call->verb == VERB_PUT) {
        session->puts--;
        let_body_go_on(session);
    }
    if (session->taking == call)
        session->taking = NULL;
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

/* ---- from a line to a call ---- */

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
    session->puts += command->verb == VERB_PUT;
    if (!call->tag[0])
        session->in_order = call;
    return call;
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
    session_refuse(session, "", &error);
}

static void begin_call(struct session *session, const struct command *command, char *text,
                       struct json *doc, const struct error *error)
{
    struct call *call = call_new(session, command);
    session->commands->served++;
    session->commands->served_by_verb[command->verb]++;
    call->text = text;
    call->doc = doc;
    if (!doc) {
        call_error(call, error);
        return;
    }
    call->args = json_root(doc);
    verbs[command->verb](call);
}

static void run_command(struct session *session, const struct command *command)
{
    struct error error;
    char *text = call_argument(command);
    struct json *doc = json_parse(text, strlen(text), (struct json_limits){0}, &error);
    if (command->verb == VERB_PUT)
        expect_body(session, doc ? json_root(doc) : (struct json_value){.token = -1});
    if (session->call_count < session->commands->config.client_commands) {
        begin_call(session, command, text, doc, &error);
        return;
    }
    error_set(&error, ERROR_TOO_MANY, NULL,
              "%zu commands of this client are being answered, which is [limits] client_commands",
              session->call_count);
    session_refuse(session, command->tag, &error);
    json_free(doc);
    free(text);
}

static void run_line(struct session *session, enum line_event event, const char *line,
                     size_t length)
{
    struct command command = {0};
    struct error error;
    if (event != LINE_TEXT)
        refuse_text(session, event, length);
    else if (command_parse(line, length, &command, &error) < 0)
        session_refuse(session, command.tag, &error);
    else
        run_command(session, &command);
    if (event == LINE_BAD_TEXT && command_parse(line, length, &command, &error) == 0 &&
        command.verb == VERB_PUT) {
        session->quit = true;
        maybe_finish(session);
    }
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
    session->waiting_line = piece->data ? mem_strndup(piece->data, piece->length) : mem_strdup("");
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
        session_refuse(session, "", &error);
    }
    if (session->taking)
        session->taking->body_cut(session->taking);
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
    .body = on_body,
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
    commands->process_started_at = process_started_at();
    buf_init(&commands->line, LIMIT_REPLY_LINE);
    return commands;
}

void commands_set_config(struct commands *commands, const struct commands_config *config)
{
    commands->config = *config;
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
