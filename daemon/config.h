/* veod.conf: every key from one table, with its type, default and range. */
#ifndef VEO_CONFIG_H
#define VEO_CONFIG_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "daemon/core/model_table.h"
#include "proto/buf.h"
#include "proto/error.h"

#define CONFIG_PROVIDERS_MAX 32
#define CONFIG_GLOBS_MAX     64

struct config_provider {
    char *name;
    char *dialect;
    char *base_url;
    char *api_version;
    char *models; /* globs, split by spaces or commas */
    char *credential;
    char *credential_file;
    char *auth;
    char *token_command;
    char *project;
    char *location;
    char *storage_uri;
    char *storage_url;
    char *body;
    int64_t weight;
    int64_t rate_per_minute;           /* 0: no bound of ours */
    int64_t in_flight;                 /* 0: no bound of its own */
    int64_t daily_budget;              /* micro-dollars; -1: none */
    char *globs[CONFIG_GLOBS_MAX + 1]; /* `models` taken apart; NULL-terminated */
};

/* Strings are owned. */
struct config {
    char *socket;
    char *socket_group;
    int64_t socket_mode;
    char *admin_group;
    char *state_directory;
    char *output_directory;
    char *default_model;
    char *log_level;

    int64_t in_flight;
    int64_t jobs;
    int64_t clients;
    int64_t client_commands;
    int64_t client_output;
    int64_t client_stall;
    int64_t result_bytes;
    int64_t reply_bytes;
    int64_t deadline;
    int64_t blob_bytes;
    int64_t blobs_bytes;
    int64_t blob_age;

    int64_t output_bytes; /* 0: no bound */
    int64_t output_age;   /* 0: no bound */

    int64_t daily_budget;       /* micro-dollars a day; -1: none */
    int64_t owner_daily_budget; /* -1: none */

    int64_t poll_min;
    int64_t poll_max;

    int64_t calls;
    int64_t transfers;
    int64_t connect_timeout;
    int64_t stall_timeout;
    int64_t answer_timeout;
    char *ca_file;

    int64_t max_attempts;
    int64_t base_delay;
    int64_t max_delay;
    int64_t connect_for;
    char *on_uncertain;

    /* The agent. */
    char *agent_base_url; /* `/chat/completions` is appended to it */
    char *agent_model;
    char *agent_credential;
    char *agent_credential_file;
    char *agent_system_prompt;      /* a file; NULL: the shipped text */
    char *agent_temperature;        /* a number from 0 to 2, as text */
    char *agent_temperature_models; /* globs: those that take a temperature */
    int64_t agent_max_tokens;       /* of an answer; 0: not sent */
    int64_t agent_rounds;           /* requests to the model a turn */
    int64_t agent_tokens;           /* a turn, as the model counts them */
    int64_t agent_time;             /* a turn */
    int64_t agent_max_usd;          /* a turn's jobs together, in micro-dollars; -1: no bound */
    int64_t agent_video_wait;       /* how long a tool's call waits for its video */
    int64_t agent_calls;            /* requests to the model at once */
    int64_t agent_conversations;    /* turns under way at once */
    int64_t agent_session_age;      /* after its last change */
    int64_t agent_session_bytes;    /* its messages together */
    char *agent_globs[CONFIG_GLOBS_MAX + 1]; /* `agent_temperature_models` taken apart */

    struct config_provider providers[CONFIG_PROVIDERS_MAX];
    size_t provider_count;
    bool provider_is_default; /* none was configured */

    struct model_table *models; /* the shipped ones, changed by the sections [model GLOB] */
};

/* Where the configuration is unless something else is said: in $CONFIGURATION_DIRECTORY, else
 * in /etc/veod. For the caller to free. */
char *config_default_path(void);

/* Reads the defaults (directories: those of the unit, $STATE_DIRECTORY and $RUNTIME_DIRECTORY, if
 * it has any), then `path` (may be missing if it is the built-in one), then PATH.d/NAME.conf
 * in order of name, then the `overrides` ("section.key=value"; a provider's: "provider
 * NAME.key=value"). -1 with `error`: file, line, what was wrong and what was expected. */
int config_load(const char *path, bool may_be_missing, char *const *overrides, struct config *ret,
                struct error *error);
void config_free(struct config *config);

/* Takes from `anew` what can change while veod runs: [budget], [limits], [poll], [retry], [output],
 * [model …], [agent] but for where it asks, with what secret and how often at once, and a
 * provider's weight, rate_per_minute, in_flight and daily_budget_usd. `anew` gets the old values,
 * to be freed once nobody borrows them any more. The names of the changed keys are listed in
 * `changed`, split by commas. -1 with `error` (conflict, the keys' names) and nothing changed, if
 * anything else differs. */
int config_reload(struct config *config, struct config *anew, struct buf *changed,
                  struct error *error);

/* As veod.conf, with all defaults. */
void config_print(const struct config *config, FILE *to);

#endif
