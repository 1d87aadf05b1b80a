/* What is kept of chat requests, for tests to look at. */
#ifndef SIM_CHAT_LOG_H
#define SIM_CHAT_LOG_H

#include <stdint.h>

#include "proto/json.h"
#include "tests/sim/index.h"

struct chat_record;
struct chat_served;
struct chat_talk;
struct exchange;

struct chats {
    struct chat_record *first; /* the oldest */
    struct chat_record *last;
    size_t count;
    size_t bytes;
    struct chat_served *served; /* how often conversations were given an error */
    size_t served_count;
    struct index by_digest;
};

void chat_log_clear(struct chats *chats);

/* Keeps a request, once it is answered; the oldest are dropped. */
struct chat_note {
    const char *route; /* static */
    struct json_value messages;
    struct json_value temperature;
    struct json_value max_tokens;
    const char *last_role; /* NULL: none */
    unsigned altered;      /* of its messages */
};
void chat_log_add(struct exchange *exchange, const struct chat_note *note,
                  const struct chat_talk *talk);

/* How often the conversation with this digest was answered with one of its step's errors; to be
 * counted up. Valid until the next call. */
int64_t *chat_log_served(struct chats *chats, const char *digest);

void chat_log_serve(struct exchange *exchange); /* GET /__chats */

#endif
