#include "daemon/io/store_reader.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/core/ulid.h"
#include "daemon/io/fault.h"
#include "daemon/io/store_blob.h"
#include "daemon/io/store_charge.h"
#include "daemon/io/store_list.h"
#include "daemon/io/store_schema.h"
#include "daemon/io/store_session.h"
#include "daemon/io/store_sql.h"
#include "proto/limits.h"
#include "proto/mem.h"

enum statement {
    BEGIN,
    END,
    BY_ID,
    BY_OPERATION,
    BY_PREFIX,
    BY_PREFIX_OF_OWNER,
    BY_KEY,
    FILES,
    ATTEMPTS,
    EVENTS,
    RESULTS,
    RESULTS_BYTES,
    LIVE,
    NEXT_MODEL,
    DURATIONS,
    COUNT,
    STATEMENTS
};

static const char *const texts[STATEMENTS] = {
    [BEGIN] = "BEGIN",
    [END] = "COMMIT",
    /* Only the prefix needs its owner in an index: it can be that of all jobs. */
    [BY_ID] = SQL_SELECT_JOB "WHERE id = ?1 AND (?2 < 0 OR owner = ?2)",
    [BY_OPERATION] =
        SQL_SELECT_JOB "WHERE operation = ?1 AND (?2 < 0 OR owner = ?2) ORDER BY id DESC LIMIT 1",
    [BY_PREFIX] = SQL_SELECT_JOB "WHERE id >= ?1 AND id < ?1 || '~' AND ?2 < 0 ORDER BY id LIMIT 2",
    [BY_PREFIX_OF_OWNER] =
        SQL_SELECT_JOB "WHERE owner = ?2 AND id >= ?1 AND id < ?1 || '~' ORDER BY id LIMIT 2",
    [BY_KEY] = SQL_SELECT_JOB "WHERE key = ?1 AND owner = ?2",
    [FILES] = "SELECT path, bytes, sha256, mime_type, removed_at FROM files WHERE job = ?"
              " ORDER BY position",
    [ATTEMPTS] = "SELECT attempts.number, attempts.provider, attempts.operation, started_at,"
                 " attempts.ended_at, outcome, message"
                 " FROM attempts JOIN jobs ON jobs.number = attempts.job"
                 " WHERE id = ? ORDER BY attempts.number",
    [EVENTS] = "SELECT events.number, id, events.state, at, detail, owner, json"
               " FROM events JOIN jobs ON jobs.number = events.job"
               " JOIN requests ON requests.job = events.job"
               " WHERE events.number > ? ORDER BY events.number LIMIT ?",
    [RESULTS] = "SELECT id, files.position, path, bytes, ended_at"
                " FROM files JOIN jobs ON jobs.number = files.job"
                " WHERE removed_at = 0 AND (?1 = 0 OR ended_at < ?1)"
                " AND substr(path, 1, length(?2)) = ?2"
                " AND NOT EXISTS (SELECT 1 FROM inputs JOIN jobs AS users"
                "   ON users.number = inputs.job WHERE inputs.name = path AND users.state <> ?3)"
                " ORDER BY files.job, files.position LIMIT ?4 OFFSET ?5",
    [RESULTS_BYTES] = "SELECT ifnull(sum(bytes), 0) FROM files"
                      " WHERE removed_at = 0 AND substr(path, 1, length(?1)) = ?1",
    [LIVE] = SQL_SELECT_JOB "WHERE open = 1 ORDER BY id",
    [NEXT_MODEL] = "SELECT min(model) FROM jobs WHERE took IS NOT NULL AND model > ?",
    [DURATIONS] = "SELECT took FROM (SELECT took, took_at FROM jobs"
                  " WHERE took IS NOT NULL AND model = ? ORDER BY took_at DESC LIMIT ?)"
                  " ORDER BY took_at",
    [COUNT] = ("SELECT state, count(*) FROM jobs WHERE open = 0 GROUP BY state UNION ALL"
               " SELECT state, count(*) FROM jobs WHERE open = 1 GROUP BY state"),
};

struct store_reader {
    sqlite3 *db;
    struct store_charges *charges;
    sqlite3_stmt *statements[STATEMENTS];
    struct store_blobs *blobs;
    struct store_sessions *sessions;
};

static struct sql_call call(struct store_reader *reader, enum statement which)
{
    return sql_call(reader->statements[which]);
}

static int run(struct store_reader *reader, enum statement which)
{
    struct sql_call c = call(reader, which);
    return sql_run(&c);
}

/* Makes room for one more of `size` bytes each in an array that grows by doubling. */
static void *grow(void *array, size_t count, size_t size)
{
    if (count & (count - 1))
        return array;
    return mem_resize(array, count ? 2 * count : 1, size);
}

/* ---- jobs ---- */

static int load_files(struct store_reader *reader, int64_t number, struct job *job)
{
    struct sql_call c = call(reader, FILES);
    sql_bind_int(&c, number);
    int status;
    while ((status = sql_next(&c)) > 0) {
        job->files = grow(job->files, job->file_count, sizeof(*job->files));
        struct job_file *file = &job->files[job->file_count++];
        *file = (struct job_file){
            .path = sql_text(c.statement, 0),
            .bytes = (uint64_t)sqlite3_column_int64(c.statement, 1),
            .mime_type = sql_text(c.statement, 3),
            .removed_at = sqlite3_column_int64(c.statement, 4),
        };
        const char *sha256 = (const char *)sqlite3_column_text(c.statement, 2);
        strncpy(file->sha256, sha256 ? sha256 : "", sizeof(file->sha256) - 1);
    }
    return status;
}

/* The job of the row that `c` is at. */
static int load_job(struct store_reader *reader, const struct sql_call *c, struct job **ret)
{
    struct job *job = sql_job(c->statement);
    if (!job)
        return -EIO;
    int status = load_files(reader, sqlite3_column_int64(c->statement, 0), job);
    if (status < 0) {
        job_free(job);
        return status;
    }
    *ret = job;
    return 0;
}

/* Adds the jobs that `c` yields to the results, and ends it. */
static int add_jobs(struct store_reader *reader, struct store_read *read, struct sql_call *c)
{
    int status;
    while ((status = sql_next(c)) > 0) {
        struct job *job;
        status = load_job(reader, c, &job);
        if (status < 0) {
            sql_end(c);
            return status;
        }
        read->jobs = grow(read->jobs, read->job_count, sizeof(struct job *));
        read->jobs[read->job_count++] = job;
    }
    return status;
}

static int find_by(struct store_reader *reader, struct store_read *read, enum statement which,
                   const char *text)
{
    struct sql_call c = call(reader, which);
    sql_bind_text(&c, text);
    sql_bind_int(&c, read->filter.owner);
    return add_jobs(reader, read, &c);
}

static int find(struct store_reader *reader, struct store_read *read)
{
    char prefix[ULID_SIZE];
    bool may_be_id = !read->by_key && ulid_prefix(read->name, ID_PREFIX_MIN, prefix);
    int status = 0;
    if (may_be_id)
        status = find_by(reader, read, BY_ID, prefix);
    if (status == 0 && read->job_count == 0)
        status = find_by(reader, read, read->by_key ? BY_KEY : BY_OPERATION, read->name);
    if (status == 0 && read->job_count == 0 && may_be_id)
        status =
            find_by(reader, read, read->filter.owner < 0 ? BY_PREFIX : BY_PREFIX_OF_OWNER, prefix);
    if (status < 0)
        return status;
    if (read->job_count > 1)
        return -ENOTUNIQ;
    return read->job_count ? 0 : -ENOENT;
}

static int list(struct store_reader *reader, struct store_read *read)
{
    sqlite3_stmt *statement;
    int status = store_list_prepare(reader->db, &read->filter, &statement);
    if (status < 0)
        return status;
    struct sql_call c = sql_call(statement);
    status = add_jobs(reader, read, &c);
    sqlite3_finalize(statement);
    return status;
}

/* ---- attempts and events ---- */

static int load_attempts(struct store_reader *reader, struct store_read *read)
{
    struct sql_call c = call(reader, ATTEMPTS);
    sql_bind_text(&c, read->name);
    int status;
    while ((status = sql_next(&c)) > 0) {
        read->attempts = grow(read->attempts, read->attempt_count, sizeof(*read->attempts));
        read->attempts[read->attempt_count++] = (struct store_attempt){
            .number = sqlite3_column_int(c.statement, 0),
            .provider = sql_text(c.statement, 1),
            .operation = sql_text(c.statement, 2),
            .started_at = sqlite3_column_int64(c.statement, 3),
            .ended_at = sqlite3_column_int64(c.statement, 4),
            .outcome = sql_text(c.statement, 5),
            .message = sql_text(c.statement, 6),
        };
    }
    return status;
}

/* -1 if the row is damaged. */
static int load_event(sqlite3_stmt *statement, struct store_event *event)
{
    int64_t state = sqlite3_column_int64(statement, 2);
    const char *id = (const char *)sqlite3_column_text(statement, 1);
    const char *json = (const char *)sqlite3_column_text(statement, 6);
    *event = (struct store_event){
        .number = sqlite3_column_int64(statement, 0),
        .state = (enum job_state)state,
        .at = sqlite3_column_int64(statement, 3),
        .detail = sql_text(statement, 4),
        .owner = (uid_t)sqlite3_column_int64(statement, 5),
        .request = json ? request_load(json, strlen(json)) : NULL,
    };
    strncpy(event->job, id ? id : "", JOB_ID_LENGTH);
    return event->request && event->detail && state >= 0 && state < JOB_STATE_COUNT ? 0 : -1;
}

static int load_events(struct store_reader *reader, struct store_read *read)
{
    struct sql_call c = call(reader, EVENTS);
    sql_bind_int(&c, read->from);
    sql_bind_int(&c, read->filter.limit ? (int64_t)read->filter.limit : LIMIT_LIST);
    int status;
    while ((status = sql_next(&c)) > 0) {
        read->events = grow(read->events, read->event_count, sizeof(*read->events));
        if (load_event(c.statement, &read->events[read->event_count++]) < 0) {
            sql_end(&c);
            return -EIO;
        }
    }
    return status;
}

/* ---- results' files ---- */

static int sum_files(struct store_reader *reader, struct store_read *read)
{
    struct sql_call c = call(reader, RESULTS_BYTES);
    sql_bind_text(&c, read->name);
    int status = sql_next(&c);
    if (status > 0)
        read->bytes = (uint64_t)sqlite3_column_int64(c.statement, 0);
    sql_end(&c);
    return status < 0 ? status : 0;
}

static int load_results(struct store_reader *reader, struct store_read *read)
{
    struct sql_call c = call(reader, RESULTS);
    sql_bind_int(&c, read->filter.until);
    sql_bind_text(&c, read->name);
    sql_bind_int(&c, JOB_DONE);
    sql_bind_int(&c, read->filter.limit ? (int64_t)read->filter.limit : LIMIT_LIST);
    sql_bind_int(&c, read->from);
    int status;
    while ((status = sql_next(&c)) > 0) {
        read->files = grow(read->files, read->file_count, sizeof(*read->files));
        struct store_file *file = &read->files[read->file_count++];
        *file = (struct store_file){
            .position = sqlite3_column_int(c.statement, 1),
            .path = sql_text(c.statement, 2),
            .bytes = (uint64_t)sqlite3_column_int64(c.statement, 3),
            .ended_at = sqlite3_column_int64(c.statement, 4),
        };
        const char *id = (const char *)sqlite3_column_text(c.statement, 0);
        strncpy(file->job, id ? id : "", JOB_ID_LENGTH);
    }
    return status < 0 ? status : sum_files(reader, read);
}

static int perform(struct store_reader *reader, struct store_read *read)
{
    switch (read->kind) {
    case STORE_FIND:
        return find(reader, read);
    case STORE_LIST:
        return list(reader, read);
    case STORE_ATTEMPTS:
        return load_attempts(reader, read);
    case STORE_COSTS:
        return store_charges_sum(reader->charges, read);
    case STORE_EVENTS:
        return load_events(reader, read);
    case STORE_BLOB:
        return store_blobs_find(reader->blobs, read);
    case STORE_SESSION:
        return store_sessions_find(reader->sessions, read);
    case STORE_FILES:
        return load_results(reader, read);
    }
    return -EINVAL;
}

static void clear_results(struct store_read *read)
{
    read->jobs = NULL;
    read->job_count = 0;
    read->attempts = NULL;
    read->attempt_count = 0;
    read->events = NULL;
    read->event_count = 0;
    read->costs = NULL;
    read->cost_count = 0;
    read->cost = (struct store_cost){0};
    read->files = NULL;
    read->file_count = 0;
    read->bytes = 0;
    read->session = NULL;
}

void store_reader_perform(struct store_reader *reader, struct store_read *read)
{
    clear_results(read);
    int status = fault_point("store.read");
    if (status == 0)
        status = run(reader, BEGIN);
    if (status == 0)
        status = perform(reader, read);
    if (!sqlite3_get_autocommit(reader->db))
        run(reader, END);
    if (status < 0)
        store_read_free(read);
    read->status = status;
}

void store_read_free(struct store_read *read)
{
    for (size_t i = 0; i < read->job_count; i++)
        job_free(read->jobs[i]);
    for (size_t i = 0; i < read->attempt_count; i++) {
        free(read->attempts[i].provider);
        free(read->attempts[i].operation);
        free(read->attempts[i].outcome);
        free(read->attempts[i].message);
    }
    for (size_t i = 0; i < read->event_count; i++) {
        free(read->events[i].detail);
        request_unref(read->events[i].request);
    }
    for (size_t i = 0; i < read->file_count; i++)
        free(read->files[i].path);
    free(read->files);
    for (size_t i = 0; i < read->cost_count; i++)
        free(read->costs[i].key);
    free(read->costs);
    store_session_free(read->session);
    free(read->jobs);
    free(read->attempts);
    free(read->events);
    clear_results(read);
}

/* ---- at startup ---- */

static int fail(struct store_reader *reader, struct error *error)
{
    return error_set(error, ERROR_UNAVAILABLE, NULL, "cannot read %s: %s",
                     sqlite3_db_filename(reader->db, "main"), sqlite3_errmsg(reader->db));
}

int store_reader_each_live(struct store_reader *reader, void (*each)(void *arg, struct job *job),
                           void *arg, struct error *error)
{
    struct sql_call c = call(reader, LIVE);
    int status;
    while ((status = sql_next(&c)) > 0) {
        struct job *job;
        if (load_job(reader, &c, &job) < 0) {
            error_set(error, ERROR_UNAVAILABLE, NULL, "%s: the record of job %s is damaged",
                      sqlite3_db_filename(reader->db, "main"), sqlite3_column_text(c.statement, 1));
            sql_end(&c);
            return -1;
        }
        each(arg, job);
    }
    return status < 0 ? fail(reader, error) : 0;
}

static int each_of_model(struct store_reader *reader, const char *model, size_t limit,
                         void (*each)(void *arg, const char *model, int64_t ms), void *arg)
{
    struct sql_call c = call(reader, DURATIONS);
    sql_bind_text(&c, model);
    sql_bind_int(&c, (int64_t)limit);
    int status;
    while ((status = sql_next(&c)) > 0)
        each(arg, model, sqlite3_column_int64(c.statement, 0));
    return status;
}

/* The first model after `model` in the index, so that no job is looked at twice. */
static int next_model(struct store_reader *reader, char **model)
{
    struct sql_call c = call(reader, NEXT_MODEL);
    sql_bind_text(&c, *model);
    int status = sql_next(&c);
    char *next = status > 0 ? sql_text(c.statement, 0) : NULL;
    sql_end(&c);
    free(*model);
    *model = next;
    return status;
}

int store_reader_each_duration(struct store_reader *reader, size_t limit,
                               void (*each)(void *arg, const char *model, int64_t ms), void *arg,
                               struct error *error)
{
    char *model = mem_strdup("");
    int status = next_model(reader, &model);
    while (status >= 0 && model) {
        status = each_of_model(reader, model, limit, each, arg);
        if (status >= 0)
            status = next_model(reader, &model);
    }
    free(model);
    return status < 0 ? fail(reader, error) : 0;
}

int store_reader_each_blob(struct store_reader *reader,
                           void (*each)(void *arg, const struct store_blob *blob), void *arg,
                           struct error *error)
{
    return store_blobs_each(reader->blobs, each, arg) < 0 ? fail(reader, error) : 0;
}

int store_reader_each_working_session(struct store_reader *reader,
                                      void (*each)(void *arg, struct store_session *session),
                                      void *arg, struct error *error)
{
    return store_sessions_each_working(reader->sessions, each, arg, error);
}

int store_reader_each_charge(struct store_reader *reader, int64_t since, store_charge_fn *each,
                             void *arg, struct error *error)
{
    return store_charges_each(reader->charges, since, each, arg) < 0 ? fail(reader, error) : 0;
}

int store_reader_count_states(struct store_reader *reader, uint64_t ret[JOB_STATE_COUNT],
                              struct error *error)
{
    memset(ret, 0, JOB_STATE_COUNT * sizeof(*ret));
    struct sql_call c = call(reader, COUNT);
    int status;
    while ((status = sql_next(&c)) > 0) {
        int state = sqlite3_column_int(c.statement, 0);
        if (state >= 0 && state < JOB_STATE_COUNT)
            ret[state] += (uint64_t)sqlite3_column_int64(c.statement, 1);
    }
    return status < 0 ? fail(reader, error) : 0;
}

int store_reader_open(const char *path, struct store_reader **ret, struct error *error)
{
    struct store_reader *reader = mem_alloc(sizeof(*reader));
    if (store_schema_open_reader(path, &reader->db, error) < 0 ||
        store_charges_new(reader->db, false, &reader->charges, error) < 0 ||
        sql_prepare(reader->db, texts, STATEMENTS, reader->statements, error) < 0 ||
        store_blobs_new(reader->db, &reader->blobs, error) < 0 ||
        store_sessions_new(reader->db, &reader->sessions, error) < 0) {
        store_reader_close(reader);
        return -1;
    }
    *ret = reader;
    return 0;
}

void store_reader_close(struct store_reader *reader)
{
    if (!reader)
        return;
    store_blobs_free(reader->blobs);
    store_sessions_free(reader->sessions);
    sql_finalize(reader->statements, STATEMENTS);
    store_charges_free(reader->charges);
    sqlite3_close(reader->db);
    free(reader);
}
