/* What to do when a submission, or the operation that came of it, went wrong: one table. */
#ifndef VEO_RETRY_H
#define VEO_RETRY_H

#include <stdbool.h>
#include <stdint.h>

enum retry_class {
    RETRY_ELSEWHERE, /* this provider won't have it, another may; if none may, it fails */
    RETRY_BACK_OFF,  /* the job alone waits; the attempt counts */
    RETRY_GATE,      /* the provider has enough of everybody for a while; no attempt was used */
    RETRY_HOLD,      /* it wants money; elsewhere if another takes it, else held */
    RETRY_FAIL,      /* for good */
    RETRY_UNCERTAIN, /* it may be running and charged */
};

enum retry_shuts { SHUTS_NOTHING, SHUTS_MODEL, SHUTS_PROVIDER };

struct retry_rule {
    enum retry_class class;
    enum retry_shuts shuts; /* what of the provider is left alone for a while */
    bool slows;             /* too many were sent */
    bool until_day;         /* shut until the provider's day turns, whatever it says itself */
};

enum retry_end {
    RETRY_ANSWERED,  /* with an HTTP status above 299 */
    RETRY_NOT_SENT,  /* no connection was made */
    RETRY_NO_ANSWER, /* something was sent, and no complete answer came */
    RETRY_OPERATION, /* it was accepted, and the operation ended badly */
};

struct retry_facts {
    enum retry_end end;
    int status;           /* HTTP's; of an operation: google.rpc's number */
    bool own_words;       /* the provider's own error body, not a gateway's */
    const char *code;     /* lower case with dashes; NULL: none */
    const char *quota_id; /* NULL: none */
};

/* The first row that fits; never NULL. */
const struct retry_rule *retry_rule(const struct retry_facts *facts);

/* When Google's daily quotas begin anew: the next midnight in Los Angeles, by the rule for daylight
 * saving time that has been in force since 2007. Unix time in ms. */
int64_t retry_day_turns(int64_t now);

#endif
