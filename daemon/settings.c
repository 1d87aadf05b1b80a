#include "daemon/settings.h"

#include <string.h>

#include "proto/limits.h"
#include "proto/mem.h"

#define OUTPUT_MAX_FOR 4 /* a client's output may exceed its mark so many times, and a line */

struct engine_provider *settings_providers(const struct config *config)
{
    struct engine_provider *providers =
        mem_alloc(config->provider_count * sizeof(struct engine_provider));
    for (size_t i = 0; i < config->provider_count; i++) {
        const struct config_provider *from = &config->providers[i];
        providers[i].provider = (struct provider){
            .name = from->name,
            .dialect = dialect_find(from->dialect),
            .base_url = from->base_url,
            .api_version = from->api_version,
            .models = from->globs,
            .project = from->project,
            .location = from->location,
            .storage_uri = from->storage_uri,
            .storage_url = from->project ? from->storage_url : NULL,
            .seed_body = strcmp(from->body, "seed") == 0,
        };
    }
    return providers;
}

struct engine_config settings_engine(const struct config *config, struct engine_provider *providers,
                                     const char *blob_directory)
{
    for (size_t i = 0; i < config->provider_count; i++) {
        const struct config_provider *from = &config->providers[i];
        providers[i].weight = (unsigned)from->weight;
        providers[i].rate_per_minute = (double)from->rate_per_minute;
        providers[i].in_flight = (unsigned)from->in_flight;
        providers[i].daily_budget = from->daily_budget;
    }
    return (struct engine_config){
        .providers = providers,
        .provider_count = config->provider_count,
        .policy = {.max_attempts = (int)config->max_attempts,
                   .connect_for_ms = config->connect_for,
                   .resubmit_uncertain = strcmp(config->on_uncertain, "retry") == 0},
        .backoff = {.base_ms = config->base_delay, .max_ms = config->max_delay},
        .poll = {.min_ms = config->poll_min, .max_ms = config->poll_max},
        .in_flight = (unsigned)config->in_flight,
        .submit_at_once = (unsigned)config->calls,
        .fetch_at_once = (unsigned)config->transfers,
        .jobs = (size_t)config->jobs,
        .reply_bytes = (size_t)config->reply_bytes,
        .result_bytes = (uint64_t)config->result_bytes,
        .connect_ms = config->connect_timeout,
        .stall_ms = config->stall_timeout,
        .answer_ms = config->answer_timeout,
        .output_directory = config->output_directory,
        .blob_directory = blob_directory,
        .models = config->models,
        .daily_budget = config->daily_budget,
        .owner_daily_budget = config->owner_daily_budget,
        .output_bytes = (uint64_t)config->output_bytes,
        .output_age_ms = config->output_age,
    };
}

size_t settings_output_max(const struct config *config)
{
    return OUTPUT_MAX_FOR * (size_t)config->client_output + LIMIT_REPLY_LINE;
}

struct clients_config settings_clients(const struct config *config)
{
    return (struct clients_config){
        .path = config->socket,
        .group = config->socket_group,
        .mode = (mode_t)config->socket_mode,
        .admin_group = config->admin_group,
        .max = (unsigned)config->clients,
        .output_high = (size_t)config->client_output,
        .output_max = settings_output_max(config),
        .stall_ms = config->client_stall,
    };
}

struct blobs_config settings_blobs(const struct config *config, const char *blob_directory)
{
    return (struct blobs_config){
        .directory = blob_directory,
        .blob_bytes = (uint64_t)config->blob_bytes,
        .total_bytes = (uint64_t)config->blobs_bytes,
        .age_ms = config->blob_age,
    };
}
