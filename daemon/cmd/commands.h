/* The verbs: what clients send becomes calls, calls speak to the engine and the store, and their
 * answers become lines. */
#ifndef VEO_COMMANDS_H
#define VEO_COMMANDS_H

#include "daemon/engine/engine.h"
#include "daemon/io/client.h"
#include "proto/jsonw.h"

struct blobs;
struct call;
struct commands;
struct expose;
struct lag;

struct commands_config {
    /* Reads the configuration anew: the names of the keys that changed, split by commas; or -1. */
    int (*reload)(void *arg, struct buf *changed, struct error *error);
    void *reload_arg;
    /* Answers an ASK: the agent is a layer above. */
    void (*ask)(void *arg, struct call *call);
    void (*ask_stats)(void *arg, struct jsonw *w);         /* a member of STATS */
    void (*ask_metrics)(void *arg, struct expose *expose); /* families of METRICS */
    void *ask_arg;
    const struct lag *lag; /* the loop's; borrowed; NULL: not measured */
    const char *default_model;
    int64_t deadline_ms; /* for requests that don't say */
    size_t client_commands;
    struct blobs *blobs;
    size_t output_max; /* bytes held back for a client while a GET has the line */
};

struct commands *commands_new(uv_loop_t *loop, const struct commands_config *config,
                              struct engine *engine, struct store *store, struct http *http);
/* Takes other limits. */
void commands_set_config(struct commands *commands, const struct commands_config *config);
/* After all clients are gone and the loop has run. */
void commands_free(struct commands *commands);

/* For clients_open(); the argument is the commands. */
extern const struct clients_hooks commands_hooks;
void commands_set_clients(struct commands *commands, const struct clients *clients);

#endif
