#include "daemon/engine/engine.h"

#include <errno.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "daemon/engine/task.h"
#include "daemon/io/log.h"
#include "daemon/io/sink.h"
#include "proto/mem.h"

#define STORE_RETRY_MS 1000

static void apply_next(struct task *task);
static void go_on(struct task *task);
static void count_submitting(struct task *task);
static void maybe_stopped(struct engine *engine);

/* ---- time and chance ---- */

int64_t engine_wall_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int64_t engine_steady_ms(const struct engine *engine)
{
    return (int64_t)uv_now(engine->loop);
}

double engine_random(void)
{
    return drand48();
}

int64_t engine_backoff(const struct engine *engine, int earlier)
{
    return backoff_delay(&engine->config.backoff, earlier, engine_random());
}

/* ---- the table of tasks ---- */

static int compare_ids(const void *a, const void *b)
{
    const struct task *left = a, *right = b;
    return strcmp(left->job->id, right->job->id);
}

struct task *engine_task(const struct engine *engine, const char *id)
{
    struct job job;
    struct task key = {.job = &job};
    snprintf(job.id, sizeof(job.id), "%s", id);
    void *found = tfind(&key, &engine->tasks, compare_ids);
    return found ? *(struct task **)found : NULL;
}

struct engine_provider *engine_provider_named(const struct engine *engine, const char *name)
{
    for (size_t i = 0; name && i < engine->config.provider_count; i++)
        if (strcmp(engine->config.providers[i].provider.name, name) == 0)
            return &engine->config.providers[i];
    return NULL;
}

size_t engine_provider_index(const struct engine *engine, const struct engine_provider *provider)
{
    return (size_t)(provider - engine->config.providers);
}

static struct engine_provider *provider_for(struct engine *engine, const struct job *job)
{
    struct engine_provider *provider = engine_provider_named(engine, job->provider);
    if (provider || job->operation)
        return provider;
    const struct provider *chosen = engine_choose(engine, job->request, NULL);
    return chosen ? engine_provider_named(engine, chosen->name) : NULL;
}

/* Takes the job. */
static struct task *add_task(struct engine *engine, struct job *job)
{
    struct task *task = mem_alloc(sizeof(*task));
    task->engine = engine;
    task->job = job;
    task->provider = provider_for(engine, job);
    task->queue.id = job->id;
    tsearch(task, &engine->tasks, compare_ids);
    engine->task_count++;
    return task;
}

static void detach_observers(struct task *task)
{
    while (task->observers)
        engine_unobserve(task->engine, task->observers);
}

void task_drop(struct task *task)
{
    struct engine *engine = task->engine;
    tdelete(task, &engine->tasks, compare_ids);
    engine->task_count--;
    task_sleep(task);
    sched_remove(engine->sched, &task->queue);
    if (!engine->over) {
        http_cancel(engine->http, &task->transfer);
        poll_drop(task);
        fetch_drop(task, false);
    }
    detach_observers(task);
    if (task->in_flight)
        sched_landed(engine->sched);
    if (task->is_submitting)
        engine->submitting--;
    free(task->trouble);
    job_free(task->job);
    free(task);
}

/* Ended, and nothing more to be done for it: the store knows it, memory needn't. */
static void maybe_drop(struct task *task)
{
    if ((job_state_flags(task->job->state) & JOB_ENDED) && !task->changes && !task->busy)
        task_drop(task);
}

/* ---- the one timer ---- */

static bool less_due(const struct heap_node *a, const struct heap_node *b)
{
    return heap_entry((void *)(uintptr_t)a, struct task, timer)->due <
           heap_entry((void *)(uintptr_t)b, struct task, timer)->due;
}

static void on_timer(uv_timer_t *timer);

static void arm(struct engine *engine)
{
    if (engine->over)
        return;
    int64_t now = engine_steady_ms(engine);
    int64_t next = INT64_MAX;
    const struct heap_node *first = heap_first(&engine->timers);
    if (first)
        next = heap_entry((void *)(uintptr_t)first, struct task, timer)->due;
    if (!engine->stopping && !engine->store_failing) {
        int64_t ready = sched_next(engine->sched, now);
        if (ready <= now)
            ready = INT64_MAX; /* something else than time is in the way */
        next = ready < next ? ready : next;
    }
    if (engine->store_failing && engine->store_again_at < next)
        next = engine->store_again_at;
    if (next == engine->armed_for)
        return;
    engine->armed_for = next;
    if (next == INT64_MAX)
        uv_timer_stop(&engine->timer);
    else
        uv_timer_start(&engine->timer, on_timer, next > now ? (uint64_t)(next - now) : 0, 0);
}

void task_wake_at(struct task *task, int64_t steady_ms)
{
    heap_remove(&task->engine->timers, &task->timer);
    task->due = steady_ms;
    heap_add(&task->engine->timers, &task->timer);
    arm(task->engine);
}

void task_sleep(struct task *task)
{
    heap_remove(&task->engine->timers, &task->timer);
}

static bool deadline_passed(const struct task *task)
{
    return engine_wall_ms() >= task->job->deadline_at;
}

static void expire(struct task *task)
{
    struct job_event event = {
        .type = JOB_DEADLINE,
        .error = {.code = "deadline-exceeded",
                  .message = task->job->operation
                                 ? "the deadline passed; the operation may still run and be charged"
                                 : "the deadline passed before it could be submitted",
                  .retryable = true},
    };
    task_event(task, &event, false, NULL, NULL);
}

static void on_due(struct task *task)
{
    enum job_state state = task->job->state;
    bool expires = (state == JOB_QUEUED || state == JOB_RUNNING) && deadline_passed(task);
    if (expires && task->changes)
        task_wake_at(task, engine_steady_ms(task->engine) + STORE_RETRY_MS);
    else if (expires)
        expire(task);
    else if (state == JOB_RUNNING)
        poll_start(task);
    else if (state == JOB_FETCHING)
        fetch_wake(task);
}

static void retry_store(struct engine *engine)
{
    struct task *stuck = engine->stuck;
    engine->store_failing = false;
    engine->stuck = NULL;
    while (stuck) {
        struct task *task = stuck;
        stuck = task->next_stuck;
        store_write(engine->store, &task->write);
    }
}

static void on_timer(uv_timer_t *timer)
{
    struct engine *engine = timer->data;
    int64_t now = engine_steady_ms(engine);
    engine->armed_for = INT64_MAX;
    if (engine->store_failing && engine->store_again_at <= now)
        retry_store(engine);
    for (struct heap_node *node; (node = heap_first(&engine->timers));) {
        struct task *task = heap_entry(node, struct task, timer);
        if (task->due > now)
            break;
        heap_remove(&engine->timers, node);
        on_due(task);
    }
    submit_schedule(engine);
    arm(engine);
}

/* ---- changes ---- */

static char *copy_text(const char *text)
{
    return mem_strdup(text);
}

static struct change *copy_change(const struct job_event *event)
{
    struct change *change = mem_alloc(sizeof(*change));
    struct job_event *copy = &change->event;
    *copy = *event;
    copy->now = engine_wall_ms();
    copy->provider = copy_text(event->provider);
    copy->operation = copy_text(event->operation);
    char **uris = event->uri_count ? mem_alloc(event->uri_count * sizeof(*uris)) : NULL;
    for (size_t i = 0; i < event->uri_count; i++)
        uris[i] = copy_text(event->uris[i]);
    copy->uris = uris;
    struct job_file *files =
        event->file_count ? mem_alloc(event->file_count * sizeof(*files)) : NULL;
    for (size_t i = 0; i < event->file_count; i++) {
        files[i] = event->files[i];
        files[i].path = copy_text(files[i].path);
        files[i].mime_type = copy_text(files[i].mime_type);
    }
    copy->files = files;
    copy->error.code = copy_text(event->error.code);
    copy->error.message = copy_text(event->error.message);
    copy->error.provider = copy_text(event->error.provider);
    return change;
}

static void free_change(struct change *change)
{
    struct job_event *event = &change->event;
    free((void *)(uintptr_t)event->provider);
    free((void *)(uintptr_t)event->operation);
    for (size_t i = 0; i < event->uri_count; i++)
        free(event->uris[i]);
    free((void *)(uintptr_t)event->uris);
    for (size_t i = 0; i < event->file_count; i++) {
        free(event->files[i].path);
        free(event->files[i].mime_type);
    }
    free((void *)(uintptr_t)event->files);
    free(event->error.code);
    free(event->error.message);
    free(event->error.provider);
    free(change);
}

static void finish_change(struct task *task, const struct error *error)
{
    struct change *change = task->changes;
    task->changes = change->next;
    if (change->done)
        change->done(change->arg, error ? NULL : task->job, error);
    free_change(change);
}

static struct error store_error(int status)
{
    struct error error;
    error_set(&error, status == -ENOSPC ? ERROR_DISK_FULL : ERROR_INTERNAL, NULL,
              status == -ENOSPC ? "no space left to store the change: %s; nothing was changed"
                                : "the store failed: %s; nothing was changed",
              strerror(-status));
    if (status == -EIO || status == -EROFS)
        error.code = ERROR_DISK_FULL;
    return error;
}

static void set_store_failing(struct engine *engine, int status)
{
    if (!engine->store_failing)
        log_error("store", "a commit failed: %s; trying again every %d ms", strerror(-status),
                  STORE_RETRY_MS);
    engine->store_failing = true;
    engine->store_again_at = engine_steady_ms(engine) + STORE_RETRY_MS;
    arm(engine);
}

/* People don't wait for a disk that has no room: what they want is refused at once. */
static void refuse_undoable(struct task *task, const struct error *error)
{
    struct change **link = &task->changes->next;
    while (*link) {
        struct change *change = *link;
        if (!change->undo) {
            link = &change->next;
            continue;
        }
        *link = change->next;
        if (change->done)
            change->done(change->arg, NULL, error);
        free_change(change);
    }
}

static void on_commit_failed(struct task *task, int status)
{
    struct engine *engine = task->engine;
    struct error error = store_error(status);
    set_store_failing(engine, status);
    if (!task->changes->undo) {
        task->next_stuck = engine->stuck;
        engine->stuck = task;
        refuse_undoable(task, &error);
        return;
    }
    job_free(task->next);
    task->next = NULL;
    free(task->detail);
    task->detail = NULL;
    finish_change(task, &error);
    count_submitting(task);
    if (task->changes)
        apply_next(task);
    else if (task->job->state == JOB_QUEUED)
        go_on(task);
    else
        maybe_drop(task);
}

static void tell_observers(struct engine *engine, struct task *task, int64_t event)
{
    for (struct engine_observer *o = engine->observers, *next; o; o = next) {
        next = o->next;
        o->changed(o, task->job, event, task->detail);
    }
    for (struct engine_observer *o = task->observers, *next; o; o = next) {
        next = o->next;
        o->changed(o, task->job, event, task->detail);
    }
}

static void log_change(const struct job *job)
{
    char uid[16];
    snprintf(uid, sizeof(uid), "%u", (unsigned)job->owner);
    const struct log_field fields[] = {
        {"VEO_JOB", job->id},
        {"VEO_STATE", job_state_name(job->state)},
        {"VEO_PROVIDER", job->provider},
        {"VEO_OPERATION", job->operation},
        {"VEO_UID", uid},
        {"VEO_ERROR", job->error.code},
    };
    enum log_level level = LOG_LEVEL_INFO;
    if (job->state == JOB_FAILED || job->state == JOB_UNCERTAIN)
        level = LOG_LEVEL_WARNING;
    else if (job_state_flags(job->state) & JOB_LIVE)
        level = LOG_LEVEL_DEBUG;
    log_fields(level, "job", fields, sizeof(fields) / sizeof(fields[0]), "%s %s%s%s%s%s", job->id,
               job_state_name(job->state), job->error.code ? ": " : "",
               job->error.code ? job->error.code : "", job->error.message ? ": " : "",
               job->error.message ? job->error.message : "");
}

static void on_committed(struct task *task)
{
    struct engine *engine = task->engine;
    struct job *before = task->job;
    task->job = task->next;
    task->next = NULL;
    task->queue.id = task->job->id;
    engine->stats.states[before->state]--;
    engine->stats.states[task->job->state]++;
    job_free(before);
    task->recovered = false;
    log_change(task->job);
    tell_observers(engine, task, task->write.event);
    free(task->detail);
    task->detail = NULL;
    finish_change(task, NULL);
    go_on(task);
}

static void on_updated(struct store_write *write)
{
    struct task *task = write->context;
    struct engine *engine = task->engine;
    if (write->status < 0)
        on_commit_failed(task, write->status);
    else
        on_committed(task);
    submit_schedule(engine);
    maybe_stopped(engine);
}

static void write_update(struct task *task)
{
    task->detail = task_describe(task->next);
    task->write = (struct store_write){
        .kind = STORE_UPDATE,
        .jobs = &task->next,
        .count = 1,
        .detail = task->detail,
        .done = on_updated,
        .context = task,
    };
    store_write(task->engine->store, &task->write);
}

/* Starts the first change that its job still takes. */
static void apply_next(struct task *task)
{
    while (task->changes && !task->next) {
        struct change *change = task->changes;
        struct error error;
        task->next = job_copy(task->job);
        if (job_step(task->next, &change->event, &task->engine->config.policy, &error) == 0) {
            write_update(task);
            return;
        }
        job_free(task->next);
        task->next = NULL;
        log_debug("job", "%s: %s", task->job->id, error.message);
        finish_change(task, &error);
    }
    if (!task->changes)
        maybe_drop(task);
}

void task_event(struct task *task, const struct job_event *event, bool undo, engine_done_fn *done,
                void *arg)
{
    struct change *change = copy_change(event);
    change->undo = undo;
    change->done = done;
    change->arg = arg;
    struct change **link = &task->changes;
    while (*link)
        link = &(*link)->next;
    *link = change;
    if (task->changes == change)
        apply_next(task);
}

/* ---- what a state asks for ---- */

static void count_submitting(struct task *task)
{
    bool listening = task->busy && task->job->state == JOB_CANCELLED;
    if (!task->is_submitting || task->job->state == JOB_SUBMITTING || listening)
        return;
    task->is_submitting = false;
    task->engine->submitting--;
}

static void count_in_flight(struct task *task)
{
    bool in_flight = (job_state_flags(task->job->state) & JOB_IN_FLIGHT) != 0;
    if (task->in_flight && !in_flight)
        sched_landed(task->engine->sched);
    else if (!task->in_flight && in_flight)
        sched_took_off(task->engine->sched);
    task->in_flight = in_flight;
}

static void enqueue(struct task *task)
{
    struct engine *engine = task->engine;
    int64_t wait = task->job->not_before - engine_wall_ms();
    int64_t left = task->job->deadline_at - engine_wall_ms();
    task->provider = provider_for(engine, task->job);
    if (task->provider) {
        task->queue.priority = task->job->request->priority;
        task->queue.lane = engine_provider_index(engine, task->provider);
        task->queue.not_before = engine_steady_ms(engine) + (wait > 0 ? wait : 0);
        sched_remove(engine->sched, &task->queue);
        sched_add(engine->sched, &task->queue);
    }
    task_wake_at(task, engine_steady_ms(engine) + (left > 0 ? left : 0));
}

static void stop_work(struct task *task, bool remove)
{
    task_sleep(task);
    /* A submission that is on its way is listened to, whatever its job has become. */
    if (!(task->busy && task->job->state == JOB_CANCELLED && !task->job->running_at)) {
        http_cancel(task->engine->http, &task->transfer);
        task->busy = false;
    }
    poll_drop(task);
    fetch_drop(task, remove);
}

static void end_work(struct task *task)
{
    stop_work(task, task->job->state == JOB_CANCELLED);
    if (task->job->state == JOB_CANCELLED && task->job->operation)
        submit_tell_cancel(task->engine, task->job);
    maybe_drop(task);
}

static void go_on(struct task *task)
{
    sched_remove(task->engine->sched, &task->queue);
    count_in_flight(task);
    count_submitting(task);
    if (task->engine->over)
        return;
    if (task->changes) {
        apply_next(task);
        return;
    }
    switch (task->job->state) {
    case JOB_QUEUED:
        task->failures = 0;
        enqueue(task);
        break;
    case JOB_SUBMITTING:
        task_sleep(task);
        submit_start(task);
        break;
    case JOB_RUNNING:
        poll_arm(task, poll_next_wait(task));
        break;
    case JOB_FETCHING:
        task_sleep(task);
        fetch_start(task);
        break;
    case JOB_HELD:
    case JOB_UNCERTAIN:
        stop_work(task, false);
        break;
    case JOB_DONE:
    case JOB_FILTERED:
    case JOB_FAILED:
    case JOB_EXPIRED:
    case JOB_CANCELLED:
        end_work(task);
        break;
    case JOB_STATE_COUNT:
        break;
    }
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
    engine->sched = sched_new(config->provider_count, config->in_flight);
    engine->learn = learn_new();
    engine->armed_for = INT64_MAX;
    engine->provider_private = mem_alloc(config->provider_count + 1);
    for (size_t i = 0; i < config->provider_count; i++)
        engine->provider_private[i] =
            http_names_private_host(config->providers[i].provider.base_url);
    heap_init(&engine->timers, less_due);
    uv_timer_init(loop, &engine->timer);
    engine->timer.data = engine;
    return engine;
}

static void on_loaded(void *arg, struct job *job)
{
    struct task *task = add_task(arg, job);
    task->recovered = true;
}

static void on_duration(void *arg, const char *model, int64_t ms)
{
    struct engine *engine = arg;
    learn_add(engine->learn, model, ms, ms);
}

/* tdestroy(3) and twalk(3) can't stand changes under way, so the tasks are listed first. */
static _Thread_local struct task **walk_at;
static void collect(const void *node, VISIT visit, int depth)
{
    (void)depth;
    if (visit == postorder || visit == leaf)
        *walk_at++ = *(struct task *const *)node;
}

static struct task **list_tasks(const struct engine *engine)
{
    struct task **list = mem_alloc((engine->task_count + 1) * sizeof(struct task *));
    walk_at = list;
    twalk(engine->tasks, collect);
    return list;
}

static void resume(struct task *task)
{
    if (task->job->state != JOB_SUBMITTING) {
        go_on(task);
        return;
    }
    struct job_event event = {
        .type = JOB_UNHEARD,
        .error = {.code = "interrupted",
                  .message = "veod stopped between sending the request and hearing the answer; it "
                             "may be running and charged",
                  .retryable = true},
    };
    count_in_flight(task);
    task_event(task, &event, false, NULL, NULL);
}

int engine_recover(struct engine *engine, struct error *error)
{
    if (store_each_duration(engine->store, LEARN_SAMPLES, on_duration, engine, error) < 0 ||
        store_count_states(engine->store, engine->stats.states, error) < 0 ||
        store_each_live(engine->store, on_loaded, engine, error) < 0)
        return -1;
    size_t count = engine->task_count;
    struct task **tasks = list_tasks(engine);
    uv_update_time(engine->loop);
    for (size_t i = 0; i < count; i++)
        resume(tasks[i]);
    free(tasks);
    if (count > 0)
        log_info("job", "going on with %zu jobs", count);
    submit_schedule(engine);
    return 0;
}

static void maybe_stopped(struct engine *engine)
{
    if (!engine->stopped || engine->submitting > 0)
        return;
    void (*stopped)(void *) = engine->stopped;
    engine->stopped = NULL;
    stopped(engine->stopped_arg);
}

void engine_stop(struct engine *engine, void (*stopped)(void *), void *arg)
{
    engine->stopping = true;
    engine->stopped = stopped;
    engine->stopped_arg = arg;
    maybe_stopped(engine);
}

void engine_abandon(struct engine *engine)
{
    size_t count = engine->task_count;
    struct task **tasks = list_tasks(engine);
    engine->over = true;
    engine->stopped = NULL;
    for (size_t i = 0; i < count; i++)
        stop_work(tasks[i], false);
    free(tasks);
    uv_close((uv_handle_t *)&engine->timer, NULL);
}

void engine_free(struct engine *engine)
{
    size_t count = engine->task_count;
    struct task **tasks = list_tasks(engine);
    for (size_t i = 0; i < count; i++) {
        job_free(tasks[i]->next);
        free(tasks[i]->detail);
        while (tasks[i]->changes) {
            struct change *change = tasks[i]->changes;
            tasks[i]->changes = change->next;
            free_change(change);
        }
        task_drop(tasks[i]);
    }
    free(tasks);
    submit_forget_tellings(engine);
    ask_forget_all(engine);
    heap_free(&engine->timers);
    sched_free(engine->sched);
    learn_free(engine->learn);
    free(engine->provider_private);
    free(engine);
}

const struct provider *engine_choose(const struct engine *engine, const struct request *request,
                                     struct error *error)
{
    for (size_t i = 0; i < engine->config.provider_count; i++) {
        const struct provider *provider = &engine->config.providers[i].provider;
        if (request->provider && strcmp(request->provider, provider->name) != 0)
            continue;
        if (provider_takes(provider, request->model))
            return provider;
        if (request->provider) {
            error_set(error, ERROR_INVALID_ARGUMENT, "model",
                      "provider \"%s\" doesn't take the model \"%s\"; MODELS lists what it takes",
                      provider->name, request->model);
            return NULL;
        }
    }
    if (request->provider)
        error_set(error, ERROR_INVALID_ARGUMENT, "provider",
                  "no provider is named \"%s\"; MODELS lists them", request->provider);
    else
        error_set(error, ERROR_INVALID_ARGUMENT, "model",
                  "no provider takes the model \"%s\"; MODELS lists what they take",
                  request->model);
    return NULL;
}

struct making {
    struct engine *engine;
    struct store_write write;
    struct engine_new_job *made;
    char (*existing)[JOB_ID_SIZE];
    engine_made_fn *done;
    void *arg;
};

static void free_making(struct making *making)
{
    for (size_t i = 0; i < making->write.count; i++)
        job_free(making->write.jobs[i]);
    free(making->write.jobs);
    free(making->made);
    free(making->existing);
    free(making);
}

static void begin_life(struct engine *engine, struct job *job, int64_t event)
{
    struct task *task = add_task(engine, job);
    engine->stats.states[job->state]++;
    task->detail = mem_strdup("{}");
    log_change(job);
    tell_observers(engine, task, event);
    free(task->detail);
    task->detail = NULL;
}

static void refuse_making(struct making *making)
{
    const struct store_write *write = &making->write;
    struct error error;
    const struct request *request =
        write->jobs[write->at_fault < write->count ? write->at_fault : 0]->request;
    if (write->status != -EEXIST) {
        set_store_failing(making->engine, write->status);
        error = store_error(write->status);
    } else if (write->key_at_fault) {
        error_set(&error, ERROR_CONFLICT, "key",
                  "the key \"%s\" already names a job with another request", request->key);
    } else {
        error_set(&error, ERROR_CONFLICT, "output", "another job already writes \"%s\"",
                  request->output);
    }
    making->done(making->arg, &error, NULL, 0);
}

static void on_made(struct store_write *write)
{
    struct making *making = write->context;
    struct engine *engine = making->engine;
    if (write->status < 0) {
        refuse_making(making);
        free_making(making);
        return;
    }
    int64_t event = write->event;
    for (size_t i = 0; i < write->count; i++) {
        struct engine_new_job *made = &making->made[i];
        made->existing = making->existing[i][0] != '\0';
        memcpy(made->id, made->existing ? making->existing[i] : write->jobs[i]->id, JOB_ID_SIZE);
        if (made->existing)
            continue;
        begin_life(engine, write->jobs[i], event++);
        write->jobs[i] = NULL;
    }
    making->done(making->arg, NULL, making->made, write->count);
    for (size_t i = 0; i < write->count; i++) {
        struct task *task =
            making->made[i].existing ? NULL : engine_task(engine, making->made[i].id);
        if (task && !task->changes && task->job->state == JOB_QUEUED)
            go_on(task);
    }
    free_making(making);
    submit_schedule(engine);
    maybe_stopped(engine);
}

void engine_make(struct engine *engine, uid_t owner, struct request *const *requests, size_t count,
                 engine_made_fn *done, void *arg)
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
    making->existing = mem_alloc(count * sizeof(*making->existing));
    making->write = (struct store_write){
        .kind = STORE_INSERT,
        .jobs = mem_alloc(count * sizeof(struct job *)),
        .count = count,
        .done = on_made,
        .context = making,
        .existing = making->existing,
    };
    int64_t now = engine_wall_ms();
    for (size_t i = 0; i < count; i++) {
        uint8_t random[10] = {0};
        char id[ULID_SIZE];
        (void)!getrandom(random, sizeof(random), 0);
        ulid_next(&engine->ids, now, random, id);
        making->write.jobs[i] = job_new(id, owner, requests[i], &engine->config.policy, now);
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

void engine_change(struct engine *engine, struct job *job, enum job_event_type type,
                   const char *reason, engine_done_fn *done, void *arg)
{
    struct task *task = engine_task(engine, job->id);
    struct error error;
    if (task && task->job != job)
        job_free(job);
    if (!task)
        task = add_task(engine, job);
    if (type == JOB_RETRY && is_unsettled(task)) {
        error_set(&error, ERROR_CONFLICT, NULL,
                  "the answer to its cancelled submission is still awaited; try again");
        done(arg, NULL, &error);
        return;
    }
    if (engine->store_failing) {
        error_set(&error, ERROR_DISK_FULL, NULL,
                  "the store can't take changes now; nothing was changed");
        if (done)
            done(arg, NULL, &error);
        maybe_drop(task);
        return;
    }
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
