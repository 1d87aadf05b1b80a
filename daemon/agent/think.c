/* Asking the model: one request of a conversation at a time, all of them through one gate. */
#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/agent/conversation.h"
#include "daemon/agent/prompt.h"
#include "daemon/core/heap.h"
#include "daemon/io/log.h"
#include "proto/mem.h"

#define BODY_MAX        (128 * 1024 * 1024) /* bytes */
#define ANSWER_MAX      (512 * 1024)        /* bytes: its text is to fit into a line */
#define STATUS_TOO_MANY 429
#define SPREAD_MS       2000 /* those who waited at the gate come back within */

/* ---- the gate ---- */

static bool is_shut(const struct agent *agent)
{
    return agent->gate > agent_now(agent);
}

static void shut(struct agent *agent, int64_t wait_ms)
{
    int64_t until = agent_now(agent) + wait_ms;
    if (until > agent->gate)
        agent->gate = until;
}

static void wait_at_gate(struct conversation *conversation)
{
    const struct agent *agent = conversation->agent;
    int64_t due = agent->gate + (int64_t)(drand48() * SPREAD_MS);
    conversation_arm(conversation, due);
    tell_retrying(conversation, "the model asks everybody to wait", due - agent_now(agent));
}

/* ---- the request ---- */

static bool is_offered(void *arg, const char *model)
{
    const struct engine_config *config = engine_config(((const struct agent *)arg)->engine);
    for (size_t i = 0; i < config->provider_count; i++)
        if (provider_takes(&config->providers[i].provider, model))
            return true;
    return false;
}

static char *system_prompt(struct agent *agent)
{
    const struct prompt_facts facts = {
        .models = engine_config(agent->engine)->models,
        .is_offered = is_offered,
        .arg = agent,
        .default_model = agent->commands->config.default_model,
        .now = engine_wall_ms(),
    };
    return prompt_fill(agent->config.system_prompt, &facts);
}

static bool takes_temperature(const struct agent_config *config, const char *model)
{
    for (char *const *glob = config->temperature_models; glob && *glob; glob++)
        if (fnmatch(*glob, model, 0) == 0)
            return true;
    return false;
}

static void write_body(struct conversation *conversation, struct buf *body)
{
    struct agent *agent = conversation->agent;
    struct turn_bounds bounds = agent_bounds(agent);
    char *prompt = system_prompt(agent);
    const char *model = conversation_model(conversation);
    const struct chat_request request = {
        .model = model,
        .temperature = takes_temperature(&agent->config, model) ? agent->config.temperature : NULL,
        .max_tokens = turn_max_tokens(&conversation->turn, &bounds),
        .system_prompt = prompt,
        .messages = conversation->session.messages,
        .message_count = conversation->session.message_count,
        .no_tools = turn_must_answer(&conversation->turn, &bounds),
    };
    chat_write_request(&request, body);
    free(prompt);
}

static char *address(const char *base_url)
{
    size_t length = strlen(base_url);
    while (length > 0 && base_url[length - 1] == '/')
        length--;
    return mem_format("%.*s/chat/completions", (int)length, base_url);
}

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static void fill(struct conversation *conversation, struct http_request *request)
{
    const struct agent *agent = conversation->agent;
    const struct agent_config *config = &agent->config;
    int64_t total = least(config->answer_ms, conversation_left(conversation));
    struct buf body;
    buf_init(&body, BODY_MAX);
    write_body(conversation, &body);
    *request = (struct http_request){
        .method = HTTP_POST,
        .url = address(config->base_url),
        .secret_name = "Authorization",
        .secret_value = agent->authorization,
        .allow_private = true, /* the address is the operator's own choice */
        .connect_ms = config->connect_ms,
        .stall_ms = total,
        .total_ms = total,
        .max_body = config->reply_bytes < ANSWER_MAX ? config->reply_bytes : ANSWER_MAX,
        .tally = &conversation->agent->tally,
    };
    request->body_length = body.length;
    request->body = buf_steal(&body);
}

static bool prepare(struct http_transfer *transfer, struct http_request *request)
{
    struct conversation *conversation = heap_entry(transfer, struct conversation, transfer);
    struct agent *agent = conversation->agent;
    if (agent->over || is_shut(agent) || conversation_left(conversation) <= 0) {
        conversation->asking = false;
        if (!agent->over && conversation_left(conversation) > 0)
            wait_at_gate(conversation);
        return false;
    }
    fill(conversation, request);
    agent->requests++;
    tell_thinking(conversation);
    return true;
}

/* ---- the answer ---- */

static void read_answer(const char *model, const struct http_reply *reply, struct chat_reply *ret)
{
    const struct chat_answer answer = {
        .status = reply->end == HTTP_ANSWERED ? reply->status : 0,
        .body = reply->body,
        .length = reply->body_length,
        .retry_after_ms = reply->retry_after_ms,
        .reason = reply->reason,
        .model = model,
    };
    *ret = (struct chat_reply){.kind = CHAT_MALFORMED};
    if (reply->end == HTTP_TOO_LARGE)
        ret->error = mem_strdup("the model's answer is too long");
    else
        chat_read(&answer, ret);
}

static const char *why_again(const struct chat_reply *reply)
{
    if (reply->error)
        return reply->error;
    return reply->kind == CHAT_TRUNCATED ? "the answer was cut at [agent] max_tokens"
                                         : "the model answered nothing";
}

static void on_done(struct http_transfer *transfer, const struct http_reply *http_reply)
{
    struct conversation *conversation = heap_entry(transfer, struct conversation, transfer);
    struct agent *agent = conversation->agent;
    struct turn *turn = &conversation->turn;
    struct turn_bounds bounds = agent_bounds(agent);
    struct chat_reply reply;
    conversation->asking = false;
    read_answer(conversation_model(conversation), http_reply, &reply);
    agent->tokens += reply.tokens > 0 ? (uint64_t)reply.tokens : 0;
    if (turn_take(turn, &bounds, &reply, conversation_left(conversation), conversation->bytes,
                  drand48())) {
        conversation_add_message(conversation, reply.message);
        reply.message = NULL;
    }
    if (turn->state == TURN_WAITING) {
        agent->retries++;
        if (http_reply->status == STATUS_TOO_MANY)
            shut(agent, turn->wait_ms);
        log_debug("agent", "session %s: asked again in %lld ms: %s", conversation->session.id,
                  (long long)turn->wait_ms, why_again(&reply));
        tell_retrying(conversation, why_again(&reply), turn->wait_ms);
    } else if (turn->state == TURN_CALLING) {
        conversation->said = reply.text;
        reply.text = NULL;
    } else if (reply.kind == CHAT_FAILED || reply.kind == CHAT_AGAIN) {
        log_warning("agent", "session %s: the model could not be asked: %s",
                    conversation->session.id, turn->message);
    }
    chat_reply_free(&reply);
    conversation_answered(conversation);
}

void think_start(struct conversation *conversation)
{
    if (is_shut(conversation->agent)) {
        wait_at_gate(conversation);
        return;
    }
    conversation->transfer = (struct http_transfer){
        .lane = HTTP_CHATS,
        .prepare = prepare,
        .done = on_done,
    };
    conversation->asking = true;
    http_start(conversation->agent->http, &conversation->transfer);
}

void think_drop(struct conversation *conversation)
{
    if (conversation->asking)
        http_cancel(conversation->agent->http, &conversation->transfer);
    conversation->asking = false;
}
