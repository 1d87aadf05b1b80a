/* How requests of one kind were answered, and how fast: whose they are keeps one for them. */
#ifndef VEO_HTTP_TALLY_H
#define VEO_HTTP_TALLY_H

#include "daemon/core/histogram.h"

struct http_reply;

/* What became of a request that was not taken back. 429 is none of the 4xx here. */
#define HTTP_CLASSES(X) \
    X(2XX, "2xx")       \
    X(3XX, "3xx")       \
    X(4XX, "4xx")       \
    X(429, "429")       \
    X(5XX, "5xx")       \
    X(UNSENT, "unsent") \
    X(UNHEARD, "unheard")

enum http_class {
#define X(name, text) HTTP_CLASS_##name,
    HTTP_CLASSES(X)
#undef X
        HTTP_CLASS_COUNT
};
const char *http_class_name(enum http_class which);

struct http_tally {
    uint64_t answers[HTTP_CLASS_COUNT];
    struct histogram ms; /* of those that were answered: from a free handle to the last byte */
};

void http_tally_init(struct http_tally *tally);
void http_tally_add(struct http_tally *tally, const struct http_reply *reply, int64_t ms);

#endif
