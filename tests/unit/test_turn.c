/* What becomes of a turn: by each kind of answer, at each bound, and what is kept of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/agent/turn.h"
#include "proto/mem.h"

#define MINUTE 60000

static const struct turn_bounds bounds = {
    .rounds = 3,
    .tokens = 1000,
    .max_tokens = 100,
    .session_bytes = 2000,
    .backoff = {1000, 8000},
};

static char calls_message[] =
    "{\"role\":\"assistant\",\"tool_calls\":[{\"id\":\"c1\",\"type\":\"function\",\"function\":"
    "{\"name\":\"check_video_status\",\"arguments\":\"{}\"}}]}";
static char text_message[] = "{\"role\":\"assistant\",\"content\":\"Hello.\"}";
static char text[] = "Hello.";
static char trouble[] = "too busy";

static struct chat_reply reply_of(enum chat_kind kind)
{
    struct chat_reply reply = {.kind = kind, .tokens = 10};
    if (kind == CHAT_ANSWER || kind == CHAT_TRUNCATED) {
        reply.message = text_message;
        reply.text = text;
    } else if (kind == CHAT_CALLS) {
        reply.message = calls_message;
    } else if (kind != CHAT_EMPTY) {
        reply.error = trouble;
    }
    return reply;
}

static bool take(struct turn *turn, enum chat_kind kind)
{
    struct chat_reply reply = reply_of(kind);
    return turn_take(turn, &bounds, &reply, MINUTE, 100, 0.5);
}

/* ---- by the kind of answer ---- */

static void test_each_kind_has_its_end(void **state)
{
    static const struct {
        enum chat_kind kind;
        int again; /* so often */
        enum turn_state state;
        enum turn_finish finish;
        bool kept;
        int64_t rounds;
    } rows[] = {
        {CHAT_ANSWER, 0, TURN_ENDED, TURN_ANSWER, true, 1},
        {CHAT_CALLS, 0, TURN_CALLING, TURN_OPEN, true, 1},
        {CHAT_TRUNCATED, 1, TURN_ENDED, TURN_LENGTH, true, 1},
        {CHAT_EMPTY, 2, TURN_ENDED, TURN_FAILED, false, 0},
        {CHAT_REFUSED, 0, TURN_ENDED, TURN_REFUSED, false, 1},
        {CHAT_MALFORMED, 2, TURN_ENDED, TURN_FAILED, false, 0},
        {CHAT_FAILED, 0, TURN_ENDED, TURN_FAILED, false, 0},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct turn turn = {0};
        for (int n = 0; n < rows[i].again; n++) {
            assert_false(take(&turn, rows[i].kind));
            assert_int_equal(turn.state, TURN_WAITING);
            assert_int_equal(turn.wait_ms, 0);
            turn_think(&turn, &bounds, MINUTE, 100);
            assert_int_equal(turn.state, TURN_THINKING);
        }
        assert_int_equal(take(&turn, rows[i].kind), rows[i].kept);
        assert_int_equal(turn.state, rows[i].state);
        assert_int_equal(turn.finish, rows[i].finish);
        assert_int_equal(turn.rounds, rows[i].rounds);
        assert_int_equal(turn.tokens, 10 * (rows[i].again + 1));
        bool explained = rows[i].finish != TURN_ANSWER && rows[i].finish != TURN_OPEN;
        assert_int_equal(turn.message != NULL, explained);
        turn_free(&turn);
    }
}

static void test_a_good_answer_forgives_bad_ones(void **state)
{
    struct turn turn = {0};
    (void)state;
    take(&turn, CHAT_EMPTY);
    take(&turn, CHAT_EMPTY);
    take(&turn, CHAT_CALLS);
    take(&turn, CHAT_EMPTY);
    take(&turn, CHAT_EMPTY);
    assert_int_equal(turn.state, TURN_WAITING);
    take(&turn, CHAT_ANSWER);
    assert_int_equal(turn.finish, TURN_ANSWER);
    assert_string_equal(turn.text, "Hello.");
    turn_free(&turn);
}

static void test_what_was_cut_is_asked_with_more_room(void **state)
{
    struct turn turn = {0};
    (void)state;
    assert_int_equal(turn_max_tokens(&turn, &bounds), 100);
    take(&turn, CHAT_TRUNCATED);
    assert_int_equal(turn_max_tokens(&turn, &bounds), 200);
    take(&turn, CHAT_CALLS);
    assert_int_equal(turn_max_tokens(&turn, &bounds), 100);
    turn_free(&turn);
}

static void test_calls_that_were_cut_are_not_kept(void **state)
{
    struct turn turn = {0};
    struct chat_reply reply = reply_of(CHAT_TRUNCATED);
    (void)state;
    reply.message = calls_message;
    take(&turn, CHAT_TRUNCATED);
    assert_false(turn_take(&turn, &bounds, &reply, MINUTE, 100, 0.5));
    assert_int_equal(turn.finish, TURN_LENGTH);
    turn_free(&turn);
}

/* ---- waiting ---- */

static void test_waits_grow_and_heed_the_server(void **state)
{
    static const struct {
        int64_t asked_ms;
        int64_t left_ms;
        double random;
        int64_t least, most;
    } rows[] = {
        {0, 1000000, 0, 500, 500},         {0, 1000000, 0, 1000, 1000},
        {0, 1000000, 0, 2000, 2000},       {0, 1000000, 0, 4000, 4000},
        {0, 1000000, 0.9, 4000, 8000},     {0, 16000, 0, 2000, 2000},
        {20000, 1000000, 0, 20000, 20000}, {20000, 1000000, 0.5, 20001, 25000},
        {100, 1000000, 0.9, 4000, 8000},
    };
    struct turn turn = {0};
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct chat_reply reply = reply_of(CHAT_AGAIN);
        reply.wait_ms = rows[i].asked_ms;
        assert_false(turn_take(&turn, &bounds, &reply, rows[i].left_ms, 100, rows[i].random));
        assert_int_equal(turn.state, TURN_WAITING);
        assert_in_range(turn.wait_ms, rows[i].least, rows[i].most);
    }
    assert_int_equal(turn.rounds, 0);
    turn_free(&turn);
}

static void test_a_wait_beyond_the_time_ends_the_turn(void **state)
{
    struct turn turn = {0};
    struct chat_reply reply = reply_of(CHAT_AGAIN);
    (void)state;
    reply.wait_ms = MINUTE;
    turn_take(&turn, &bounds, &reply, MINUTE, 100, 0);
    assert_int_equal(turn.state, TURN_ENDED);
    assert_int_equal(turn.finish, TURN_FAILED);
    assert_non_null(strstr(turn.message, "too busy; the turn's time"));
    turn_free(&turn);
}

/* ---- bounds ---- */

static void test_the_last_round_must_answer(void **state)
{
    struct turn turn = {0};
    (void)state;
    for (int round = 1; round < 3; round++) {
        assert_false(turn_must_answer(&turn, &bounds));
        assert_true(take(&turn, CHAT_CALLS));
    }
    assert_true(turn_must_answer(&turn, &bounds));
    assert_true(take(&turn, CHAT_ANSWER));
    assert_int_equal(turn.finish, TURN_ROUNDS);
    assert_string_equal(turn.text, "Hello.");
    assert_non_null(strstr(turn.message, "[agent] rounds"));
    turn_free(&turn);
}

static void test_calls_after_the_last_round_are_dropped(void **state)
{
    struct turn turn = {.rounds = 2};
    struct chat_reply reply = reply_of(CHAT_CALLS);
    (void)state;
    reply.text = text;
    assert_false(turn_take(&turn, &bounds, &reply, MINUTE, 100, 0));
    assert_int_equal(turn.finish, TURN_ROUNDS);
    assert_string_equal(turn.text, "Hello.");
    turn_free(&turn);
}

static void test_tokens_and_bytes_end_it_before_its_calls(void **state)
{
    static const struct {
        int64_t tokens;
        size_t bytes;
    } rows[] = {{990, 100}, {0, 1990}};
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct turn turn = {.tokens = rows[i].tokens};
        struct chat_reply reply = reply_of(CHAT_CALLS);
        assert_false(turn_take(&turn, &bounds, &reply, MINUTE, rows[i].bytes, 0));
        assert_int_equal(turn.state, TURN_ENDED);
        assert_int_equal(turn.finish, TURN_TOKENS);
        assert_non_null(turn.message);
        turn_free(&turn);
    }
}

static void test_an_answer_counts_whatever_it_has_used(void **state)
{
    struct turn turn = {.tokens = 995};
    (void)state;
    assert_true(take(&turn, CHAT_ANSWER));
    assert_int_equal(turn.finish, TURN_ANSWER);
    turn_free(&turn);
}

static void test_nothing_is_asked_beyond_a_bound(void **state)
{
    static const struct {
        int64_t tokens, left_ms;
        size_t bytes;
        enum turn_finish finish;
    } rows[] = {
        {999, 1, 2000, TURN_OPEN}, {1000, 1, 100, TURN_TOKENS}, {0, 0, 100, TURN_TIME},
        {0, -5, 100, TURN_TIME},   {0, 1, 2001, TURN_TOKENS},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct turn turn = {.tokens = rows[i].tokens};
        turn_think(&turn, &bounds, rows[i].left_ms, rows[i].bytes);
        assert_int_equal(turn.finish, rows[i].finish);
        assert_int_equal(turn.state, rows[i].finish == TURN_OPEN ? TURN_THINKING : TURN_ENDED);
        turn_free(&turn);
    }
}

/* Who waited in vain is told for what. */
static void test_a_model_that_cannot_answer_is_to_blame_for_the_time(void **state)
{
    struct turn turn = {0};
    (void)state;
    take(&turn, CHAT_AGAIN);
    turn_end_by_time(&turn);
    assert_int_equal(turn.finish, TURN_FAILED);
    assert_non_null(turn.message);
    turn_free(&turn);
    take(&turn, CHAT_AGAIN);
    take(&turn, CHAT_CALLS);
    turn_end_by_time(&turn);
    assert_int_equal(turn.finish, TURN_TIME);
    turn_free(&turn);
}

/* ---- what is kept ---- */

static char *written(const struct turn *turn)
{
    struct buf out;
    struct jsonw w;
    buf_init(&out, 65536);
    jsonw_init(&w, &out);
    turn_write(turn, &w);
    assert_false(out.failed);
    return buf_steal(&out);
}

static void test_the_record_comes_back(void **state)
{
    struct turn turn = {
        .started_at = 1790000000000,
        .rounds = 2,
        .tokens = 345,
        .spent = 3200000,
        .calls = 4,
        .first = 7,
        .text = mem_strdup("Done, \"as\" wished"),
        .peer = {.uid = 1000, .groups = mem_alloc(2 * sizeof(gid_t)), .group_count = 2},
        .admin = true,
        .directory = mem_strdup("/home/a b"),
        .model = mem_strdup("gemini"),
    };
    struct turn back;
    struct error error;
    (void)state;
    turn.peer.groups[0] = 1000;
    turn.peer.groups[1] = 27;
    assert_true(turn_add_job(&turn, "01JD0000000000000000000001"));
    assert_true(turn_add_job(&turn, "01JD0000000000000000000002"));
    assert_false(turn_add_job(&turn, "01JD0000000000000000000001"));
    turn_called(&turn, 2);
    strcpy(turn.begun[1], turn.jobs[0]);
    turn_end(&turn, TURN_ROUNDS, "enough %d", 1);
    char *record = written(&turn);
    assert_int_equal(turn_read(record, &back, &error), 0);
    char *again = written(&back);
    assert_string_equal(record, again);
    assert_int_equal(back.state, TURN_ENDED);
    assert_int_equal(back.finish, TURN_ROUNDS);
    assert_int_equal(back.calls, 6);
    assert_int_equal(back.job_count, 2);
    assert_int_equal(back.peer.groups[1], 27);
    assert_true(back.admin);
    assert_string_equal(back.directory, "/home/a b");
    assert_string_equal(back.model, "gemini");
    assert_string_equal(back.begun[0], "");
    assert_string_equal(back.begun[1], turn.jobs[0]);
    free(record);
    free(again);
    turn_free(&turn);
    turn_free(&back);
}

static void test_a_turn_under_way_comes_back_as_one(void **state)
{
    struct turn turn = {.started_at = 1}, back;
    struct error error;
    (void)state;
    char *record = written(&turn);
    assert_int_equal(turn_read(record, &back, &error), 0);
    assert_int_equal(back.state, TURN_THINKING);
    assert_int_equal(back.finish, TURN_OPEN);
    assert_null(back.text);
    assert_null(back.directory);
    free(record);
    turn_free(&back);
}

static void test_a_damaged_record_is_an_error(void **state)
{
    static const char *const damages[][2] = {
        {"\"open\"", "\"shut\""},
        {"\"started_at\":1", "\"started_at\":-1"},
        {"\"rounds\":0", "\"rounds\":\"0\""},
        {"\"jobs\":[]", "\"jobs\":[\"short\"]"},
        {"\"groups\":[]", "\"groups\":[-1]"},
        {"\"uid\":0", "\"gid\":0"},
        {"\"admin\":false", "\"admin\":0"},
        {"}", ""},
    };
    struct turn turn = {.started_at = 1}, back;
    struct error error;
    (void)state;
    char *record = written(&turn);
    for (size_t i = 0; i < sizeof(damages) / sizeof(damages[0]); i++) {
        char *at = strstr(record, damages[i][0]);
        assert_non_null(at);
        char *damaged = mem_format("%.*s%s%s", (int)(at - record), record, damages[i][1],
                                   at + strlen(damages[i][0]));
        assert_int_equal(turn_read(damaged, &back, &error), -1);
        assert_non_null(strstr(error.message, "record is damaged"));
        free(damaged);
    }
    free(record);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_kind_has_its_end),
        cmocka_unit_test(test_a_good_answer_forgives_bad_ones),
        cmocka_unit_test(test_what_was_cut_is_asked_with_more_room),
        cmocka_unit_test(test_calls_that_were_cut_are_not_kept),
        cmocka_unit_test(test_waits_grow_and_heed_the_server),
        cmocka_unit_test(test_a_wait_beyond_the_time_ends_the_turn),
        cmocka_unit_test(test_the_last_round_must_answer),
        cmocka_unit_test(test_calls_after_the_last_round_are_dropped),
        cmocka_unit_test(test_tokens_and_bytes_end_it_before_its_calls),
        cmocka_unit_test(test_an_answer_counts_whatever_it_has_used),
        cmocka_unit_test(test_nothing_is_asked_beyond_a_bound),
        cmocka_unit_test(test_a_model_that_cannot_answer_is_to_blame_for_the_time),
        cmocka_unit_test(test_the_record_comes_back),
        cmocka_unit_test(test_a_turn_under_way_comes_back_as_one),
        cmocka_unit_test(test_a_damaged_record_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
