#include "daemon/io/store_writer.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>

#include "daemon/io/fault.h"
#include "daemon/io/store_change.h"
#include "daemon/io/store_schema.h"
#include "daemon/io/store_sql.h"
#include "proto/mem.h"

enum statement {
    BEGIN,
    COMMIT,
    ROLLBACK,
    SAVEPOINT,
    RELEASE,
    UNDO,
    LAST_EVENT,
    SAVE_LAST_EVENT,
    STATEMENTS
};

static const char *const texts[STATEMENTS] = {
    [BEGIN] = "BEGIN IMMEDIATE",
    [COMMIT] = "COMMIT",
    [ROLLBACK] = "ROLLBACK",
    [SAVEPOINT] = "SAVEPOINT one_write",
    [RELEASE] = "RELEASE one_write",
    [UNDO] = "ROLLBACK TO one_write",
    /* The counter is only written when events are removed: those that are there tell the rest. */
    [LAST_EVENT] = ("SELECT max(value, ifnull((SELECT max(number) FROM events), 0))"
                    " FROM counters WHERE name = 'event'"),
    [SAVE_LAST_EVENT] = "UPDATE counters SET value = ? WHERE name = 'event'",
};

struct store_writer {
    sqlite3 *db;
    sqlite3_stmt *statements[STATEMENTS];
    struct store_changes *changes;
    int64_t last_event;      /* the last number given out */
    int64_t committed_event; /* the last that is in the store */
};

static struct sql_call call(struct store_writer *writer, enum statement which)
{
    return sql_call(writer->statements[which]);
}

static int run(struct store_writer *writer, enum statement which)
{
    struct sql_call c = call(writer, which);
    return sql_run(&c);
}

static int save_last_event(struct store_writer *writer)
{
    struct sql_call c = call(writer, SAVE_LAST_EVENT);
    sql_bind_int(&c, writer->last_event);
    return sql_run(&c);
}

static void clear_results(struct store_write *write, int status)
{
    write->status = status;
    write->event = 0;
    for (size_t i = 0; write->existing && i < write->count; i++)
        write->existing[i][0] = '\0';
}

static int perform(struct store_writer *writer, struct store_write *write)
{
    int status = fault_point("store.write");
    if (status < 0)
        return status;
    return store_change_perform(writer->changes, write);
}

static bool is_its_own_fault(int status)
{
    return status == -EEXIST || status == -ENOENT || status == -EINVAL;
}

/* Undoes the write if it fails by its own fault, and only it. */
static int perform_apart(struct store_writer *writer, struct store_write *write)
{
    int64_t last_event = writer->last_event;
    int status = run(writer, SAVEPOINT);
    if (status < 0)
        return status;
    status = perform(writer, write);
    if (status < 0 && !is_its_own_fault(status))
        return status;
    if (status < 0) {
        clear_results(write, status);
        writer->last_event = last_event;
        status = run(writer, UNDO);
    }
    return status < 0 ? status : run(writer, RELEASE);
}

static int perform_all(struct store_writer *writer, struct store_write *batch, bool apart)
{
    bool removes_events = false;
    int status = run(writer, BEGIN);
    for (struct store_write *write = batch; write && status == 0; write = write->next) {
        clear_results(write, 0);
        status = apart ? perform_apart(writer, write) : perform(writer, write);
        removes_events |= write->kind == STORE_FORGET;
    }
    if (status == 0 && removes_events)
        status = save_last_event(writer);
    return status;
}

/* A savepoint for each write costs a copy of every page that it changes, and hardly ever is there
 * anything to undo: so it is tried without them first. */
static int perform_batch(struct store_writer *writer, struct store_write *batch)
{
    int64_t last_event = writer->last_event;
    int status = fault_point("store.begin");
    if (status == 0)
        status = perform_all(writer, batch, false);
    if (!is_its_own_fault(status))
        return status;
    writer->last_event = last_event;
    status = sqlite3_get_autocommit(writer->db) ? 0 : run(writer, ROLLBACK);
    return status < 0 ? status : perform_all(writer, batch, true);
}

/* A COMMIT that failed while it was synced may have left whole frames in the WAL, and after a crash
 * they would count. The next transaction is written over them, so one is made at once. */
static void write_over_failed_commit(struct store_writer *writer)
{
    if (run(writer, BEGIN) == 0 && save_last_event(writer) == 0 && run(writer, COMMIT) == 0)
        return;
    if (!sqlite3_get_autocommit(writer->db))
        run(writer, ROLLBACK);
}

static int commit(struct store_writer *writer)
{
    int status = fault_point("store.commit");
    if (status < 0)
        return status;
    status = run(writer, COMMIT);
    if (status == 0)
        (void)fault_point("store.committed");
    return status;
}

static int fail_batch(struct store_writer *writer, struct store_write *batch, int status)
{
    /* After some errors SQLite has rolled back by itself. */
    if (!sqlite3_get_autocommit(writer->db))
        run(writer, ROLLBACK);
    for (struct store_write *write = batch; write; write = write->next)
        clear_results(write, status);
    return status;
}

int store_writer_commit(struct store_writer *writer, struct store_write *batch)
{
    int64_t before = writer->last_event;
    int status = perform_batch(writer, batch);
    if (status < 0) {
        writer->last_event = before;
        return fail_batch(writer, batch, status);
    }
    status = commit(writer);
    if (status < 0) {
        fail_batch(writer, batch, status);
        write_over_failed_commit(writer);
    } else if (writer->last_event != before) {
        writer->committed_event = writer->last_event;
    }
    return status;
}

int64_t store_writer_last_event(const struct store_writer *writer)
{
    return writer->committed_event;
}

static int load_last_event(struct store_writer *writer, struct error *error)
{
    struct sql_call c = call(writer, LAST_EVENT);
    if (sql_next(&c) != 1)
        return error_set(error, ERROR_UNAVAILABLE, NULL, "cannot read the last event's number: %s",
                         sqlite3_errmsg(writer->db));
    writer->last_event = sqlite3_column_int64(c.statement, 0);
    writer->committed_event = writer->last_event;
    sql_end(&c);
    return 0;
}

int store_writer_open(const char *path, struct store_writer **ret, struct error *error)
{
    struct store_writer *writer = mem_alloc(sizeof(*writer));
    if (store_schema_open_writer(path, &writer->db, error) < 0 ||
        sql_prepare(writer->db, texts, STATEMENTS, writer->statements, error) < 0 ||
        store_changes_new(writer->db, &writer->last_event, &writer->changes, error) < 0 ||
        load_last_event(writer, error) < 0) {
        store_writer_close(writer);
        return -1;
    }
    *ret = writer;
    return 0;
}

void store_writer_close(struct store_writer *writer)
{
    if (!writer)
        return;
    store_changes_free(writer->changes);
    sql_finalize(writer->statements, STATEMENTS);
    sqlite3_close(writer->db);
    free(writer);
}
