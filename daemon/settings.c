#include "daemon/settings.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/limits.h"
#include "proto/line.h"
#include "proto/mem.h"

#define SYSTEM_PROMPT_MAX (64 * 1024) /* bytes */
#define OUTPUT_MAX_FOR    4 /* a client's output may exceed its mark so many times, and a line */

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

enum token_kind settings_token_kind(const struct config_provider *provider)
{
    static const char *const names[] = {[TOKEN_KEY] = "key",
                                        [TOKEN_SERVICE_ACCOUNT] = "service-account",
                                        [TOKEN_METADATA] = "metadata",
                                        [TOKEN_COMMAND] = "command"};
    for (int i = TOKEN_SERVICE_ACCOUNT; i <= TOKEN_COMMAND; i++)
        if (strcmp(provider->auth, names[i]) == 0)
            return (enum token_kind)i;
    return TOKEN_KEY;
}

struct token_config settings_token(const struct config *config, size_t provider, const char *secret)
{
    const struct config_provider *from = &config->providers[provider];
    return (struct token_config){
        .provider = from->name,
        .kind = settings_token_kind(from),
        .secret = secret,
        .header = dialect_find(from->dialect)->secret_name,
        .command = from->token_command,
        .connect_ms = config->connect_timeout,
    };
}

enum log_level settings_log_level(const struct config *config)
{
    static const struct {
        const char *name;
        enum log_level level;
    } levels[] = {
        {"error", LOG_LEVEL_ERROR}, {"warning", LOG_LEVEL_WARNING}, {"debug", LOG_LEVEL_DEBUG}};
    for (size_t i = 0; i < sizeof(levels) / sizeof(levels[0]); i++)
        if (strcmp(levels[i].name, config->log_level) == 0)
            return levels[i].level;
    return LOG_LEVEL_INFO;
}

/* ---- the agent ---- */

struct agent_config settings_agent(const struct config *config, const char *system_prompt)
{
    return (struct agent_config){
        .base_url = config->agent_base_url,
        .model = config->agent_model,
        .system_prompt = system_prompt,
        .temperature = config->agent_temperature,
        .temperature_models = config->agent_globs,
        .max_tokens = config->agent_max_tokens,
        .rounds = config->agent_rounds,
        .tokens = config->agent_tokens,
        .time_ms = config->agent_time,
        .max_usd = config->agent_max_usd,
        .video_wait_ms = config->agent_video_wait,
        .conversations = (size_t)config->agent_conversations,
        .session_age_ms = config->agent_session_age,
        .session_bytes = (size_t)config->agent_session_bytes,
        .connect_ms = config->connect_timeout,
        .answer_ms = config->answer_timeout,
        .reply_bytes = (size_t)config->reply_bytes,
        .backoff = {.base_ms = config->base_delay, .max_ms = config->max_delay},
    };
}

static int refuse_prompt(const char *path, const char *why, struct error *error)
{
    return error_set(error, ERROR_INVALID_ARGUMENT, "system_prompt", "[agent] system_prompt %s: %s",
                     path, why);
}

static int open_regular(const char *path, struct error *error)
{
    struct stat status;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0)
        return refuse_prompt(path, strerror(errno), error);
    if (fstat(fd, &status) == 0 && S_ISREG(status.st_mode))
        return fd;
    close(fd);
    return refuse_prompt(path, "no regular file", error);
}

int settings_system_prompt(const struct config *config, char **ret, struct error *error)
{
    const char *path = config->agent_system_prompt;
    *ret = NULL;
    if (!path)
        return 0;
    int fd = open_regular(path, error);
    if (fd < 0)
        return -1;
    char *text = mem_alloc(SYSTEM_PROMPT_MAX + 2);
    ssize_t length = read(fd, text, SYSTEM_PROMPT_MAX + 1);
    int status = 0;
    if (length < 0)
        status = refuse_prompt(path, strerror(errno), error);
    else if (length > SYSTEM_PROMPT_MAX)
        status = refuse_prompt(path, "longer than 64 KiB", error);
    else if (utf8_valid_prefix(text, (size_t)length) < (size_t)length ||
             memchr(text, '\0', (size_t)length))
        status = refuse_prompt(path, "no text in UTF-8", error);
    else if (text[strspn(text, " \t\r\n")] == '\0')
        status = refuse_prompt(path, "empty", error);
    close(fd);
    if (status < 0)
        free(text);
    else
        *ret = text;
    return status;
}
