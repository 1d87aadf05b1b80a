/* Inside the agent: one session while its turn is under way. What turn.h decides is made durable
 * here, and only then done: the model is asked, its calls are made, its listeners are told. */
#ifndef VEO_CONVERSATION_H
#define VEO_CONVERSATION_H

#include "daemon/agent/agent.h"
#include "daemon/agent/tools.h"
#include "daemon/agent/turn.h"
#include "daemon/cmd/call.h"
#include "daemon/cmd/seek.h"
#include "daemon/core/ulid.h"
#include "daemon/io/http_tally.h"

struct conversation;
struct gathering;

/* An ASK that waits for a turn's end. */
struct listener {
    struct listener *next, *previous;
    struct conversation *conversation; /* NULL: none yet, or no longer */
    struct call *call;
    bool cancels; /* it hears of the end that it asked for, and of nothing else */
};

/* A call of the model's. */
struct run {
    struct conversation *conversation;
    struct chat_call *call;
    struct tool_run *tool; /* NULL: not begun, or it has its result */
    int64_t number;        /* within the turn */
    char *result;          /* NULL: not yet */
    bool begun;
    bool made; /* what it costs is known */
};

struct conversation {
    struct conversation *next, *previous;
    struct agent *agent;
    struct turn turn;
    struct store_session session; /* its messages: those on disk, and those that are to be */
    size_t saved;                 /* messages on disk */
    size_t bytes;                 /* of all messages */
    struct listener *listeners;

    struct store_write write;
    struct store_session record; /* as it is being written */
    bool writing;
    bool failing; /* the store took it not; it is tried again */
    bool born;    /* it is on disk */
    bool resumed; /* its calls may have been begun before a restart */

    enum turn_finish stopping; /* OPEN: no; the turn's end once the calls have their results */
    int64_t ends_at;           /* ms of the loop: the turn's time */
    int64_t due;               /* when it goes on; INT64_MAX: when it is told to */
    uv_timer_t timer;

    struct http_transfer transfer;
    bool asking;
    char *said; /* beside the calls of the last answer */

    struct chat_call *calls;
    struct run *runs;
    size_t run_count;
    size_t run_left; /* without their results */
    int64_t spent;   /* before them */

    struct gathering *gathering;
};

struct agent {
    uv_loop_t *loop;
    struct agent_config config;
    char *authorization; /* a header's value; NULL: none, */
    char *why;           /* for this reason */
    struct commands *commands;
    struct engine *engine;
    struct store *store;
    struct http *http;
    struct conversation *conversations;
    size_t count;
    struct ulid_source ids;
    int64_t gate; /* ms of the loop: the model asks everybody to wait until then */
    uv_timer_t sweeper;
    struct store_write sweep;
    bool sweeping;
    bool over; /* nothing may be started any more */
    uint64_t turns;
    uint64_t requests;
    uint64_t retries;
    uint64_t tokens;
    uint64_t ended[TURN_FINISH_COUNT]; /* turns */
    struct http_tally tally;
};

int64_t agent_now(const struct agent *agent); /* ms of the loop */
struct turn_bounds agent_bounds(const struct agent *agent);
/* Expired sessions are gone, whether or not they have been swept yet. */
bool agent_has_expired(const struct agent *agent, const struct store_session *session);

/* ---- conversation.c: the life of a turn ---- */

/* Takes what `turn` and `session` own; the session's id is given. `saved` of its messages are on
 * disk. */
struct conversation *conversation_new(struct agent *agent, struct store_session *session,
                                      size_t saved, struct turn *turn);
struct conversation *conversation_find(const struct agent *agent, const char *id);
void conversation_add_message(struct conversation *conversation, char *message); /* takes it */
/* Calls that nobody will answer any more get `why` for a result. */
void conversation_close_calls(struct conversation *conversation, const char *why);

/* Makes durable what there is, then goes on from there. */
void conversation_save(struct conversation *conversation);
/* Makes durable which calls have become jobs, beside what goes on. */
void conversation_note(const struct conversation *conversation);
void conversation_answered(struct conversation *conversation); /* turn_take was called */
void conversation_called(struct conversation *conversation);   /* all calls have results */
/* Goes on with a turn that was cut: all that there is, is on disk. */
void conversation_resume(struct conversation *conversation);
void conversation_stop(struct conversation *conversation, enum turn_finish finish);
/* Whom its turn asks. */
const char *conversation_model(const struct conversation *conversation);
int64_t conversation_left(const struct conversation *conversation); /* ms of the turn's time */
void conversation_arm(struct conversation *conversation, int64_t due);

/* Nothing goes on any more: transfers, tools, timers. */
void conversation_abandon(struct conversation *conversation);
void conversation_free(struct conversation *conversation); /* after the loop has run */

/* ---- think.c: asking the model ---- */

void think_start(struct conversation *conversation);
void think_drop(struct conversation *conversation);

/* ---- calling.c: what it calls ---- */

void calling_start(struct conversation *conversation);
/* Its results come soon: because the time is over, or by a cancellation. */
void calling_hurry(struct conversation *conversation, bool cancel);
void calling_drop(struct conversation *conversation);
/* All results are there: puts them into the history. */
void calling_take_results(struct conversation *conversation);
char *calling_failure(const char *why); /* a result, in fresh memory */

/* ---- listen.c: who listens, and what they are told ---- */

void listener_attach(struct listener *listener, struct conversation *conversation);
void listener_detach(struct listener *listener);
/* All of them, and they are gone. */
void listeners_answer(struct conversation *conversation, struct job *const *jobs, size_t count);
void listeners_refuse(struct conversation *conversation, const struct error *error);

/* The steps, as EVENTs; `only` for one listener, or NULL for all. */
void tell_asked(const struct conversation *conversation, const struct listener *only);
void tell_thinking(const struct conversation *conversation);
void tell_retrying(const struct conversation *conversation, const char *message, int64_t delay_ms);
void tell_text(const struct conversation *conversation, const char *text);
void tell_calling(const struct run *run, const struct listener *only);
/* `event` is 0 for a job that was just made or found. */
void tell_job(const struct run *run, const struct job *job, int64_t event, const char *detail);
void tell_result(const struct run *run);

/* ---- answer.c: the end of an ASK ---- */

/* Looks up the jobs of a turn, which is borrowed; those that are gone are left out. `done` comes
 * from the loop, and borrows the jobs; the gathering is gone afterwards. A turn without jobs is
 * done at once, and gives NULL. */
typedef void gathered_fn(void *arg, struct job *const *jobs, size_t count);
struct gathering *gathering_start(struct agent *agent, const struct turn *turn, gathered_fn *done,
                                  void *arg);
void gathering_free(struct gathering *gathering); /* `done` isn't called any more; takes NULL */

/* The OK, or the ERR of a turn that failed; these end the call. */
void answer_turn(struct call *call, const char *session, const struct turn *turn,
                 struct job *const *jobs, size_t count);
void answer_cancel(struct call *call, const char *session, bool cancelled);
void refuse_stopping(struct call *call);

#endif
