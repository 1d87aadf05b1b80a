#include "daemon/io/store_charge.h"

#include <errno.h>
#include <stdlib.h>

#include "daemon/io/store_sql.h"
#include "proto/jsonw.h"
#include "proto/limits.h"
#include "proto/mem.h"

#define LABELS_MAX (64 * 1024) /* bytes of a job's labels, as JSON */

enum statement {
    PUT,
    REMOVE,
    BY_DAY,
    BY_OWNER,
    BY_PROVIDER,
    BY_MODEL,
    BY_LABEL,
    ALL,
    OF_DAY,
    STATEMENTS
};

#define SUMS                                                   \
    "count(DISTINCT job), sum(amount), sum(presumed * amount)" \
    " FROM charges WHERE (?1 < 0 OR owner = ?1) AND at >= ?2 AND at < ?3"
#define BY(expression, order) \
    "SELECT " expression ", " SUMS " GROUP BY 1 ORDER BY " order " LIMIT ?5"
#define DEAREST "3 DESC, 1"

static const char *const texts[STATEMENTS] = {
    [PUT] = "INSERT INTO charges (job, attempt, at, owner, provider, model, labels, amount,"
            " presumed) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
            " ON CONFLICT (job, attempt) DO UPDATE SET"
            " amount = excluded.amount, presumed = excluded.presumed"
            " WHERE amount <> excluded.amount OR presumed <> excluded.presumed",
    [REMOVE] = "DELETE FROM charges WHERE job = ? AND attempt = ?",
    [BY_DAY] = BY("strftime('%Y-%m-%d', at / 1000, 'unixepoch')", "1"),
    [BY_OWNER] = BY("owner", DEAREST),
    [BY_PROVIDER] = BY("provider", DEAREST),
    [BY_MODEL] = BY("model", DEAREST),
    [BY_LABEL] = BY("(SELECT value FROM json_each(labels) WHERE key = ?4)", DEAREST),
    [ALL] = "SELECT NULL, " SUMS,
    [OF_DAY] = ("SELECT owner, provider, sum(amount) FROM charges WHERE at >= ?"
                " GROUP BY owner, provider"),
};

struct store_charges {
    sqlite3_stmt *statements[STATEMENTS];
    struct buf labels;
};

int store_charges_new(sqlite3 *db, bool writes, struct store_charges **ret, struct error *error)
{
    struct store_charges *charges = mem_alloc(sizeof(*charges));
    size_t first = writes ? PUT : BY_DAY, end = writes ? BY_DAY : STATEMENTS;
    buf_init(&charges->labels, LABELS_MAX);
    if (sql_prepare(db, texts + first, end - first, charges->statements + first, error) < 0) {
        store_charges_free(charges);
        return -1;
    }
    *ret = charges;
    return 0;
}

void store_charges_free(struct store_charges *charges)
{
    if (!charges)
        return;
    sql_finalize(charges->statements, STATEMENTS);
    buf_free(&charges->labels);
    free(charges);
}

static struct sql_call call(struct store_charges *charges, enum statement which)
{
    return sql_call(charges->statements[which]);
}

/* ---- writing ---- */

static const char *write_labels(struct store_charges *charges, const struct request *request)
{
    struct jsonw w;
    buf_reset(&charges->labels);
    jsonw_init(&w, &charges->labels);
    jsonw_object(&w);
    for (size_t i = 0; i < request->label_count; i++)
        jsonw_member_string(&w, request->labels[i].name, request->labels[i].value);
    jsonw_object_end(&w);
    return charges->labels.failed ? "{}" : buf_text(&charges->labels);
}

static int remove_charge(struct store_charges *charges, const struct job *job)
{
    struct sql_call c = call(charges, REMOVE);
    sql_bind_text(&c, job->id);
    sql_bind_int(&c, job->attempt);
    return sql_run(&c);
}

int store_charges_put(struct store_charges *charges, const struct job *job)
{
    if (job->charged_at == 0)
        return 0;
    if (job->attempt_charge == 0)
        return remove_charge(charges, job);
    struct sql_call c = call(charges, PUT);
    sql_bind_text(&c, job->id);
    sql_bind_int(&c, job->attempt);
    sql_bind_int(&c, job->charged_at);
    sql_bind_int(&c, job->owner);
    sql_bind_text(&c, job->provider);
    sql_bind_text(&c, job->request->model);
    sql_bind_text(&c, write_labels(charges, job->request));
    sql_bind_int(&c, job->attempt_charge);
    sql_bind_int(&c, job->presumed);
    return sql_run(&c);
}

/* ---- reading ---- */

static struct sql_call sums(struct store_charges *charges, enum statement which,
                            const struct store_read *read)
{
    struct sql_call c = call(charges, which);
    sql_bind_int(&c, read->filter.owner);
    sql_bind_int(&c, read->filter.since);
    sql_bind_int(&c, read->filter.until ? read->filter.until : INT64_MAX);
    if (which != ALL) {
        sql_bind_text(&c, read->name);
        sql_bind_int(&c, LIMIT_LIST);
    }
    return c;
}

static struct store_cost cost_of(sqlite3_stmt *statement)
{
    return (struct store_cost){
        .key = sql_text(statement, 0),
        .jobs = (uint64_t)sqlite3_column_int64(statement, 1),
        .charged = sqlite3_column_int64(statement, 2),
        .presumed = sqlite3_column_int64(statement, 3),
    };
}

int store_charges_sum(struct store_charges *charges, struct store_read *read)
{
    static const enum statement statements[] = {
        [STORE_BY_DAY] = BY_DAY,     [STORE_BY_OWNER] = BY_OWNER, [STORE_BY_PROVIDER] = BY_PROVIDER,
        [STORE_BY_MODEL] = BY_MODEL, [STORE_BY_LABEL] = BY_LABEL,
    };
    struct sql_call c = sums(charges, ALL, read);
    int status = sql_next(&c);
    if (status < 0)
        return status;
    read->cost = cost_of(c.statement);
    sql_end(&c);
    read->costs = mem_alloc(LIMIT_LIST * sizeof(*read->costs));
    c = sums(charges, statements[read->by], read);
    while ((status = sql_next(&c)) > 0)
        read->costs[read->cost_count++] = cost_of(c.statement);
    return status;
}

int store_charges_each(struct store_charges *charges, int64_t since, store_charge_fn *each,
                       void *arg)
{
    struct sql_call c = call(charges, OF_DAY);
    int status;
    sql_bind_int(&c, since);
    while ((status = sql_next(&c)) > 0)
        each(arg, (uid_t)sqlite3_column_int64(c.statement, 0),
             (const char *)sqlite3_column_text(c.statement, 1),
             sqlite3_column_int64(c.statement, 2));
    return status;
}
