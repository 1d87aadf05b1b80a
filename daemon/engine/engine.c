#include "daemon/engine/engine.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "daemon/engine/task.h"
#include "daemon/io/log.h"
#include "proto/mem.h"

/* ---- time and chance ---- */

int64_t engine_wall_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Not uv_now(): that is the turn's beginning, and what is due would be due too early by the turn's
 * length. */
int64_t engine_steady_ms(void)
{
    return (int64_t)(uv_hrtime() / 1000000);
}

double engine_random(void)
{
    return drand48();
}

int64_t engine_backoff(const struct engine *engine, int earlier)
{
    return backoff_delay(&engine->config.backoff, earlier, engine_random());
}

/* ---- public ---- */

struct engine *engine_new(uv_loop_t *loop, const struct engine_config *config, struct http *http,
                          struct store *store)
{
    struct engine *engine = mem_alloc(sizeof(*engine));
    long seed = 0;
    (void)!getrandom(&seed, sizeof(seed), 0);
    srand48(seed);
    engine->loop = loop;
    engine->config = *config;
    engine->http = http;
    engine->store = store;
    struct sched_provider *paces = engine_paces(config);
    engine->sched = sched_new(paces, config->provider_count, config->in_flight);
    free(paces);
    engine->learn = learn_new();
    engine->meter = meter_new(config->provider_count);
    engine->provider_private = mem_alloc(config->provider_count + 1);
    for (size_t i = 0; i < config->provider_count; i++)
        engine->provider_private[i] =
            http_names_private_host(config->providers[i].provider.base_url);
    engine_init_timer(engine);
    money_init(engine);
    fetch_init(engine);
    access_listen(engine);
    return engine;
}

void engine_set_config(struct engine *engine, const struct engine_config *config)
{
    engine->config = *config;
    struct sched_provider *paces = engine_paces(config);
    sched_set_limits(engine->sched, paces, config->in_flight);
    free(paces);
    money_set_limits(engine);
    money_reconsider(engine);
    money_review(engine);
    submit_schedule(engine);
}

static void on_loaded(void *arg, struct job *job)
{
    struct task *task = task_add(arg, job);
    task->unwatched = true;
}

static void on_duration(void *arg, const char *model, int64_t ms)
{
    struct engine *engine = arg;
    learn_add(engine->learn, model, ms, ms);
}

static void resume(struct task *task)
{
    if (task->job->state != JOB_SUBMITTING) {
        task_go_on(task);
        return;
    }
    struct job_event event = {
        .type = JOB_UNHEARD,
        .error = {.code = "interrupted",
                  .message = "veod stopped between sending the request and hearing the answer; it "
                             "may be running and charged",
                  .retryable = true},
    };
    task_count(task);
    task_event(task, &event, false, NULL, NULL);
}

int engine_recover(struct engine *engine, struct error *error)
{
    if (store_each_duration(engine->store, LEARN_SAMPLES, on_duration, engine, error) < 0 ||
        store_count_states(engine->store, engine->stats.states, error) < 0 ||
        money_recover(engine, error) < 0 ||
        store_each_live(engine->store, on_loaded, engine, error) < 0)
        return -1;
    size_t count = engine->task_count;
    struct task **tasks = engine_list_tasks(engine);
    uv_update_time(engine->loop);
    for (size_t i = 0; i < count; i++)
        resume(tasks[i]);
    free(tasks);
    if (count > 0)
        log_info("job", "going on with %zu jobs", count);
    money_review(engine);
    submit_schedule(engine);
    retain_start(engine);
    return 0;
}

void engine_maybe_stopped(struct engine *engine)
{
    if (!engine->stopped || engine->submitting > 0)
        return;
    void (*stopped)(void *) = engine->stopped;
    engine->stopped = NULL;
    stopped(engine->stopped_arg);
}

void engine_stop(struct engine *engine, void (*stopped)(void *), void *arg)
{
    size_t count = engine->task_count;
    struct task **tasks = engine_list_tasks(engine);
    engine->stopping = true;
    engine->stopped = stopped;
    engine->stopped_arg = arg;
    /* Slow answers to others must not keep those waiting that were never sent. */
    for (size_t i = 0; i < count; i++)
        submit_take_back(tasks[i]);
    free(tasks);
    engine_maybe_stopped(engine);
}

void engine_abandon(struct engine *engine)
{
    size_t count = engine->task_count;
    struct task **tasks = engine_list_tasks(engine);
    engine->over = true;
    engine->stopped = NULL;
    for (size_t i = 0; i < count; i++)
        task_stop_work(tasks[i], false);
    free(tasks);
    uv_close((uv_handle_t *)&engine->timer, NULL);
    uv_close((uv_handle_t *)&engine->money_timer, NULL);
    if (engine->retain)
        retain_stop(engine);
}

void engine_free(struct engine *engine)
{
    size_t count = engine->task_count;
    struct task **tasks = engine_list_tasks(engine);
    for (size_t i = 0; i < count; i++) {
        job_free(tasks[i]->next);
        free(tasks[i]->detail);
        task_free_changes(tasks[i]);
        task_drop(tasks[i]);
    }
    free(tasks);
    submit_forget_tellings(engine);
    ask_forget_all(engine);
    heap_free(&engine->timers);
    heap_free(&engine->fetch_queue);
    sched_free(engine->sched);
    budget_free(engine->budget);
    learn_free(engine->learn);
    meter_free(engine->meter);
    free(engine->provider_private);
    free(engine);
}

struct making {
    struct engine *engine;
    struct store_write write;
    struct engine_new_job *made;
    bool *taken;
    struct budget_entry *money; /* for each job, until it is a task */
    char **details;
    char (*existing)[JOB_ID_SIZE];
    engine_made_fn *done;
    void *arg;
};

static void free_making(struct making *making)
{
    for (size_t i = 0; i < making->write.count; i++) {
        job_free(making->write.jobs[i]);
        free(making->details[i]);
    }
    free(making->details);
    free(making->money);
    free(making->write.jobs);
    free(making->made);
    free(making->taken);
    free(making->existing);
    free(making);
}

static void begin_life(struct engine *engine, struct job *job, int64_t event, const char *detail)
{
    engine->stats.states[job->state]++;
    engine->meter->accepted++;
    task_tell(task_add(engine, job), event, detail ? detail : "{}");
}

static void refuse_making(struct making *making)
{
    const struct store_write *write = &making->write;
    struct error error;
    const struct request *request =
        write->jobs[write->at_fault < write->count ? write->at_fault : 0]->request;
    if (write->status == -ENOENT) {
        error_set(&error, ERROR_NOT_FOUND, NULL,
                  "what job %zu needs was removed while it was being made; send it again",
                  write->at_fault);
    } else if (write->status != -EEXIST) {
        engine_store_failed(making->engine, write->status);
        error = engine_store_error(write->status);
    } else if (write->key_at_fault) {
        error_set(&error, ERROR_CONFLICT, "key",
                  "the key \"%s\" already names a job with another request", request->key);
    } else {
        error_set(&error, ERROR_CONFLICT, "output",
                  making->taken[write->at_fault] ? "a file \"%s\" exists already"
                                                 : "another job already writes \"%s\"",
                  request->output);
    }
    making->done(making->arg, &error, NULL, 0);
}

static void on_made(struct store_write *write)
{
    struct making *making = write->context;
    struct engine *engine = making->engine;
    for (size_t i = 0; i < write->count; i++)
        money_accepted(engine, &making->money[i]);
    if (write->status < 0) {
        refuse_making(making);
        free_making(making);
        money_review(engine);
        return;
    }
    engine_store_worked(engine);
    int64_t event = write->event;
    for (size_t i = 0; i < write->count; i++) {
        struct engine_new_job *made = &making->made[i];
        made->existing = making->existing[i][0] != '\0';
        memcpy(made->id, made->existing ? making->existing[i] : write->jobs[i]->id, JOB_ID_SIZE);
        if (made->existing)
            continue;
        made->held = write->jobs[i]->state == JOB_HELD;
        begin_life(engine, write->jobs[i], event++, making->details[i]);
        write->jobs[i] = NULL;
    }
    making->done(making->arg, NULL, making->made, write->count);
    for (size_t i = 0; i < write->count; i++) {
        struct task *task =
            making->made[i].existing ? NULL : engine_task(engine, making->made[i].id);
        if (task && !task->changes && task->job->state == JOB_QUEUED)
            task_go_on(task);
    }
    free_making(making);
    money_review(engine); /* what was reserved for jobs that were there already is free again */
    submit_schedule(engine);
    engine_maybe_stopped(engine);
}

void engine_make(struct engine *engine, uid_t owner, struct request *const *requests,
                 const bool *taken, size_t count, engine_made_fn *done, void *arg)
{
    if (engine->task_count + count > engine->config.jobs) {
        struct error error;
        error_set(&error, ERROR_TOO_MANY, NULL,
                  "%zu jobs are live, and with %zu more [limits] jobs = %zu would be exceeded",
                  engine->task_count, count, engine->config.jobs);
        done(arg, &error, NULL, 0);
        return;
    }
    struct making *making = mem_alloc(sizeof(*making));
    making->engine = engine;
    making->done = done;
    making->arg = arg;
    making->made = mem_alloc(count * sizeof(*making->made));
    making->taken = mem_alloc(count * sizeof(*making->taken));
    memcpy(making->taken, taken, count * sizeof(*taken));
    making->existing = mem_alloc(count * sizeof(*making->existing));
    making->money = mem_alloc(count * sizeof(*making->money));
    making->details = mem_alloc(count * sizeof(*making->details));
    making->write = (struct store_write){
        .kind = STORE_INSERT,
        .jobs = mem_alloc(count * sizeof(struct job *)),
        .count = count,
        .done = on_made,
        .context = making,
        .taken = making->taken,
        .existing = making->existing,
        .details = making->details,
    };
    int64_t now = engine_wall_ms();
    for (size_t i = 0; i < count; i++) {
        uint8_t random[10] = {0};
        char id[ULID_SIZE];
        (void)!getrandom(random, sizeof(random), 0);
        ulid_next(&engine->ids, now, random, id);
        struct job *job = job_new(id, owner, requests[i], &engine->config.policy, now);
        making->write.jobs[i] = job;
        money_accept(engine, job, &making->money[i]);
        making->details[i] = job->state == JOB_HELD ? task_describe(job) : NULL;
    }
    store_write(engine->store, &making->write);
}

const struct job *engine_job(const struct engine *engine, const char *id)
{
    const struct task *task = engine_task(engine, id);
    return task ? task->job : NULL;
}

/* An answer is still on its way for the attempt that was cancelled. */
static bool is_unsettled(const struct task *task)
{
    return task->busy && task->job->state == JOB_CANCELLED;
}

static int may_change(const struct engine *engine, const struct task *task, const struct job *job,
                      enum job_event_type type, struct error *error)
{
    if (engine->store_failing)
        return error_set(error, ERROR_DISK_FULL, NULL,
                         "the store can't take changes now; nothing was changed");
    /* It ended after it was looked up, or was looked up before its sender was told of it. */
    if (!task && (job_state_flags(job->state) & JOB_LIVE))
        return error_set(error, ERROR_CONFLICT, NULL,
                         "job %s has just changed; look again at its state", job->id);
    if (task && type == JOB_RELEASE && money_check_release(task, error) < 0)
        return -1;
    if (task && type == JOB_RETRY && is_unsettled(task))
        return error_set(error, ERROR_CONFLICT, NULL,
                         "the answer to its cancelled submission is still awaited; try again");
    return 0;
}

void engine_change(struct engine *engine, struct job *job, enum job_event_type type,
                   const char *reason, engine_done_fn *done, void *arg)
{
    struct task *task = engine_task(engine, job->id);
    struct error error;
    if (may_change(engine, task, job, type, &error) < 0) {
        job_free(job);
        if (done)
            done(arg, NULL, &error);
        return;
    }
    if (task)
        job_free(job);
    else
        task = task_add(engine, job);
    bool has_error = type == JOB_CANCEL || type == JOB_HOLD;
    struct job_event event = {
        .type = type,
        .error = {.code = has_error ? (char *)(uintptr_t)(type == JOB_HOLD ? "held" : "cancelled")
                                    : NULL,
                  .message = has_error ? (char *)(uintptr_t)reason : NULL,
                  .retryable = type == JOB_CANCEL},
    };
    task_event(task, &event, true, done, arg);
}

bool engine_observe(struct engine *engine, struct engine_observer *observer)
{
    struct engine_observer **list = &engine->observers;
    if (observer->id[0]) {
        struct task *task = engine_task(engine, observer->id);
        if (!task)
            return false;
        list = &task->observers;
    }
    observer->previous = NULL;
    observer->next = *list;
    if (*list)
        (*list)->previous = observer;
    *list = observer;
    observer->attached = true;
    return true;
}

void engine_unobserve(struct engine *engine, struct engine_observer *observer)
{
    if (!observer->attached)
        return;
    observer->attached = false;
    if (observer->next)
        observer->next->previous = observer->previous;
    if (observer->previous) {
        observer->previous->next = observer->next;
        return;
    }
    struct task *task = observer->id[0] ? engine_task(engine, observer->id) : NULL;
    if (task)
        task->observers = observer->next;
    else
        engine->observers = observer->next;
}

bool engine_progress(const struct engine *engine, const struct job *job, int64_t *ret_elapsed_ms,
                     int64_t *ret_expected_ms)
{
    if (job->state != JOB_RUNNING || job->running_at == 0)
        return false;
    *ret_elapsed_ms = engine_wall_ms() - job->running_at;
    *ret_expected_ms = learn_median(engine->learn, job->request->model);
    return *ret_expected_ms > 0;
}

const struct engine_config *engine_config(const struct engine *engine)
{
    return &engine->config;
}

const struct learn *engine_learn(const struct engine *engine)
{
    return engine->learn;
}

void engine_stats(const struct engine *engine, struct engine_stats *ret)
{
    *ret = engine->stats;
    ret->in_flight = sched_in_flight(engine->sched);
    ret->waiting = sched_waiting(engine->sched);
    ret->live = engine->task_count;
    ret->store_failing = engine->store_failing;
}

const struct meter *engine_meter(const struct engine *engine)
{
    return engine->meter;
}

static int64_t ready_since(const struct job *job)
{
    return job->not_before > job->updated_at ? job->not_before : job->updated_at;
}

int64_t engine_longest_wait(const struct engine *engine)
{
    int64_t now = engine_wall_ms(), oldest = now;
    struct task **tasks = engine_list_tasks(engine);
    for (size_t i = 0; i < engine->task_count; i++)
        if (tasks[i]->job->state == JOB_QUEUED && ready_since(tasks[i]->job) < oldest)
            oldest = ready_since(tasks[i]->job);
    free(tasks);
    return now - oldest;
}
