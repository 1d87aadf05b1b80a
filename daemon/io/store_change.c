#include "daemon/io/store_change.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/io/store_blob.h"
#include "daemon/io/store_charge.h"
#include "daemon/io/store_session.h"
#include "daemon/io/store_sql.h"
#include "proto/jsonw.h"
#include "proto/mem.h"

#define URIS_MAX (4 * 1024 * 1024) /* bytes of a job's addresses, as JSON */

enum statement {
    BY_KEY,
    BY_OUTPUT,
    INSERT_JOB,
    INSERT_REQUEST,
    INSERT_LABEL,
    BY_ID,
    UPDATE_JOB,
    UPDATE_INDEXED,
    DELETE_FILES,
    INSERT_FILE,
    PUT_ATTEMPT,
    INSERT_EVENT,
    FORGET_JOB,
    REMOVE_FILE,
    STATEMENTS
};

#define STAYS "attempts.ended_at > 0 AND excluded.ended_at > 0"

static const char *const texts[STATEMENTS] = {
    [BY_KEY] = "SELECT id, json = ? FROM jobs JOIN requests ON requests.job = jobs.number"
               " WHERE owner = ? AND key = ?",
    [BY_OUTPUT] = "SELECT state FROM jobs WHERE owner = ? AND output = ?",
    [INSERT_JOB] = "INSERT INTO jobs (id, owner, model, key, output, created_at, " SQL_JOB_COLUMNS
                   ", " SQL_JOB_INDEXED ") VALUES (?, ?, ?, ?, ?, ?, " SQL_JOB_VALUES
                   ", " SQL_JOB_INDEXED_VALUES ")",
    [INSERT_REQUEST] = "INSERT INTO requests (job, json) VALUES (?, ?)",
    [INSERT_LABEL] = "INSERT OR IGNORE INTO labels (name, value, job) VALUES (?, ?, ?)",
    [BY_ID] = "SELECT number, operation, open, ifnull(took, -1), state, attempt,"
              " EXISTS (SELECT 1 FROM files WHERE job = jobs.number) FROM jobs WHERE id = ?",
    [UPDATE_JOB] = "UPDATE jobs SET (" SQL_JOB_COLUMNS ") = (" SQL_JOB_VALUES ") WHERE number = ?",
    [UPDATE_INDEXED] =
        "UPDATE jobs SET (" SQL_JOB_INDEXED ") = (" SQL_JOB_INDEXED_VALUES ") WHERE number = ?",
    [DELETE_FILES] = "DELETE FROM files WHERE job = ?",
    [INSERT_FILE] = "INSERT INTO files (job, position, path, bytes, sha256, mime_type,"
                    " removed_at) VALUES (?, ?, ?, ?, ?, ?, ?)",
    /* What ended an attempt stays, whatever becomes of the job later, until the attempt goes on. */
    [PUT_ATTEMPT] =
        "INSERT INTO attempts (job, number, provider, operation, started_at, ended_at, outcome,"
        " message) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
        " ON CONFLICT (job, number) DO UPDATE SET"
        " provider = excluded.provider, started_at = excluded.started_at,"
        " operation = CASE WHEN excluded.ended_at = 0 THEN excluded.operation"
        "   ELSE ifnull(excluded.operation, attempts.operation) END,"
        " ended_at = CASE WHEN " STAYS " THEN attempts.ended_at ELSE excluded.ended_at END,"
        " outcome = CASE WHEN " STAYS " THEN attempts.outcome ELSE excluded.outcome END,"
        " message = CASE WHEN " STAYS " THEN attempts.message ELSE excluded.message END",
    [INSERT_EVENT] = "INSERT INTO events (number, job, state, at, detail) VALUES (?, ?, ?, ?, ?)",
    [FORGET_JOB] = "DELETE FROM jobs WHERE id = ?",
    [REMOVE_FILE] = "UPDATE files SET removed_at = ? WHERE position = ?"
                    " AND job = (SELECT number FROM jobs WHERE id = ?)",
};

struct store_changes {
    sqlite3 *db; /* borrowed */
    struct store_charges *charges;
    sqlite3_stmt *statements[STATEMENTS];
    struct store_blobs *blobs;
    struct store_sessions *sessions;
    struct buf uris;
    int64_t *last_event; /* borrowed */
};

static struct sql_call call(struct store_changes *changes, enum statement which)
{
    return sql_call(changes->statements[which]);
}

static int run_with(struct store_changes *changes, enum statement which, int64_t number)
{
    struct sql_call c = call(changes, which);
    sql_bind_int(&c, number);
    return sql_run(&c);
}

/* What of a job's row can spare a change some work. */
struct row {
    int64_t number;
    bool same_indexed; /* columns */
    bool same_attempt; /* it goes on, and nothing of its record changes */
    bool has_files;
};

/* ---- what a change consists of ---- */

static int write_uris(struct store_changes *changes, const struct job *job, const char **ret)
{
    struct jsonw w;
    *ret = NULL;
    if (job->uri_count == 0)
        return 0;
    buf_reset(&changes->uris);
    jsonw_init(&w, &changes->uris);
    jsonw_array(&w);
    for (size_t i = 0; i < job->uri_count; i++)
        jsonw_string(&w, job->uris[i]);
    jsonw_array_end(&w);
    if (changes->uris.failed)
        return -EINVAL;
    *ret = buf_text(&changes->uris);
    return 0;
}

static int write_files(struct store_changes *changes, const struct row *row, const struct job *job)
{
    int status = row->has_files ? run_with(changes, DELETE_FILES, row->number) : 0;
    for (size_t i = 0; i < job->file_count && status == 0; i++) {
        const struct job_file *file = &job->files[i];
        struct sql_call c = call(changes, INSERT_FILE);
        sql_bind_int(&c, row->number);
        sql_bind_int(&c, (int64_t)i);
        sql_bind_text(&c, file->path);
        sql_bind_int(&c, (int64_t)file->bytes);
        sql_bind_text(&c, file->sha256);
        sql_bind_text(&c, file->mime_type);
        sql_bind_int(&c, file->removed_at);
        status = sql_run(&c);
    }
    return status;
}

static bool is_in_attempt(enum job_state state)
{
    return state == JOB_SUBMITTING || state == JOB_RUNNING || state == JOB_FETCHING;
}

static int write_attempt(struct store_changes *changes, const struct row *row,
                         const struct job *job)
{
    if (job->attempt <= 0 || row->same_attempt)
        return 0;
    bool goes_on = is_in_attempt(job->state);
    struct sql_call c = call(changes, PUT_ATTEMPT);
    sql_bind_int(&c, row->number);
    sql_bind_int(&c, job->attempt);
    sql_bind_text(&c, job->provider);
    sql_bind_text(&c, job->operation);
    sql_bind_int(&c, job->submitted_at);
    sql_bind_int(&c, goes_on ? 0 : job->updated_at);
    sql_bind_text(&c, goes_on ? NULL : job_state_name(job->state));
    sql_bind_text(&c, goes_on ? NULL : job->error.message);
    return sql_run(&c);
}

static int write_event(struct store_changes *changes, int64_t number, const struct job *job,
                       struct store_write *write)
{
    struct sql_call c = call(changes, INSERT_EVENT);
    sql_bind_int(&c, ++*changes->last_event);
    sql_bind_int(&c, number);
    sql_bind_int(&c, job->state);
    sql_bind_int(&c, job->updated_at);
    sql_bind_text(&c, write->detail ? write->detail : "{}");
    if (write->event == 0)
        write->event = *changes->last_event;
    return sql_run(&c);
}

static int write_parts(struct store_changes *changes, const struct row *row, const struct job *job,
                       struct store_write *write)
{
    int status = write_files(changes, row, job);
    if (status == 0)
        status = write_attempt(changes, row, job);
    if (status == 0)
        status = store_charges_put(changes->charges, job);
    if (status == 0)
        status = write_event(changes, row->number, job, write);
    return status;
}

/* ---- STORE_INSERT ---- */

static int refuse(struct store_write *write, size_t index, bool is_key)
{
    write->at_fault = index;
    write->key_at_fault = is_key;
    return -EEXIST;
}

static bool is_of_earlier(const struct store_write *write, size_t index, const char *id)
{
    for (size_t i = 0; i < index; i++)
        if (strcmp(write->jobs[i]->id, id) == 0 ||
            (write->existing && strcmp(write->existing[i], id) == 0))
            return true;
    return false;
}

/* 0: the key is free; 1: it names a job with the same request, now in `existing`. */
static int check_key(struct store_changes *changes, struct store_write *write, size_t index,
                     const char *json)
{
    const struct job *job = write->jobs[index];
    if (!job->request->key)
        return 0;
    struct sql_call c = call(changes, BY_KEY);
    sql_bind_text(&c, json);
    sql_bind_int(&c, job->owner);
    sql_bind_text(&c, job->request->key);
    int status = sql_next(&c);
    if (status <= 0)
        return status;
    char id[JOB_ID_SIZE] = "";
    strncpy(id, (const char *)sqlite3_column_text(c.statement, 0), JOB_ID_LENGTH);
    bool same = sqlite3_column_int(c.statement, 1) != 0;
    sql_end(&c);
    if (!same || !write->existing || is_of_earlier(write, index, id))
        return refuse(write, index, true);
    memcpy(write->existing[index], id, sizeof(id));
    return 1;
}

static bool keeps_output(enum job_state state)
{
    return state != JOB_FAILED && state != JOB_FILTERED && state != JOB_EXPIRED &&
           state != JOB_CANCELLED;
}

static int check_output(struct store_changes *changes, struct store_write *write, size_t index)
{
    const struct job *job = write->jobs[index];
    if (!job->request->output)
        return 0;
    if (write->taken && write->taken[index])
        return refuse(write, index, false);
    struct sql_call c = call(changes, BY_OUTPUT);
    sql_bind_int(&c, job->owner);
    sql_bind_text(&c, job->request->output);
    int status;
    while ((status = sql_next(&c)) > 0) {
        if (keeps_output((enum job_state)sqlite3_column_int(c.statement, 0))) {
            sql_end(&c);
            return refuse(write, index, false);
        }
    }
    return status;
}

static int insert_row(struct store_changes *changes, const struct job *job)
{
    const char *uris;
    int status = write_uris(changes, job, &uris);
    if (status < 0)
        return status;
    struct sql_call c = call(changes, INSERT_JOB);
    sql_bind_text(&c, job->id);
    sql_bind_int(&c, job->owner);
    sql_bind_text(&c, job->request->model);
    sql_bind_text(&c, job->request->key);
    sql_bind_text(&c, job->request->output);
    sql_bind_int(&c, job->created_at);
    sql_bind_job(&c, job, uris);
    sql_bind_job_indexed(&c, job);
    return sql_run(&c);
}

static int insert_request(struct store_changes *changes, int64_t number,
                          const struct request *request, const char *json)
{
    struct sql_call c = call(changes, INSERT_REQUEST);
    sql_bind_int(&c, number);
    sql_bind_text(&c, json);
    int status = sql_run(&c);
    for (size_t i = 0; i < request->label_count && status == 0; i++) {
        c = call(changes, INSERT_LABEL);
        sql_bind_text(&c, request->labels[i].name);
        sql_bind_text(&c, request->labels[i].value);
        sql_bind_int(&c, number);
        status = sql_run(&c);
    }
    return status;
}

static int insert_job(struct store_changes *changes, struct store_write *write, size_t index,
                      const char *json)
{
    const struct job *job = write->jobs[index];
    int status = check_key(changes, write, index, json);
    if (status != 0)
        return status < 0 ? status : 0;
    status = check_output(changes, write, index);
    if (status == 0)
        status = insert_row(changes, job);
    if (status < 0)
        return status;
    struct row row = {.number = sqlite3_last_insert_rowid(changes->db)};
    write->detail = write->details ? write->details[index] : NULL;
    status = insert_request(changes, row.number, job->request, json);
    if (status == 0)
        status = store_blobs_need(changes->blobs, row.number, job);
    if (status == -ENOENT)
        write->at_fault = index;
    return status < 0 ? status : write_parts(changes, &row, job, write);
}

static int insert_all(struct store_changes *changes, struct store_write *write)
{
    int status = 0;
    for (size_t i = 0; i < write->count && status == 0; i++) {
        char *json = request_to_json(write->jobs[i]->request);
        status = insert_job(changes, write, i, json);
        free(json);
    }
    return status;
}

/* ---- STORE_UPDATE, STORE_FORGET and STORE_REMOVE ---- */

static bool same_text(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) == 0 : a == b;
}

static int look_up(struct store_changes *changes, const struct job *job, struct row *ret)
{
    struct sql_job_indexed want = sql_job_indexed(job);
    struct sql_call c = call(changes, BY_ID);
    sql_bind_text(&c, job->id);
    int status = sql_next(&c);
    if (status <= 0)
        return status < 0 ? status : -ENOENT;
    const char *operation = (const char *)sqlite3_column_text(c.statement, 1);
    bool same_operation = same_text(operation, job->operation);
    enum job_state before = (enum job_state)sqlite3_column_int(c.statement, 4);
    *ret = (struct row){
        .number = sqlite3_column_int64(c.statement, 0),
        .same_indexed = same_operation && sqlite3_column_int64(c.statement, 2) == want.open &&
                        sqlite3_column_int64(c.statement, 3) == want.took,
        .same_attempt = same_operation && is_in_attempt(before) && is_in_attempt(job->state) &&
                        sqlite3_column_int(c.statement, 5) == job->attempt,
        .has_files = sqlite3_column_int(c.statement, 6) != 0,
    };
    sql_end(&c);
    return 0;
}

static int update_row(struct store_changes *changes, const struct row *row, const struct job *job)
{
    const char *uris;
    int status = write_uris(changes, job, &uris);
    if (status < 0)
        return status;
    struct sql_call c = call(changes, UPDATE_JOB);
    sql_bind_job(&c, job, uris);
    sql_bind_int(&c, row->number);
    status = sql_run(&c);
    if (status < 0 || row->same_indexed)
        return status;
    c = call(changes, UPDATE_INDEXED);
    sql_bind_job_indexed(&c, job);
    sql_bind_int(&c, row->number);
    return sql_run(&c);
}

static int update(struct store_changes *changes, struct store_write *write)
{
    const struct job *job = write->jobs[0];
    struct row row;
    int status = look_up(changes, job, &row);
    if (status == 0)
        status = update_row(changes, &row, job);
    return status < 0 ? status : write_parts(changes, &row, job, write);
}

static int forget(struct store_changes *changes, struct store_write *write)
{
    int status = store_charges_put(changes->charges, write->jobs[0]);
    if (status < 0)
        return status;
    struct sql_call c = call(changes, FORGET_JOB);
    sql_bind_text(&c, write->jobs[0]->id);
    status = sql_run(&c);
    return status < 0 || sqlite3_changes(changes->db) > 0 ? status : -ENOENT;
}

/* A job that was forgotten meanwhile has no file to remember. */
static int remove_files(struct store_changes *changes, const struct store_write *write)
{
    int status = 0;
    for (size_t i = 0; i < write->count && status == 0; i++) {
        struct sql_call c = call(changes, REMOVE_FILE);
        sql_bind_int(&c, write->at);
        sql_bind_int(&c, write->files[i].position);
        sql_bind_text(&c, write->files[i].job);
        status = sql_run(&c);
    }
    return status;
}

int store_change_perform(struct store_changes *changes, struct store_write *write)
{
    switch (write->kind) {
    case STORE_INSERT:
        return insert_all(changes, write);
    case STORE_UPDATE:
        return update(changes, write);
    case STORE_FORGET:
        return forget(changes, write);
    case STORE_PUT_BLOB:
        return store_blobs_put(changes->blobs, write);
    case STORE_SWEEP_BLOBS:
        return store_blobs_sweep(changes->blobs, write);
    case STORE_PUT_SESSION:
        return store_sessions_put(changes->sessions, write->session);
    case STORE_SWEEP_SESSIONS:
        return store_sessions_sweep(changes->sessions, write);
    case STORE_REMOVE:
        return remove_files(changes, write);
    }
    return -EINVAL;
}

int store_changes_new(sqlite3 *db, int64_t *last_event, struct store_changes **ret,
                      struct error *error)
{
    struct store_changes *changes = mem_alloc(sizeof(*changes));
    changes->db = db;
    changes->last_event = last_event;
    buf_init(&changes->uris, URIS_MAX);
    if (store_charges_new(db, true, &changes->charges, error) < 0 ||
        sql_prepare(db, texts, STATEMENTS, changes->statements, error) < 0 ||
        store_blobs_new(db, &changes->blobs, error) < 0 ||
        store_sessions_new(db, &changes->sessions, error) < 0) {
        store_changes_free(changes);
        return -1;
    }
    *ret = changes;
    return 0;
}

void store_changes_free(struct store_changes *changes)
{
    if (!changes)
        return;
    store_blobs_free(changes->blobs);
    store_sessions_free(changes->sessions);
    sql_finalize(changes->statements, STATEMENTS);
    store_charges_free(changes->charges);
    buf_free(&changes->uris);
    free(changes);
}
