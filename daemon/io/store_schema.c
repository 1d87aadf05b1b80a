#include "daemon/io/store_schema.h"

#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define APPLICATION_ID 0x76656f64 /* "veod" */
#define BUSY_MS        1000
#define WAL_PAGES      1000 /* the WAL is copied to the database above this */
#define WAL_PAGES_LIMIT                                                      \
    (8 * WAL_PAGES) /* above this a batch waits for the read that hinders it \
                     */
#define WAL_BYTES_KEPT (16 * 1024 * 1024)

/* A step is never changed once it was released; a new one is added below.
 *
 * What belongs to a job refers to it by its row's number, which is short, and goes with it. The
 * request never changes, and can be long, so it is not in the row that is written at every change.
 * `open` says that the state is live or stuck; `took` is a generation's time once it is known. */
static const char *const steps[] = {
    "CREATE TABLE jobs ("
    "  number INTEGER PRIMARY KEY,"
    "  id TEXT NOT NULL UNIQUE,"
    "  owner INTEGER NOT NULL,"
    "  model TEXT,"
    "  key TEXT,"
    "  output TEXT,"
    "  created_at INTEGER NOT NULL,"
    "  state INTEGER NOT NULL,"
    "  provider TEXT,"
    "  attempt INTEGER NOT NULL,"
    "  attempts_counted INTEGER NOT NULL,"
    "  attempts_allowed INTEGER NOT NULL,"
    "  polls INTEGER NOT NULL,"
    "  uris TEXT,"
    "  inline_result INTEGER NOT NULL,"
    "  error_code TEXT,"
    "  error_message TEXT,"
    "  error_retryable INTEGER NOT NULL,"
    "  error_provider TEXT,"
    "  updated_at INTEGER NOT NULL,"
    "  deadline_at INTEGER NOT NULL,"
    "  not_before INTEGER NOT NULL,"
    "  unreachable_at INTEGER NOT NULL,"
    "  submitted_at INTEGER NOT NULL,"
    "  running_at INTEGER NOT NULL,"
    "  noticed_at INTEGER NOT NULL,"
    "  ended_at INTEGER NOT NULL,"
    "  backoffs INTEGER NOT NULL,"
    "  operation TEXT,"
    "  open INTEGER NOT NULL,"
    "  took INTEGER,"
    "  took_at INTEGER"
    ") STRICT;"
    "CREATE INDEX jobs_owner ON jobs (owner, id);"
    "CREATE INDEX jobs_created ON jobs (created_at, id);"
    "CREATE UNIQUE INDEX jobs_key ON jobs (owner, key) WHERE key IS NOT NULL;"
    "CREATE INDEX jobs_output ON jobs (owner, output) WHERE output IS NOT NULL;"
    "CREATE INDEX jobs_operation ON jobs (operation) WHERE operation IS NOT NULL;"
    "CREATE INDEX jobs_open ON jobs (id) WHERE open = 1;"
    "CREATE INDEX jobs_ended ON jobs (state, id) WHERE open = 0;"
    "CREATE INDEX jobs_took ON jobs (model, took_at, took) WHERE took IS NOT NULL;"

    "CREATE TABLE requests ("
    "  job INTEGER PRIMARY KEY REFERENCES jobs ON DELETE CASCADE,"
    "  json TEXT NOT NULL"
    ") STRICT;"

    "CREATE TABLE labels ("
    "  name TEXT NOT NULL,"
    "  value TEXT NOT NULL,"
    "  job INTEGER NOT NULL REFERENCES jobs ON DELETE CASCADE,"
    "  PRIMARY KEY (name, value, job)"
    ") STRICT, WITHOUT ROWID;"
    "CREATE INDEX labels_job ON labels (job);"

    "CREATE TABLE files ("
    "  job INTEGER NOT NULL REFERENCES jobs ON DELETE CASCADE,"
    "  position INTEGER NOT NULL,"
    "  path TEXT,"
    "  bytes INTEGER NOT NULL,"
    "  sha256 TEXT NOT NULL,"
    "  mime_type TEXT,"
    "  PRIMARY KEY (job, position)"
    ") STRICT, WITHOUT ROWID;"

    "CREATE TABLE attempts ("
    "  job INTEGER NOT NULL REFERENCES jobs ON DELETE CASCADE,"
    "  number INTEGER NOT NULL,"
    "  provider TEXT,"
    "  operation TEXT,"
    "  started_at INTEGER NOT NULL,"
    "  ended_at INTEGER NOT NULL,"
    "  outcome TEXT,"
    "  message TEXT,"
    "  PRIMARY KEY (job, number)"
    ") STRICT, WITHOUT ROWID;"

    "CREATE TABLE events ("
    "  number INTEGER PRIMARY KEY,"
    "  job INTEGER NOT NULL REFERENCES jobs ON DELETE CASCADE,"
    "  state INTEGER NOT NULL,"
    "  at INTEGER NOT NULL,"
    "  detail TEXT NOT NULL"
    ") STRICT;"
    "CREATE INDEX events_job ON events (job);"

    "CREATE TABLE counters (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;"
    "INSERT INTO counters VALUES ('event', 0);",

    /* Money is in micro-dollars. What was charged stays when its job is forgotten. An input's name
     * is a blob's, or the path of another job's result. */
    "ALTER TABLE jobs ADD COLUMN estimate INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE jobs ADD COLUMN charged INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE jobs ADD COLUMN attempt_charge INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE jobs ADD COLUMN charged_at INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE jobs ADD COLUMN presumed INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE files ADD COLUMN removed_at INTEGER NOT NULL DEFAULT 0;"
    "CREATE INDEX files_there ON files (job, position) WHERE removed_at = 0;"

    "CREATE TABLE charges ("
    "  job TEXT NOT NULL,"
    "  attempt INTEGER NOT NULL,"
    "  at INTEGER NOT NULL,"
    "  owner INTEGER NOT NULL,"
    "  provider TEXT,"
    "  model TEXT,"
    "  labels TEXT NOT NULL,"
    "  amount INTEGER NOT NULL,"
    "  presumed INTEGER NOT NULL,"
    "  PRIMARY KEY (job, attempt)"
    ") STRICT, WITHOUT ROWID;"
    "CREATE INDEX charges_at ON charges (at);"

    "CREATE TABLE blobs ("
    "  number INTEGER PRIMARY KEY,"
    "  name TEXT NOT NULL UNIQUE,"
    "  bytes INTEGER NOT NULL,"
    "  mime_type TEXT NOT NULL,"
    "  used_at INTEGER NOT NULL"
    ") STRICT;"
    "CREATE INDEX blobs_used ON blobs (used_at);"

    "CREATE TABLE blob_owners ("
    "  blob INTEGER NOT NULL REFERENCES blobs ON DELETE CASCADE,"
    "  owner INTEGER NOT NULL,"
    "  PRIMARY KEY (blob, owner)"
    ") STRICT, WITHOUT ROWID;"

    "CREATE TABLE inputs ("
    "  name TEXT NOT NULL,"
    "  job INTEGER NOT NULL REFERENCES jobs ON DELETE CASCADE,"
    "  PRIMARY KEY (name, job)"
    ") STRICT, WITHOUT ROWID;"
    "CREATE INDEX inputs_job ON inputs (job);",

    /* Messages can be long, so their table has its rows beside their key. */
    "CREATE TABLE sessions ("
    "  number INTEGER PRIMARY KEY,"
    "  id TEXT NOT NULL UNIQUE,"
    "  owner INTEGER NOT NULL,"
    "  working INTEGER NOT NULL,"
    "  updated_at INTEGER NOT NULL,"
    "  turn TEXT NOT NULL"
    ") STRICT;"
    "CREATE INDEX sessions_owner ON sessions (owner, id);"
    "CREATE INDEX sessions_working ON sessions (id) WHERE working = 1;"
    "CREATE INDEX sessions_resting ON sessions (updated_at) WHERE working = 0;"

    "CREATE TABLE messages ("
    "  session INTEGER NOT NULL REFERENCES sessions ON DELETE CASCADE,"
    "  position INTEGER NOT NULL,"
    "  json TEXT NOT NULL,"
    "  PRIMARY KEY (session, position)"
    ") STRICT;",
};

#define VERSION (int)(sizeof(steps) / sizeof(steps[0]))

static int fail(sqlite3 *db, const char *path, struct error *error)
{
    int status = sqlite3_errcode(db) & 0xff;
    if (status == SQLITE_NOTADB)
        return error_set(error, ERROR_UNAVAILABLE, NULL, "%s is not a database of veod", path);
    if (status == SQLITE_CORRUPT)
        return error_set(error, ERROR_UNAVAILABLE, NULL, "%s is damaged: %s", path,
                         sqlite3_errmsg(db));
    int number = sqlite3_system_errno(db);
    return error_set(error, ERROR_UNAVAILABLE, NULL, "cannot open %s: %s%s%s", path,
                     sqlite3_errmsg(db), number ? ": " : "", number ? strerror(number) : "");
}

/* Performs SQL that yields at most one number. */
static int query_number(sqlite3 *db, const char *sql, int64_t *ret)
{
    sqlite3_stmt *statement;
    int status = sqlite3_prepare_v2(db, sql, -1, &statement, NULL);
    if (status == SQLITE_OK) {
        status = sqlite3_step(statement);
        if (status == SQLITE_ROW)
            *ret = sqlite3_column_int64(statement, 0);
        sqlite3_finalize(statement);
    }
    return status == SQLITE_ROW ? 0 : -1;
}

static int perform_step(sqlite3 *db, const char *sql, int version)
{
    char mark[96];
    snprintf(mark, sizeof(mark), "PRAGMA application_id = %d; PRAGMA user_version = %d; COMMIT",
             APPLICATION_ID, version);
    if (sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL) == SQLITE_OK &&
        sqlite3_exec(db, sql, NULL, NULL, NULL) == SQLITE_OK &&
        sqlite3_exec(db, mark, NULL, NULL, NULL) == SQLITE_OK)
        return 0;
    return -1;
}

int store_schema_upgrade(sqlite3 *db, const char *path, const char *const *todo, int count,
                         struct error *error)
{
    int64_t application = 0, version = 0, tables = 0;
    if (query_number(db, "PRAGMA application_id", &application) < 0 ||
        query_number(db, "PRAGMA user_version", &version) < 0 ||
        query_number(db, "SELECT count(*) FROM sqlite_schema", &tables) < 0)
        return fail(db, path, error);
    if (application != APPLICATION_ID && (application || version || tables))
        return error_set(error, ERROR_UNAVAILABLE, NULL, "%s is a database, but not one of veod",
                         path);
    if (version > count)
        return error_set(error, ERROR_UNAVAILABLE, NULL,
                         "%s was written by a newer veod (schema %" PRId64 ", this one knows %d)",
                         path, version, count);
    for (int v = (int)version; v < count; v++) {
        if (perform_step(db, todo[v], v + 1) == 0)
            continue;
        error_set(error, ERROR_UNAVAILABLE, NULL, "cannot bring %s to schema %d: %s", path, v + 1,
                  sqlite3_errmsg(db));
        if (!sqlite3_get_autocommit(db))
            sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
        return -1;
    }
    return 0;
}

/* Replaces SQLite's own: that one never waits for readers, so that reads without a pause between
 * them could let the WAL grow for ever. A failure is no harm; the next commit tries again. */
static int on_commit(void *arg, sqlite3 *db, const char *schema, int pages)
{
    (void)arg;
    if (pages >= WAL_PAGES)
        sqlite3_wal_checkpoint_v2(db, schema,
                                  pages >= WAL_PAGES_LIMIT ? SQLITE_CHECKPOINT_RESTART
                                                           : SQLITE_CHECKPOINT_PASSIVE,
                                  NULL, NULL);
    return SQLITE_OK;
}

static int use_wal(sqlite3 *db, const char *path, struct error *error)
{
    sqlite3_stmt *statement;
    if (sqlite3_prepare_v2(db, "PRAGMA journal_mode = WAL", -1, &statement, NULL) != SQLITE_OK)
        return fail(db, path, error);
    int status = 0;
    if (sqlite3_step(statement) != SQLITE_ROW)
        status = fail(db, path, error);
    else if (sqlite3_stricmp((const char *)sqlite3_column_text(statement, 0), "wal") != 0)
        status = error_set(error, ERROR_UNAVAILABLE, NULL,
                           "%s: this file system can't hold a write-ahead log", path);
    sqlite3_finalize(statement);
    return status;
}

static int prepare_writer(sqlite3 *db, const char *path, struct error *error)
{
    char sql[128];
    snprintf(sql, sizeof(sql),
             "PRAGMA synchronous = FULL; PRAGMA temp_store = MEMORY;"
             "PRAGMA foreign_keys = ON; PRAGMA journal_size_limit = %d",
             WAL_BYTES_KEPT);
    if (store_schema_upgrade(db, path, steps, VERSION, error) < 0 || use_wal(db, path, error) < 0)
        return -1;
    if (sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK)
        return fail(db, path, error);
    sqlite3_wal_hook(db, on_commit, NULL);
    return 0;
}

static int open_connection(const char *path, int flags, sqlite3 **ret, struct error *error)
{
    sqlite3 *db = NULL;
    /* Each connection is used by one thread at a time, so that it needs no mutex of its own. */
    int status = sqlite3_open_v2(path, &db, flags | SQLITE_OPEN_NOMUTEX, NULL);
    if (status != SQLITE_OK) {
        fail(db, path, error);
        sqlite3_close(db);
        return -1;
    }
    sqlite3_extended_result_codes(db, 1);
    sqlite3_busy_timeout(db, BUSY_MS);
    *ret = db;
    return 0;
}

int store_schema_open_writer(const char *path, sqlite3 **ret, struct error *error)
{
    if (open_connection(path, SQLITE_OPEN_READWRITE, ret, error) < 0)
        return -1;
    if (prepare_writer(*ret, path, error) == 0)
        return 0;
    sqlite3_close(*ret);
    *ret = NULL;
    return -1;
}

int store_schema_open_reader(const char *path, sqlite3 **ret, struct error *error)
{
    return open_connection(path, SQLITE_OPEN_READONLY, ret, error);
}
