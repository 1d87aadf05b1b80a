#include "daemon/io/store_list.h"

#include "daemon/io/store_sql.h"
#include "proto/limits.h"

#define PARAMETERS_MAX (JOB_STATE_COUNT + 16)

/* The text grows together with what is to be bound to it. */
struct query {
    struct buf sql;
    struct {
        const char *text; /* NULL: the number */
        int64_t number;
    } values[PARAMETERS_MAX];
    size_t count;
};

static void add_int(struct query *query, const char *sql, int64_t number)
{
    buf_add_text(&query->sql, sql);
    query->values[query->count++].number = number;
}

static void add_text(struct query *query, const char *sql, const char *text)
{
    buf_add_text(&query->sql, sql);
    query->values[query->count++].text = text;
}

/* States of one kind only let the index of that kind be used. */
static void add_states(struct query *query, unsigned states)
{
    bool some_open = false, some_ended = false;
    buf_add_text(&query->sql, " AND jobs.state IN (");
    const char *next = "?";
    for (int state = 0; state < JOB_STATE_COUNT; state++) {
        if (!(states & (1u << state)))
            continue;
        add_int(query, next, state);
        next = ", ?";
        if (job_state_flags((enum job_state)state) & JOB_ENDED)
            some_ended = true;
        else
            some_open = true;
    }
    buf_add_text(&query->sql, ")");
    if (some_open != some_ended)
        buf_add_text(&query->sql, some_open ? " AND open = 1" : " AND open = 0");
}

static void add_filter(struct query *query, const struct store_filter *filter)
{
    if (filter->states)
        add_states(query, filter->states);
    if (filter->owner >= 0)
        add_int(query, " AND owner = ?", filter->owner);
    if (filter->model)
        add_text(query, " AND model = ?", filter->model);
    if (filter->label_name) {
        add_text(query, " AND number IN (SELECT job FROM labels WHERE name = ?",
                 filter->label_name);
        if (filter->label_value)
            add_text(query, " AND value = ?", filter->label_value);
        buf_add_text(&query->sql, ")");
    }
    if (filter->since > 0) {
        add_int(query, " AND created_at >= ?", filter->since);
        /* So that the search ends there instead of going through all that is older. The plus sign
         * keeps SQLite from looking for the least id among all jobs, oldest first. */
        add_int(query, " AND id >= (SELECT min(+id) FROM jobs WHERE created_at >= ?)",
                filter->since);
    }
    if (filter->until > 0)
        add_int(query, " AND created_at < ?", filter->until);
    if (filter->after)
        add_text(query, " AND id < ?", filter->after);
}

static int bind_values(struct query *query, sqlite3_stmt *statement)
{
    struct sql_call c = sql_call(statement);
    for (size_t i = 0; i < query->count; i++) {
        if (query->values[i].text)
            sql_bind_text(&c, query->values[i].text);
        else
            sql_bind_int(&c, query->values[i].number);
    }
    return c.status;
}

int store_list_prepare(sqlite3 *db, const struct store_filter *filter, sqlite3_stmt **ret)
{
    struct query query = {.count = 0};
    buf_init(&query.sql, 4096);
    buf_add_text(&query.sql, SQL_SELECT_JOB "WHERE true");
    add_filter(&query, filter);
    add_int(&query, " ORDER BY id DESC LIMIT ?",
            filter->limit ? (int64_t)filter->limit : LIMIT_LIST);
    int status = sqlite3_prepare_v2(db, buf_text(&query.sql), -1, ret, NULL);
    buf_free(&query.sql);
    if (status == SQLITE_OK)
        status = bind_values(&query, *ret);
    if (status == SQLITE_OK)
        return 0;
    status = sql_errno(status);
    sqlite3_finalize(*ret);
    return status;
}
