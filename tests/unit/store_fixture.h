/* A store in a directory of its own, on a real loop; each wait is bounded by an alarm. */
#ifndef VEO_TEST_STORE_FIXTURE_H
#define VEO_TEST_STORE_FIXTURE_H

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <uv.h>

#include "daemon/core/ulid.h"
#include "daemon/io/store.h"
#include "proto/mem.h"

#define NOW        INT64_C(1790000000000)
#define WAIT_S     60
#define MUST(what) ((what) ? (void)0 : must_failed(#what, __FILE__, __LINE__))

/* For what runs in a child too, where cmocka's assertions must not jump. */
static inline void must_failed(const char *what, const char *file, int line)
{
    fprintf(stderr, "%s:%d: not true: %s\n", file, line, what);
    abort();
}

struct fixture {
    char dir[128];
    uv_loop_t loop;
    struct store *store;
    struct ulid_source ids;
    int64_t now;
};

static inline void fixture_open_store(struct fixture *f)
{
    struct error error = {0};
    if (store_open(f->dir, &f->loop, &f->store, &error) < 0) {
        fprintf(stderr, "%s\n", error.message);
        abort();
    }
}

static inline struct fixture *fixture_at(const char *dir)
{
    struct fixture *f = mem_alloc(sizeof(*f));
    MUST(strlen(dir) < sizeof(f->dir));
    memcpy(f->dir, dir, strlen(dir) + 1);
    f->now = NOW;
    MUST(uv_loop_init(&f->loop) == 0);
    alarm(WAIT_S);
    fixture_open_store(f);
    return f;
}

static inline struct fixture *fixture_new(void)
{
    char dir[] = "/tmp/veod-store-XXXXXX";
    MUST(mkdtemp(dir));
    return fixture_at(dir);
}

static inline void on_fixture_closed(void *arg)
{
    *(bool *)arg = true;
}

static inline void fixture_run_until(struct fixture *f, const bool *flag)
{
    alarm(WAIT_S);
    while (!*flag)
        uv_run(&f->loop, UV_RUN_ONCE);
}

static inline void fixture_close_store(struct fixture *f)
{
    bool closed = false;
    store_close(f->store, on_fixture_closed, &closed);
    fixture_run_until(f, &closed);
    f->store = NULL;
}

static inline void fixture_reopen(struct fixture *f)
{
    fixture_close_store(f);
    fixture_open_store(f);
}

static inline void fixture_leave(struct fixture *f)
{
    fixture_close_store(f);
    MUST(uv_run(&f->loop, UV_RUN_NOWAIT) == 0);
    MUST(uv_loop_close(&f->loop) == 0);
    free(f);
}

static inline void remove_store(const char *dir)
{
    static const char *const names[] = {"lock", "jobs.db", "jobs.db-wal", "jobs.db-shm"};
    char path[160];
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
        unlink(path);
    }
    MUST(rmdir(dir) == 0);
}

static inline void fixture_free(struct fixture *f)
{
    char dir[128];
    memcpy(dir, f->dir, sizeof(dir));
    fixture_leave(f);
    remove_store(dir);
}

/* A new job whose request is `json`; each is a millisecond younger than the one before. */
static inline struct job *make_job(struct fixture *f, uid_t owner, const char *json)
{
    static uint8_t seed;
    const struct job_policy policy = {.max_attempts = 3, .connect_for_ms = 1000};
    uint8_t random[10] = {++seed};
    char id[ULID_SIZE];
    ulid_next(&f->ids, ++f->now, random, id);
    struct request *request = request_load(json, strlen(json));
    MUST(request);
    struct job *job = job_new(id, owner, request, &policy, f->now);
    request_unref(request);
    return job;
}

static inline void on_write_done(struct store_write *write)
{
    *(bool *)write->context = true;
}

static inline int write_and_wait(struct fixture *f, struct store_write *write)
{
    bool done = false;
    write->context = &done;
    write->done = on_write_done;
    store_write(f->store, write);
    fixture_run_until(f, &done);
    return write->status;
}

static inline int insert_job(struct fixture *f, struct job *job)
{
    struct store_write write = {.kind = STORE_INSERT, .jobs = &job, .count = 1};
    return write_and_wait(f, &write);
}

static inline int update_job(struct fixture *f, struct job *job)
{
    struct store_write write = {.kind = STORE_UPDATE, .jobs = &job, .count = 1};
    return write_and_wait(f, &write);
}

static inline int forget_job(struct fixture *f, struct job *job)
{
    struct store_write write = {.kind = STORE_FORGET, .jobs = &job, .count = 1};
    return write_and_wait(f, &write);
}

/* Inserts and forgets about the struct. */
static inline void add_job(struct fixture *f, uid_t owner, const char *json)
{
    struct job *job = make_job(f, owner, json);
    MUST(insert_job(f, job) == 0);
    job_free(job);
}

static inline void on_read_done(struct store_read *read)
{
    *(bool *)read->context = true;
}

static inline int read_and_wait(struct fixture *f, struct store_read *read)
{
    bool done = false;
    read->context = &done;
    read->done = on_read_done;
    store_read(f->store, read);
    fixture_run_until(f, &done);
    return read->status;
}

/* The job that `name` means to `owner`, or NULL and the status. */
static inline struct job *find_job(struct fixture *f, const char *name, int64_t owner,
                                   int *ret_status)
{
    struct store_read read = {.kind = STORE_FIND, .name = name, .filter = {.owner = owner}};
    int status = read_and_wait(f, &read);
    struct job *job = NULL;
    if (status == 0) {
        MUST(read.job_count == 1);
        job = read.jobs[0];
        read.jobs[0] = NULL;
    }
    store_read_free(&read);
    if (ret_status)
        *ret_status = status;
    return job;
}

static inline bool has_job(struct fixture *f, const char *id)
{
    struct job *job = find_job(f, id, -1, NULL);
    bool found = job != NULL;
    job_free(job);
    return found;
}

#define PLAIN "{\"model\":\"veo\",\"prompt\":\"a dog\"}"

#endif
