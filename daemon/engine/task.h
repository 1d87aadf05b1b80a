/* Inside the engine: a live job and what goes on for it. */
#ifndef VEO_TASK_H
#define VEO_TASK_H

#include "daemon/core/budget.h"
#include "daemon/core/heap.h"
#include "daemon/core/sched.h"
#include "daemon/core/ulid.h"
#include "daemon/engine/engine.h"

#define STORE_RETRY_MS 1000 /* between tries of a store that failed */

struct fetch;
struct inbox;
struct telling;
struct asking;
struct retain;

/* An event that waits to be applied; all that it points to is its own. */
struct change {
    struct change *next;
    struct job_event event;
    bool undo; /* if it can't be made durable it didn't happen (else it is tried again) */
    engine_done_fn *done;
    void *arg;
};

/* A task's part in the ledger. */
struct task_money {
    struct budget_entry entry;
    int64_t charged;    /* what the ledger has of it */
    int64_t charged_at; /* when the last of that was booked */
    size_t promised;    /* the provider that had room when it was released; BUDGET_NOWHERE: none */
};

struct task {
    struct engine *engine;
    struct engine_provider *provider; /* of the current attempt, or the one to be asked */
    struct job *job;                  /* as it is on disk */

    struct job *next;       /* as it will be: in the store's hands; NULL: no change under way */
    struct change *changes; /* the first is the one under way */
    unsigned calling;       /* a client is being answered, who may have the next command ready */
    struct store_write write;
    char *detail;
    struct task *next_stuck; /* waits for a store that works again */

    struct sched_entry queue;
    uint64_t tried;        /* a bit for each provider that wouldn't have it, in this round */
    uint64_t unaffordable; /* for each whose budget has no room for it */
    struct heap_node timer;
    int64_t due;        /* steady ms */
    bool is_submitting; /* from the pick until its answer is in the store's hands */
    bool unwatched;     /* its operation may have ended long ago: after a start, or a RETRY */

    struct http_transfer transfer;
    bool busy; /* the transfer is under way */
    bool sent; /* it is a submission, and may have left */
    bool waits_for_token;
    unsigned token_generation; /* of the request under way */
    int failures;              /* of polls or downloads in a row */
    int strikes;               /* answers in a row that say there is no video to be had */
    int64_t last_running_ms;   /* the last poll that said "not yet", since running_at */
    char *trouble;             /* what the last failing poll or download said; NULL: none */
    struct inbox *inbox;       /* a poll's answer on its way */
    struct fetch *fetch;
    struct heap_node fetch_turn; /* waits for its turn to download */
    bool may_fetch;              /* counts in engine->fetching */

    struct engine_observer *observers;

    struct task_money money;
};

struct engine {
    uv_loop_t *loop;
    struct engine_config config;
    struct http *http;
    struct store *store;
    struct sched *sched;
    struct learn *learn;
    struct ulid_source ids;
    void *tasks; /* tsearch(3) by id */
    size_t task_count;
    struct heap timers;
    uv_timer_t timer;
    int64_t armed_for;
    struct engine_observer *observers; /* of all jobs */
    struct telling *tellings;          /* cancellations on their way to providers */
    struct asking *askings;            /* questions of clients on their way to providers */

    unsigned submitting; /* from the pick to the end of the answer */
    unsigned fetching;
    struct heap fetch_queue; /* those go first whose results vanish first */
    struct retain *retain;

    struct task *stuck;
    bool store_failing;
    bool store_failed; /* and the log says so; until a commit succeeds */
    int64_t store_again_at;

    struct budget *budget;
    bool passed_over;       /* a job waits for other providers than those it can't afford */
    uv_timer_t money_timer; /* when the day turns */

    bool stopping;
    bool over; /* nothing may be started any more */
    void (*stopped)(void *);
    void *stopped_arg;
    bool *provider_private; /* its connections go to private addresses */
    struct engine_stats stats;
    struct meter *meter;
};

/* engine.c */
int64_t engine_steady_ms(void);
double engine_random(void);
int64_t engine_backoff(const struct engine *engine, int earlier);
/* Calls `stopped` if that was asked for and no submission is under way any more. */
void engine_maybe_stopped(struct engine *engine);

/* choose.c */
/* True if it is the provider that was named, or none was, and it takes the model. */
bool engine_is_meant(const struct provider *provider, const struct request *request);
/* A bit for each provider that would take it. */
uint64_t engine_takers(const struct engine *engine, const struct request *request);
/* What the scheduler is to know of the providers; fresh memory. */
struct sched_provider *engine_paces(const struct engine_config *config);

/* tasks.c: the live jobs, and the one timer for all of them. */
struct task *engine_task(const struct engine *engine, const char *id); /* NULL: not live */
struct task **engine_list_tasks(const struct engine *engine); /* fresh memory, task_count of them */
struct engine_provider *engine_provider_named(const struct engine *engine, const char *name);
/* The one that its operation is at, or the first that would take it; NULL: none. */
struct engine_provider *engine_provider_for(const struct engine *engine, const struct job *job);
size_t engine_provider_index(const struct engine *engine, const struct engine_provider *provider);
/* Of the job's own; SIZE_MAX: it has none, or that is no longer configured. */
size_t engine_provider_place(const struct engine *engine, const struct job *job);
void engine_arm(struct engine *engine);
void engine_init_timer(struct engine *engine);
struct task *task_add(struct engine *engine, struct job *job); /* takes the job */
/* Lets the task go; the store keeps the job. */
void task_drop(struct task *task);
/* The same, if it has ended and nothing more is to be done for it. */
void task_maybe_drop(struct task *task);
void task_wake_at(struct task *task, int64_t steady_ms);
void task_sleep(struct task *task);

/* change.c: from an event to a durable change. */

/* Applies a copy of `event`, now or when the change under way is durable. `done` may be NULL. The
 * task may be gone afterwards. */
void task_event(struct task *task, const struct job_event *event, bool undo, engine_done_fn *done,
                void *arg);
/* Starts the first waiting change that its job still takes. False: there is none, and none is under
 * way. */
bool task_apply_changes(struct task *task);
void task_free_changes(struct task *task);
/* A job has a new state, durably: tells the log and the observers. */
void task_tell(struct task *task, int64_t event, const char *detail);
struct error engine_store_error(int status);
void engine_store_failed(struct engine *engine, int status);
void engine_store_worked(struct engine *engine);

/* state.c: what a state asks for. */
void task_go_on(struct task *task); /* the task may be gone afterwards */
/* If it has ended, or nobody but a person moves it on: ends what is under way for it. */
void task_come_to_rest(struct task *task);
void task_stop_work(struct task *task, bool remove_parts);
/* Puts it among those to be submitted, for all providers that are left; false: none is. */
bool task_queue(struct task *task);
void task_count(struct task *task); /* in flight, and between pick and answer */

/* money.c */

void money_init(struct engine *engine);
int money_recover(struct engine *engine, struct error *error); /* what was charged today */
void money_set_limits(struct engine *engine);                  /* those of the configuration */

/* A task begins, its job will be this (or has become so), it goes. */
void money_open(struct task *task);
void money_note(struct task *task, const struct job *job);
void money_close(struct task *task);

/* A new job: gives it its estimate, and holds it if there is no room for it. Its money is reserved
 * by `ret` until money_accepted. */
void money_accept(struct engine *engine, struct job *job, struct budget_entry *ret);
void money_accepted(struct engine *engine, struct budget_entry *entry);

/* False: the provider's budget has no room for the job today. */
bool money_admits(const struct task *task, size_t provider);
/* Holds a queued job that no provider's budget has room for. */
void money_hold(struct task *task);

/* May a person release it now? 0 or -1. */
int money_check_release(const struct task *task, struct error *error);
/* A change takes more money than was set apart for the job. */
bool money_asks_more(const struct job *before, const struct job *after);
void money_hold_if_over(struct task *task);
/* Lets queued jobs try those providers again whose budgets had no room for them. */
void money_reconsider(struct engine *engine);
/* Releases what there is room for. */
void money_review(struct engine *engine);

/* What the provider charges for this result, in micro-dollars. */
int64_t money_charge(const struct task *task, const struct outcome *outcome);

/* describe.c: what an event changed, as a JSON object in fresh memory. */
char *task_describe(const struct job *job);

/* access.c */
void access_listen(struct engine *engine);
/* Tells the scheduler which providers have a token; has them fetched. Before jobs are picked. */
void access_look(struct engine *engine);
/* True if the task's provider has a token. If not, the task says so, and is woken when there is
 * one. */
bool access_given(struct task *task);
/* True if the answer says that the token was no good and that there will be another: so again. */
bool access_refused(struct task *task, const struct http_reply *reply);

/* explain.c: what the last failing poll or download said; a NULL format: nothing. */
void task_set_trouble(struct task *task, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* ask.c */
void ask_tokens_changed(struct engine *engine, const struct engine_provider *provider, bool given);
void ask_forget_all(struct engine *engine); /* after http is closed */

/* submit.c */

/* Fills what every request has in common. Takes the wire request's memory. The provider has a
 * token. */
void task_fill_request(const struct engine *engine, const struct engine_provider *provider,
                       enum meter_http what, struct wire_request *wire,
                       struct http_request *request);
struct http_tally *engine_tally(const struct engine *engine, const struct engine_provider *provider,
                                enum meter_http what);
/* Borrows the reply's body. */
struct wire_reply task_wire_reply(const struct http_reply *reply);

void submit_schedule(struct engine *engine); /* picks as many as may start */
void submit_start(struct task *task);        /* the job is durably `submitting` */
void submit_take_back(struct task *task);    /* if it waits to be sent: back to the queue */
/* A provider's token has arrived, or could not be had. */
void submit_tokens_changed(struct engine *engine, const struct engine_provider *provider,
                           bool given);
void submit_tell_cancel(struct engine *engine, const struct job *job);
void submit_forget_tellings(struct engine *engine); /* after http is closed */

/* verdict.c: what the answer to a submission, or the lack of one, makes of the job. */
void verdict_take(struct task *task, const struct http_reply *reply);

/* poll.c */
void poll_arm(struct task *task, int64_t wait_ms);
int64_t poll_next_wait(const struct task *task);
void poll_start(struct task *task);
void poll_drop(struct task *task); /* what is left of a poll that was stopped */

/* inbox.c: an answer that may hold videos, on its way to a document and to files. */
struct inbox *inbox_new(struct task *task);
void inbox_free(struct inbox *inbox, bool remove); /* takes NULL */
enum http_flow inbox_take(struct inbox *inbox, const char *data, size_t length);
struct buf *inbox_document(struct inbox *inbox);
bool inbox_is_empty(const struct inbox *inbox);
/* The sink of a run, given away; NULL if there is none or it is damaged. */
struct sink *inbox_claim(struct inbox *inbox, int index);

/* retain.c */
void retain_start(struct engine *engine);
void retain_stop(struct engine *engine);

/* fetch.c */
void fetch_init(struct engine *engine);
/* When the provider may delete the job's result (Unix time in ms). */
int64_t fetch_vanishes_at(const struct job *job);
void fetch_start(struct task *task);
void fetch_drop(struct task *task, bool remove);
void fetch_wake(struct task *task);
/* The results of a poll's answer came inside it; their sinks are given. */
void fetch_take_inline(struct task *task, struct sink **sinks, size_t count);
/* Relative name of a result's file: "<uid>/<id>.mp4". Fresh memory. */
char *fetch_name(const struct job *job, size_t index);

#endif
