/* Conversations with the agent. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "daemon/io/store_schema.h"
#include "tests/unit/store_fixture.h"

#define ID    "01J00000000000000000000001"
#define OTHER "01J00000000000000000000002"
#define YOUNG "01J10000000000000000000000"

static int set_up(void **state)
{
    *state = fixture_new();
    return 0;
}

static int tear_down(void **state)
{
    fixture_free(*state);
    return 0;
}

static int put(struct fixture *f, const struct store_session *session)
{
    struct store_write write = {.kind = STORE_PUT_SESSION, .session = session};
    return write_and_wait(f, &write);
}

/* A session of owner 1 that rests; its messages are split by blanks. */
static int put_plain(struct fixture *f, const char *id, size_t earlier, const char *messages,
                     int64_t at)
{
    char turn[] = "{}", *copy = mem_strdup(messages), *split[8], *position = NULL;
    struct store_session session = {
        .owner = 1, .updated_at = at, .turn = turn, .messages = split, .earlier = earlier};
    snprintf(session.id, sizeof(session.id), "%s", id);
    for (char *one = strtok_r(copy, " ", &position); one; one = strtok_r(NULL, " ", &position))
        split[session.message_count++] = one;
    int status = put(f, &session);
    free(copy);
    return status;
}

static int find(struct fixture *f, const char *name, int64_t owner, struct store_session **ret)
{
    struct store_read read = {.kind = STORE_SESSION, .name = name, .filter = {.owner = owner}};
    int status = read_and_wait(f, &read);
    assert_true((status == 0) == (read.session != NULL));
    if (ret) {
        *ret = read.session;
        read.session = NULL;
    }
    store_read_free(&read);
    assert_null(read.session);
    return status;
}

/* Its messages, split by blanks; NULL if there is no such session. */
static const char *messages_of(struct fixture *f, const char *id)
{
    static char text[1000];
    struct store_session *session;
    text[0] = '\0';
    if (find(f, id, 1, &session) < 0)
        return NULL;
    for (size_t i = 0; i < session->message_count; i++)
        strcat(strcat(text, i ? " " : ""), session->messages[i]);
    store_session_free(session);
    return text;
}

static size_t sweep(struct fixture *f, int64_t at, size_t count)
{
    struct store_write write = {.kind = STORE_SWEEP_SESSIONS, .at = at, .count = count};
    assert_int_equal(write_and_wait(f, &write), 0);
    return write.swept;
}

static void on_working(void *arg, struct store_session *session)
{
    strcat(strcat(arg, session->id), " ");
    assert_true(session->working);
    store_session_free(session);
}

static const char *working(struct fixture *f)
{
    static char ids[200];
    struct error error = {0};
    ids[0] = '\0';
    fixture_reopen(f);
    assert_int_equal(store_each_working_session(f->store, on_working, ids, &error), 0);
    return ids;
}

/* ---- what is put is found ---- */

static void test_byte_for_byte(void **state)
{
    struct fixture *f = *state;
    size_t length = 3 * 1024 * 1024;
    char *large = mem_alloc(length + 1);
    memset(large, 'x', length);
    char odd[] = "{\"thought\\u0000\": \"\xc3\xa4\x01\xff\r\n\t '\" ,, }", turn[] = "{\"a\": 1 }";
    char *messages[] = {large, odd, large};
    struct store_session session = {.id = ID,
                                    .owner = UINT32_MAX - 1,
                                    .working = true,
                                    .updated_at = NOW,
                                    .turn = turn,
                                    .messages = messages,
                                    .message_count = 3};
    assert_int_equal(put(f, &session), 0);
    for (int round = 0; round < 2; round++) {
        struct store_session *found;
        assert_int_equal(find(f, ID, UINT32_MAX - 1, &found), 0);
        assert_string_equal(found->id, ID);
        assert_int_equal(found->owner, UINT32_MAX - 1);
        assert_true(found->working);
        assert_int_equal(found->updated_at, NOW);
        assert_string_equal(found->turn, turn);
        assert_int_equal(found->message_count, 3);
        for (int i = 0; i < 3; i++)
            assert_string_equal(found->messages[i], messages[i]);
        store_session_free(found);
        fixture_reopen(f);
    }
    free(large);
}

static void test_messages_keep_their_order(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(put_plain(f, ID, 0, "", NOW), 0);
    assert_string_equal(messages_of(f, ID), "");
    assert_int_equal(put_plain(f, ID, 0, "z", NOW), 0);
    assert_int_equal(put_plain(f, OTHER, 0, "o p", NOW), 0);
    assert_int_equal(put_plain(f, ID, 1, "a m", NOW), 0);
    assert_int_equal(put_plain(f, OTHER, 2, "q", NOW), 0);
    assert_int_equal(put_plain(f, ID, 3, "", NOW), 0);
    assert_int_equal(put_plain(f, ID, 3, "a", NOW), 0);
    assert_string_equal(messages_of(f, ID), "z a m a");
    fixture_reopen(f);
    assert_string_equal(messages_of(f, ID), "z a m a");
    assert_string_equal(messages_of(f, OTHER), "o p q");
}

static void test_the_record_is_replaced(void **state)
{
    struct fixture *f = *state;
    char first[] = "{\"rounds\":1}", second[] = "{\"rounds\":2}";
    struct store_session session = {
        .id = ID, .owner = 1, .working = true, .updated_at = NOW, .turn = first};
    struct store_session *found;
    assert_int_equal(put(f, &session), 0);
    session.working = false;
    session.updated_at = NOW + 1;
    session.turn = second;
    assert_int_equal(put(f, &session), 0);
    assert_int_equal(find(f, ID, 1, &found), 0);
    assert_false(found->working);
    assert_int_equal(found->updated_at, NOW + 1);
    assert_string_equal(found->turn, second);
    store_session_free(found);
    session.turn = NULL;
    assert_int_equal(put(f, &session), -EINVAL);
}

/* ---- what is refused leaves nothing ---- */

static void test_another_number_of_earlier_messages(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(put_plain(f, ID, 1, "a", NOW), -EINVAL);
    assert_null(messages_of(f, ID));
    assert_int_equal(put_plain(f, ID, 0, "a b", NOW), 0);
    for (size_t earlier = 0; earlier < 5; earlier++) {
        struct store_session *found;
        if (earlier == 2)
            continue;
        assert_int_equal(put_plain(f, ID, earlier, "c", NOW + 1), -EINVAL);
        assert_int_equal(put_plain(f, ID, earlier, "", NOW + 1), -EINVAL);
        assert_int_equal(find(f, ID, 1, &found), 0);
        assert_int_equal(found->updated_at, NOW);
        store_session_free(found);
    }
    assert_string_equal(messages_of(f, ID), "a b");
}

/* One of a batch that can't be takes nothing from the others. */
static void test_a_batch_with_a_bad_one(void **state)
{
    struct fixture *f = *state;
    char turn[] = "{}", a[] = "a", *messages[] = {a, NULL};
    struct store_session sessions[3];
    struct store_write writes[3];
    bool done[3] = {false};
    for (int i = 0; i < 3; i++) {
        sessions[i] = (struct store_session){.owner = 1,
                                             .updated_at = NOW,
                                             .turn = turn,
                                             .messages = messages,
                                             .message_count = i == 1 ? 2 : 1};
        snprintf(sessions[i].id, sizeof(sessions[i].id), "01J0000000000000000000000%u",
                 (unsigned)i % 10);
        writes[i] = (struct store_write){.kind = STORE_PUT_SESSION,
                                         .session = &sessions[i],
                                         .done = on_write_done,
                                         .context = &done[i]};
        store_write(f->store, &writes[i]);
    }
    for (int i = 0; i < 3; i++) {
        fixture_run_until(f, &done[i]);
        assert_int_equal(writes[i].status, i == 1 ? -EINVAL : 0);
        assert_int_equal(find(f, sessions[i].id, 1, NULL), i == 1 ? -ENOENT : 0);
    }
}

static void test_owners(void **state)
{
    struct fixture *f = *state;
    char turn[] = "{}";
    struct store_session session = {.id = ID, .owner = 2, .updated_at = NOW, .turn = turn};
    assert_int_equal(put_plain(f, ID, 0, "a", NOW), 0);
    assert_int_equal(put(f, &session), -EEXIST);
    session.earlier = 1;
    assert_int_equal(put(f, &session), -EEXIST);
    assert_string_equal(messages_of(f, ID), "a");
    assert_int_equal(find(f, ID, 2, NULL), -ENOENT);
    assert_int_equal(find(f, "01J0", 2, NULL), -ENOENT);
    assert_int_equal(find(f, ID, -1, NULL), -ENOENT); /* admins are no exception */
    assert_int_equal(sweep(f, INT64_MAX, 1), 1);
    session.earlier = 0;
    assert_int_equal(put(f, &session), 0);
}

static void test_prefixes(void **state)
{
    struct fixture *f = *state;
    char turn[] = "{}";
    struct store_session others = {.id = OTHER, .owner = 2, .updated_at = NOW, .turn = turn};
    put_plain(f, ID, 0, "a", NOW);
    assert_int_equal(put(f, &others), 0);
    assert_int_equal(find(f, "01J0", 1, NULL), 0); /* the other one is somebody else's */
    assert_int_equal(find(f, "01j0000", 1, NULL), 0);
    assert_int_equal(find(f, "01J", 1, NULL), -ENOENT);
    assert_int_equal(find(f, "01J1", 1, NULL), -ENOENT);
    assert_int_equal(find(f, "", 1, NULL), -ENOENT);
    assert_int_equal(find(f, ID "0", 1, NULL), -ENOENT);
    assert_int_equal(find(f, "01J%", 1, NULL), -ENOENT);
    put_plain(f, YOUNG, 0, "b", NOW);
    assert_int_equal(find(f, "01J0", 1, NULL), 0);
    put_plain(f, "01J00000000000000000000003", 0, "c", NOW);
    assert_int_equal(find(f, "01J0", 1, NULL), -ENOTUNIQ);
    assert_string_equal(messages_of(f, ID), "a");
    assert_string_equal(messages_of(f, "01J00000000000000000000003"), "c");
}

/* ---- rest and work ---- */

static void test_the_oldest_are_swept_first(void **state)
{
    struct fixture *f = *state;
    char turn[] = "{}";
    struct store_session busy = {
        .id = "01J00000000000000000000009", .owner = 1, .updated_at = 1, .turn = turn};
    put_plain(f, YOUNG, 0, "a b", NOW - 2000);
    put_plain(f, OTHER, 0, "a", NOW - 1000);
    put_plain(f, ID, 0, "a", NOW);
    busy.working = true;
    assert_int_equal(put(f, &busy), 0);
    assert_int_equal(sweep(f, NOW - 2000, 9), 0);
    assert_int_equal(sweep(f, NOW, 1), 1);
    assert_null(messages_of(f, YOUNG));
    assert_int_equal(sweep(f, NOW, 9), 1);
    assert_null(messages_of(f, OTHER));
    assert_string_equal(messages_of(f, ID), "a");
    assert_int_equal(sweep(f, INT64_MAX, 9), 1);
    assert_int_equal(find(f, busy.id, 1, NULL), 0);
    busy.working = false;
    assert_int_equal(put(f, &busy), 0);
    assert_int_equal(sweep(f, INT64_MAX, 9), 1);
    assert_int_equal(put_plain(f, YOUNG, 0, "c", NOW), 0); /* its messages went with it */
    assert_string_equal(messages_of(f, YOUNG), "c");
}

static void test_those_that_work(void **state)
{
    struct fixture *f = *state;
    char turn[] = "{}", a[] = "a", *messages[] = {a};
    struct store_session session = {.owner = 2,
                                    .working = true,
                                    .updated_at = NOW,
                                    .turn = turn,
                                    .messages = messages,
                                    .message_count = 1};
    static const char *const ids[] = {YOUNG, ID, OTHER};
    assert_string_equal(working(f), "");
    for (int i = 0; i < 3; i++) {
        snprintf(session.id, sizeof(session.id), "%s", ids[i]);
        assert_int_equal(put(f, &session), 0);
    }
    put_plain(f, "01J00000000000000000000000", 0, "a", NOW);
    assert_string_equal(working(f), ID " " OTHER " " YOUNG " ");
    session = (struct store_session){.id = OTHER, .owner = 2, .turn = turn, .earlier = 1};
    assert_int_equal(put(f, &session), 0);
    assert_string_equal(working(f), ID " " YOUNG " ");
}

/* ---- the schema ---- */

static void alter(const struct fixture *f, const char *sql)
{
    char path[160], *message = NULL;
    sqlite3 *db;
    snprintf(path, sizeof(path), "%s/jobs.db", f->dir);
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    if (sqlite3_exec(db, sql, NULL, NULL, &message) != SQLITE_OK)
        fail_msg("%s", message);
    sqlite3_close(db);
}

static void test_a_database_of_before(void **state)
{
    struct fixture *f = *state;
    struct job *job = make_job(f, 1, PLAIN);
    assert_int_equal(insert_job(f, job), 0);
    fixture_close_store(f);
    alter(f, "DROP TABLE messages; DROP TABLE sessions; PRAGMA user_version = 2");
    fixture_open_store(f);
    assert_true(has_job(f, job->id));
    assert_string_equal(working(f), "");
    assert_int_equal(put_plain(f, ID, 0, "a b", NOW), 0);
    fixture_reopen(f);
    assert_string_equal(messages_of(f, ID), "a b");
    job_free(job);
}

static void test_a_hole_is_damage(void **state)
{
    struct fixture *f = *state;
    char turn[] = "{}";
    struct store_session session = {
        .id = ID, .owner = 1, .working = true, .turn = turn, .earlier = 3};
    struct error error = {0};
    put_plain(f, ID, 0, "a b c", NOW);
    assert_int_equal(put(f, &session), 0);
    fixture_close_store(f);
    alter(f, "DELETE FROM messages WHERE position = 1");
    fixture_open_store(f);
    assert_int_equal(find(f, ID, 1, NULL), -EIO);
    assert_int_equal(store_each_working_session(f->store, on_working, NULL, &error), -1);
    assert_non_null(strstr(error.message, "jobs.db: the record of session " ID " is damaged"));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_byte_for_byte),
        TEST(test_messages_keep_their_order),
        TEST(test_the_record_is_replaced),
        TEST(test_another_number_of_earlier_messages),
        TEST(test_a_batch_with_a_bad_one),
        TEST(test_owners),
        TEST(test_prefixes),
        TEST(test_the_oldest_are_swept_first),
        TEST(test_those_that_work),
        TEST(test_a_database_of_before),
        TEST(test_a_hole_is_damage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
