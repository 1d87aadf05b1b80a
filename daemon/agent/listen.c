/* Who listens to a turn, and what they are told. */
#include <stdlib.h>
#include <string.h>

#include "daemon/agent/conversation.h"
#include "proto/mem.h"

/* ---- listeners ---- */

static void on_gone(struct call *call)
{
    listener_detach(call->state);
}

void listener_attach(struct listener *listener, struct conversation *conversation)
{
    listener->conversation = conversation;
    listener->previous = NULL;
    listener->next = conversation->listeners;
    if (listener->next)
        listener->next->previous = listener;
    conversation->listeners = listener;
    listener->call->abandoned = on_gone;
}

void listener_detach(struct listener *listener)
{
    if (!listener->conversation)
        return;
    if (listener->previous)
        listener->previous->next = listener->next;
    else
        listener->conversation->listeners = listener->next;
    if (listener->next)
        listener->next->previous = listener->previous;
    listener->conversation = NULL;
    listener->call->abandoned = NULL;
}

/* A call that has ended may begin the next one of its client: so one by one, from the front. */
void listeners_answer(struct conversation *conversation, struct job *const *jobs, size_t count)
{
    const struct turn *turn = &conversation->turn;
    const char *session = conversation->session.id;
    while (conversation->listeners) {
        struct listener *listener = conversation->listeners;
        struct call *call = listener->call;
        bool cancels = listener->cancels;
        listener_detach(listener);
        if (cancels)
            answer_cancel(call, session, turn->finish == TURN_CANCELLED);
        else
            answer_turn(call, session, turn, jobs, count);
    }
}

void listeners_refuse(struct conversation *conversation, const struct error *error)
{
    while (conversation->listeners) {
        struct listener *listener = conversation->listeners;
        listener_detach(listener);
        call_error(listener->call, error);
    }
}

/* ---- steps ---- */

typedef void step_fn(struct jsonw *w, const void *what);

/* What is too long for a line is not told: it is only news. */
static void tell_one(const struct listener *listener, const char *step, step_fn *write,
                     const void *what)
{
    struct call *call = listener->call;
    if (listener->cancels)
        return;
    struct jsonw *w = call_reply(call, REPLY_EVENT);
    jsonw_member_string(w, "session", listener->conversation->session.id);
    jsonw_member_string(w, "step", step);
    write(w, what);
    if (!call->commands->line.failed)
        call_send(call);
}

static void tell(const struct conversation *conversation, const char *step, step_fn *write,
                 const void *what)
{
    const struct listener *next;
    for (const struct listener *listener = conversation->listeners; listener; listener = next) {
        next = listener->next;
        tell_one(listener, step, write, what);
    }
}

static void write_text(struct jsonw *w, const void *what)
{
    jsonw_member_string(w, "text", what);
}

void tell_text(const struct conversation *conversation, const char *text)
{
    tell(conversation, "text", write_text, text);
}

/* The user's words, out of the history. */
static char *asked_text(const struct conversation *conversation)
{
    const struct store_session *session = &conversation->session;
    if (conversation->turn.first >= session->message_count)
        return NULL;
    const char *message = session->messages[conversation->turn.first];
    struct json *doc = json_parse(message, strlen(message), (struct json_limits){0}, NULL);
    char *text = doc ? json_strdup(json_get(json_root(doc), "content"), NULL) : NULL;
    json_free(doc);
    return text;
}

void tell_asked(const struct conversation *conversation, const struct listener *only)
{
    char *text = asked_text(conversation);
    if (only)
        tell_one(only, "asked", write_text, text);
    else
        tell(conversation, "asked", write_text, text);
    free(text);
}

static void write_thinking(struct jsonw *w, const void *what)
{
    const struct conversation *conversation = what;
    jsonw_member_int(w, "round", conversation->turn.rounds + 1);
    jsonw_member_string(w, "model", conversation_model(conversation));
}

void tell_thinking(const struct conversation *conversation)
{
    tell(conversation, "thinking", write_thinking, conversation);
}

struct retrying {
    const char *message;
    int64_t delay_ms;
};

static void write_retrying(struct jsonw *w, const void *what)
{
    const struct retrying *retrying = what;
    jsonw_member_string(w, "message", retrying->message);
    jsonw_member_double(w, "delay_seconds", (double)retrying->delay_ms / 1000);
}

void tell_retrying(const struct conversation *conversation, const char *message, int64_t delay_ms)
{
    const struct retrying retrying = {message, delay_ms};
    tell(conversation, "retrying", write_retrying, &retrying);
}

/* Between an object's tokens there may be line ends, in its strings there can't. */
static void write_object(struct jsonw *w, const char *text)
{
    char *line = mem_strdup(text);
    for (char *at = line; *at; at++)
        if (*at == '\n' || *at == '\r' || *at == '\t')
            *at = ' ';
    jsonw_raw(w, line, strlen(line));
    free(line);
}

static void write_arguments(struct jsonw *w, const char *arguments)
{
    struct json *doc = json_parse(arguments, strlen(arguments), (struct json_limits){0}, NULL);
    bool is_object = doc && json_type(json_root(doc)) == JSON_OBJECT;
    json_free(doc);
    if (!is_object && !arguments[0])
        return;
    jsonw_name(w, "arguments");
    if (is_object)
        write_object(w, arguments);
    else
        jsonw_string(w, arguments);
}

static void write_call(struct jsonw *w, const struct run *run)
{
    jsonw_member_int(w, "call", run->number);
    jsonw_member_string(w, "tool", run->call->name[0] ? run->call->name : NULL);
}

static void write_calling(struct jsonw *w, const void *what)
{
    const struct run *run = what;
    write_call(w, run);
    write_arguments(w, run->call->arguments);
}

void tell_calling(const struct run *run, const struct listener *only)
{
    if (only)
        tell_one(only, "calling", write_calling, run);
    else
        tell(run->conversation, "calling", write_calling, run);
}

struct job_news {
    const struct run *run;
    const struct job *job;
    int64_t event;
    const char *detail;
};

static void write_news(struct jsonw *w, const void *what)
{
    const struct job_news *news = what;
    jsonw_member_int(w, "call", news->run->number);
    if (news->event) {
        write_event(w, news->event, news->job->id, news->job->state, news->job->updated_at,
                    news->detail);
        return;
    }
    jsonw_member_string(w, "id", news->job->id);
    jsonw_member_string(w, "state", job_state_name(news->job->state));
    jsonw_member_time(w, "at", news->job->updated_at);
}

void tell_job(const struct run *run, const struct job *job, int64_t event, const char *detail)
{
    const struct job_news news = {run, job, event, detail};
    tell(run->conversation, "job", write_news, &news);
}

static void write_result(struct jsonw *w, const void *what)
{
    const struct run *run = what;
    write_call(w, run);
    jsonw_name(w, "result");
    write_object(w, run->result);
}

void tell_result(const struct run *run)
{
    tell(run->conversation, "result", write_result, run);
}
