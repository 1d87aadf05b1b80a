/* The life of a turn: what turn.h says is made durable, and then performed. */
#include "daemon/agent/conversation.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/io/fault.h"
#include "daemon/io/log.h"
#include "proto/mem.h"

#define STORE_RETRY_MS 1000
#define RECORD_MAX     (16 * 1024 * 1024) /* bytes */

static void log_turn(const struct conversation *conversation, const char *what)
{
    const struct turn *turn = &conversation->turn;
    const struct log_field fields[] = {{"VEO_SESSION", conversation->session.id}};
    log_fields(LOG_LEVEL_INFO, "agent", fields, 1,
               "session %s: a turn of uid %u %s; %lld rounds, %zu jobs, %lld tokens",
               conversation->session.id, (unsigned)turn->peer.uid, what, (long long)turn->rounds,
               turn->job_count, (long long)turn->tokens);
}

const char *conversation_model(const struct conversation *conversation)
{
    const char *model = conversation->turn.model;
    return model ? model : conversation->agent->config.model;
}

/* ---- time ---- */

int64_t conversation_left(const struct conversation *conversation)
{
    return conversation->ends_at - agent_now(conversation->agent);
}

static bool is_stoppable(const struct conversation *conversation)
{
    return conversation->turn.state != TURN_ENDED && conversation->stopping == TURN_OPEN;
}

static void go_on(struct conversation *conversation)
{
    struct turn_bounds bounds = agent_bounds(conversation->agent);
    turn_think(&conversation->turn, &bounds, conversation_left(conversation), conversation->bytes);
    if (conversation->turn.state == TURN_ENDED)
        conversation_save(conversation);
    else
        think_start(conversation);
}

static void on_timer(uv_timer_t *timer)
{
    struct conversation *conversation = timer->data;
    bool is_due = conversation->due <= agent_now(conversation->agent);
    conversation_arm(conversation, is_due ? INT64_MAX : conversation->due);
    if (is_due && conversation->failing)
        conversation_save(conversation);
    else if (is_stoppable(conversation) && conversation_left(conversation) <= 0)
        conversation_stop(conversation, TURN_TIME);
    else if (is_due)
        go_on(conversation);
}

void conversation_arm(struct conversation *conversation, int64_t due)
{
    int64_t now = agent_now(conversation->agent), next = due;
    conversation->due = due;
    if (is_stoppable(conversation) && !conversation->failing && conversation->ends_at < next)
        next = conversation->ends_at;
    if (next == INT64_MAX)
        uv_timer_stop(&conversation->timer);
    else
        uv_timer_start(&conversation->timer, on_timer, (uint64_t)(next > now ? next - now : 0), 0);
}

/* ---- the set of them ---- */

struct conversation *conversation_find(const struct agent *agent, const char *id)
{
    struct conversation *conversation = agent->conversations;
    while (conversation && strcmp(conversation->session.id, id) != 0)
        conversation = conversation->next;
    return conversation;
}

/* The wall clock may be set meanwhile: then it is the turn's length that counts. */
static int64_t end_of(const struct agent *agent, const struct turn *turn)
{
    int64_t left = turn->started_at + agent->config.time_ms - engine_wall_ms();
    if (left > agent->config.time_ms)
        left = agent->config.time_ms;
    return agent_now(agent) + (left > 0 ? left : 0);
}

struct conversation *conversation_new(struct agent *agent, struct store_session *session,
                                      size_t saved, struct turn *turn)
{
    struct conversation *conversation = mem_alloc(sizeof(*conversation));
    conversation->agent = agent;
    conversation->turn = *turn;
    conversation->session = *session;
    conversation->saved = saved;
    conversation->ends_at = end_of(agent, turn);
    conversation->due = INT64_MAX;
    *session = (struct store_session){0};
    *turn = (struct turn){0};
    for (size_t i = 0; i < conversation->session.message_count; i++)
        conversation->bytes += strlen(conversation->session.messages[i]);
    uv_timer_init(agent->loop, &conversation->timer);
    conversation->timer.data = conversation;
    conversation->next = agent->conversations;
    if (agent->conversations)
        agent->conversations->previous = conversation;
    agent->conversations = conversation;
    agent->count++;
    agent->turns++;
    return conversation;
}

static void on_timer_closed(uv_handle_t *handle)
{
    conversation_free(handle->data);
}

/* It is there until the loop turns. Who hears of its end may begin the next turn at once. */
static void discard(struct conversation *conversation)
{
    struct agent *agent = conversation->agent;
    if (conversation->previous)
        conversation->previous->next = conversation->next;
    else
        agent->conversations = conversation->next;
    if (conversation->next)
        conversation->next->previous = conversation->previous;
    agent->count--;
    uv_close((uv_handle_t *)&conversation->timer, on_timer_closed);
}

void conversation_abandon(struct conversation *conversation)
{
    think_drop(conversation);
    calling_drop(conversation);
    gathering_free(conversation->gathering);
    conversation->gathering = NULL;
    uv_close((uv_handle_t *)&conversation->timer, NULL);
}

void conversation_free(struct conversation *conversation)
{
    struct store_session *session = &conversation->session;
    for (size_t i = 0; i < session->message_count; i++)
        free(session->messages[i]);
    free(session->messages);
    free(session->turn);
    free(conversation->record.turn);
    free(conversation->said);
    turn_free(&conversation->turn);
    free(conversation);
}

/* ---- the history ---- */

void conversation_add_message(struct conversation *conversation, char *message)
{
    struct store_session *session = &conversation->session;
    session->messages =
        mem_resize(session->messages, session->message_count + 1, sizeof(*session->messages));
    session->messages[session->message_count++] = message;
    conversation->bytes += strlen(message);
}

void conversation_close_calls(struct conversation *conversation, const char *why)
{
    struct store_session *session = &conversation->session;
    struct chat_call *calls = NULL;
    if (session->message_count == 0)
        return;
    size_t count = chat_read_calls(session->messages[session->message_count - 1], &calls);
    for (size_t i = 0; i < count; i++) {
        char *result = calling_failure(why);
        conversation_add_message(conversation, chat_tool_message(&calls[i], result));
        free(result);
    }
    chat_calls_free(calls, count);
}

/* ---- the end ---- */

static void on_gathered(void *arg, struct job *const *jobs, size_t count)
{
    struct conversation *conversation = arg;
    conversation->gathering = NULL;
    discard(conversation);
    listeners_answer(conversation, jobs, count);
}

static void end(struct conversation *conversation)
{
    char what[48];
    conversation->agent->ended[conversation->turn.finish]++;
    snprintf(what, sizeof(what), "ended: %s", turn_finish_name(conversation->turn.finish));
    log_turn(conversation, what);
    uv_timer_stop(&conversation->timer);
    conversation->gathering =
        gathering_start(conversation->agent, &conversation->turn, on_gathered, conversation);
}

static void end_turn(struct conversation *conversation, enum turn_finish finish)
{
    if (finish == TURN_TIME)
        turn_end_by_time(&conversation->turn);
    else if (finish == TURN_FAILED)
        turn_end(&conversation->turn, finish, "%s", conversation->agent->why);
    else
        turn_end(&conversation->turn, finish, NULL);
}

void conversation_stop(struct conversation *conversation, enum turn_finish finish)
{
    if (!is_stoppable(conversation))
        return;
    conversation->stopping = finish;
    if (conversation->writing || conversation->failing)
        return;
    if (conversation->turn.state == TURN_CALLING) {
        calling_hurry(conversation, finish == TURN_CANCELLED);
        return;
    }
    think_drop(conversation);
    end_turn(conversation, finish);
    conversation_save(conversation);
}

/* ---- one step after the other ---- */

static void perform(struct conversation *conversation)
{
    if (is_stoppable(conversation) && conversation_left(conversation) <= 0)
        conversation->stopping = TURN_TIME;
    conversation_arm(conversation, INT64_MAX);
    if (conversation->turn.state == TURN_ENDED) {
        end(conversation);
    } else if (conversation->turn.state == TURN_CALLING) {
        calling_start(conversation);
    } else if (conversation->stopping != TURN_OPEN) {
        end_turn(conversation, conversation->stopping);
        conversation_save(conversation);
    } else {
        go_on(conversation);
    }
}

void conversation_answered(struct conversation *conversation)
{
    int64_t now = agent_now(conversation->agent);
    if (conversation->turn.state == TURN_WAITING)
        conversation_arm(conversation, now + conversation->turn.wait_ms);
    else
        conversation_save(conversation);
}

void conversation_called(struct conversation *conversation)
{
    struct turn_bounds bounds = agent_bounds(conversation->agent);
    calling_take_results(conversation);
    if (conversation->stopping != TURN_OPEN)
        end_turn(conversation, conversation->stopping);
    else
        turn_think(&conversation->turn, &bounds, conversation_left(conversation),
                   conversation->bytes);
    conversation_save(conversation);
}

void conversation_resume(struct conversation *conversation)
{
    struct store_session *session = &conversation->session;
    struct chat_call *calls = NULL;
    const char *last = session->messages[session->message_count - 1];
    size_t count = chat_read_calls(last, &calls);
    chat_calls_free(calls, count);
    conversation->born = true;
    conversation->resumed = count > 0;
    conversation->turn.state = count > 0 ? TURN_CALLING : TURN_THINKING;
    log_turn(conversation, "goes on");
    perform(conversation);
}

/* ---- the disk ---- */

static void not_begun(struct conversation *conversation, int status)
{
    struct error error;
    if (status == -EINVAL || status == -ENOENT)
        error_set(&error, ERROR_CONFLICT, "session", "the session has changed meanwhile");
    else
        error_set(&error, ERROR_DISK_FULL, NULL, "the words could not be kept: %s",
                  strerror(-status));
    discard(conversation);
    listeners_refuse(conversation, &error);
}

static void not_saved(struct conversation *conversation, int status)
{
    if (!conversation->born) {
        not_begun(conversation, status);
        return;
    }
    if (!conversation->failing)
        log_error("agent", "session %s can't be written: %s; it is tried again",
                  conversation->session.id, strerror(-status));
    conversation->failing = true;
    conversation_arm(conversation, agent_now(conversation->agent) + STORE_RETRY_MS);
}

/* Where tests let the process die. */
static void pass_fault_point(const struct conversation *conversation)
{
    static const char *const points[] = {
        [TURN_THINKING] = "agent.results",
        [TURN_WAITING] = "agent.results",
        [TURN_CALLING] = "agent.calls",
        [TURN_ENDED] = "agent.ended",
    };
    const char *point = conversation->born ? points[conversation->turn.state] : "agent.asked";
    (void)point;
    (void)fault_point(point);
}

static void on_saved(struct store_write *write)
{
    struct conversation *conversation = write->context;
    conversation->writing = false;
    free(conversation->record.turn);
    conversation->record.turn = NULL;
    if (conversation->agent->over)
        return;
    if (write->status < 0) {
        not_saved(conversation, write->status);
        return;
    }
    pass_fault_point(conversation);
    conversation->saved += conversation->record.message_count;
    conversation->failing = false;
    if (!conversation->born) {
        conversation->born = true;
        log_turn(conversation, "begins");
        tell_asked(conversation, NULL);
    }
    perform(conversation);
}

static struct store_session record_of(const struct conversation *conversation,
                                      const struct turn *turn)
{
    const struct store_session *session = &conversation->session;
    struct store_session record = {
        .owner = session->owner,
        .working = turn->state != TURN_ENDED,
        .updated_at = engine_wall_ms(),
        .messages = session->messages + conversation->saved,
        .message_count = session->message_count - conversation->saved,
        .earlier = conversation->saved,
    };
    struct buf out;
    struct jsonw w;
    buf_init(&out, RECORD_MAX);
    jsonw_init(&w, &out);
    turn_write(turn, &w);
    record.turn = buf_steal(&out);
    memcpy(record.id, session->id, sizeof(session->id));
    return record;
}

struct note {
    struct store_write write;
    struct store_session record;
};

/* Without it the calls are still found by their jobs' keys, unless these are forgotten. */
static void on_noted(struct store_write *write)
{
    struct note *note = write->context;
    free(note->record.turn);
    free(note);
}

void conversation_note(const struct conversation *conversation)
{
    struct note *note = mem_alloc(sizeof(*note));
    struct turn turn = conversation->turn;
    turn.spent = conversation->spent; /* found calls are counted again */
    note->record = record_of(conversation, &turn);
    note->write = (struct store_write){
        .kind = STORE_PUT_SESSION,
        .session = &note->record,
        .done = on_noted,
        .context = note,
    };
    store_write(conversation->agent->store, &note->write);
}

void conversation_save(struct conversation *conversation)
{
    conversation->record = record_of(conversation, &conversation->turn);
    conversation->write = (struct store_write){
        .kind = STORE_PUT_SESSION,
        .session = &conversation->record,
        .done = on_saved,
        .context = conversation,
    };
    conversation->writing = true;
    conversation_arm(conversation, INT64_MAX);
    store_write(conversation->agent->store, &conversation->write);
}
