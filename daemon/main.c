/* veod: the wiring, as a list of steps. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/agent/agent.h"
#include "daemon/arguments.h"
#include "daemon/cmd/commands.h"
#include "daemon/config.h"
#include "daemon/io/blob.h"
#include "daemon/io/credential.h"
#include "daemon/io/lag.h"
#include "daemon/io/log.h"
#include "daemon/io/token.h"
#include "daemon/secrets.h"
#include "daemon/settings.h"
#include "proto/limits.h"
#include "proto/mem.h"
#include "systemd/sd.h"

#define EXIT_CONFIG   78    /* sysexits(3): EX_CONFIG */
#define STATUS_EVERY  1000  /* ms */
#define STOP_PATIENCE 30000 /* ms */

struct veod {
    char *config_file;
    bool config_may_be_missing;
    char *const *overrides;
    uv_loop_t loop;
    struct config config;
    struct engine_config engine_config;
    struct secrets secrets;
    struct token *tokens[CONFIG_PROVIDERS_MAX];
    char *blob_directory;
    char *system_prompt; /* the agent's; NULL: the shipped one */
    struct store *store;
    struct blobs *blobs;
    struct http *http;
    struct engine *engine;
    struct commands *commands;
    struct agent *agent;
    struct clients *clients;
    uv_signal_t terminate, interrupt, hangup;
    uv_timer_t status, watchdog, patience;
    struct lag lag;
    bool owns_socket;
    bool stopping;
};

/* ---- set-up ---- */

static int open_tokens(struct veod *veod, struct error *error)
{
    for (size_t i = 0; i < veod->config.provider_count; i++) {
        const struct token_config config =
            settings_token(&veod->config, i, veod->secrets.providers[i]);
        veod->tokens[i] = token_new(&veod->loop, veod->http, &config, error);
        if (!veod->tokens[i])
            return -1;
        veod->engine_config.providers[i].token = veod->tokens[i];
    }
    return 0;
}

static int check_default_model(const struct veod *veod, struct error *error)
{
    const struct engine_config *engine = &veod->engine_config;
    for (size_t i = 0; i < engine->provider_count; i++)
        if (provider_takes(&engine->providers[i].provider, veod->config.default_model))
            return 0;
    return error_set(error, ERROR_INVALID_ARGUMENT, "default_model",
                     "[daemon] default_model = %s: no provider takes it",
                     veod->config.default_model);
}

/* Many clients and transfers need many descriptors; the soft limit is for programs with select(2).
 */
static void raise_descriptor_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return;
    limit.rlim_cur = limit.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &limit);
}

static int make_output_directory(const struct veod *veod, struct error *error)
{
    const char *path = veod->config.output_directory;
    /* Users pass, to folders of their own. */
    if ((mkdir(path, 0711) == 0 && chmod(path, 0711) == 0) || errno == EEXIST)
        return access(path, W_OK | X_OK) == 0
                   ? 0
                   : error_set(error, ERROR_UNAVAILABLE, NULL, "[daemon] output_directory %s: %s",
                               path, strerror(errno));
    return error_set(error, ERROR_UNAVAILABLE, NULL, "cannot make [daemon] output_directory %s: %s",
                     path, strerror(errno));
}

static int open_http(struct veod *veod, struct error *error)
{
    const struct http_config config = {
        .at_once = {[HTTP_CALLS] = (unsigned)veod->config.calls,
                    [HTTP_TRANSFERS] = (unsigned)veod->config.transfers,
                    [HTTP_UPLOADS] = (unsigned)veod->config.transfers,
                    [HTTP_CHATS] = (unsigned)veod->config.agent_calls},
        .ca_file = veod->config.ca_file,
        .user_agent = "veod/" VEOD_VERSION,
    };
    if (http_new(&veod->loop, &config, &veod->http, error) < 0)
        return -1;
    return open_tokens(veod, error);
}

static int open_clients(struct veod *veod, struct error *error)
{
    const struct clients_config clients = settings_clients(&veod->config);
    int fd = sd_listening_socket();
    if (fd < -1)
        return error_set(error, ERROR_UNAVAILABLE, NULL,
                         "systemd passed something else than one listening stream socket");
    veod->owns_socket = fd < 0;
    if (clients_open(&veod->loop, &clients, fd, &commands_hooks, veod->commands, &veod->clients,
                     error) < 0)
        return -1;
    commands_set_clients(veod->commands, veod->clients);
    return 0;
}

static int open_blobs(struct veod *veod, struct error *error)
{
    const struct blobs_config config = settings_blobs(&veod->config, veod->blob_directory);
    return blobs_open(&veod->loop, veod->store, &config, &veod->blobs, error);
}

static int reload(void *arg, struct buf *changed, struct error *error);

static struct commands_config commands_config_of(struct veod *veod)
{
    return (struct commands_config){
        .reload = reload,
        .reload_arg = veod,
        .ask = agent_ask,
        .ask_stats = agent_write_stats,
        .ask_metrics = agent_write_metrics,
        .ask_arg = veod->agent,
        .lag = &veod->lag,
        .default_model = veod->config.default_model,
        .deadline_ms = veod->config.deadline,
        .client_commands = (size_t)veod->config.client_commands,
        .blobs = veod->blobs,
        .output_max = settings_output_max(&veod->config),
    };
}

static void open_agent(struct veod *veod)
{
    const struct agent_config agent = settings_agent(&veod->config, veod->system_prompt);
    const struct secrets *secrets = &veod->secrets;
    veod->agent = agent_new(&veod->loop, &agent, secrets->agent, secrets->agent_trouble.message,
                            veod->commands, veod->engine, veod->store, veod->http);
    secrets_free(&veod->secrets); /* all have copies now */
    const struct commands_config commands = commands_config_of(veod);
    commands_set_config(veod->commands, &commands);
}

static int open_all(struct veod *veod, struct error *error)
{
    if (store_open(veod->config.state_directory, &veod->loop, &veod->store, error) < 0 ||
        make_output_directory(veod, error) < 0 || open_blobs(veod, error) < 0 ||
        open_http(veod, error) < 0)
        return -1;
    const struct commands_config commands = commands_config_of(veod);
    veod->engine = engine_new(&veod->loop, &veod->engine_config, veod->http, veod->store);
    veod->commands = commands_new(&veod->loop, &commands, veod->engine, veod->store, veod->http);
    open_agent(veod);
    if (engine_recover(veod->engine, error) < 0 || agent_recover(veod->agent, error) < 0)
        return -1;
    return open_clients(veod, error);
}

/* ---- the configuration, read anew ---- */

static void apply_config(struct veod *veod)
{
    const struct commands_config commands = commands_config_of(veod);
    const struct clients_config clients = settings_clients(&veod->config);
    const struct blobs_config blobs = settings_blobs(&veod->config, veod->blob_directory);
    const struct agent_config agent = settings_agent(&veod->config, veod->system_prompt);
    veod->engine_config =
        settings_engine(&veod->config, veod->engine_config.providers, veod->blob_directory);
    commands_set_config(veod->commands, &commands);
    clients_set_limits(veod->clients, &clients);
    blobs_set_limits(veod->blobs, &blobs);
    engine_set_config(veod->engine, &veod->engine_config);
    agent_set_config(veod->agent, &agent);
}

/* Another text in the same file is a change as well. */
static void note_system_prompt(const struct veod *veod, const char *text, struct buf *changed)
{
    const char *old = veod->system_prompt ? veod->system_prompt : "";
    if (strcmp(old, text ? text : "") != 0 && !strstr(buf_text(changed), "agent.system_prompt"))
        buf_addf(changed, "%sagent.system_prompt", changed->length ? "," : "");
}

static int take_config(struct veod *veod, struct config *anew, struct buf *changed,
                       struct error *error)
{
    char *system_prompt, *old = veod->system_prompt;
    if (settings_system_prompt(anew, &system_prompt, error) < 0)
        return -1;
    if (config_reload(&veod->config, anew, changed, error) < 0) {
        free(system_prompt);
        return -1;
    }
    note_system_prompt(veod, system_prompt, changed);
    veod->system_prompt = system_prompt;
    apply_config(veod);
    free(old);
    return 0;
}

static int reload(void *arg, struct buf *changed, struct error *error)
{
    struct veod *veod = arg;
    struct config anew;
    sd_reloading();
    int status =
        config_load(veod->config_file, veod->config_may_be_missing, veod->overrides, &anew, error);
    if (status == 0) {
        status = take_config(veod, &anew, changed, error);
        config_free(&anew);
    }
    if (status < 0)
        log_error("main", "the configuration was not read anew: %s", error->message);
    else
        log_info("main", "the configuration was read anew; changed: %s",
                 changed->length ? buf_text(changed) : "nothing");
    sd_ready();
    return status;
}

static void on_hangup(uv_signal_t *handle, int number)
{
    struct veod *veod = handle->data;
    struct error error;
    struct buf changed;
    (void)number;
    if (veod->stopping)
        return;
    buf_init(&changed, LIMIT_LINE);
    (void)reload(veod, &changed, &error);
    buf_free(&changed);
}

/* ---- what an operator sees ---- */

static void tell_status(struct veod *veod)
{
    struct engine_stats stats;
    engine_stats(veod->engine, &stats);
    sd_status("%s%llu queued, %llu running, %llu fetching, %llu done, %llu failed%s, %zu clients",
              stats.store_failing ? "THE STORE FAILS (disk full?): " : "",
              (unsigned long long)stats.states[JOB_QUEUED],
              (unsigned long long)stats.states[JOB_RUNNING] + stats.states[JOB_SUBMITTING],
              (unsigned long long)stats.states[JOB_FETCHING],
              (unsigned long long)stats.states[JOB_DONE],
              (unsigned long long)stats.states[JOB_FAILED],
              stats.states[JOB_UNCERTAIN] ? ", some UNCERTAIN" : "", clients_count(veod->clients));
}

static void on_status(uv_timer_t *timer)
{
    tell_status(timer->data);
}

/* From a timer of the loop: a loop that no longer turns is silent, and systemd restarts it. */
static void on_watchdog(uv_timer_t *timer)
{
    (void)timer;
    sd_watchdog();
}

/* ---- the end ---- */

static void on_http_closed(void *arg)
{
    (void)arg;
}

static void on_store_closed(void *arg)
{
    struct veod *veod = arg;
    for (size_t i = 0; i < veod->config.provider_count; i++)
        token_close(veod->tokens[i]);
    http_close(veod->http, on_http_closed, veod);
}

static void on_blobs_closed(void *arg)
{
    struct veod *veod = arg;
    store_close(veod->store, on_store_closed, veod);
}

static void on_clients_closed(void *arg)
{
    struct veod *veod = arg;
    blobs_close(veod->blobs, on_blobs_closed, veod);
}

static void close_all(struct veod *veod)
{
    uv_handle_t *handles[] = {
        (uv_handle_t *)&veod->terminate, (uv_handle_t *)&veod->interrupt,
        (uv_handle_t *)&veod->hangup,    (uv_handle_t *)&veod->status,
        (uv_handle_t *)&veod->watchdog,  (uv_handle_t *)&veod->patience,
    };
    for (size_t i = 0; i < sizeof(handles) / sizeof(handles[0]); i++)
        uv_close(handles[i], NULL);
    /* libuv gives them back their default, and impatience must not cut the rest short. */
    signal(SIGTERM, SIG_IGN);
    signal(SIGINT, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    lag_close(&veod->lag);
    engine_abandon(veod->engine);
    clients_close(veod->clients, on_clients_closed, veod);
}

static void on_stopped(void *arg)
{
    close_all(arg);
}

static void on_patience_ended(uv_timer_t *timer)
{
    log_warning("main", "some submissions were not answered in time; their jobs are uncertain");
    close_all(timer->data);
}

static void on_signal(uv_signal_t *handle, int number)
{
    struct veod *veod = handle->data;
    if (veod->stopping)
        return;
    veod->stopping = true;
    log_info("main", "%s: stopping", number == SIGINT ? "SIGINT" : "SIGTERM");
    sd_stopping();
    sd_extend_timeout((STOP_PATIENCE + 15000) * 1000ULL);
    clients_stop_listening(veod->clients);
    if (veod->owns_socket)
        unlink(veod->config.socket);
    agent_abandon(veod->agent);
    uv_timer_start(&veod->patience, on_patience_ended, STOP_PATIENCE, 0);
    engine_stop(veod->engine, on_stopped, veod);
}

/* ---- the whole ---- */

static void start_handles(struct veod *veod)
{
    uint64_t watchdog_ms = sd_watchdog_interval_ms();
    uv_signal_init(&veod->loop, &veod->terminate);
    uv_signal_init(&veod->loop, &veod->interrupt);
    uv_signal_init(&veod->loop, &veod->hangup);
    uv_timer_init(&veod->loop, &veod->status);
    uv_timer_init(&veod->loop, &veod->watchdog);
    uv_timer_init(&veod->loop, &veod->patience);
    veod->terminate.data = veod->interrupt.data = veod->hangup.data = veod;
    veod->status.data = veod->watchdog.data = veod->patience.data = veod;
    uv_signal_start(&veod->terminate, on_signal, SIGTERM);
    uv_signal_start(&veod->interrupt, on_signal, SIGINT);
    uv_signal_start(&veod->hangup, on_hangup, SIGHUP);
    uv_timer_start(&veod->status, on_status, STATUS_EVERY, STATUS_EVERY);
    if (watchdog_ms > 0)
        uv_timer_start(&veod->watchdog, on_watchdog, watchdog_ms, watchdog_ms);
}

static void free_all(struct veod *veod)
{
    agent_free(veod->agent);
    if (veod->engine)
        engine_free(veod->engine);
    commands_free(veod->commands);
    free(veod->engine_config.providers);
    free(veod->blob_directory);
    free(veod->system_prompt);
    free(veod->config_file);
    secrets_free(&veod->secrets);
    config_free(&veod->config);
}

static int run(struct veod *veod)
{
    struct error error;
    uv_loop_init(&veod->loop);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGHUP, SIG_IGN); /* until it is listened to */
    umask(0027);
    raise_descriptor_limit();
    /* Commits, files' bytes and their hashes share libuv's pool. */
    setenv("UV_THREADPOOL_SIZE", "8", 0);
    if (open_all(veod, &error) < 0) {
        log_error("main", "%s", error.message);
        return EXIT_FAILURE;
    }
    start_handles(veod);
    log_info("main", "veod %s listens at %s", VEOD_VERSION, veod->config.socket);
    tell_status(veod);
    lag_open(&veod->loop, &veod->lag);
    sd_ready();
    uv_run(&veod->loop, UV_RUN_DEFAULT);
    uv_loop_close(&veod->loop);
    free_all(veod);
    return EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
    static struct veod veod;
    struct arguments arguments = {0};
    struct error error;
    arguments_read(argc, argv, &arguments);
    veod.config_file =
        arguments.config_file ? mem_strdup(arguments.config_file) : config_default_path();
    veod.config_may_be_missing = !arguments.config_file;
    veod.overrides = arguments.overrides;
    if (config_load(veod.config_file, veod.config_may_be_missing, veod.overrides, &veod.config,
                    &error) < 0) {
        fprintf(stderr, "veod: %s\n", error.message);
        return EXIT_CONFIG;
    }
    if (arguments.only_print) {
        config_print(&veod.config, stdout);
        config_free(&veod.config);
        return EXIT_SUCCESS;
    }
    log_open(settings_log_level(&veod.config));
    credential_protect_process();
    int status = secrets_load(&veod.secrets, &veod.config, &error);
    if (status == 0)
        status = settings_system_prompt(&veod.config, &veod.system_prompt, &error);
    if (status == 0) {
        if (!veod.secrets.agent)
            log_info("main", "ASK won't work: %s", veod.secrets.agent_trouble.message);
        veod.blob_directory = mem_format("%s/blobs", veod.config.state_directory);
        veod.engine_config =
            settings_engine(&veod.config, settings_providers(&veod.config), veod.blob_directory);
        status = check_default_model(&veod, &error);
    }
    if (status < 0) {
        log_error("main", "%s", error.message);
        free_all(&veod);
        return EXIT_CONFIG;
    }
    if (arguments.only_check) {
        free_all(&veod);
        return EXIT_SUCCESS;
    }
    return run(&veod);
}
