/* The agent: conversations in which a model calls tools until it has an answer. Each is a turn of a
 * session; it goes on whether or not its client is there, and after a restart.
 *
 *              ┌──── back-off ───┐
 *              v                 │
 *   ASK ─ thinking ──────────────┴─ ended (answered, refused, at a bound, failed, cancelled)
 *              │ ^
 *              v │ all results are there, on disk
 *            calling
 *
 * What the model said is on disk before its calls are made, and their results are before they are
 * sent to it: so a turn that is cut goes on from its last message, and a call that is made again is
 * the same job, by its key. */
#ifndef VEO_AGENT_H
#define VEO_AGENT_H

#include <uv.h>

#include "daemon/cmd/commands.h"
#include "daemon/core/backoff.h"

struct agent;
struct call;

/* Borrowed for the agent's life, or until the next agent_set_config. */
struct agent_config {
    const char *base_url; /* `/chat/completions` is appended */
    const char *model;
    const char *system_prompt;       /* NULL: the shipped one */
    const char *temperature;         /* NULL: not sent */
    char *const *temperature_models; /* globs, NULL-terminated */
    int64_t max_tokens;
    int64_t rounds;
    int64_t tokens;
    int64_t time_ms;
    int64_t max_usd; /* micro-dollars; -1: no bound */
    int64_t video_wait_ms;
    size_t conversations;
    int64_t session_age_ms;
    size_t session_bytes;
    int64_t connect_ms;
    int64_t answer_ms;
    size_t reply_bytes;
    struct backoff backoff;
};

/* `secret` goes into the Authorization header and is copied; NULL: ASK is refused with `why`, which
 * is copied as well. */
struct agent *agent_new(uv_loop_t *loop, const struct agent_config *config, const char *secret,
                        const char *why, struct commands *commands, struct engine *engine,
                        struct store *store, struct http *http);
void agent_set_config(struct agent *agent, const struct agent_config *config);

/* Goes on with the turns that a stop has cut. After the engine has its jobs. Blocks. */
int agent_recover(struct agent *agent, struct error *error);

/* commands_config.ask: `arg` is the agent. */
void agent_ask(void *arg, struct call *call);

/* commands_config.ask_stats. */
void agent_write_stats(void *arg, struct jsonw *w);
/* commands_config.ask_metrics. */
void agent_write_metrics(void *arg, struct expose *expose);

/* Nothing is started any more; what was cut goes on at the next start. Before http is closed;
 * a second time is harmless. */
void agent_abandon(struct agent *agent);
/* After http and store are closed and the loop has run. Takes NULL. */
void agent_free(struct agent *agent);

#endif
