#include "daemon/io/store_sql.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "proto/json.h"
#include "proto/mem.h"

int sql_prepare(sqlite3 *db, const char *const *texts, size_t count, sqlite3_stmt **ret,
                struct error *error)
{
    for (size_t i = 0; i < count; i++)
        if (sqlite3_prepare_v3(db, texts[i], -1, SQLITE_PREPARE_PERSISTENT, &ret[i], NULL) !=
            SQLITE_OK)
            return error_set(error, ERROR_UNAVAILABLE, NULL, "the store's tables are damaged: %s",
                             sqlite3_errmsg(db));
    return 0;
}

void sql_finalize(sqlite3_stmt **statements, size_t count)
{
    for (size_t i = 0; i < count; i++)
        sqlite3_finalize(statements[i]);
}

/* From errno, as sqlite3_system_errno says nothing of a COMMIT. EFBIG is a limit on files' size. */
static int io_errno(void)
{
    return errno == ENOSPC || errno == EDQUOT || errno == EFBIG ? -ENOSPC : -EIO;
}

int sql_errno(int status)
{
    switch (status & 0xff) {
    case SQLITE_OK:
    case SQLITE_ROW:
    case SQLITE_DONE:
        return 0;
    case SQLITE_FULL:
        return -ENOSPC;
    case SQLITE_NOMEM:
        return -ENOMEM;
    case SQLITE_READONLY:
        return -EROFS;
    case SQLITE_PERM:
    case SQLITE_AUTH:
        return -EACCES;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return -EBUSY;
    case SQLITE_CONSTRAINT:
    case SQLITE_TOOBIG:
    case SQLITE_MISMATCH:
        return -EINVAL;
    default:
        return io_errno();
    }
}

struct sql_call sql_call(sqlite3_stmt *statement)
{
    return (struct sql_call){.statement = statement};
}

static void note(struct sql_call *call, int status)
{
    if (call->status == SQLITE_OK)
        call->status = status;
}

void sql_bind_int(struct sql_call *call, int64_t number)
{
    note(call, sqlite3_bind_int64(call->statement, ++call->bound, number));
}

void sql_bind_null(struct sql_call *call)
{
    note(call, sqlite3_bind_null(call->statement, ++call->bound));
}

void sql_bind_text(struct sql_call *call, const char *text)
{
    note(call, sqlite3_bind_text(call->statement, ++call->bound, text, -1, SQLITE_STATIC));
}

int sql_next(struct sql_call *call)
{
    errno = 0;
    if (call->status == SQLITE_OK) {
        int status = sqlite3_step(call->statement);
        if (status == SQLITE_ROW)
            return 1;
        call->status = status;
    }
    int status = sql_errno(call->status);
    sql_end(call);
    return status;
}

int sql_run(struct sql_call *call)
{
    int status;
    do
        status = sql_next(call);
    while (status > 0);
    return status;
}

void sql_end(struct sql_call *call)
{
    sqlite3_reset(call->statement);
    sqlite3_clear_bindings(call->statement);
}

char *sql_text(sqlite3_stmt *statement, int column)
{
    return mem_strdup((const char *)sqlite3_column_text(statement, column));
}

struct sql_job_indexed sql_job_indexed(const struct job *job)
{
    bool is_known = (job->state == JOB_FETCHING || job->state == JOB_DONE) && job->running_at > 0 &&
                    job->noticed_at >= job->running_at;
    return (struct sql_job_indexed){
        .open = (job_state_flags(job->state) & (JOB_LIVE | JOB_STUCK)) != 0,
        .took = is_known ? job->noticed_at - job->running_at : -1,
    };
}

void sql_bind_job(struct sql_call *call, const struct job *job, const char *uris)
{
    sql_bind_int(call, job->state);
    sql_bind_text(call, job->provider);
    sql_bind_int(call, job->attempt);
    sql_bind_int(call, job->attempts_counted);
    sql_bind_int(call, job->attempts_allowed);
    sql_bind_int(call, job->polls);
    sql_bind_text(call, uris);
    sql_bind_int(call, job->inline_result);
    sql_bind_text(call, job->error.code);
    sql_bind_text(call, job->error.message);
    sql_bind_int(call, job->error.retryable);
    sql_bind_text(call, job->error.provider);
    sql_bind_int(call, job->updated_at);
    sql_bind_int(call, job->deadline_at);
    sql_bind_int(call, job->not_before);
    sql_bind_int(call, job->unreachable_at);
    sql_bind_int(call, job->submitted_at);
    sql_bind_int(call, job->running_at);
    sql_bind_int(call, job->noticed_at);
    sql_bind_int(call, job->ended_at);
    sql_bind_int(call, job->backoffs);
    sql_bind_int(call, job->estimate);
    sql_bind_int(call, job->charged);
    sql_bind_int(call, job->attempt_charge);
    sql_bind_int(call, job->charged_at);
    sql_bind_int(call, job->presumed);
}

void sql_bind_job_indexed(struct sql_call *call, const struct job *job)
{
    struct sql_job_indexed indexed = sql_job_indexed(job);
    sql_bind_text(call, job->operation);
    sql_bind_int(call, indexed.open);
    if (indexed.took < 0) {
        sql_bind_null(call);
        sql_bind_null(call);
    } else {
        sql_bind_int(call, indexed.took);
        sql_bind_int(call, job->noticed_at);
    }
}

/* Reads a row's columns from left to right. */
struct cursor {
    sqlite3_stmt *statement;
    int column;
};

static int64_t next_int(struct cursor *cursor)
{
    return sqlite3_column_int64(cursor->statement, cursor->column++);
}

static char *next_text(struct cursor *cursor)
{
    return sql_text(cursor->statement, cursor->column++);
}

static int load_uris(struct cursor *cursor, struct job *job)
{
    const char *text = (const char *)sqlite3_column_text(cursor->statement, cursor->column);
    int length = sqlite3_column_bytes(cursor->statement, cursor->column++);
    if (!text)
        return 0;
    struct json *doc = json_parse(text, (size_t)length, (struct json_limits){0}, NULL);
    if (!doc)
        return -1;
    size_t count = json_size(json_root(doc));
    job->uris = mem_alloc((count + 1) * sizeof(*job->uris));
    for (struct json_iter it = json_iter(json_root(doc)); json_next(&it); job->uri_count++)
        if (!(job->uris[job->uri_count] = json_strdup(it.value, NULL)))
            break;
    json_free(doc);
    return job->uri_count == count ? 0 : -1;
}

static int load_id(struct cursor *cursor, struct job *job)
{
    const void *id = sqlite3_column_text(cursor->statement, cursor->column);
    if (sqlite3_column_bytes(cursor->statement, cursor->column++) != JOB_ID_LENGTH)
        return -1;
    memcpy(job->id, id, JOB_ID_LENGTH);
    return 0;
}

static int load_request(struct cursor *cursor, struct job *job)
{
    const char *json = (const char *)sqlite3_column_text(cursor->statement, cursor->column);
    int length = sqlite3_column_bytes(cursor->statement, cursor->column++);
    job->request = json ? request_load(json, (size_t)length) : NULL;
    return job->request ? 0 : -1;
}

static int load_state(struct cursor *cursor, struct job *job)
{
    int64_t state = next_int(cursor);
    if (state < 0 || state >= JOB_STATE_COUNT)
        return -1;
    job->state = (enum job_state)state;
    return 0;
}

/* In the order of SQL_JOB_COLUMNS. */
static int load_columns(struct cursor *cursor, struct job *job)
{
    if (load_state(cursor, job) < 0)
        return -1;
    job->provider = next_text(cursor);
    job->attempt = (int)next_int(cursor);
    job->attempts_counted = (int)next_int(cursor);
    job->attempts_allowed = (int)next_int(cursor);
    job->polls = (uint32_t)next_int(cursor);
    if (load_uris(cursor, job) < 0)
        return -1;
    job->inline_result = next_int(cursor) != 0;
    job->error.code = next_text(cursor);
    job->error.message = next_text(cursor);
    job->error.retryable = next_int(cursor) != 0;
    job->error.provider = next_text(cursor);
    job->updated_at = next_int(cursor);
    job->deadline_at = next_int(cursor);
    job->not_before = next_int(cursor);
    job->unreachable_at = next_int(cursor);
    job->submitted_at = next_int(cursor);
    job->running_at = next_int(cursor);
    job->noticed_at = next_int(cursor);
    job->ended_at = next_int(cursor);
    job->backoffs = (int)next_int(cursor);
    job->estimate = next_int(cursor);
    job->charged = next_int(cursor);
    job->attempt_charge = next_int(cursor);
    job->charged_at = next_int(cursor);
    job->presumed = next_int(cursor) != 0;
    return 0;
}

struct job *sql_job(sqlite3_stmt *statement)
{
    struct cursor cursor = {.statement = statement, .column = 1};
    struct job *job = mem_alloc(sizeof(*job));
    if (load_id(&cursor, job) < 0)
        goto damaged;
    job->owner = (uid_t)next_int(&cursor);
    job->created_at = next_int(&cursor);
    job->operation = next_text(&cursor);
    if (load_request(&cursor, job) < 0 || load_columns(&cursor, job) < 0)
        goto damaged;
    return job;

damaged:
    job_free(job);
    return NULL;
}
