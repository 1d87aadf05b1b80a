/* What is to go wrong, as tests set it at run time: POST /__rules. */
#ifndef SIM_RULES_H
#define SIM_RULES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/json.h"
#include "tests/sim/exchange.h"
#include "tests/sim/reply.h"

enum action {
    ACTION_STATUS,
    ACTION_RESET_BEFORE,
    ACTION_RESET_AFTER,
    ACTION_STALL,
    ACTION_SLOW,
    ACTION_TRUNCATE,
    ACTION_GARBAGE,
    ACTION_EMPTY,
    ACTION_HUGE,
    ACTION_WRONG_TYPE,
    ACTION_NO_NAME,
    ACTION_REDIRECT,
    ACTION_CONTENT_TYPE,
    ACTION_NOT_A_VIDEO,
    ACTION_NO_RANGE,
    ACTION_EXPIRED,
    ACTION_DIRECTIVE,
};

/* Which quota a 429 is about; QUOTA_NONE: the rule says it all. */
enum quota_kind { QUOTA_NONE, QUOTA_MINUTE, QUOTA_DAY, QUOTA_SPEND };

/* Immutable but for its counters. Strings are owned; NULL is absent. */
struct rule {
    unsigned references;
    unsigned events; /* enum event */
    enum action action;
    bool refuses; /* nothing is done: a submission is not accepted */
    enum reply_shape shape;
    enum quota_kind quota;

    char *match;
    char *message;
    char *code;
    char *reason;
    char *quota_id;
    char *retry_info;
    char *retry_after;
    char *location;
    char *type;
    char *directive;
    int64_t status;
    int64_t skip;
    int64_t times; /* -1: for ever */
    int64_t seconds_ms;
    int64_t interval_ms;
    int64_t bytes; /* -1: not given */
    int64_t after; /* -1: not given */
    double chance;

    int64_t skipped;
    int64_t hits;
};

struct rules {
    struct rule **list;
    size_t count;
};

void rules_clear(struct rules *rules);
void rules_serve_set(struct exchange *exchange);   /* POST /__rules */
void rules_serve_show(struct exchange *exchange);  /* GET /__rules */
void rules_serve_clear(struct exchange *exchange); /* DELETE /__rules */

/* Whether the connection is to be closed before the request's body is read. */
bool rules_reset_early(struct exchange *exchange);

/* Looks for a rule for this event; from then on it is the exchange's. `prompt` may be NULL. True
 * if the handler must do nothing: rule_apply() will make up the answer. */
bool rules_intercept(struct exchange *exchange, const char *prompt);

/* Turns the exchange's reply into what its rule wants; without a rule nothing changes. Returns how
 * long the answer is kept back. */
int64_t rule_apply(struct exchange *exchange);

/* NULL if it can't be read, with `error`. */
struct rule *rule_parse(struct json_value object, struct error *error);
/* Values of rules, and of scripts: a string, or a number as it is written, in place of what `ret`
 * had; seconds as a number, or with a unit as a string. 0 or -1. */
int rule_read_text(struct json_value value, char **ret);
int rule_read_duration(struct json_value value, int64_t *ret_ms);
const char *rule_action_name(enum action action);
void rule_unref(struct rule *rule); /* takes NULL */

#endif
