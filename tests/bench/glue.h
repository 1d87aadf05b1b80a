/* libcurl's multi on libuv: one watcher for each socket, kept as long as the socket, and one timer.
 * For the floor alone: what goes wrong ends the program. */
#ifndef BENCH_GLUE_H
#define BENCH_GLUE_H

#include <curl/curl.h>
#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

struct glue {
    uv_loop_t *loop;
    CURLM *multi;
    uint64_t connections; /* that were ever opened */
    void (*moved)(void);  /* transfers may have ended; never called from inside of libcurl */
};

extern struct glue glue;

void glue_init(void (*moved)(void), long connections_max);
void glue_adopt(CURL *easy);

/* Ends the program with a message unless `good`. */
void check(bool good, const char *what, const char *why);

#endif
