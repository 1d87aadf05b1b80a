#include "daemon/cmd/metrics.h"
#include "daemon/io/blob.h"
#include "daemon/io/lag.h"
#include "daemon/io/process.h"

#define PACES_MAX 64 /* shown, as in STATS */

static const char *const lanes[HTTP_LANES] = {
    [HTTP_CALLS] = "calls",
    [HTTP_TRANSFERS] = "transfers",
    [HTTP_UPLOADS] = "uploads",
    [HTTP_CHATS] = "chats",
};

/* ---- the process ---- */

static void write_known(struct expose *expose, const char *name, const char *help, int64_t value)
{
    if (value >= 0)
        expose_one_uint(expose, name, EXPOSE_GAUGE, help, (uint64_t)value);
}

static void write_process(struct expose *expose, const struct commands *commands)
{
    struct process process;
    process_look(&process);
    expose_family(expose, "veod_build_info", EXPOSE_GAUGE, "1, of this version of veod.");
    expose_uint(expose, EXPOSE_LABELS("version", VEOD_VERSION), 1);
    expose_one_double(expose, "veod_uptime_seconds", EXPOSE_GAUGE, "Since veod was started.",
                      (double)(uv_now(commands->loop) - commands->started_at) / 1000);
    if (commands->process_started_at > 0)
        expose_one_double(expose, "veod_process_start_time_seconds", EXPOSE_GAUGE,
                          "When the process was started, since the Unix epoch.",
                          commands->process_started_at);
    if (process.cpu_seconds >= 0)
        expose_one_double(expose, "veod_process_cpu_seconds_total", EXPOSE_COUNTER,
                          "Time on processors, the user's and the system's.", process.cpu_seconds);
    write_known(expose, "veod_process_resident_memory_bytes", "Memory that is there.",
                process.resident_bytes);
    write_known(expose, "veod_process_virtual_memory_bytes", "Memory that is mapped.",
                process.virtual_bytes);
    write_known(expose, "veod_process_open_fds", "Open file descriptors.",
                process.open_descriptors);
    write_known(expose, "veod_process_max_fds", "How many may be open.", process.max_descriptors);
}

static void write_loop(struct expose *expose, const struct commands *commands)
{
    const struct lag *lag = commands->config.lag;
    if (!lag)
        return;
    expose_one_histogram(expose, "veod_loop_busy_seconds",
                         "Turns of the event loop, by how long whatever is due had to wait.",
                         &lag->us);
    expose_one_double(expose, "veod_loop_busy_max_seconds", EXPOSE_GAUGE,
                      "The longest turn since the start.", (double)lag->us_max / 1e6);
}

/* ---- jobs ---- */

static void write_states(struct expose *expose, const struct engine_stats *stats,
                         const struct meter *meter)
{
    expose_family(expose, "veod_jobs", EXPOSE_GAUGE, "Jobs that are kept, by state.");
    for (int i = 0; i < JOB_STATE_COUNT; i++)
        expose_uint(expose, EXPOSE_LABELS("state", job_state_name((enum job_state)i)),
                    stats->states[i]);
    expose_one_uint(expose, "veod_jobs_accepted_total", EXPOSE_COUNTER, "New jobs.",
                    meter->accepted);
    expose_family(expose, "veod_job_changes_total", EXPOSE_COUNTER,
                  "How often a job came into a state, other than as a new one.");
    for (int i = 0; i < JOB_STATE_COUNT; i++)
        expose_uint(expose, EXPOSE_LABELS("state", job_state_name((enum job_state)i)),
                    meter->became[i]);
    expose_family(expose, "veod_job_errors_total", EXPOSE_COUNTER,
                  "Jobs that became failed or uncertain, by the code of the error.");
    for (size_t i = 0; meter_code(i); i++) {
        if (meter->failed[i] > 0)
            expose_uint(expose, EXPOSE_LABELS("state", "failed", "code", meter_code(i)),
                        meter->failed[i]);
        if (meter->uncertain[i] > 0)
            expose_uint(expose, EXPOSE_LABELS("state", "uncertain", "code", meter_code(i)),
                        meter->uncertain[i]);
    }
}

static void write_queue(struct expose *expose, const struct engine *engine,
                        const struct engine_stats *stats)
{
    const struct engine_config *config = engine_config(engine);
    expose_one_uint(expose, "veod_jobs_live", EXPOSE_GAUGE,
                    "Jobs in memory: those that have not ended.", stats->live);
    expose_one_uint(expose, "veod_jobs_live_max", EXPOSE_GAUGE, "[limits] jobs.", config->jobs);
    expose_one_uint(expose, "veod_queue_jobs", EXPOSE_GAUGE, "Jobs that wait to be submitted.",
                    stats->waiting);
    expose_one_double(expose, "veod_queue_oldest_seconds", EXPOSE_GAUGE,
                      "How long the one of them waits that could have been submitted first.",
                      (double)engine_longest_wait(engine) / 1000);
    expose_one_uint(expose, "veod_in_flight", EXPOSE_GAUGE,
                    "Jobs that were submitted and have not ended at their provider.",
                    stats->in_flight);
    expose_one_uint(expose, "veod_in_flight_max", EXPOSE_GAUGE, "[limits] in_flight.",
                    config->in_flight);
}

static void write_latencies(struct expose *expose, const struct engine *engine,
                            const struct meter *meter)
{
    const struct engine_config *config = engine_config(engine);
    expose_one_histogram(expose, "veod_queue_wait_seconds",
                         "From when a job could be submitted to when it was its turn.",
                         &meter->queue_ms);
    expose_family(expose, "veod_generation_seconds", EXPOSE_HISTOGRAM,
                  "From a job's acceptance by its provider to the notice of its end.");
    for (size_t i = 0; i < meter->provider_count; i++)
        expose_histogram(expose, EXPOSE_LABELS("provider", config->providers[i].provider.name),
                         &meter->providers[i].generation_ms);
    expose_one_histogram(expose, "veod_fetch_seconds",
                         "From that notice to when all results were in place.", &meter->fetch_ms);
    expose_one_histogram(expose, "veod_job_seconds",
                         "From the acceptance of jobs by veod to when they were done.",
                         &meter->done_ms);
}

/* ---- providers ---- */

typedef void pace_fn(struct expose *expose, const char *const *labels,
                     const struct engine_pace *pace);

static void each_pace(struct expose *expose, const struct engine *engine, pace_fn *write)
{
    struct engine_pace pace;
    for (size_t i = 0; i < PACES_MAX && engine_pace(engine, i, &pace); i++)
        write(expose, EXPOSE_LABELS("provider", pace.provider, "model", pace.model), &pace);
}

static void write_in_flight(struct expose *expose, const char *const *labels,
                            const struct engine_pace *pace)
{
    expose_uint(expose, labels, pace->in_flight);
}

static void write_shut(struct expose *expose, const char *const *labels,
                       const struct engine_pace *pace)
{
    expose_uint(expose, labels, pace->shut_until > 0);
}

static void write_opens(struct expose *expose, const char *const *labels,
                        const struct engine_pace *pace)
{
    int64_t left = pace->shut_until > 0 ? pace->shut_until - engine_wall_ms() : 0;
    expose_double(expose, labels, left > 0 ? (double)left / 1000 : 0);
}

static void write_rate(struct expose *expose, const char *const *labels,
                       const struct engine_pace *pace)
{
    if (pace->per_minute > 0)
        expose_double(expose, labels, pace->per_minute / 60);
}

static void write_paces(struct expose *expose, const struct engine *engine)
{
    expose_family(expose, "veod_provider_in_flight", EXPOSE_GAUGE,
                  "Jobs in flight at a provider, by model; of those lately used.");
    each_pace(expose, engine, write_in_flight);
    expose_family(expose, "veod_provider_gate_shut", EXPOSE_GAUGE,
                  "1 while nothing is submitted, since the provider turned veod away.");
    each_pace(expose, engine, write_shut);
    expose_family(expose, "veod_provider_gate_opens_seconds", EXPOSE_GAUGE,
                  "How long that will go on; 0: it is open.");
    each_pace(expose, engine, write_opens);
    expose_family(expose, "veod_provider_submissions_per_second_max", EXPOSE_GAUGE,
                  "At most so many are submitted, where a bound is known.");
    each_pace(expose, engine, write_rate);
}

void metrics_write_answers(struct expose *expose, const char **labels,
                           const struct http_tally *tally)
{
    const char **value = labels;
    while (*value)
        value++;
    for (int i = 0; i < HTTP_CLASS_COUNT; i++) {
        *value = http_class_name((enum http_class)i);
        expose_uint(expose, labels, tally->answers[i]);
    }
}

static void write_answers(struct expose *expose, const struct engine *engine,
                          const struct meter *meter)
{
    const struct engine_config *config = engine_config(engine);
    expose_family(expose, "veod_provider_answers_total", EXPOSE_COUNTER,
                  "Answers of providers, by what was requested and the class of the status; 429 is "
                  "a class of its own, unsent is without a connection, unheard without an answer.");
    for (size_t i = 0; i < meter->provider_count; i++)
        for (int what = 0; what < METER_HTTP_COUNT; what++) {
            const char *labels[] = {"provider", config->providers[i].provider.name,
                                    "request",  meter_http_name((enum meter_http)what),
                                    "class",    NULL,
                                    NULL};
            metrics_write_answers(expose, labels, &meter->providers[i].http[what]);
        }
    expose_family(expose, "veod_provider_answer_seconds", EXPOSE_HISTOGRAM,
                  "From the beginning of a request to the end of its answer.");
    for (size_t i = 0; i < meter->provider_count; i++)
        for (int what = 0; what < METER_HTTP_COUNT; what++)
            expose_histogram(expose,
                             EXPOSE_LABELS("provider", config->providers[i].provider.name,
                                           "request", meter_http_name((enum meter_http)what)),
                             &meter->providers[i].http[what].ms);
}

static void write_work(struct expose *expose, const struct engine_stats *stats)
{
    expose_one_uint(expose, "veod_submissions_total", EXPOSE_COUNTER,
                    "Requests for a generation that were made.", stats->submissions);
    expose_one_uint(expose, "veod_polls_total", EXPOSE_COUNTER,
                    "How often providers were asked about a job.", stats->polls);
    expose_one_uint(expose, "veod_poll_failures_total", EXPOSE_COUNTER,
                    "How often that was of no use.", stats->poll_failures);
    expose_one_uint(expose, "veod_fetched_results_total", EXPOSE_COUNTER,
                    "Results that were fetched, and are in place.", stats->fetched_results);
    expose_one_uint(expose, "veod_fetched_bytes_total", EXPOSE_COUNTER, "Their bytes.",
                    stats->fetched_bytes);
}

static void write_http(struct expose *expose, struct http *http)
{
    struct http_stats stats;
    http_stats(http, &stats);
    expose_family(expose, "veod_http_requests_total", EXPOSE_COUNTER,
                  "Requests that were begun, by lane.");
    for (int i = 0; i < HTTP_LANES; i++)
        expose_uint(expose, EXPOSE_LABELS("lane", lanes[i]), stats.requests[i]);
    expose_family(expose, "veod_http_active", EXPOSE_GAUGE, "Requests under way, by lane.");
    for (int i = 0; i < HTTP_LANES; i++)
        expose_uint(expose, EXPOSE_LABELS("lane", lanes[i]), stats.active[i]);
    expose_family(expose, "veod_http_waiting", EXPOSE_GAUGE,
                  "Requests that wait for their turn, by lane.");
    for (int i = 0; i < HTTP_LANES; i++)
        expose_uint(expose, EXPOSE_LABELS("lane", lanes[i]), stats.waiting[i]);
    expose_one_uint(expose, "veod_http_connections_total", EXPOSE_COUNTER,
                    "Connections that were opened.", stats.connections);
}

/* ---- money ---- */

static void write_charged(struct expose *expose, const struct engine *engine,
                          const struct meter *meter)
{
    const struct engine_config *config = engine_config(engine);
    const struct meter_provider *gone = &meter->providers[meter->provider_count];
    expose_family(expose, "veod_charged_dollars_total", EXPOSE_COUNTER,
                  "What was charged, by provider; an empty one: it is no longer configured.");
    for (size_t i = 0; i < meter->provider_count; i++)
        expose_usd(expose, EXPOSE_LABELS("provider", config->providers[i].provider.name),
                   (int64_t)meter->providers[i].charged);
    if (gone->charged > 0)
        expose_usd(expose, EXPOSE_LABELS("provider", ""), (int64_t)gone->charged);
    expose_family(expose, "veod_credited_dollars_total", EXPOSE_COUNTER,
                  "What of it was, as it turned out later, not charged after all.");
    for (size_t i = 0; i < meter->provider_count; i++)
        expose_usd(expose, EXPOSE_LABELS("provider", config->providers[i].provider.name),
                   (int64_t)meter->providers[i].credited);
    if (gone->credited > 0)
        expose_usd(expose, EXPOSE_LABELS("provider", ""), (int64_t)gone->credited);
}

static int64_t limit_of(const struct budget_state *state)
{
    return state->limit;
}

static int64_t charged_of(const struct budget_state *state)
{
    return state->charged;
}

static int64_t reserved_of(const struct budget_state *state)
{
    return state->reserved;
}

static int64_t left_of(const struct budget_state *state)
{
    int64_t left = state->limit - state->charged - state->reserved;
    return left > 0 ? left : 0;
}

struct budget_row {
    const char *name;
    const char *help;
    int64_t (*amount)(const struct budget_state *state);
    bool is_of_limit; /* there is none where there is no limit */
};

static void write_budget(struct expose *expose, const struct engine *engine,
                         const struct budget *budget, const struct budget_row *row)
{
    const struct engine_config *config = engine_config(engine);
    struct budget_state state;
    expose_family(expose, row->name, EXPOSE_GAUGE, row->help);
    budget_all(budget, &state);
    if (state.limit >= 0 || !row->is_of_limit)
        expose_usd(expose, EXPOSE_LABELS("for", "all"), row->amount(&state));
    for (size_t i = 0; i < config->provider_count; i++) {
        budget_provider(budget, i, &state);
        if (state.limit >= 0 || !row->is_of_limit)
            expose_usd(
                expose,
                EXPOSE_LABELS("for", "provider", "provider", config->providers[i].provider.name),
                row->amount(&state));
    }
}

static void write_money(struct expose *expose, const struct engine *engine,
                        const struct meter *meter)
{
    static const struct budget_row rows[] = {
        {"veod_budget_charged_dollars", "What was charged today (in UTC).", charged_of, false},
        {"veod_budget_reserved_dollars", "The estimates of jobs that have not ended.", reserved_of,
         false},
        {"veod_budget_limit_dollars", "What may be charged in a day, where there is a limit.",
         limit_of, true},
        {"veod_budget_left_dollars", "What is neither charged nor reserved of it.", left_of, true},
    };
    const struct budget *budget = engine_budget(engine);
    write_charged(expose, engine, meter);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        write_budget(expose, engine, budget, &rows[i]);
}

/* ---- the store, the clients ---- */

static void write_store(struct expose *expose, const struct store *store, bool is_failing)
{
    struct store_stats stats;
    store_stats(store, &stats);
    expose_one_uint(expose, "veod_store_failing", EXPOSE_GAUGE,
                    "1 while the store takes no changes.", is_failing);
    expose_one_uint(expose, "veod_store_commits_total", EXPOSE_COUNTER, "Batches made durable.",
                    stats.commits);
    expose_one_uint(expose, "veod_store_failed_commits_total", EXPOSE_COUNTER,
                    "Batches that could not be.", stats.failed_commits);
    expose_one_uint(expose, "veod_store_writes_total", EXPOSE_COUNTER, "Changes made durable.",
                    stats.writes);
    expose_one_uint(expose, "veod_store_waiting_writes", EXPOSE_GAUGE,
                    "Changes that are not durable yet.", stats.waiting);
    expose_one_histogram(expose, "veod_store_commit_seconds", "How long a commit took.",
                         &stats.commit_us);
    expose_one_histogram(expose, "veod_store_batch_writes", "Changes in a batch.", &stats.batch);
}

static void write_clients(struct expose *expose, const struct commands *commands)
{
    expose_one_uint(expose, "veod_clients", EXPOSE_GAUGE, "Clients that are connected.",
                    clients_count(commands->clients));
    expose_family(expose, "veod_commands_total", EXPOSE_COUNTER, "Commands, by verb.");
    for (enum verb verb = VERB_NONE + 1; verb < VERB_END; verb++)
        expose_uint(expose, EXPOSE_LABELS("verb", verb_info(verb)->name),
                    commands->served_by_verb[verb]);
    expose_family(expose, "veod_command_errors_total", EXPOSE_COUNTER,
                  "Commands that were answered with ERR, by code.");
    for (int code = ERROR_NONE + 1; code < ERROR_CODES_END; code++)
        expose_uint(expose, EXPOSE_LABELS("code", error_code_name((enum error_code)code)),
                    commands->refused[code]);
    expose_one_uint(expose, "veod_blob_bytes", EXPOSE_GAUGE, "Bytes of all blobs.",
                    blobs_total(commands->config.blobs));
}

void metrics_write(const struct commands *commands, bool with_money, struct expose *expose)
{
    const struct engine *engine = commands->engine;
    const struct meter *meter = engine_meter(engine);
    struct engine_stats stats;
    engine_stats(engine, &stats);
    write_process(expose, commands);
    write_loop(expose, commands);
    write_states(expose, &stats, meter);
    write_queue(expose, engine, &stats);
    write_latencies(expose, engine, meter);
    write_work(expose, &stats);
    write_paces(expose, engine);
    write_answers(expose, engine, meter);
    write_http(expose, commands->http);
    if (with_money)
        write_money(expose, engine, meter);
    write_store(expose, commands->store, stats.store_failing);
    write_clients(expose, commands);
    if (commands->config.ask_metrics)
        commands->config.ask_metrics(commands->config.ask_arg, expose);
}
