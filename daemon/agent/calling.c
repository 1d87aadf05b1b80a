/* The calls of one answer, all made at the same time. */
#include <stdlib.h>
#include <string.h>

#include "daemon/agent/conversation.h"
#include "proto/mem.h"
#include "proto/tool.h"

#define FAILURE_MAX 4096

char *calling_failure(const char *why)
{
    struct buf out;
    struct jsonw w;
    buf_init(&out, FAILURE_MAX);
    jsonw_init(&w, &out);
    jsonw_object(&w);
    jsonw_member_bool(&w, "success", false);
    jsonw_member_string(&w, "status", "failed");
    jsonw_member_string(&w, "error", why);
    jsonw_object_end(&w);
    return buf_steal(&out);
}

static void begin_next(struct conversation *conversation);

static int64_t room(void *arg)
{
    const struct run *run = arg;
    const struct conversation *conversation = run->conversation;
    int64_t most = conversation->agent->config.max_usd;
    if (most < 0)
        return -1;
    return most > conversation->turn.spent ? most - conversation->turn.spent : 0;
}

static void on_spent(void *arg, int64_t estimate)
{
    struct run *run = arg;
    run->conversation->turn.spent += estimate;
}

static void note_job(const struct run *run, const char *id)
{
    struct conversation *conversation = run->conversation;
    char *begun = conversation->turn.begun[run - conversation->runs];
    if (tool_named(run->call->name) == TOOL_CHECK || strcmp(begun, id) == 0)
        return;
    memcpy(begun, id, JOB_ID_SIZE);
    conversation_note(conversation);
}

static void on_began(void *arg, const struct job *job)
{
    struct run *run = arg;
    struct conversation *conversation = run->conversation;
    turn_add_job(&conversation->turn, job->id);
    note_job(run, job->id);
    tell_job(run, job, 0, NULL);
    run->made = true;
    begin_next(conversation);
}

static void on_news(void *arg, const struct job *job, int64_t event, const char *detail)
{
    tell_job(arg, job, event, detail);
}

static void set_result(struct run *run, char *result)
{
    run->tool = NULL;
    run->made = true;
    run->result = result;
    run->conversation->run_left--;
    tell_result(run);
}

static void on_done(void *arg, const char *result)
{
    struct run *run = arg;
    struct conversation *conversation = run->conversation;
    set_result(run, mem_strdup(result));
    begin_next(conversation);
    if (conversation->run_left == 0)
        conversation_called(conversation);
}

static void begin(struct run *run)
{
    struct conversation *conversation = run->conversation;
    struct agent *agent = conversation->agent;
    size_t index = (size_t)(run - conversation->runs);
    char *key = mem_format("ask-%s-%zu-%zu", conversation->session.id,
                           conversation->session.message_count - 1, index);
    int64_t left = conversation_left(conversation);
    const struct tool_run_config config = {
        .commands = agent->commands,
        .peer = &conversation->turn.peer,
        .admin = conversation->turn.admin,
        .directory = conversation->turn.directory,
        .session = conversation->session.id,
        .key = key,
        .again = conversation->resumed,
        .made = conversation->turn.begun[index],
        .wait_ms = left < agent->config.video_wait_ms ? left : agent->config.video_wait_ms,
        .room = room,
        .spend = on_spent,
        .began = on_began,
        .news = on_news,
        .done = on_done,
        .arg = run,
    };
    run->begun = true;
    run->made = tool_named(run->call->name) == TOOL_CHECK;
    run->tool = tool_run_start(&config, run->call);
    free(key);
    if (conversation->stopping != TURN_OPEN)
        tool_run_hurry(run->tool);
}

/* Where money is bounded, the next call waits until it is known what those before it cost. */
static void begin_next(struct conversation *conversation)
{
    bool bounded = conversation->agent->config.max_usd >= 0;
    if (conversation->stopping == TURN_CANCELLED)
        return;
    for (size_t i = 0; i < conversation->run_count; i++) {
        struct run *run = &conversation->runs[i];
        if (!run->begun)
            begin(run);
        if (bounded && !run->made)
            return;
    }
}

static void refuse_rest(struct conversation *conversation)
{
    for (size_t i = 0; i < conversation->run_count; i++) {
        struct run *run = &conversation->runs[i];
        if (run->begun)
            continue;
        run->begun = true;
        set_result(run, calling_failure("the user cancelled it before it was begun"));
    }
}

void calling_start(struct conversation *conversation)
{
    const struct store_session *session = &conversation->session;
    conversation->run_count =
        chat_read_calls(session->messages[session->message_count - 1], &conversation->calls);
    conversation->run_left = conversation->run_count;
    conversation->spent = conversation->turn.spent;
    conversation->runs = mem_alloc((conversation->run_count + 1) * sizeof(*conversation->runs));
    if (conversation->said)
        tell_text(conversation, conversation->said);
    free(conversation->said);
    conversation->said = NULL;
    for (size_t i = 0; i < conversation->run_count; i++) {
        conversation->runs[i] = (struct run){
            .conversation = conversation,
            .call = &conversation->calls[i],
            .number = conversation->turn.calls + (int64_t)i + 1,
        };
        tell_calling(&conversation->runs[i], NULL);
    }
    if (conversation->stopping == TURN_CANCELLED)
        refuse_rest(conversation);
    else
        begin_next(conversation);
    if (conversation->run_left == 0)
        conversation_called(conversation);
}

void calling_hurry(struct conversation *conversation, bool cancel)
{
    for (size_t i = 0; i < conversation->run_count; i++) {
        const struct run *run = &conversation->runs[i];
        if (!run->tool)
            continue;
        if (cancel)
            tool_run_cancel(run->tool);
        else
            tool_run_hurry(run->tool);
    }
    if (cancel)
        refuse_rest(conversation);
    if (conversation->run_left == 0)
        conversation_called(conversation);
}

static void free_runs(struct conversation *conversation)
{
    for (size_t i = 0; i < conversation->run_count; i++)
        free(conversation->runs[i].result);
    chat_calls_free(conversation->calls, conversation->run_count);
    free(conversation->runs);
    conversation->calls = NULL;
    conversation->runs = NULL;
    conversation->run_count = 0;
}

void calling_drop(struct conversation *conversation)
{
    for (size_t i = 0; i < conversation->run_count; i++)
        tool_run_abandon(conversation->runs[i].tool);
    free_runs(conversation);
}

void calling_take_results(struct conversation *conversation)
{
    size_t count = conversation->run_count;
    for (size_t i = 0; i < count; i++)
        conversation_add_message(
            conversation, chat_tool_message(&conversation->calls[i], conversation->runs[i].result));
    free_runs(conversation);
    conversation->resumed = false;
    turn_called(&conversation->turn, count);
}
