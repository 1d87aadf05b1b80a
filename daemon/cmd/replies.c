/* What the calls of a session say, on its one connection. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "daemon/cmd/session.h"
#include "proto/limits.h"

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

static void write_error(struct commands *commands, struct jsonw *w, const struct error *error)
{
    commands->refused[error->code]++;
    jsonw_member_string(w, "code", error_code_name(error->code));
    jsonw_member_string(w, "message", error->message);
    jsonw_member_string(w, "field", error->field[0] ? error->field : NULL);
}

void call_error(struct call *call, const struct error *error)
{
    write_error(call->commands, call_reply(call, REPLY_ERR), error);
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

const struct peer *call_peer(const struct call *call)
{
    return client_peer(call->session->client);
}

void call_close_client(struct call *call)
{
    call->session->quit = true;
}

void session_refuse(struct session *session, const char *tag, const struct error *error)
{
    struct commands *commands = session->commands;
    write_error(commands, begin_line(commands, tag, REPLY_ERR), error);
    end_line(commands, tag);
    if (session->streaming)
        buf_add(&session->behind, commands->line.data, commands->line.length);
    else
        client_send(session->client, commands->line.data, commands->line.length);
}
