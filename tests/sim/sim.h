/* The simulator as a whole. */
#ifndef SIM_SIM_H
#define SIM_SIM_H

#include <stdbool.h>
#include <stdint.h>

#include "tests/sim/chat_log.h"
#include "tests/sim/operations.h"
#include "tests/sim/quota.h"
#include "tests/sim/rules.h"
#include "tests/sim/token.h"

#define SIM_NAME "veosim/" VEOD_VERSION " (a simulator of Google's video API)"

struct options {
    uint16_t port;
    uint16_t foreign_port;
    bool has_foreign;
    bool quiet;
    bool die_with_parent;
    bool old_outputs;
    bool old_videos; /* the videos dialect calls a failed job completed */
    bool seed_route;
    bool quota_bucket;
    bool quota_retry_info;
    const char *address;
    const char *port_file;
    const char *key;         /* NULL: any will do */
    const char *gone;        /* a glob of models that are shut down; NULL: none */
    const char *public_base; /* what a result's uri begins with; NULL: as the client called us */
    int64_t latency_min_ms;
    int64_t latency_max_ms;
    int64_t processing_ms;
    uint64_t video_bytes;
    uint64_t seed;
    int64_t quota; /* submissions a model and window; 0: any number */
    int64_t quota_window_ms;
    uint64_t in_flight;          /* 0: any number */
    const char *service_account; /* the file of its public key; NULL: there is none */
    const char *token;           /* that is always good; NULL: none */
    uint64_t token_seconds;
    enum delivery delivery;
};

struct stats {
    uint64_t submissions;
    uint64_t accepted;
    uint64_t refused;
    uint64_t polls;
    uint64_t polls_after_end;
    uint64_t files;
    uint64_t downloads;
    uint64_t downloads_complete;
    uint64_t bytes_sent;
    uint64_t cancels;
    uint64_t connections;
    uint64_t connections_now;
    uint64_t requests;
    uint64_t foreign_requests;
    uint64_t key_header_ok;
    uint64_t key_in_url;
    uint64_t key_missing;
    uint64_t key_wrong;
    uint64_t key_foreign;
    uint64_t throttled;
    uint64_t tokens_issued;
    uint64_t bearer_ok;
    uint64_t bearer_missing;
    uint64_t bearer_wrong;
    uint64_t bearer_foreign;
    uint64_t chat_requests;
    uint64_t chat_admitted; /* by the checks; a rule or a script may do what it likes then */
    uint64_t chat_refused;
    uint64_t chat_altered;  /* messages that came back otherwise than they had left */
    uint64_t chat_unsigned; /* calls whose signature was replaced by the word for none */
    uint64_t chat_now;      /* requests that are being answered */
    uint64_t chat_now_max;
};

/* What one of the two servers is told about itself. */
struct listener {
    struct sim *sim;
    bool foreign;
    struct MHD_Daemon *daemon;
};

struct sim {
    struct options options;
    struct stats stats;
    struct timers timers;
    struct operations operations;
    struct rules rules;
    struct quotas quotas;
    struct tokens tokens;
    struct chats chats;
    struct listener main;
    struct listener foreign;
    struct exchange *stalled; /* requests that a timer will let go on */
};

/* Shows the counters; the operations; forgets both. */
void stats_serve(struct exchange *exchange);
void stats_serve_operations(struct exchange *exchange);
void stats_serve_reset(struct exchange *exchange);

#endif
