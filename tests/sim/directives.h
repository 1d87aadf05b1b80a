/* What a prompt tells the simulator to do with it: "a cat [sim: latency=3s, filter]". */
#ifndef SIM_DIRECTIVES_H
#define SIM_DIRECTIVES_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/error.h"
#include "tests/sim/media.h"

enum delivery { DELIVERY_ASKED, DELIVERY_INLINE, DELIVERY_URI };

struct directives {
    int64_t latency_ms;    /* -1: as the simulator is set */
    int64_t processing_ms; /* -1: likewise */
    bool again;            /* no duplicate, though the prompt is known */
    bool filter;
    char filter_how[32]; /* "", "empty", "partial", an error's code, or a support code */
    bool fail;
    char fail_code[32]; /* "13", or an error's code; "" is "13" */
    int64_t fails;      /* fail and filter only the first of this many with this prompt; -1: all */
    char status[32];    /* interactions: how it ends */
    enum media_kind video;
    uint64_t bytes; /* 0: as the simulator is set */
    enum delivery delivery;
    bool foreign;         /* the result's uri leads to the other origin */
    bool encoded;         /* predict: the video is in the answer */
    bool old_outputs;     /* interactions: outputs[] in place of steps[] */
    bool processing_fail; /* the file never becomes active */
    bool gone;            /* the file is no longer there */
    bool completed;       /* videos: says so even if it failed or was filtered */
};

void directives_init(struct directives *directives);

/* Reads every "[sim: …]" of a text. -1 with `error` if one is not known. */
int directives_parse(struct directives *directives, const char *text, struct error *error);

/* Reads a list without the brackets. */
int directives_parse_list(struct directives *directives, const char *list, size_t length,
                          struct error *error);

/* One line each, for --help. */
extern const char directives_help[];

#endif
