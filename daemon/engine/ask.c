#include <stdlib.h>

#include "daemon/engine/task.h"
#include "proto/mem.h"

/* A question about an operation that no job has: each provider that knows such names, in turn. */
struct asking {
    struct asking *next;
    struct engine *engine;
    struct http_transfer transfer;
    char *operation;
    size_t provider; /* index */
    bool waits_for_token;
    unsigned token_generation;
    engine_asked_fn *done;
    void *arg;
};

static bool prepare(struct http_transfer *transfer, struct http_request *request)
{
    struct asking *asking = heap_entry(transfer, struct asking, transfer);
    const struct engine_provider *provider = &asking->engine->config.providers[asking->provider];
    struct wire_request wire;
    asking->waits_for_token = token_value(provider->token) == NULL;
    if (asking->waits_for_token)
        return false;
    asking->token_generation = token_generation(provider->token);
    wire_request_init(&wire);
    provider->provider.dialect->poll(&provider->provider, asking->operation, &wire);
    task_fill_request(asking->engine, provider, &wire, request);
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
                  provider->name, reply->reason);
        finish(asking, provider->name, NULL, &error);
        return;
    }
    struct wire_reply wire = task_wire_reply(reply);
    wire.operation = asking->operation;
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
    asking->transfer =
        (struct http_transfer){.lane = HTTP_CALLS, .prepare = prepare, .done = on_done};
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
