/* How many submissions a model takes, and how many operations may run at once. */
#ifndef SIM_QUOTA_H
#define SIM_QUOTA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct exchange;

struct quota_use {
    char *model;
    int64_t begin_ms; /* of its window */
    int64_t used;     /* in its window */
    double tokens;    /* in its bucket, at filled_ms */
    int64_t filled_ms;
};

struct quotas {
    struct quota_use *list;
    size_t count;
};

void quotas_clear(struct quotas *quotas);

/* "60/1m" */
int quota_parse(const char *text, int64_t *ret_count, int64_t *ret_window_ms);

/* Counts a submission; false, with the reply set, if it is one too many. */
bool quota_admit(struct exchange *exchange, const char *model);

#endif
