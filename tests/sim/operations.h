/* What was submitted: operations, the files they made, and how often anybody asked. */
#ifndef SIM_OPERATIONS_H
#define SIM_OPERATIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tests/sim/directives.h"
#include "tests/sim/index.h"
#include "tests/sim/inputs.h"
#include "tests/sim/timer.h"

#define FILE_ID_LENGTH 12
#define SAMPLES_MAX    4

struct exchange;

enum dialect {
    DIALECT_INTERACTIONS,
    DIALECT_PREDICT,
    DIALECT_VERTEX,
    DIALECT_VIDEOS,
    DIALECT_CHAT, /* Google's compatible endpoint */
};

struct operation;

struct file {
    char id[FILE_ID_LENGTH + 1];
    char *object; /* in Cloud Storage, "bucket/name"; NULL: it isn't there */
    struct operation *operation;
};

struct operation {
    char *name; /* as the provider gives it */
    char *prompt;
    char *model;
    char *path;
    char *body; /* as submitted, but for the inputs; NULL once too many are kept */
    size_t body_length;
    uint64_t body_bytes; /* on the wire */
    struct inputs inputs;
    enum dialect dialect;
    bool on_vertex;
    struct directives directives;

    bool portrait;
    bool deliver_uri;
    bool stored;
    const char *resolution;
    double seconds;
    unsigned samples;
    struct file files[SAMPLES_MAX];

    unsigned serial; /* how many with the same prompt came before */
    bool ended;
    bool cancelled;
    bool deleted;
    bool told; /* a poll has been answered with the end */
    int64_t submitted_at;
    int64_t finished_at; /* Unix time in ms; 0: not yet */
    int64_t first_poll_at;
    uint64_t polls;
    uint64_t downloads;

    struct operations *owner;
    struct operation *same_prompt; /* the first one with it, if that is another */
    unsigned same_prompt_count;
    struct timer timer;
    struct exchange *waiting; /* requests that are held open until it ends */
};

struct operations {
    struct timers *timers;  /* borrowed */
    struct operation **all; /* in the order of submission */
    size_t count;
    size_t capacity;
    size_t body_bytes;
    struct index by_name;
    struct index by_prompt;
    struct index by_file;
    struct index by_object;
    uint64_t random;
    unsigned running;
    unsigned max_running;
    uint64_t duplicates;
};

int64_t unix_now_ms(void);

void operations_init(struct operations *operations, struct timers *timers, uint64_t seed);
void operations_free(struct operations *operations);

/* Forgets all; requests that wait for one are woken. */
void operations_reset(struct operations *operations);

/* Evenly among low..high. */
int64_t operations_random(struct operations *operations, int64_t low, int64_t high);

/* What is to be added. The strings are copied. */
struct operation_plan {
    enum dialect dialect;
    bool on_vertex;
    const char *parent; /* of the operation's name: "models/M", "projects/…/models/M" */
    const char *prompt;
    const char *model;
    const char *path;
    const char *body;
    size_t body_length;
    uint64_t body_bytes;
    const char *shown;       /* in place of the body; NULL: that */
    const char *storage_uri; /* "gs://bucket/folder"; NULL: not to Cloud Storage */
    struct inputs inputs;    /* taken by operation_start() */
    struct directives directives;
    bool portrait;
    bool deliver_uri;
    bool stored;
    const char *resolution; /* static */
    double seconds;
    unsigned samples;
    int64_t latency_ms;
};

/* Adds one that runs for latency_ms from now on. Never NULL. */
struct operation *operation_start(struct operations *operations, struct operation_plan *plan);

/* NULL if there is none, or it was deleted. */
struct operation *operation_find(struct operations *operations, const char *name);
struct file *operation_file(struct operations *operations, const char *file_id);
struct file *operation_object(struct operations *operations, const char *object);

/* Ends it now, if it still runs. */
void operation_cancel(struct operation *operation);

/* Notes that it was polled. */
void operation_polled(struct operation *operation);

/* Whether `fail` and `filter` apply to it. */
bool operation_misfortune(const struct operation *operation);

#endif
