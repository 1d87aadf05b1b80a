#include "daemon/io/store.h"

#include <assert.h>
#include <stdlib.h>
#include <unistd.h>

#include "daemon/io/store_dir.h"
#include "daemon/io/store_reader.h"
#include "daemon/io/store_writer.h"
#include "proto/mem.h"

#define BATCH_JOBS 1024 /* a batch ends with the write that reaches this */

struct store {
    uv_loop_t *loop;
    int lock;
    struct store_writer *writer; /* the batch's while there is one */
    struct store_reader *reader; /* the read's while there is one */

    struct store_write *waiting;
    struct store_write **waiting_end;
    struct store_write *batch; /* on the worker pool; NULL: none */
    uv_work_t batch_work;
    int batch_status;
    uint64_t batch_us;
    int64_t batch_writes;

    /* A batch begins here and not in store_write, so that all writes of a turn of the loop share
     * it. A uv_idle_t, because an active one keeps the loop from sleeping: a write that is
     * submitted after the idle handles ran, even in a prepare callback, waits for no event. */
    uv_idle_t end_of_turn;

    struct store_read *reads; /* the first one is on the worker pool if `reading` */
    struct store_read **reads_end;
    bool reading;
    uv_work_t read_work;

    bool closing;
    bool closing_files;
    uv_work_t close_work;
    void (*closed)(void *);
    void *closed_arg;

    int64_t last_event;
    struct store_stats stats;
};

/* ---- closing ---- */

static void on_handle_closed(uv_handle_t *handle)
{
    struct store *store = handle->data;
    void (*closed)(void *) = store->closed;
    void *arg = store->closed_arg;
    free(store);
    if (closed)
        closed(arg);
}

/* The reader first: the last connection to go copies the WAL to the database. */
static void close_files(uv_work_t *work)
{
    struct store *store = work->data;
    store_reader_close(store->reader);
    store_writer_close(store->writer);
    close(store->lock);
}

static void on_files_closed(uv_work_t *work, int status)
{
    struct store *store = work->data;
    (void)status;
    uv_close((uv_handle_t *)&store->end_of_turn, on_handle_closed);
}

static void close_if_idle(struct store *store)
{
    if (!store->closing || store->closing_files || store->waiting || store->batch || store->reads)
        return;
    store->closing_files = true;
    uv_queue_work(store->loop, &store->close_work, close_files, on_files_closed);
}

void store_close(struct store *store, void (*closed)(void *), void *arg)
{
    assert(!store->closing);
    store->closing = true;
    store->closed = closed;
    store->closed_arg = arg;
    close_if_idle(store);
}

/* ---- writes ---- */

static void commit_batch(uv_work_t *work)
{
    struct store *store = work->data;
    uint64_t start = uv_hrtime();
    store->batch_status = store_writer_commit(store->writer, store->batch);
    store->batch_us = (uv_hrtime() - start) / 1000;
}

static void count_batch(struct store *store)
{
    struct store_stats *stats = &store->stats;
    if (store->batch_status < 0) {
        stats->failed_commits++;
        return;
    }
    stats->commits++;
    histogram_add(&stats->commit_us, (int64_t)store->batch_us);
    histogram_add(&stats->batch, store->batch_writes);
    stats->commit_us_total += store->batch_us;
    if (stats->commit_us_max < store->batch_us)
        stats->commit_us_max = store->batch_us;
    store->last_event = store_writer_last_event(store->writer);
}

/* Cuts the next batch off the waiting list. */
static void take_batch(struct store *store)
{
    size_t jobs = 0;
    struct store_write **end = &store->waiting;
    store->batch_writes = 0;
    while (*end && jobs < BATCH_JOBS) {
        store->batch_writes++;
        jobs += (*end)->count ? (*end)->count : 1;
        end = &(*end)->next;
    }
    store->batch = store->waiting;
    store->waiting = *end;
    *end = NULL;
    if (!store->waiting)
        store->waiting_end = &store->waiting;
}

static void on_end_of_turn(uv_idle_t *idle);

static void on_batch_done(uv_work_t *work, int status)
{
    struct store *store = work->data;
    (void)status;
    count_batch(store);
    while (store->batch) {
        struct store_write *write = store->batch;
        store->batch = write->next;
        store->stats.waiting--;
        if (write->status == 0)
            store->stats.writes++;
        write->done(write);
    }
    if (store->waiting)
        uv_idle_start(&store->end_of_turn, on_end_of_turn);
    close_if_idle(store);
}

static void on_end_of_turn(uv_idle_t *idle)
{
    struct store *store = idle->data;
    uv_idle_stop(idle);
    if (store->batch || !store->waiting)
        return;
    take_batch(store);
    uv_queue_work(store->loop, &store->batch_work, commit_batch, on_batch_done);
}

void store_write(struct store *store, struct store_write *write)
{
    write->next = NULL;
    *store->waiting_end = write;
    store->waiting_end = &write->next;
    store->stats.waiting++;
    if (!store->batch)
        uv_idle_start(&store->end_of_turn, on_end_of_turn);
}

/* ---- reads ---- */

static void perform_read(uv_work_t *work)
{
    struct store *store = work->data;
    store_reader_perform(store->reader, store->reads);
}

static void start_read(struct store *store);

static void on_read_done(uv_work_t *work, int status)
{
    struct store *store = work->data;
    struct store_read *read = store->reads;
    (void)status;
    store->reading = false;
    store->reads = read->next;
    if (!store->reads)
        store->reads_end = &store->reads;
    start_read(store);
    read->done(read);
    close_if_idle(store);
}

static void start_read(struct store *store)
{
    if (store->reading || !store->reads)
        return;
    store->reading = true;
    uv_queue_work(store->loop, &store->read_work, perform_read, on_read_done);
}

void store_read(struct store *store, struct store_read *read)
{
    read->next = NULL;
    *store->reads_end = read;
    store->reads_end = &read->next;
    start_read(store);
}

/* ---- at startup ---- */

int store_each_live(struct store *store, void (*each)(void *arg, struct job *job), void *arg,
                    struct error *error)
{
    assert(!store->reading);
    return store_reader_each_live(store->reader, each, arg, error);
}

int store_each_duration(struct store *store, size_t limit,
                        void (*each)(void *arg, const char *model, int64_t ms), void *arg,
                        struct error *error)
{
    assert(!store->reading);
    return store_reader_each_duration(store->reader, limit, each, arg, error);
}

int store_each_blob(struct store *store, void (*each)(void *arg, const struct store_blob *blob),
                    void *arg, struct error *error)
{
    assert(!store->reading);
    return store_reader_each_blob(store->reader, each, arg, error);
}

int store_each_working_session(struct store *store,
                               void (*each)(void *arg, struct store_session *session), void *arg,
                               struct error *error)
{
    assert(!store->reading);
    return store_reader_each_working_session(store->reader, each, arg, error);
}

int store_each_charge(struct store *store, int64_t since, store_charge_fn *each, void *arg,
                      struct error *error)
{
    assert(!store->reading);
    return store_reader_each_charge(store->reader, since, each, arg, error);
}

int store_count_states(struct store *store, uint64_t ret[JOB_STATE_COUNT], struct error *error)
{
    assert(!store->reading);
    return store_reader_count_states(store->reader, ret, error);
}

int64_t store_last_event(const struct store *store)
{
    return store->last_event;
}

void store_stats(const struct store *store, struct store_stats *ret)
{
    *ret = store->stats;
}

static int open_files(struct store *store, const char *directory, struct error *error)
{
    store->lock = store_dir_lock(directory, error);
    if (store->lock < 0)
        return -1;
    char *path = store_dir_database(directory, error);
    if (path && store_writer_open(path, &store->writer, error) == 0 &&
        store_reader_open(path, &store->reader, error) == 0) {
        free(path);
        return 0;
    }
    free(path);
    store_writer_close(store->writer);
    close(store->lock);
    return -1;
}

int store_open(const char *directory, uv_loop_t *loop, struct store **ret, struct error *error)
{
    struct store *store = mem_alloc(sizeof(*store));
    if (open_files(store, directory, error) < 0) {
        free(store);
        return -1;
    }
    store->loop = loop;
    histogram_init(&store->stats.commit_us, &histogram_moments);
    histogram_init(&store->stats.batch, &histogram_numbers);
    store->waiting_end = &store->waiting;
    store->reads_end = &store->reads;
    store->last_event = store_writer_last_event(store->writer);
    store->batch_work.data = store;
    store->read_work.data = store;
    store->close_work.data = store;
    store->end_of_turn.data = store;
    uv_idle_init(loop, &store->end_of_turn);
    *ret = store;
    return 0;
}
