#include <stdlib.h>

#include "daemon/engine/task.h"
#include "daemon/provider/inline.h"
#include "proto/mem.h"

/* A question about an operation that no job has: each provider that knows such names, in turn. */
struct asking {
    struct asking *next;
    struct engine *engine;
    struct http_transfer transfer;
    char *operation;
    size_t provider;     /* index */
    struct buf document; /* the answer, without the videos that may be inside */
    struct inline_filter *filter;
    bool waits_for_token;
    unsigned token_generation;
    engine_asked_fn *done;
    void *arg;
};

static void drop_answer(struct asking *asking)
{
    inline_free(asking->filter);
    asking->filter = NULL;
    buf_free(&asking->document);
}

static void begin_run(void *arg, unsigned index)
{
    (void)arg;
    (void)index;
}

/* Whoever asks only wants to know that there is a video. */
static size_t drop_run(void *arg, unsigned index, const unsigned char *bytes, size_t length)
{
    (void)arg;
    (void)index;
    (void)bytes;
    return length;
}

static void end_run(void *arg, unsigned index, bool intact)
{
    (void)arg;
    (void)index;
    (void)intact;
}

static enum http_flow on_body(struct http_transfer *transfer, const struct http_reply *head,
                              const char *data, size_t length)
{
    static const struct inline_hooks hooks = {begin_run, drop_run, end_run};
    struct asking *asking = heap_entry(transfer, struct asking, transfer);
    (void)head;
    if (!asking->filter)
        asking->filter = inline_new(&asking->document, &hooks, NULL);
    inline_feed(asking->filter, data, length);
    return asking->document.failed ? HTTP_STOP : HTTP_GO_ON;
}

static bool prepare(struct http_transfer *transfer, struct http_request *request)
{
    struct asking *asking = heap_entry(transfer, struct asking, transfer);
    const struct engine_provider *provider = &asking->engine->config.providers[asking->provider];
    struct wire_request wire;
    asking->waits_for_token = token_value(provider->token) == NULL;
    if (asking->waits_for_token)
        return false;
    asking->token_generation = token_generation(provider->token);
    drop_answer(asking);
    wire_request_init(&wire);
    provider->provider.dialect->poll(&provider->provider, asking->operation, &wire);
    task_fill_request(asking->engine, provider, METER_OTHER, &wire, request);
    return true;
}

static bool seek(struct asking *asking)
{
    const struct engine_config *config = &asking->engine->config;
    while (asking->provider < config->provider_count &&
           !config->providers[asking->provider].provider.dialect->owns(asking->operation))
        asking->provider++;
    return asking->provider < config->provider_count;
}

static void finish(struct asking *asking, const char *provider, const struct outcome *outcome,
                   const struct error *error)
{
    struct asking **link = &asking->engine->askings;
    while (*link != asking)
        link = &(*link)->next;
    *link = asking->next;
    asking->done(asking->arg, provider, outcome, error);
    drop_answer(asking);
    free(asking->operation);
    free(asking);
}

static void on_done(struct http_transfer *transfer, const struct http_reply *reply)
{
    struct asking *asking = heap_entry(transfer, struct asking, transfer);
    const struct provider *provider = &asking->engine->config.providers[asking->provider].provider;
    struct error error;
    if (reply->end == HTTP_ANSWERED &&
        token_judge(asking->engine->config.providers[asking->provider].token,
                    asking->token_generation, reply->status)) {
        http_start(asking->engine->http, transfer);
        return;
    }
    if (reply->end == HTTP_ANSWERED && reply->status == 404) {
        asking->provider++;
        if (seek(asking)) {
            http_start(asking->engine->http, transfer);
            return;
        }
        error_set(&error, ERROR_NOT_FOUND, "id", "no job and no provider knows \"%s\"",
                  asking->operation);
        finish(asking, provider->name, NULL, &error);
        return;
    }
    if (reply->end != HTTP_ANSWERED) {
        error_set(&error, ERROR_UNAVAILABLE, NULL, "provider %s could not be asked: %s",
                  provider->name,
                  reply->end == HTTP_STOPPED ? "the answer is larger than [limits] reply_bytes"
                                             : reply->reason);
        finish(asking, provider->name, NULL, &error);
        return;
    }
    struct wire_reply wire = task_wire_reply(reply);
    wire.operation = asking->operation;
    if (asking->filter) {
        wire.body = buf_text(&asking->document);
        wire.length = asking->document.length;
    }
    struct outcome outcome;
    outcome_init(&outcome);
    provider->dialect->polled(provider, &wire, &outcome);
    finish(asking, provider->name, &outcome, NULL);
    outcome_free(&outcome);
}

void engine_ask(struct engine *engine, const char *operation, engine_asked_fn *done, void *arg)
{
    struct asking *asking = mem_alloc(sizeof(*asking));
    asking->engine = engine;
    asking->operation = mem_strdup(operation);
    asking->done = done;
    asking->arg = arg;
    asking->transfer = (struct http_transfer){
        .lane = HTTP_CALLS, .prepare = prepare, .body = on_body, .done = on_done};
    buf_init(&asking->document, engine->config.reply_bytes);
    asking->next = engine->askings;
    engine->askings = asking;
    if (!seek(asking)) {
        struct error error;
        error_set(&error, ERROR_NOT_FOUND, "id", "no such job: \"%s\"", operation);
        finish(asking, NULL, NULL, &error);
        return;
    }
    http_start(engine->http, &asking->transfer);
}

void ask_tokens_changed(struct engine *engine, const struct engine_provider *provider, bool given)
{
    for (struct asking *asking = engine->askings, *next; asking; asking = next) {
        struct error error;
        next = asking->next;
        if (!asking->waits_for_token || &engine->config.providers[asking->provider] != provider)
            continue;
        asking->waits_for_token = false;
        if (given) {
            http_start(engine->http, &asking->transfer);
            continue;
        }
        error_set(&error, ERROR_UNAVAILABLE, NULL, "provider %s waits for a token: %s",
                  provider->provider.name, token_why(provider->token));
        finish(asking, provider->provider.name, NULL, &error);
    }
}

void ask_forget_all(struct engine *engine)
{
    struct error error;
    error_set(&error, ERROR_UNAVAILABLE, NULL, "veod stopped before the provider answered");
    for (struct asking *asking = engine->askings, *next; asking; asking = next) {
        next = asking->next;
        finish(asking, NULL, NULL, &error);
    }
}
