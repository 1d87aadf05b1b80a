/* What jobs may cost, and do: the model's price, the ledger of the day, and what waits for it. */
#include <stdlib.h>
#include <string.h>

#include "daemon/engine/task.h"
#include "daemon/io/log.h"
#include "proto/mem.h"
#include "proto/units.h"

#define LOOK_EVERY_MS 60000 /* at the clock, which may be set */

static const char over_budget[] = "budget-exceeded";

/* ---- models ---- */

const struct model *engine_model(const struct engine *engine, const char *name)
{
    return model_table_find(engine->config.models, name);
}

/* A model that Google has shut down may live on behind another provider. */
static int check_state(const struct engine *engine, const struct model *model,
                       const struct request *request, struct error *error)
{
    int status = 0;
    for (size_t i = 0; i < engine->config.provider_count; i++) {
        const struct provider *provider = &engine->config.providers[i].provider;
        if (!engine_is_meant(provider, request))
            continue;
        if (model_check_state(model, request, provider->base_url, error) == 0)
            return 0;
        status = -1;
    }
    return status;
}

int engine_check_model(const struct engine *engine, const struct request *request,
                       struct error *error)
{
    const struct model *model = engine_model(engine, request->model);
    if (check_state(engine, model, request, error) < 0)
        return -1;
    return model_check(model, request, error);
}

int64_t money_charge(const struct task *task, const struct outcome *outcome)
{
    const struct request *request = task->job->request;
    const struct outcome_usage *usage = &outcome->usage;
    int64_t charge =
        model_token_charge(engine_model(task->engine, request->model), usage->input_tokens,
                           usage->video_tokens, usage->other_tokens);
    int64_t asked = request->sample_count > 0 ? request->sample_count : 1;
    int64_t made = (int64_t)outcome->result_count;
    if (charge >= 0)
        return charge;
    return task->job->estimate * (made < asked ? made : asked) / asked;
}

/* ---- words ---- */

static void name_budget(const struct engine *engine, const struct budget_state *state,
                        struct buf *ret)
{
    char limit[UNITS_TEXT];
    units_format_dollars(state->limit, limit);
    if (state->scope == BUDGET_PROVIDER)
        buf_addf(ret, "[provider %s] daily_budget_usd",
                 engine->config.providers[state->provider].provider.name);
    else
        buf_addf(ret, "[budget] %s", state->scope == BUDGET_ALL ? "daily_usd" : "owner_daily_usd");
    buf_addf(ret, " = %s", limit);
}

static char *explain_hold(const struct engine *engine, int64_t estimate,
                          const struct budget_state *state)
{
    char wants[UNITS_TEXT], charged[UNITS_TEXT], reserved[UNITS_TEXT];
    struct buf text;
    buf_init(&text, 600);
    units_format_dollars(estimate, wants);
    units_format_dollars(state->charged, charged);
    units_format_dollars(state->reserved, reserved);
    buf_addf(&text, "it is estimated at %s; of ", wants);
    name_budget(engine, state, &text);
    buf_addf(&text,
             ", %s are charged today and %s reserved; it goes on when money comes free, when the "
             "day turns (00:00 UTC), or when the budget is raised",
             charged, reserved);
    return buf_steal(&text);
}

/* ---- the ledger ---- */

static size_t only_one(uint64_t providers)
{
    bool one = providers && (providers & (providers - 1)) == 0;
    return one ? (size_t)__builtin_ctzll(providers) : BUDGET_NOWHERE;
}

static size_t index_of(const struct engine *engine, const char *name)
{
    const struct engine_provider *provider = engine_provider_named(engine, name);
    return provider ? engine_provider_index(engine, provider) : BUDGET_NOWHERE;
}

static bool is_over_budget(const struct job *job)
{
    return job->state == JOB_HELD && job->error.code && strcmp(job->error.code, over_budget) == 0;
}

/* Where the money of a job is reserved: at its provider, or at the one that it will go to. */
static size_t place_of(const struct task *task, const struct job *job)
{
    if (job->state != JOB_QUEUED)
        return index_of(task->engine, job->provider);
    if (task->money.promised != BUDGET_NOWHERE)
        return task->money.promised;
    return only_one(engine_takers(task->engine, job->request));
}

/* What was noted and did not become durable is taken back when the job is noted as it was. */
static void note_charge(struct task *task, const struct job *job)
{
    struct task_money *money = &task->money;
    if (job->charged_at)
        money->charged_at = job->charged_at;
    budget_charge(task->engine->budget, job->owner, index_of(task->engine, job->provider),
                  job->charged - money->charged, money->charged_at);
    money->charged = job->charged;
}

/* Those that refused the job would refuse it again: their budgets don't matter. */
static uint64_t wanted_providers(const struct task *task)
{
    uint64_t takers = engine_takers(task->engine, task->job->request);
    return takers & ~task->tried ? takers & ~task->tried : takers;
}

static void wait_for_money(struct task *task)
{
    struct budget_entry *entry = &task->money.entry;
    entry->id = task->job->id;
    entry->priority = task->job->request->priority;
    entry->wants = task->job->estimate;
    budget_hold(task->engine->budget, entry, wanted_providers(task));
}

void money_note(struct task *task, const struct job *job)
{
    struct budget *budget = task->engine->budget;
    struct budget_entry *entry = &task->money.entry;
    budget_turn(budget, engine_wall_ms());
    note_charge(task, job);
    if (job->state != JOB_QUEUED)
        task->money.promised = BUDGET_NOWHERE;
    budget_reserve(budget, entry, job_reserved(job), place_of(task, job));
    budget_unhold(budget, entry);
    if (job == task->job && is_over_budget(job))
        wait_for_money(task);
}

void money_open(struct task *task)
{
    task->money.entry.owner = task->job->owner;
    task->money.promised = BUDGET_NOWHERE;
    task->money.charged = task->job->charged; /* the store has told the ledger */
    task->money.charged_at = task->job->charged_at;
    money_note(task, task->job);
}

void money_close(struct task *task)
{
    budget_unhold(task->engine->budget, &task->money.entry);
    budget_reserve(task->engine->budget, &task->money.entry, 0, BUDGET_NOWHERE);
}

/* ---- acceptance ---- */

int engine_check_budget(const struct engine *engine, const struct request *request,
                        struct error *error)
{
    struct budget_state state;
    char wants[UNITS_TEXT];
    struct buf text;
    int64_t estimate = model_estimate(engine_model(engine, request->model), request);
    if (budget_can_ever_fit(engine->budget, engine_takers(engine, request), estimate, &state))
        return 0;
    buf_init(&text, 300);
    units_format_dollars(estimate, wants);
    name_budget(engine, &state, &text);
    error_set(error, ERROR_BUDGET_EXCEEDED, NULL,
              "it is estimated at %s, which is more than a whole day's budget: %s", wants,
              buf_text(&text));
    buf_free(&text);
    return -1;
}

static void hold_new(const struct engine *engine, struct job *job, const struct budget_state *state)
{
    char *why = explain_hold(engine, job->estimate, state);
    const struct job_event event = {
        .type = JOB_HOLD,
        .now = job->created_at,
        .error = {.code = (char *)(uintptr_t)over_budget, .message = why},
    };
    (void)job_step(job, &event, &engine->config.policy, NULL);
    free(why);
}

void money_accept(struct engine *engine, struct job *job, struct budget_entry *ret)
{
    struct budget_state state;
    uint64_t providers = engine_takers(engine, job->request);
    budget_turn(engine->budget, engine_wall_ms());
    job->estimate = model_estimate(engine_model(engine, job->request->model), job->request);
    *ret = (struct budget_entry){.owner = job->owner, .provider = BUDGET_NOWHERE};
    if (!budget_fits(engine->budget, job->owner, providers, job->estimate, &state))
        hold_new(engine, job, &state);
    budget_reserve(engine->budget, ret, job_reserved(job), only_one(providers));
}

void money_accepted(struct engine *engine, struct budget_entry *entry)
{
    budget_reserve(engine->budget, entry, 0, BUDGET_NOWHERE);
}

int money_check_release(const struct task *task, struct error *error)
{
    struct budget_state state;
    const struct job *job = task->job;
    budget_turn(task->engine->budget, engine_wall_ms());
    if (job->state != JOB_HELD ||
        budget_fits(task->engine->budget, job->owner, engine_takers(task->engine, job->request),
                    job->estimate, &state))
        return 0;
    char *why = explain_hold(task->engine, job->estimate, &state);
    error_set(error, ERROR_BUDGET_EXCEEDED, NULL, "%s", why);
    free(why);
    return -1;
}

/* ---- at the pick ---- */

bool money_admits(const struct task *task, size_t provider)
{
    const struct budget_entry *entry = &task->money.entry;
    return entry->provider == provider ||
           budget_provider_fits(task->engine->budget, provider, task->job->estimate);
}

static void hold(struct task *task, const struct budget_state *state)
{
    char *why = explain_hold(task->engine, task->job->estimate, state);
    struct job_event event = {
        .type = JOB_HOLD,
        .error = {.code = (char *)(uintptr_t)over_budget, .message = why},
    };
    task_event(task, &event, false, NULL, NULL);
    free(why);
}

void money_hold(struct task *task)
{
    struct budget_state state;
    size_t provider = (size_t)__builtin_ctzll(task->unaffordable);
    budget_provider(task->engine->budget, provider, &state);
    hold(task, &state);
}

bool money_asks_more(const struct job *before, const struct job *after)
{
    return after->state == JOB_QUEUED && after->estimate > 0 &&
           job_reserved(after) + after->charged > job_reserved(before) + before->charged;
}

void money_hold_if_over(struct task *task)
{
    struct budget_state state;
    if (task->job->state == JOB_QUEUED && !task->next &&
        budget_is_over(task->engine->budget, task->job->owner, task->money.entry.provider, &state))
        hold(task, &state);
}

/* ---- release ---- */

void money_review(struct engine *engine)
{
    struct budget_entry *entry;
    size_t provider;
    if (engine->stopping || engine->over || engine->store_failing)
        return;
    budget_turn(engine->budget, engine_wall_ms());
    while ((entry = budget_next(engine->budget, &provider))) {
        struct task *task = heap_entry(entry, struct task, money.entry);
        struct job_event event = {.type = JOB_RELEASE};
        task->money.promised = provider;
        task_event(task, &event, true, NULL, NULL);
    }
}

void money_reconsider(struct engine *engine)
{
    struct task **tasks = engine->passed_over ? engine_list_tasks(engine) : NULL;
    size_t count = engine->passed_over ? engine->task_count : 0;
    engine->passed_over = false;
    for (size_t i = 0; i < count; i++) {
        struct task *task = tasks[i];
        if (!task->unaffordable || task->job->state != JOB_QUEUED || task->changes)
            continue;
        task->unaffordable = 0;
        task_queue(task);
    }
    free(tasks);
}

static void on_time(uv_timer_t *timer);

static void arm(struct engine *engine)
{
    int64_t now = engine_wall_ms();
    int64_t left = budget_day_end(now) - now;
    uv_timer_start(&engine->money_timer, on_time,
                   (uint64_t)(left < LOOK_EVERY_MS ? left : LOOK_EVERY_MS), 0);
}

static void on_time(uv_timer_t *timer)
{
    struct engine *engine = timer->data;
    if (budget_turn(engine->budget, engine_wall_ms()))
        log_info("money", "a new day: nothing was charged yet");
    money_reconsider(engine);
    money_review(engine);
    submit_schedule(engine);
    arm(engine);
}

/* ---- the engine's ---- */

struct budget *engine_budget(const struct engine *engine)
{
    budget_turn(engine->budget, engine_wall_ms());
    return engine->budget;
}

void money_set_limits(struct engine *engine)
{
    const struct engine_config *config = &engine->config;
    budget_set_limits(engine->budget, config->daily_budget, config->owner_daily_budget);
    for (size_t i = 0; i < config->provider_count; i++)
        budget_set_provider_limit(engine->budget, i, config->providers[i].daily_budget);
}

void money_init(struct engine *engine)
{
    engine->budget = budget_new(engine->config.provider_count);
    budget_turn(engine->budget, engine_wall_ms());
    money_set_limits(engine);
    uv_timer_init(engine->loop, &engine->money_timer);
    engine->money_timer.data = engine;
    uv_unref((uv_handle_t *)&engine->money_timer);
    arm(engine);
}

static void on_charge(void *arg, uid_t owner, const char *provider, int64_t amount)
{
    struct engine *engine = arg;
    budget_charge(engine->budget, owner, provider ? index_of(engine, provider) : BUDGET_NOWHERE,
                  amount, engine_wall_ms());
}

int money_recover(struct engine *engine, struct error *error)
{
    return store_each_charge(engine->store, budget_day_begin(engine_wall_ms()), on_charge, engine,
                             error);
}
