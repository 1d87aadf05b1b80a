#include "daemon/io/store_blob.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/io/store_sql.h"
#include "proto/mem.h"

enum statement {
    INSERT_BLOB,
    TOUCH_BLOB,
    INSERT_OWNER,
    STALE,
    DELETE_BLOB,
    HAS_RESULT,
    INSERT_INPUT,
    FIND,
    EACH,
    STATEMENTS
};

static const char *const texts[STATEMENTS] = {
    [INSERT_BLOB] = "INSERT INTO blobs (name, bytes, mime_type, used_at) VALUES (?, ?, ?, ?)",
    [TOUCH_BLOB] = "UPDATE blobs SET used_at = max(used_at, ?) WHERE name = ?",
    [INSERT_OWNER] = "INSERT OR IGNORE INTO blob_owners (blob, owner)"
                     " SELECT number, ? FROM blobs WHERE name = ?",
    [STALE] = "SELECT name, bytes, mime_type FROM blobs WHERE used_at < ?"
              " AND NOT EXISTS (SELECT 1 FROM inputs JOIN jobs ON jobs.number = inputs.job"
              "   WHERE inputs.name = blobs.name AND jobs.state <> ?)"
              " ORDER BY used_at LIMIT ?",
    [DELETE_BLOB] = "DELETE FROM blobs WHERE name = ?",
    [HAS_RESULT] = "SELECT 1 FROM files JOIN jobs ON jobs.number = files.job"
                   " WHERE jobs.id = ? AND path = ? AND removed_at = 0",
    [INSERT_INPUT] = "INSERT OR IGNORE INTO inputs (name, job) VALUES (?, ?)",
    [FIND] = "SELECT name, bytes, mime_type FROM blobs"
             " JOIN blob_owners ON blob_owners.blob = blobs.number WHERE name = ? AND owner = ?",
    [EACH] = "SELECT name, bytes, mime_type FROM blobs ORDER BY name",
};

struct store_blobs {
    sqlite3 *db; /* borrowed */
    sqlite3_stmt *statements[STATEMENTS];
};

int store_blobs_new(sqlite3 *db, struct store_blobs **ret, struct error *error)
{
    struct store_blobs *blobs = mem_alloc(sizeof(*blobs));
    blobs->db = db;
    if (sql_prepare(db, texts, STATEMENTS, blobs->statements, error) < 0) {
        store_blobs_free(blobs);
        return -1;
    }
    *ret = blobs;
    return 0;
}

void store_blobs_free(struct store_blobs *blobs)
{
    if (!blobs)
        return;
    sql_finalize(blobs->statements, STATEMENTS);
    free(blobs);
}

static struct sql_call call(struct store_blobs *blobs, enum statement which)
{
    return sql_call(blobs->statements[which]);
}

static void copy_text(sqlite3_stmt *statement, int column, char *ret, size_t size)
{
    const char *text = (const char *)sqlite3_column_text(statement, column);
    strncpy(ret, text ? text : "", size - 1);
    ret[size - 1] = '\0';
}

static struct store_blob load(sqlite3_stmt *statement)
{
    struct store_blob blob = {.bytes = (uint64_t)sqlite3_column_int64(statement, 1)};
    copy_text(statement, 0, blob.name, sizeof(blob.name));
    copy_text(statement, 2, blob.mime_type, sizeof(blob.mime_type));
    return blob;
}

/* 1 if it is there, 0 if not. */
static int touch(struct store_blobs *blobs, const char *name, int64_t at)
{
    struct sql_call c = call(blobs, TOUCH_BLOB);
    sql_bind_int(&c, at);
    sql_bind_text(&c, name);
    int status = sql_run(&c);
    return status < 0 ? status : sqlite3_changes(blobs->db) > 0;
}

static int insert_blob(struct store_blobs *blobs, const struct store_blob *blob, int64_t at)
{
    struct sql_call c = call(blobs, INSERT_BLOB);
    sql_bind_text(&c, blob->name);
    sql_bind_int(&c, (int64_t)blob->bytes);
    sql_bind_text(&c, blob->mime_type);
    sql_bind_int(&c, at);
    return sql_run(&c);
}

int store_blobs_put(struct store_blobs *blobs, struct store_write *write)
{
    const struct store_blob *blob = write->blobs;
    int status = touch(blobs, blob->name, write->at);
    write->blob_count = status == 0;
    if (status == 0)
        status = insert_blob(blobs, blob, write->at);
    if (status < 0)
        return status;
    struct sql_call c = call(blobs, INSERT_OWNER);
    sql_bind_int(&c, write->owner);
    sql_bind_text(&c, blob->name);
    return sql_run(&c);
}

static int find_stale(struct store_blobs *blobs, struct store_write *write)
{
    struct sql_call c = call(blobs, STALE);
    sql_bind_int(&c, write->at);
    sql_bind_int(&c, JOB_DONE);
    sql_bind_int(&c, (int64_t)write->count);
    write->blob_count = 0;
    int status;
    while ((status = sql_next(&c)) > 0)
        write->blobs[write->blob_count++] = load(c.statement);
    return status;
}

int store_blobs_sweep(struct store_blobs *blobs, struct store_write *write)
{
    int status = find_stale(blobs, write);
    for (size_t i = 0; i < write->blob_count && status == 0; i++) {
        struct sql_call c = call(blobs, DELETE_BLOB);
        sql_bind_text(&c, write->blobs[i].name);
        status = sql_run(&c);
    }
    return status;
}

/* ---- what jobs need ---- */

static int has_result(struct store_blobs *blobs, const struct input *input)
{
    struct sql_call c = call(blobs, HAS_RESULT);
    sql_bind_text(&c, input->job);
    sql_bind_text(&c, input->file);
    int status = sql_next(&c);
    if (status > 0)
        sql_end(&c);
    return status;
}

static int need(struct store_blobs *blobs, int64_t number, const struct job *job,
                const struct input *input)
{
    if (!input || !input_has_bytes(input))
        return 0;
    int status =
        input->blob ? touch(blobs, input->blob, job->created_at) : has_result(blobs, input);
    if (status <= 0)
        return status < 0 ? status : -ENOENT;
    struct sql_call c = call(blobs, INSERT_INPUT);
    sql_bind_text(&c, input->blob ? input->blob : input->file);
    sql_bind_int(&c, number);
    return sql_run(&c);
}

int store_blobs_need(struct store_blobs *blobs, int64_t number, const struct job *job)
{
    const struct request *request = job->request;
    int status = need(blobs, number, job, request->image);
    if (status == 0)
        status = need(blobs, number, job, request->last_frame);
    if (status == 0)
        status = need(blobs, number, job, request->video);
    for (size_t i = 0; i < request->reference_count && status == 0; i++)
        status = need(blobs, number, job, request->references[i]);
    return status;
}

/* ---- reading ---- */

int store_blobs_find(struct store_blobs *blobs, struct store_read *read)
{
    struct sql_call c = call(blobs, FIND);
    sql_bind_text(&c, read->name);
    sql_bind_int(&c, read->filter.owner);
    int status = sql_next(&c);
    if (status <= 0)
        return status < 0 ? status : -ENOENT;
    read->blob = load(c.statement);
    sql_end(&c);
    return 0;
}

int store_blobs_each(struct store_blobs *blobs,
                     void (*each)(void *arg, const struct store_blob *blob), void *arg)
{
    struct sql_call c = call(blobs, EACH);
    int status;
    while ((status = sql_next(&c)) > 0) {
        struct store_blob blob = load(c.statement);
        each(arg, &blob);
    }
    return status;
}
