/* Which jobs: the options that `list` and `watch` share, as members of their command. */
#ifndef VEO_CTL_FILTER_H
#define VEO_CTL_FILTER_H

#include "proto/buf.h"
#include "proto/ctl/args.h"
#include "proto/jsonw.h"

struct filter {
    struct buf members; /* "name":value,… without braces */
    struct jsonw w;
};

void filter_init(struct filter *filter);
void filter_free(struct filter *filter);

/* Takes an option: 0, or -1 after saying what is wrong with it. */
int filter_take(struct filter *filter, const struct args *args, enum option_id option);

/* Writes the members into an object that the caller has opened. */
void filter_write(const struct filter *filter, struct jsonw *w);

#endif
