/* What the model calls, done: each call becomes a job of the asking user, by the same way and with
 * the same refusals as a GENERATE of theirs, or a look at one. */
#ifndef VEO_AGENT_TOOLS_H
#define VEO_AGENT_TOOLS_H

#include "daemon/agent/chat.h"
#include "daemon/core/job.h"
#include "daemon/io/listen.h"

struct commands;
struct tool_run;

/* All is borrowed for the call; `peer` and strings are copied. */
struct tool_run_config {
    struct commands *commands;
    const struct peer *peer;    /* whose job it is, and whose files may be read */
    bool admin;                 /* may look at everybody's jobs */
    const char *directory;      /* relative paths start here; NULL: they are refused */
    const char *session;        /* a label of the job */
    const char *key;            /* its job's */
    bool again;                 /* it may have been begun before a restart: then it is about the
                                 * job that has its key, whatever would become of it now */
    const char *made;           /* and the id of that job, as far as it is known; else "" */
    int64_t wait_ms;            /* at most, for the video */
    int64_t (*room)(void *arg); /* micro-dollars that the turn may still spend; -1: no bound */
    /* What its job is estimated at: of one that was made, and of one that was found by its key,
     * since what a turn has spent is on disk only with its results. Before `began`. */
    void (*spend)(void *arg, int64_t estimate);
    /* It became a job, or is about this one. */
    void (*began)(void *arg, const struct job *job);
    /* The job changed; `event` is its number, `detail` a JSON object. */
    void (*news)(void *arg, const struct job *job, int64_t event, const char *detail);
    /* The result as a JSON object, for the model: errors are results as well. The run is gone
     * afterwards. Called once, from the loop. */
    void (*done)(void *arg, const char *result);
    void *arg;
};

/* Arguments that are bad, and tools that there aren't, come back as results. */
struct tool_run *tool_run_start(const struct tool_run_config *config, const struct chat_call *call);

/* Doesn't wait for the video any longer: `done` gets the job as it is, from the loop. No job is
 * made any more. */
void tool_run_hurry(struct tool_run *run);

/* Its job is cancelled if it was not submitted yet (what was is paid for, and goes on); then as
 * tool_run_hurry. */
void tool_run_cancel(struct tool_run *run);

/* Nobody is called any more. Takes NULL. */
void tool_run_abandon(struct tool_run *run);

#endif
