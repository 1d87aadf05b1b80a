/* The store when things go wrong. Each case runs in a process of its own, this program again, as
 * fault points read their rules once, and as some of them kill. It reports each write's status on a
 * pipe as soon as it knows it; then the store is opened here, and must agree. */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "daemon/io/store_schema.h"
#include "tests/unit/store_fixture.h"

#define REPORT_FD 3

/* ---- in the child ---- */

static void report(const char *id, int status)
{
    MUST(dprintf(REPORT_FD, "%s %d\n", id, status) > 0);
}

static void insert_and_report(struct fixture *f, const char *json)
{
    struct job *job = make_job(f, 1, json);
    report(job->id, insert_job(f, job));
    job_free(job);
}

static void child_one_by_one(struct fixture *f)
{
    for (int i = 0; i < 5; i++)
        insert_and_report(f, PLAIN);
}

/* Three writes that share a batch, which fails; then the same again. */
static void child_batch(struct fixture *f)
{
    for (int round = 0; round < 2; round++) {
        struct job *jobs[3];
        struct store_write writes[3];
        bool done[3] = {false};
        for (int i = 0; i < 3; i++) {
            jobs[i] = make_job(f, 1, PLAIN);
            writes[i] = (struct store_write){.kind = STORE_INSERT,
                                             .jobs = &jobs[i],
                                             .count = 1,
                                             .done = on_write_done,
                                             .context = &done[i]};
            store_write(f->store, &writes[i]);
        }
        fixture_run_until(f, &done[2]);
        for (int i = 0; i < 3; i++) {
            MUST((writes[i].event > 0) == (writes[i].status == 0));
            report(jobs[i]->id, writes[i].status);
            job_free(jobs[i]);
        }
    }
    struct store_stats stats;
    store_stats(f->store, &stats);
    MUST(stats.failed_commits == 1 && stats.commits == 1 && stats.writes == 3);
}

static void child_read(struct fixture *f)
{
    struct store_read read = {.kind = STORE_LIST, .filter = {.owner = -1}};
    insert_and_report(f, PLAIN);
    MUST(read_and_wait(f, &read) == -EIO && read.job_count == 0);
    store_read_free(&read);
    MUST(read_and_wait(f, &read) == 0 && read.job_count == 1);
    store_read_free(&read);
}

#define SESSION "01J00000000000000000000001"

/* Two messages at a time, each written again until it is there. */
static void child_session(struct fixture *f)
{
    char turn[] = "{}", question[] = "{\"a\":1}", answer[] = "{\"b\":2}";
    char *messages[] = {question, answer};
    struct store_session session = {.id = SESSION,
                                    .owner = 1,
                                    .working = true,
                                    .updated_at = NOW,
                                    .turn = turn,
                                    .messages = messages,
                                    .message_count = 2};
    for (int i = 0; i < 5; i++) {
        struct store_write write = {.kind = STORE_PUT_SESSION, .session = &session};
        int status = write_and_wait(f, &write);
        report(SESSION, status);
        session.earlier += status == 0 ? 2 : 0;
    }
}

static void limit_files(rlim_t bytes)
{
    struct rlimit limit;
    MUST(getrlimit(RLIMIT_FSIZE, &limit) == 0);
    limit.rlim_cur = bytes;
    MUST(setrlimit(RLIMIT_FSIZE, &limit) == 0);
}

/* The disk is full, then there is room again. Requests of all lengths, so that the end comes in all
 * places of a transaction. */
static void child_full(struct fixture *f)
{
    char json[9000];
    signal(SIGXFSZ, SIG_IGN);
    for (int round = 0; round < 20; round++) {
        limit_files((rlim_t)(200 + 37 * round) * 1024);
        bool failed = false;
        for (int i = 0; !failed; i++) {
            memset(json, 0, sizeof(json));
            int length = 500 + (i * 997 + round * 131) % 8000;
            snprintf(json, sizeof(json), "{\"model\":\"m\",\"prompt\":\"%0*d\"}", length, i);
            struct job *job = make_job(f, 1, json);
            int status = insert_job(f, job);
            MUST(status == 0 || status == -ENOSPC);
            report(job->id, status);
            failed = status < 0;
            job_free(job);
        }
        limit_files(RLIM_INFINITY);
        insert_and_report(f, PLAIN);
    }
}

static sqlite3_io_methods wal_methods;
static const sqlite3_io_methods *real_methods;
static const sqlite3_vfs *real_vfs;
static int syncs_to_fail;

static int sync_or_fail(sqlite3_file *file, int flags)
{
    if (syncs_to_fail > 0) {
        syncs_to_fail--;
        return SQLITE_IOERR_FSYNC;
    }
    return real_methods->xSync(file, flags);
}

static int open_and_watch(sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags,
                          int *ret_flags)
{
    int status = real_vfs->xOpen(vfs, name, file, flags, ret_flags);
    if (status == SQLITE_OK && (flags & SQLITE_OPEN_WAL)) {
        real_methods = file->pMethods;
        wal_methods = *real_methods;
        wal_methods.xSync = sync_or_fail;
        file->pMethods = &wal_methods;
    }
    return status;
}

static void watch_syncs(void)
{
    static sqlite3_vfs vfs;
    real_vfs = sqlite3_vfs_find(NULL);
    vfs = *real_vfs;
    vfs.zName = "watched";
    vfs.pNext = NULL;
    vfs.xOpen = open_and_watch;
    MUST(sqlite3_vfs_register(&vfs, 1) == SQLITE_OK);
}

/* The sync of a commit fails when all of it is written; the process dies before anything else. */
static void child_sync(struct fixture *f)
{
    insert_and_report(f, PLAIN);
    syncs_to_fail = 1;
    insert_and_report(f, PLAIN);
    MUST(syncs_to_fail == 0);
    raise(SIGKILL);
}

static const struct {
    const char *name;
    void (*run)(struct fixture *f);
} children[] = {
    {"one-by-one", child_one_by_one}, {"batch", child_batch}, {"read", child_read},
    {"session", child_session},       {"full", child_full},   {"sync", child_sync},
};

static int be_child(const char *name, const char *dir)
{
    if (strcmp(name, "sync") == 0)
        watch_syncs();
    struct fixture *f = fixture_at(dir);
    for (size_t i = 0; i < sizeof(children) / sizeof(children[0]); i++)
        if (strcmp(children[i].name, name) == 0)
            children[i].run(f);
    fixture_leave(f);
    return 0;
}

/* ---- in the parent ---- */

struct outcome {
    int wait_status;
    char statuses[8192]; /* one character a write: '.' for 0, else 'S' ENOSPC, 'I' EIO, '?' */
    char ids[8192][JOB_ID_SIZE];
    size_t count;
};

static void collect(FILE *reports, struct outcome *outcome)
{
    char id[JOB_ID_SIZE];
    int status;
    while (fscanf(reports, "%26s %d", id, &status) == 2) {
        MUST(outcome->count < sizeof(outcome->statuses) - 1);
        memcpy(outcome->ids[outcome->count], id, sizeof(id));
        outcome->statuses[outcome->count++] = status == 0         ? '.'
                                              : status == -ENOSPC ? 'S'
                                              : status == -EIO    ? 'I'
                                                                  : '?';
    }
}

static struct outcome *run_child(const char *name, const char *dir, const char *fault)
{
    struct outcome *outcome = mem_alloc(sizeof(*outcome));
    int ends[2];
    MUST(pipe(ends) == 0);
    pid_t pid = fork();
    MUST(pid >= 0);
    if (pid == 0) {
        setenv("VEOD_FAULT", fault, 1);
        close(ends[0]);
        if (dup2(ends[1], REPORT_FD) < 0)
            _exit(127);
        if (ends[1] != REPORT_FD)
            close(ends[1]);
        execl("/proc/self/exe", "test_store_faults", name, dir, (char *)NULL);
        _exit(127);
    }
    close(ends[1]);
    FILE *reports = fdopen(ends[0], "r");
    MUST(reports);
    collect(reports, outcome);
    fclose(reports);
    MUST(waitpid(pid, &outcome->wait_status, 0) == pid);
    return outcome;
}

/* Runs a case in a new directory, and opens what it left. */
static struct fixture *run_case(const char *name, const char *fault, struct outcome **ret)
{
    char dir[] = "/tmp/veod-store-XXXXXX";
    MUST(mkdtemp(dir));
    *ret = run_child(name, dir, fault);
    return fixture_at(dir);
}

/* What was reported as durable is there; what was reported as failed is not. */
static void assert_reports_true(struct fixture *f, const struct outcome *outcome)
{
    for (size_t i = 0; i < outcome->count; i++)
        assert_int_equal(has_job(f, outcome->ids[i]), outcome->statuses[i] == '.');
}

static void assert_ended_well(const struct outcome *outcome)
{
    assert_true(WIFEXITED(outcome->wait_status));
    assert_int_equal(WEXITSTATUS(outcome->wait_status), 0);
}

static void assert_killed(const struct outcome *outcome)
{
    assert_true(WIFSIGNALED(outcome->wait_status));
    assert_int_equal(WTERMSIG(outcome->wait_status), SIGKILL);
}

static void test_disk_full(void **state)
{
    (void)state;
    struct outcome *outcome;
    struct fixture *f = run_case("full", "", &outcome);
    assert_ended_well(outcome);
    assert_true(outcome->count > 40);
    assert_non_null(strstr(outcome->statuses, "S."));
    assert_reports_true(f, outcome);
    free(outcome);
    fixture_free(f);
}

static void test_failed_sync_then_crash(void **state)
{
    (void)state;
    struct outcome *outcome;
    struct fixture *f = run_case("sync", "", &outcome);
    assert_killed(outcome);
    assert_string_equal(outcome->statuses, ".I");
    assert_reports_true(f, outcome);
    free(outcome);
    fixture_free(f);
}

#ifdef VEOD_FAULTS

static size_t count_jobs(struct fixture *f)
{
    uint64_t counts[JOB_STATE_COUNT], all = 0;
    assert_int_equal(store_count_states(f->store, counts, NULL), 0);
    for (int i = 0; i < JOB_STATE_COUNT; i++)
        all += counts[i];
    return all;
}

static void test_failed_batches(void **state)
{
    static const struct {
        const char *child, *fault, *statuses;
    } cases[] = {
        {"one-by-one", "store.commit#3=ENOSPC", "..S.."},
        {"one-by-one", "store.commit#2=EIO,store.begin#3=ENOSPC", ".IS.."},
        {"one-by-one", "store.begin#1=EIO", "I...."},
        {"one-by-one", "store.write#5=EIO", "....I"},
        {"one-by-one", "store.commit#*=ENOSPC", "SSSSS"},
        {"batch", "store.write#2=EIO", "III..."},
        {"batch", "store.commit=ENOSPC", "SSS..."},
        {"read", "store.read=EIO", "."},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct outcome *outcome;
        struct fixture *f = run_case(cases[i].child, cases[i].fault, &outcome);
        assert_ended_well(outcome);
        assert_string_equal(outcome->statuses, cases[i].statuses);
        assert_reports_true(f, outcome);
        free(outcome);
        fixture_free(f);
    }
}

static void test_killed_at_commit(void **state)
{
    static const struct {
        const char *fault;
        size_t reported, stored;
    } cases[] = {
        {"store.begin#3=kill", 2, 2},     {"store.write#3=kill", 2, 2},
        {"store.commit#3=kill", 2, 2},    {"store.committed#3=kill", 2, 3},
        {"store.committed#1=kill", 0, 1},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct outcome *outcome;
        struct fixture *f = run_case("one-by-one", cases[i].fault, &outcome);
        assert_killed(outcome);
        assert_int_equal(outcome->count, cases[i].reported);
        assert_reports_true(f, outcome);
        assert_int_equal(count_jobs(f), cases[i].stored);
        assert_int_equal(store_last_event(f->store), cases[i].stored);
        free(outcome);
        fixture_free(f);
    }
}

static size_t count_messages(struct fixture *f)
{
    struct store_read read = {.kind = STORE_SESSION, .name = SESSION, .filter = {.owner = 1}};
    int status = read_and_wait(f, &read);
    assert_true(status == 0 || status == -ENOENT);
    size_t count = status == 0 ? read.session->message_count : 0;
    store_read_free(&read);
    return count;
}

static void test_sessions_are_whole(void **state)
{
    static const struct {
        const char *fault, *statuses;
        size_t stored;
    } cases[] = {
        {"store.commit#3=ENOSPC", "..S..", 8}, {"store.commit#1=EIO", "I....", 8},
        {"store.write#5=EIO", "....I", 8},     {"store.commit#*=ENOSPC", "SSSSS", 0},
        {"store.commit#3=kill", "..", 4},      {"store.committed#3=kill", "..", 6},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct outcome *outcome;
        struct fixture *f = run_case("session", cases[i].fault, &outcome);
        assert_string_equal(outcome->statuses, cases[i].statuses);
        assert_int_equal(count_messages(f), cases[i].stored);
        free(outcome);
        fixture_free(f);
    }
}

#endif

int main(int argc, char **argv)
{
    if (argc == 3)
        return be_child(argv[1], argv[2]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_disk_full),          cmocka_unit_test(test_failed_sync_then_crash),
#ifdef VEOD_FAULTS
        cmocka_unit_test(test_failed_batches),     cmocka_unit_test(test_killed_at_commit),
        cmocka_unit_test(test_sessions_are_whole),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
