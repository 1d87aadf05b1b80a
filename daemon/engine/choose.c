/* Which providers a job may go to, and how fast. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/engine/task.h"
#include "proto/mem.h"

bool engine_is_meant(const struct provider *provider, const struct request *request)
{
    return (!request->provider || strcmp(request->provider, provider->name) == 0) &&
           provider_takes(provider, request->model);
}

uint64_t engine_takers(const struct engine *engine, const struct request *request)
{
    uint64_t takers = 0;
    for (size_t i = 0; i < engine->config.provider_count; i++) {
        const struct provider *provider = &engine->config.providers[i].provider;
        if (engine_is_meant(provider, request) &&
            provider->dialect->check(provider, request, NULL) == 0)
            takers |= UINT64_C(1) << i;
    }
    return takers;
}

static void refuse_all(const struct engine *engine, const struct request *request,
                       struct error *error)
{
    if (request->provider && engine_provider_named(engine, request->provider))
        error_set(error, ERROR_INVALID_ARGUMENT, "model",
                  "provider \"%s\" doesn't take the model \"%s\"; MODELS lists what it takes",
                  request->provider, request->model);
    else if (request->provider)
        error_set(error, ERROR_INVALID_ARGUMENT, "provider",
                  "no provider is named \"%s\"; MODELS lists them", request->provider);
    else
        error_set(error, ERROR_INVALID_ARGUMENT, "model",
                  "no provider takes the model \"%s\"; MODELS lists what they take",
                  request->model);
}

const struct provider *engine_choose(const struct engine *engine, const struct request *request,
                                     struct error *error)
{
    struct error first = {0}, *reason = &first;
    bool is_checked = false;
    for (size_t i = 0; i < engine->config.provider_count; i++) {
        const struct provider *provider = &engine->config.providers[i].provider;
        if (!engine_is_meant(provider, request))
            continue;
        if (provider->dialect->check(provider, request, reason) == 0)
            return provider;
        is_checked = true;
        reason = NULL;
    }
    if (!is_checked)
        refuse_all(engine, request, error);
    else if (error)
        *error = first;
    return NULL;
}

struct sched_provider *engine_paces(const struct engine_config *config)
{
    struct sched_provider *providers = mem_alloc((config->provider_count + 1) * sizeof(*providers));
    for (size_t i = 0; i < config->provider_count; i++)
        providers[i] = (struct sched_provider){
            .weight = config->providers[i].weight,
            .limits = {.per_minute = config->providers[i].rate_per_minute,
                       .in_flight_max = config->providers[i].in_flight,
                       .unanswered_max = config->submit_at_once,
                       .backoff = config->backoff},
        };
    return providers;
}

bool engine_pace(const struct engine *engine, size_t index, struct engine_pace *ret)
{
    int64_t now = engine_steady_ms();
    struct sched_view view;
    if (!sched_look_at(engine->sched, index, now, &view))
        return false;
    int64_t left = view.shut_until - now;
    *ret = (struct engine_pace){
        .provider = engine->config.providers[view.provider].provider.name,
        .model = view.model,
        .in_flight = view.in_flight,
        .per_minute = rint(view.per_minute * 100) / 100,
        .shut_until = left > 0 ? engine_wall_ms() + left : 0,
    };
    return true;
}
