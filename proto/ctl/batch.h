/* `veoctl batch`: a file of jobs, one a line. They are sent as they are read, many at a time, each
 * with a key, so that the same command goes on where it was interrupted and buys nothing twice.
 * Memory is bounded by BATCH_LINES_MAX, whatever the file holds. */
#ifndef VEO_CTL_BATCH_H
#define VEO_CTL_BATCH_H

#include "proto/ctl/call.h"
#include "proto/ctl/upload.h"

#define BATCH_LINES_MAX 250000
#define BATCH_COMMANDS  240 /* at most so many without an answer */
#define BATCH_NAME_MAX  200 /* bytes of the batch's name in its keys */
#define BATCH_ID_SIZE   27

/* A line's job, once it is accepted; kept to be waited for. */
struct batch_job {
    char id[BATCH_ID_SIZE];
    bool is_settled;
    uint32_t line;
};

struct batch_counts {
    size_t lines; /* with something on them */
    size_t accepted;
    size_t existing; /* of these, known from an earlier run */
    size_t refused;
    size_t ended;
    size_t not_done; /* of these */
    double usd;      /* of a dry run */
    size_t unpriced;
};

struct seen; /* how often each content came already */

struct batch {
    struct ctl *ctl;
    const char *file;   /* as named */
    const char *name;   /* part of every key */
    const char *folder; /* for results; NULL: they stay with the daemon */
    bool waits;
    bool dry_run;
    bool overwrite;
    int64_t wait_ms; /* below 0: for ever */
    int64_t reconnect_ms;
    size_t commands;              /* that the daemon works on at a time; at least 1 */
    struct connection connection; /* for the jobs */
    struct connection side;       /* for files, and questions meanwhile; opened when needed */
    struct uploads *uploads;
    struct seen *seen;
    struct batch_job *jobs; /* only if they are waited for */
    size_t job_count;
    size_t job_capacity;
    struct batch_counts counts;
    enum exit_status status; /* the worst so far */
    uint64_t read;           /* bytes of the file */
    uint64_t size;           /* 0: unknown */
    int64_t draw_at;         /* clock_ms */
    bool is_drawn;
};

/* ---- batch_line.c ---- */

/* Makes the GENERATE object of a line, sending its files: EXIT_ALL_DONE, or a status and in `why`
 * what is wrong with the line. */
int batch_line_make(struct batch *batch, const char *text, size_t length, struct buf *ret,
                    char why[UPLOAD_TEXT]);
void batch_seen_free(struct seen *seen); /* takes NULL */

/* ---- batch_send.c ---- */

/* To the end of the file, and to the last answer. EXIT_ALL_DONE, whatever became of the lines; or
 * what ended it before that, which was said. */
int batch_send(struct batch *batch, int fd);

/* ---- batch_wait.c ---- */

/* Until all jobs have ended; as batch_send. */
int batch_wait(struct batch *batch);

/* ---- batch_show.c ---- */

/* A line that makes no job; counted here. */
void batch_show_refused(struct batch *batch, size_t line, const char *message);
void batch_show_error(struct batch *batch, size_t line, const struct answer *err);

/* A job that was waited for and is no longer known. */
void batch_show_forgotten(struct batch *batch, const struct batch_job *job,
                          const struct answer *err);
void batch_show_job(struct batch *batch, size_t line, struct json_value job);

/* As batch_show_job, of an end: `detail` in place of its reason, if it isn't NULL. */
void batch_show_end(struct batch *batch, size_t line, struct json_value job, const char *detail);
void batch_show_priced(struct batch *batch, size_t line, struct json_value ok);

/* The one line on a terminal that tells how far it is. */
void batch_draw(struct batch *batch);
void batch_draw_clear(struct batch *batch);
void batch_sum_up(struct batch *batch);

#endif
