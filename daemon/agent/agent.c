#include "daemon/agent/agent.h"

#include <stdlib.h>
#include <string.h>

#include "daemon/agent/conversation.h"
#include "daemon/cmd/metrics.h"
#include "daemon/io/log.h"
#include "proto/mem.h"

#define SWEEP_MS       (60 * 60 * 1000) /* between looks for sessions that have expired */
#define FIRST_SWEEP_MS (60 * 1000)      /* after the start */
#define SWEEP_MAX      64               /* removed at once: each may have megabytes */

int64_t agent_now(const struct agent *agent)
{
    return (int64_t)uv_now(agent->loop);
}

struct turn_bounds agent_bounds(const struct agent *agent)
{
    const struct agent_config *config = &agent->config;
    return (struct turn_bounds){
        .rounds = config->rounds,
        .tokens = config->tokens,
        .max_tokens = config->max_tokens,
        .session_bytes = config->session_bytes,
        .backoff = config->backoff,
    };
}

void refuse_stopping(struct call *call)
{
    call_fail(call, ERROR_DRAINING, NULL,
              "veod is stopping; turns that are under way go on when it is started again");
}

/* ---- sessions that have expired ---- */

bool agent_has_expired(const struct agent *agent, const struct store_session *session)
{
    return !session->working &&
           session->updated_at < engine_wall_ms() - agent->config.session_age_ms;
}

static void sweep(struct agent *agent);

static void on_swept(struct store_write *write)
{
    struct agent *agent = write->context;
    agent->sweeping = false;
    if (write->status < 0)
        log_warning("agent", "expired sessions could not be removed: %s", strerror(-write->status));
    else if (write->swept == write->count && !agent->over)
        sweep(agent);
}

static void sweep(struct agent *agent)
{
    agent->sweeping = true;
    agent->sweep = (struct store_write){
        .kind = STORE_SWEEP_SESSIONS,
        .at = engine_wall_ms() - agent->config.session_age_ms,
        .count = SWEEP_MAX,
        .done = on_swept,
        .context = agent,
    };
    store_write(agent->store, &agent->sweep);
}

static void on_sweep(uv_timer_t *timer);

static void sweep_in(struct agent *agent, int64_t wait_ms)
{
    int64_t age = agent->config.session_age_ms;
    uv_timer_start(&agent->sweeper, on_sweep, (uint64_t)(wait_ms < age ? wait_ms : age), 0);
}

static void on_sweep(uv_timer_t *timer)
{
    struct agent *agent = timer->data;
    sweep_in(agent, SWEEP_MS);
    if (!agent->sweeping)
        sweep(agent);
}

/* ---- turns that a stop has cut ---- */

static void give_up(struct conversation *conversation, const struct error *error)
{
    conversation->born = true;
    turn_end(&conversation->turn, TURN_FAILED, "%s", error->message);
    conversation_save(conversation);
}

struct recovery {
    struct store_session **sessions;
    size_t count;
};

static void on_working(void *arg, struct store_session *session)
{
    struct recovery *recovery = arg;
    recovery->sessions =
        mem_resize(recovery->sessions, recovery->count + 1, sizeof(*recovery->sessions));
    recovery->sessions[recovery->count++] = session;
}

static void recover(struct agent *agent, struct store_session *session)
{
    struct error error = {0};
    struct turn turn;
    int status = turn_read(session->turn, &turn, &error);
    if (status == 0 && session->message_count == 0)
        status = error_set(&error, ERROR_INTERNAL, NULL, "the session has lost its messages");
    turn.peer.uid = session->owner;
    struct conversation *conversation =
        conversation_new(agent, session, session->message_count, &turn);
    if (!agent->authorization) /* what it has called is found all the same */
        conversation->stopping = TURN_FAILED;
    if (status < 0)
        give_up(conversation, &error);
    else
        conversation_resume(conversation);
}

int agent_recover(struct agent *agent, struct error *error)
{
    struct recovery recovery = {0};
    int status = store_each_working_session(agent->store, on_working, &recovery, error);
    for (size_t i = 0; i < recovery.count; i++) {
        if (status == 0)
            recover(agent, recovery.sessions[i]);
        store_session_free(recovery.sessions[i]);
    }
    free(recovery.sessions);
    if (status == 0)
        sweep_in(agent, FIRST_SWEEP_MS);
    return status;
}

/* ---- the whole ---- */

struct agent *agent_new(uv_loop_t *loop, const struct agent_config *config, const char *secret,
                        const char *why, struct commands *commands, struct engine *engine,
                        struct store *store, struct http *http)
{
    struct agent *agent = mem_alloc(sizeof(*agent));
    agent->loop = loop;
    agent->config = *config;
    agent->authorization = secret ? mem_format("Bearer %s", secret) : NULL;
    agent->why = mem_strdup(why);
    agent->commands = commands;
    agent->engine = engine;
    agent->store = store;
    agent->http = http;
    http_tally_init(&agent->tally);
    uv_timer_init(loop, &agent->sweeper);
    agent->sweeper.data = agent;
    return agent;
}

void agent_set_config(struct agent *agent, const struct agent_config *config)
{
    agent->config = *config;
}

void agent_write_stats(void *arg, struct jsonw *w)
{
    const struct agent *agent = arg;
    jsonw_name(w, "agent");
    jsonw_object(w);
    jsonw_member_uint(w, "conversations", agent->count);
    jsonw_member_uint(w, "turns", agent->turns);
    jsonw_member_uint(w, "requests", agent->requests);
    jsonw_member_uint(w, "retries", agent->retries);
    jsonw_object_end(w);
}

static void write_answers(struct expose *expose, const struct http_tally *tally)
{
    const char *labels[] = {"class", NULL, NULL};
    expose_family(expose, "veod_agent_answers_total", EXPOSE_COUNTER,
                  "Answers of the agent's model, as veod_provider_answers_total.");
    metrics_write_answers(expose, labels, tally);
    expose_one_histogram(expose, "veod_agent_answer_seconds", "How long they took.", &tally->ms);
}

void agent_write_metrics(void *arg, struct expose *expose)
{
    const struct agent *agent = arg;
    expose_one_uint(expose, "veod_agent_conversations", EXPOSE_GAUGE,
                    "Conversations with the agent whose turn is under way.", agent->count);
    expose_one_uint(expose, "veod_agent_turns_total", EXPOSE_COUNTER, "Turns that were begun.",
                    agent->turns);
    expose_family(expose, "veod_agent_turns_ended_total", EXPOSE_COUNTER,
                  "Turns that have ended, by the reason for it.");
    for (int i = TURN_OPEN + 1; i < TURN_FINISH_COUNT; i++)
        expose_uint(expose, EXPOSE_LABELS("finish", turn_finish_name((enum turn_finish)i)),
                    agent->ended[i]);
    expose_one_uint(expose, "veod_agent_requests_total", EXPOSE_COUNTER, "Requests to the model.",
                    agent->requests);
    expose_one_uint(expose, "veod_agent_retries_total", EXPOSE_COUNTER,
                    "Answers of no use, after which it is asked again.", agent->retries);
    expose_one_uint(expose, "veod_agent_tokens_total", EXPOSE_COUNTER,
                    "Tokens, as the model counts them.", agent->tokens);
    write_answers(expose, &agent->tally);
}

void agent_abandon(struct agent *agent)
{
    const struct error error = {
        .code = ERROR_DRAINING,
        .message = "veod is stopping; the turn goes on when it is started again",
    };
    if (agent->over)
        return;
    agent->over = true;
    uv_close((uv_handle_t *)&agent->sweeper, NULL);
    for (struct conversation *conversation = agent->conversations; conversation;
         conversation = conversation->next) {
        conversation_abandon(conversation);
        listeners_refuse(conversation, &error);
    }
}

void agent_free(struct agent *agent)
{
    if (!agent)
        return;
    while (agent->conversations) {
        struct conversation *conversation = agent->conversations;
        agent->conversations = conversation->next;
        conversation_free(conversation);
    }
    if (agent->authorization)
        explicit_bzero(agent->authorization, strlen(agent->authorization));
    free(agent->authorization);
    free(agent->why);
    free(agent);
}
