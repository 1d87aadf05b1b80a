/* What the store's two sides share: calls of prepared statements, and a job's row. Used on one
 * thread at a time. */
#ifndef VEO_STORE_SQL_H
#define VEO_STORE_SQL_H

#include <sqlite3.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/core/job.h"
#include "proto/error.h"

/* Prepares `count` statements for the life of the connection. -1 with `error`. */
int sql_prepare(sqlite3 *db, const char *const *texts, size_t count, sqlite3_stmt **ret,
                struct error *error);
void sql_finalize(sqlite3_stmt **statements, size_t count);

/* The negative errno of a result code: -ENOSPC, -EIO, -EROFS, -EINVAL (a constraint), … To be
 * called right after what yielded it. */
int sql_errno(int status);

/* One use of a statement: its parameters are bound in order, then sql_run, or sql_next until it
 * gives no row; sql_end before that is over. */
struct sql_call {
    sqlite3_stmt *statement;
    int bound;
    int status; /* the first failure to bind, as SQLite's code */
};
struct sql_call sql_call(sqlite3_stmt *statement);
void sql_bind_int(struct sql_call *call, int64_t number);
void sql_bind_null(struct sql_call *call);
void sql_bind_text(struct sql_call *call, const char *text); /* NULL: NULL. Borrowed to the end */

int sql_next(struct sql_call *call); /* 1: a row; 0: no more, ended; negative errno, ended */
int sql_run(struct sql_call *call);  /* to its end; 0 or negative errno */
void sql_end(struct sql_call *call);

/* A column's text in fresh memory; NULL for NULL. */
char *sql_text(sqlite3_stmt *statement, int column);

/* Those columns of `jobs` that a job's life changes, without those that an index has. */
#define SQL_JOB_COLUMNS                                                                         \
    "state, provider, attempt, attempts_counted, attempts_allowed, polls, uris, "               \
    "inline_result, error_code, error_message, error_retryable, error_provider, updated_at, "   \
    "deadline_at, not_before, unreachable_at, submitted_at, running_at, noticed_at, ended_at, " \
    "backoffs, estimate, charged, attempt_charge, charged_at, presumed"
#define SQL_JOB_VALUES \
    "?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?"

/* Those that an index has: written only when they change, as SQLite rewrites an index's entry for
 * every column that is named, whether its value is another or not. */
#define SQL_JOB_INDEXED        "operation, open, took, took_at"
#define SQL_JOB_INDEXED_VALUES "?, ?, ?, ?"

/* `uris`: their JSON array, or NULL. */
void sql_bind_job(struct sql_call *call, const struct job *job, const char *uris);
void sql_bind_job_indexed(struct sql_call *call, const struct job *job);

/* The values of the indexed columns, but for the operation. */
struct sql_job_indexed {
    int64_t open;
    int64_t took; /* -1: not known */
};
struct sql_job_indexed sql_job_indexed(const struct job *job);

/* A SELECT's beginning whose rows sql_job reads: the row's number is column 0. */
#define SQL_SELECT_JOB                                                                 \
    "SELECT number, id, owner, created_at, operation, requests.json, " SQL_JOB_COLUMNS \
    " FROM jobs JOIN requests ON requests.job = jobs.number "

/* The job of a row, without its files; NULL if the row is damaged. */
struct job *sql_job(sqlite3_stmt *statement);

#endif
