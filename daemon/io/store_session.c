#include "daemon/io/store_session.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/core/ulid.h"
#include "daemon/io/store_sql.h"
#include "proto/limits.h"
#include "proto/mem.h"

enum statement {
    LOOK_UP,
    INSERT_SESSION,
    UPDATE_SESSION,
    INSERT_MESSAGE,
    SWEEP,
    BY_PREFIX,
    WORKING,
    MESSAGES,
    STATEMENTS
};

#define SELECT "SELECT number, id, owner, working, updated_at, turn FROM sessions "

static const char *const texts[STATEMENTS] = {
    [LOOK_UP] = "SELECT number, owner, 1 + ifnull((SELECT max(position) FROM messages"
                " WHERE session = sessions.number), -1) FROM sessions WHERE id = ?",
    [INSERT_SESSION] = "INSERT INTO sessions (working, updated_at, turn, id, owner)"
                       " VALUES (?, ?, ?, ?, ?)",
    [UPDATE_SESSION] = "UPDATE sessions SET working = ?, updated_at = ?, turn = ? WHERE number = ?",
    [INSERT_MESSAGE] = "INSERT INTO messages (session, position, json) VALUES (?, ?, ?)",
    [SWEEP] = "DELETE FROM sessions WHERE number IN (SELECT number FROM sessions"
              " WHERE working = 0 AND updated_at < ? ORDER BY updated_at LIMIT ?)",
    [BY_PREFIX] = SELECT "WHERE owner = ?2 AND id >= ?1 AND id < ?1 || '~' ORDER BY id LIMIT 2",
    [WORKING] = SELECT "WHERE working = 1 ORDER BY id",
    [MESSAGES] = "SELECT position, json FROM messages WHERE session = ? ORDER BY position",
};

struct store_sessions {
    sqlite3 *db; /* borrowed */
    sqlite3_stmt *statements[STATEMENTS];
};

int store_sessions_new(sqlite3 *db, struct store_sessions **ret, struct error *error)
{
    struct store_sessions *sessions = mem_alloc(sizeof(*sessions));
    sessions->db = db;
    if (sql_prepare(db, texts, STATEMENTS, sessions->statements, error) < 0) {
        store_sessions_free(sessions);
        return -1;
    }
    *ret = sessions;
    return 0;
}

void store_sessions_free(struct store_sessions *sessions)
{
    if (!sessions)
        return;
    sql_finalize(sessions->statements, STATEMENTS);
    free(sessions);
}

void store_session_free(struct store_session *session)
{
    if (!session)
        return;
    for (size_t i = 0; i < session->message_count; i++)
        free(session->messages[i]);
    free(session->messages);
    free(session->turn);
    free(session);
}

static struct sql_call call(struct store_sessions *sessions, enum statement which)
{
    return sql_call(sessions->statements[which]);
}

/* ---- writing ---- */

/* Its row's number, or 0 if there is none yet. */
static int look_up(struct store_sessions *sessions, const struct store_session *session,
                   int64_t *ret)
{
    struct sql_call c = call(sessions, LOOK_UP);
    sql_bind_text(&c, session->id);
    int status = sql_next(&c);
    *ret = 0;
    if (status < 0)
        return status;
    if (status == 0)
        return session->earlier == 0 ? 0 : -EINVAL;
    *ret = sqlite3_column_int64(c.statement, 0);
    bool is_its_own = sqlite3_column_int64(c.statement, 1) == session->owner;
    bool fits = sqlite3_column_int64(c.statement, 2) == (int64_t)session->earlier;
    sql_end(&c);
    if (!is_its_own)
        return -EEXIST;
    return fits ? 0 : -EINVAL;
}

static int put_row(struct store_sessions *sessions, const struct store_session *session,
                   int64_t *number)
{
    bool is_new = *number == 0;
    struct sql_call c = call(sessions, is_new ? INSERT_SESSION : UPDATE_SESSION);
    sql_bind_int(&c, session->working);
    sql_bind_int(&c, session->updated_at);
    sql_bind_text(&c, session->turn);
    if (is_new) {
        sql_bind_text(&c, session->id);
        sql_bind_int(&c, session->owner);
    } else {
        sql_bind_int(&c, *number);
    }
    int status = sql_run(&c);
    if (is_new)
        *number = sqlite3_last_insert_rowid(sessions->db);
    return status;
}

int store_sessions_put(struct store_sessions *sessions, const struct store_session *session)
{
    int64_t number;
    int status = look_up(sessions, session, &number);
    if (status == 0)
        status = put_row(sessions, session, &number);
    for (size_t i = 0; i < session->message_count && status == 0; i++) {
        struct sql_call c = call(sessions, INSERT_MESSAGE);
        sql_bind_int(&c, number);
        sql_bind_int(&c, (int64_t)(session->earlier + i));
        sql_bind_text(&c, session->messages[i]);
        status = sql_run(&c);
    }
    return status;
}

int store_sessions_sweep(struct store_sessions *sessions, struct store_write *write)
{
    struct sql_call c = call(sessions, SWEEP);
    sql_bind_int(&c, write->at);
    sql_bind_int(&c, (int64_t)write->count);
    int status = sql_run(&c);
    write->swept = status == 0 ? (size_t)sqlite3_changes(sessions->db) : 0;
    return status;
}

/* ---- reading ---- */

static int load_messages(struct store_sessions *sessions, int64_t number,
                         struct store_session *session)
{
    struct sql_call c = call(sessions, MESSAGES);
    sql_bind_int(&c, number);
    int status;
    while ((status = sql_next(&c)) > 0) {
        size_t count = session->message_count;
        if ((count & (count - 1)) == 0)
            session->messages =
                mem_resize(session->messages, count ? 2 * count : 1, sizeof(*session->messages));
        session->messages[session->message_count++] = sql_text(c.statement, 1);
        if (sqlite3_column_int64(c.statement, 0) != (int64_t)count) {
            sql_end(&c);
            return -EIO;
        }
    }
    return status;
}

/* The session of the row that `c` is at. */
static int load(struct store_sessions *sessions, const struct sql_call *c,
                struct store_session **ret)
{
    struct store_session *session = mem_alloc(sizeof(*session));
    const char *id = (const char *)sqlite3_column_text(c->statement, 1);
    *session = (struct store_session){
        .owner = (uid_t)sqlite3_column_int64(c->statement, 2),
        .working = sqlite3_column_int(c->statement, 3) != 0,
        .updated_at = sqlite3_column_int64(c->statement, 4),
        .turn = sql_text(c->statement, 5),
    };
    strncpy(session->id, id ? id : "", sizeof(session->id) - 1);
    int status = load_messages(sessions, sqlite3_column_int64(c->statement, 0), session);
    if (status < 0) {
        store_session_free(session);
        return status;
    }
    *ret = session;
    return 0;
}

int store_sessions_find(struct store_sessions *sessions, struct store_read *read)
{
    char prefix[ULID_SIZE];
    if (!ulid_prefix(read->name, ID_PREFIX_MIN, prefix))
        return -ENOENT;
    struct sql_call c = call(sessions, BY_PREFIX);
    sql_bind_text(&c, prefix);
    sql_bind_int(&c, read->filter.owner);
    int status = sql_next(&c);
    if (status <= 0)
        return status < 0 ? status : -ENOENT;
    status = load(sessions, &c, &read->session);
    if (status < 0) {
        sql_end(&c);
        return status;
    }
    status = sql_next(&c);
    if (status > 0)
        sql_end(&c);
    return status > 0 ? -ENOTUNIQ : status;
}

int store_sessions_each_working(struct store_sessions *sessions,
                                void (*each)(void *arg, struct store_session *session), void *arg,
                                struct error *error)
{
    const char *path = sqlite3_db_filename(sessions->db, "main");
    struct sql_call c = call(sessions, WORKING);
    int status;
    while ((status = sql_next(&c)) > 0) {
        struct store_session *session;
        if (load(sessions, &c, &session) < 0) {
            error_set(error, ERROR_UNAVAILABLE, NULL, "%s: the record of session %s is damaged",
                      path, sqlite3_column_text(c.statement, 1));
            sql_end(&c);
            return -1;
        }
        each(arg, session);
    }
    return status < 0 ? error_set(error, ERROR_UNAVAILABLE, NULL, "cannot read %s: %s", path,
                                  sqlite3_errmsg(sessions->db))
                      : 0;
}
