/* ASK: begins a turn, goes on with a session, listens to a turn, or cancels it. */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "daemon/agent/conversation.h"
#include "proto/limits.h"
#include "proto/mem.h"

#define READS_MAX 3 /* of a session that changes meanwhile */

struct ask {
    struct listener listener; /* first: it is what the call's state is, once it listens */
    struct agent *agent;
    char *text;
    char *name; /* of a session */
    char *directory;
    bool cancel;
    unsigned reads;
    struct store_read read;
    /* An answer that was given already: */
    struct turn turn;
    char session[JOB_ID_SIZE];
    struct gathering *gathering;
};

static void free_ask(struct call *call)
{
    struct ask *ask = call->state;
    gathering_free(ask->gathering);
    turn_free(&ask->turn);
    free(ask->text);
    free(ask->name);
    free(ask->directory);
    free(ask);
}

/* ---- arguments ---- */

static bool is_blank(const char *text)
{
    return text[strspn(text, " \t\r\n")] == '\0';
}

static int read_text(struct call *call, struct ask *ask)
{
    struct json_value given = json_get(call->args, "text");
    if (json_type(given) == JSON_NONE)
        return 0;
    ask->text = json_strdup(given, NULL);
    if (!ask->text || is_blank(ask->text))
        return call_fail(call, ERROR_INVALID_ARGUMENT, "text",
                         "text must be a string that is not blank");
    if (strlen(ask->text) > LIMIT_PROMPT)
        return call_fail(call, ERROR_INVALID_ARGUMENT, "text",
                         "text has %zu bytes; it may have at most %d", strlen(ask->text),
                         LIMIT_PROMPT);
    return 0;
}

static int read_name(struct call *call, struct ask *ask)
{
    struct json_value given = json_get(call->args, "session");
    if (json_type(given) == JSON_NONE)
        return 0;
    char prefix[ULID_SIZE];
    ask->name = json_strdup(given, NULL);
    if (!ask->name || !ulid_prefix(ask->name, ID_PREFIX_MIN, prefix))
        return call_fail(call, ERROR_INVALID_ARGUMENT, "session",
                         "session must be an id, or at least %d characters of its beginning",
                         ID_PREFIX_MIN);
    memcpy(ask->name, prefix, strlen(prefix));
    return 0;
}

static int read_directory(struct call *call, struct ask *ask)
{
    struct json_value given = json_get(call->args, "directory");
    if (json_type(given) == JSON_NONE)
        return 0;
    ask->directory = json_strdup(given, NULL);
    if (!ask->directory || ask->directory[0] != '/' || strlen(ask->directory) >= PATH_MAX)
        return call_fail(call, ERROR_INVALID_ARGUMENT, "directory",
                         "directory must be an absolute path");
    return 0;
}

static int check_together(struct call *call, const struct ask *ask)
{
    if (ask->cancel && (!ask->name || ask->text))
        return call_fail(call, ERROR_INVALID_ARGUMENT, "cancel",
                         "cancel goes with a session, and without text");
    if (!ask->text && !ask->name)
        return call_fail(call, ERROR_INVALID_ARGUMENT, "text",
                         "ASK needs a text, or the session whose answer is wanted");
    if (ask->text && !ask->agent->authorization)
        return call_fail(call, ERROR_UNAVAILABLE, NULL, "%s", ask->agent->why);
    return 0;
}

/* ---- a turn begins ---- */

static char *new_id(struct agent *agent)
{
    uint8_t random[10] = {0};
    char *id = mem_alloc(ULID_SIZE);
    (void)!getrandom(random, sizeof(random), 0);
    ulid_next(&agent->ids, engine_wall_ms(), random, id);
    return id;
}

static size_t bytes_of(const struct store_session *session)
{
    size_t bytes = 0;
    for (size_t i = 0; i < session->message_count; i++)
        bytes += strlen(session->messages[i]);
    return bytes;
}

static int check_limits(struct call *call, const struct ask *ask,
                        const struct store_session *session)
{
    const struct agent_config *config = &ask->agent->config;
    size_t bytes = bytes_of(session);
    if (ask->agent->count >= config->conversations)
        return call_fail(call, ERROR_TOO_MANY, NULL,
                         "%zu conversations are under way, which is [agent] conversations",
                         ask->agent->count);
    if (bytes + strlen(ask->text) > config->session_bytes)
        return call_fail(call, ERROR_TOO_LONG, "session",
                         "the session has %zu bytes, and [agent] session_bytes allows %zu; "
                         "start a new session",
                         bytes, config->session_bytes);
    return 0;
}

/* That of the session's last turn, if it has ever answered; in fresh memory. */
static char *model_of(const struct agent *agent, const struct store_session *session)
{
    struct turn last = {0};
    bool has_answered = false;
    for (size_t i = 0; i < session->message_count && !has_answered; i++)
        has_answered = strcmp(chat_role(session->messages[i]), "assistant") == 0;
    if (has_answered)
        (void)turn_read(session->turn, &last, NULL);
    char *model = mem_strdup(last.model ? last.model : agent->config.model);
    turn_free(&last);
    return model;
}

/* Takes what the session owns. */
static void begin(struct call *call, struct store_session *session)
{
    struct ask *ask = call->state;
    size_t saved = session->message_count;
    struct turn turn = {
        .started_at = engine_wall_ms(),
        .peer = peer_copy(call_peer(call)),
        .admin = call->admin,
        .directory = ask->directory,
        .model = model_of(ask->agent, session),
    };
    ask->directory = NULL;
    struct conversation *conversation = conversation_new(ask->agent, session, saved, &turn);
    conversation_close_calls(conversation, "nobody knows what became of it");
    conversation->turn.first = conversation->session.message_count;
    conversation_add_message(conversation, chat_user_message(ask->text));
    listener_attach(&ask->listener, conversation);
    conversation_save(conversation);
}

static void begin_new(struct call *call)
{
    const struct ask *ask = call->state;
    struct store_session session = {.owner = call->uid};
    if (check_limits(call, ask, &session) < 0)
        return;
    char *id = new_id(ask->agent);
    memcpy(session.id, id, JOB_ID_SIZE);
    free(id);
    begin(call, &session);
}

/* ---- a session that is under way ---- */

static void listen_to(struct call *call, struct conversation *conversation)
{
    struct ask *ask = call->state;
    if (ask->text) {
        call_fail(call, ERROR_CONFLICT, "session",
                  "the session's last turn is still under way; wait for it, or cancel it");
        return;
    }
    ask->listener.cancels = ask->cancel;
    listener_attach(&ask->listener, conversation);
    if (ask->cancel) {
        conversation_stop(conversation, TURN_CANCELLED);
        return;
    }
    tell_asked(conversation, &ask->listener);
    for (size_t i = 0; i < conversation->run_count; i++)
        if (!conversation->runs[i].result)
            tell_calling(&conversation->runs[i], &ask->listener);
}

/* ---- a session at rest ---- */

static void on_gathered(void *arg, struct job *const *jobs, size_t count)
{
    struct call *call = arg;
    struct ask *ask = call->state;
    ask->gathering = NULL;
    answer_turn(call, ask->session, &ask->turn, jobs, count);
}

static void give_answer(struct call *call, const struct store_session *session)
{
    struct ask *ask = call->state;
    struct error error;
    if (turn_read(session->turn, &ask->turn, &error) < 0) {
        call_error(call, &error);
        return;
    }
    ask->turn.admin = ask->turn.admin && call->admin;
    memcpy(ask->session, session->id, sizeof(ask->session));
    /* It may be answered at once, and gone. */
    struct gathering *gathering = gathering_start(ask->agent, &ask->turn, on_gathered, call);
    if (gathering)
        ask->gathering = gathering;
}

/* Takes what the session owns, if it goes on. */
static void go_on(struct call *call, struct store_session *session)
{
    struct ask *ask = call->state;
    if (check_limits(call, ask, session) == 0)
        begin(call, session);
}

static void lookup(struct call *call);

static void take_session(struct call *call, struct store_session *session)
{
    struct ask *ask = call->state;
    struct conversation *conversation = conversation_find(ask->agent, session->id);
    if (conversation)
        listen_to(call, conversation);
    else if (session->working && ask->reads < READS_MAX)
        lookup(call); /* its turn has ended since it was read */
    else if (session->working)
        call_fail(call, ERROR_BUSY, "session", "the session is being changed; try again");
    else if (ask->cancel)
        answer_cancel(call, session->id, false);
    else if (ask->text)
        go_on(call, session);
    else
        give_answer(call, session);
}

static void not_found(struct call *call, const struct ask *ask, int status)
{
    if (status == -ENOENT)
        call_fail(call, ERROR_NOT_FOUND, "session", "no such session: \"%s\"", ask->name);
    else if (status == -ENOTUNIQ)
        call_fail(call, ERROR_INVALID_ARGUMENT, "session",
                  "\"%s\" begins the ids of several sessions; give more characters", ask->name);
    else
        call_store_failed(call, status);
}

static void on_read(struct store_read *read)
{
    struct call *call = read->context;
    struct ask *ask = call->state;
    struct store_session *session = read->session;
    int status = read->status;
    read->session = NULL;
    store_read_free(read);
    if (call_arrived(call)) {
        if (ask->agent->over)
            refuse_stopping(call);
        else if (status < 0)
            not_found(call, ask, status);
        else if (agent_has_expired(ask->agent, session))
            not_found(call, ask, -ENOENT);
        else
            take_session(call, session);
    }
    store_session_free(session);
}

static void lookup(struct call *call)
{
    struct ask *ask = call->state;
    ask->reads++;
    ask->read = (struct store_read){
        .kind = STORE_SESSION,
        .name = ask->name,
        .filter.owner = call->uid,
        .done = on_read,
        .context = call,
    };
    call_expect(call);
    store_read(ask->agent->store, &ask->read);
}

/* ---- the verb ---- */

void agent_ask(void *arg, struct call *call)
{
    static const char *const members[] = {"text", "session", "directory", "cancel", NULL};
    struct agent *agent = arg;
    if (call_check_members(call, members) < 0)
        return;
    if (agent->over) {
        refuse_stopping(call);
        return;
    }
    struct ask *ask = mem_alloc(sizeof(*ask));
    ask->agent = agent;
    ask->listener.call = call;
    call->state = ask;
    call->free_state = free_ask;
    if (read_text(call, ask) < 0 || read_name(call, ask) < 0 || read_directory(call, ask) < 0 ||
        call_flag(call, "cancel", &ask->cancel) < 0 || check_together(call, ask) < 0)
        return;
    if (ask->name)
        lookup(call);
    else
        begin_new(call);
}
