#include "tests/unit/client_fixture.h"

static void test_lines_come_in_order(void **state)
{
    struct room *room = *state;
    struct seat *seat;
    room_open(room);
    int fd = join(room, &seat);
    say(room, fd, "one\ntwo\r\n\nthr");
    UNTIL(room, seat->lines == 3);
    say(room, fd, "ee\n");
    UNTIL(room, seat->lines == 4);
    assert_log(seat, "<one><two><><three>");
    close(fd);
    UNTIL(room, !seat->client);
}

static void test_bad_lines_cost_only_themselves(void **state)
{
    struct room *room = *state;
    struct seat *seat;
    char *text = mem_alloc(70002);
    memset(text, 'x', 70000);
    text[70000] = '\n';
    room_open(room);
    int fd = join(room, &seat);
    say(room, fd, text);
    say(room, fd, "a\xff\nok\n");
    UNTIL(room, seat->lines == 3);
    assert_log(seat, "<long 70000><bad 1><ok>");
    close(fd);
    free(text);
}

/* Far more than one read, with a pause after each line: nothing is lost, or out of order. */
static void test_pause_and_resume(void **state)
{
    struct room *room = *state;
    struct seat *seat;
    struct buf text, expected;
    buf_init(&text, 1 << 21);
    buf_init(&expected, 1 << 21);
    for (int i = 0; i < 3000; i++) {
        buf_addf(&text, "%0*d\n", 1 + i % 200, i);
        buf_addf(&expected, "<%0*d>", 1 + i % 200, i);
    }
    room_open(room);
    int fd = join(room, &seat);
    seat->pauses = true;
    for (size_t sent = 0; seat->lines < 3000;) {
        ssize_t now = send(fd, text.data + sent, text.length - sent, MSG_NOSIGNAL);
        sent += now > 0 ? (size_t)now : 0;
        int before = seat->lines;
        settle(room);
        assert_in_range(seat->lines, before, before + 1);
        client_resume(seat->client);
        assert_in_range(seat->lines, before, before + 1); /* not from inside the call */
        client_resume(seat->client);
    }
    assert_string_equal(buf_text(&seat->log), buf_text(&expected));
    buf_free(&text);
    buf_free(&expected);
    close(fd);
}

static void answer_three(struct seat *seat, const char *text)
{
    (void)text;
    for (int i = 0; i < 3; i++)
        client_send(seat->room->seats[i].client, "answer", 6);
}

/* Of three that wait for the end of the turn, the middle one is gone before it comes. */
static void test_one_of_many_leaves_in_its_turn(void **state)
{
    struct room *room = *state;
    struct seat *seats[4];
    struct buf heard;
    int fds[4];
    room_open(room);
    for (int i = 0; i < 4; i++)
        fds[i] = join(room, &seats[i]);
    for (int i = 0; i < 3; i++) {
        shutdown(fds[i], SHUT_WR);
        UNTIL(room, seats[i]->log.length > 0);
    }
    room->on_line = answer_three;
    say(room, fds[3], "go\n");
    close(fds[1]);
    settle(room);
    assert_null(seats[1]->client);
    for (int i = 0; i < 3; i += 2) {
        buf_init(&heard, 100);
        hear(room, fds[i], &heard, 6);
        buf_free(&heard);
        close(fds[i]);
    }
    close(fds[3]);
}

static void test_a_paused_client_that_left_is_noticed(void **state)
{
    struct room *room = *state;
    struct seat *seat;
    room_open(room);
    int fd = join(room, &seat);
    seat->pauses = true;
    say(room, fd, "a\nb\n");
    UNTIL(room, seat->lines == 1);
    close(fd);
    UNTIL(room, !seat->client);
    assert_log(seat, "<a>");
}

static void test_a_paused_client_is_not_read(void **state)
{
    struct room *room = *state;
    struct seat *seat;
    size_t taken = 0;
    room_open(room);
    int fd = join(room, &seat);
    seat->pauses = true;
    for (int idle = 0; idle < 3;) {
        ssize_t now = send(fd, "line\nline\nline\nline\n", 20, MSG_NOSIGNAL);
        taken += now > 0 ? (size_t)now : 0;
        idle = now > 0 ? 0 : idle + 1;
        settle(room);
        assert_true(taken < 2000000); /* the sockets' buffers and one chunk, no more */
    }
    assert_int_equal(seat->lines, 1);
    close(fd);
}

static void test_half_closed_it_still_gets_its_answers(void **state)
{
    struct room *room = *state;
    struct seat *seat;
    struct buf heard;
    buf_init(&heard, 1000);
    room_open(room);
    int fd = join(room, &seat);
    say(room, fd, "question\n");
    shutdown(fd, SHUT_WR);
    UNTIL(room, strstr(buf_text(&seat->log), "<end"));
    assert_log(seat, "<question><end 0>");
    settle(room);
    assert_non_null(seat->client);
    client_send(seat->client, "answer\n", 7);
    client_finish(seat->client);
    assert_true(hear_all(room, fd, &heard));
    assert_string_equal(buf_text(&heard), "answer\n");
    UNTIL(room, !seat->client);
    assert_log(seat, "<question><end 0>"); /* the end is told once */
    buf_free(&heard);
    close(fd);
}

static void test_a_cut_line_is_told(void **state)
{
    struct room *room = *state;
    struct seat *seat;
    room_open(room);
    int fd = join(room, &seat);
    say(room, fd, "whole\ncut off");
    shutdown(fd, SHUT_WR);
    UNTIL(room, strstr(buf_text(&seat->log), "<end"));
    assert_log(seat, "<whole><end 7>");
    close(fd);
}

static void test_the_end_waits_for_what_is_held(void **state)
{
    struct room *room = *state;
    struct seat *seat;
    room_open(room);
    int fd = join(room, &seat);
    seat->pauses = true;
    say(room, fd, "a\nb\nc\n");
    shutdown(fd, SHUT_WR);
    settle(room);
    assert_log(seat, "<a>");
    client_resume(seat->client);
    settle(room);
    assert_log(seat, "<a><b>");
    client_resume(seat->client);
    settle(room);
    client_resume(seat->client);
    settle(room);
    assert_log(seat, "<a><b><c><end 0>");
    close(fd);
}

static void test_a_hang_up_after_the_end_is_seen(void **state)
{
    struct room *room = *state;
    struct seat *seat;
    room_open(room);
    int fd = join(room, &seat);
    shutdown(fd, SHUT_WR);
    UNTIL(room, strstr(buf_text(&seat->log), "<end"));
    settle(room);
    assert_non_null(seat->client);
    close(fd);
    UNTIL(room, !seat->client);
    assert_int_equal(clients_count(room->clients) <= 1, true);
}

static void test_a_full_client_is_not_asked_for_more(void **state)
{
    struct room *room = *state;
    struct seat *seat;
    struct buf heard;
    char *answer = mem_alloc(OUT_MAX);
    memset(answer, 'x', OUT_MAX);
    buf_init(&heard, 1 << 21);
    room_open(room);
    int fd = join(room, &seat);
    client_send(seat->client, answer, 1001);
    assert_int_equal(client_unsent(seat->client), 1001);
    assert_true(client_is_full(seat->client));
    settle(room); /* the kernel takes that much */
    assert_false(client_is_full(seat->client));
    assert_log(seat, "<drained>");
    client_send(seat->client, answer, 1000);
    assert_false(client_is_full(seat->client));
    settle(room);
    assert_log(seat, "<drained>");

    client_send(seat->client, answer, OUT_MAX);
    say(room, fd, "more\n");
    settle(room);
    assert_true(client_is_full(seat->client));
    assert_log(seat, "<drained>");
    hear(room, fd, &heard, 2001 + OUT_MAX);
    UNTIL(room, seat->lines == 1);
    assert_log(seat, "<drained><drained><more>");
    buf_free(&heard);
    free(answer);
    close(fd);
}

/* Each byte once and in order, whatever was under way when it was sent. */
static void test_what_is_sent_during_a_write_follows_it(void **state)
{
    struct room *room = *state;
    struct seat *seat;
    struct buf heard, expected;
    buf_init(&heard, 1 << 21);
    buf_init(&expected, 1 << 21);
    room_open(room);
    int fd = join(room, &seat);
    for (int i = 0; i < 60000; i++)
        buf_addf(&expected, "%04x,", (unsigned)i);
    client_send(seat->client, expected.data, 280000);
    settle(room);
    assert_true(client_unsent(seat->client) > 0);
    client_send(seat->client, expected.data + 280000, 19999);
    settle(room);
    client_send(seat->client, expected.data + 299999, 1);
    settle(room);
    hear(room, fd, &heard, 300000);
    settle(room);
    assert_int_equal(client_unsent(seat->client), 0);
    assert_int_equal(recv(fd, heard.data, 1, 0), -1); /* and no more */
    assert_memory_equal(heard.data, expected.data, 300000);
    buf_free(&heard);
    buf_free(&expected);
    close(fd);
}

static void test_above_the_greatest_output_it_is_dropped(void **state)
{
    struct room *room = *state;
    struct seat *seat;
    char *answer = mem_alloc(OUT_MAX + 1);
    room_open(room);
    int fd = join(room, &seat);
    client_send(seat->client, answer, OUT_MAX);
    assert_non_null(seat->client);
    client_send(seat->client, answer, 1);
    assert_non_null(seat->client); /* never from inside the call */
    settle(room);
    assert_null(seat->client);
    assert_int_equal(clients_count(room->clients), 0);
    free(answer);
    close(fd);
}

static char flood[OUT_MAX];

static void flood_the_first(struct seat *seat, const char *text)
{
    struct client *first = seat->room->seats[0].client;
    (void)text;
    client_send(first, "[complete]", 10);
    client_send(first, flood, OUT_MAX); /* doesn't fit */
    client_send(first, "[after]", 7);
}

/* Its output overflows and its last write completes in the same turn, in this order: what was too
 * much must not be left out of a stream that goes on. */
static void test_no_hole_in_what_a_client_reads(void **state)
{
    struct room *room = *state;
    struct seat *first, *second;
    struct buf heard;
    buf_init(&heard, 1 << 21);
    memset(flood, 'x', sizeof(flood));
    room_open(room);
    int slow = join(room, &first), other = join(room, &second);
    client_send(first->client, flood, OUT_MAX);
    settle(room);
    assert_true(client_unsent(first->client) > 0);
    room->on_line = flood_the_first;
    say(room, other, "flood\n");
    /* Nothing of the loop runs before all that was sent fits into the kernel's buffer. */
    for (char bytes[4096]; recv(slow, bytes, sizeof(bytes), 0) > 0;)
        continue;
    settle(room);
    assert_int_equal(second->lines, 1);
    assert_null(first->client);
    (void)hear_all(room, slow, &heard);
    assert_null(strstr(buf_text(&heard), "[after]"));
    buf_free(&heard);
    close(slow);
    close(other);
}

static void test_who_reads_nothing_is_dropped(void **state)
{
    struct room *room = *state;
    struct seat *seat, *idle;
    room->config.stall_ms = 1;
    room_open(room);
    int fd = join(room, &seat), other = join(room, &idle);
    client_send(seat->client, flood, OUT_MAX);
    UNTIL(room, !seat->client);
    assert_non_null(idle->client); /* owes nothing */
    close(fd);
    close(other);
}

static void test_all_is_written_before_it_is_closed(void **state)
{
    struct room *room = *state;
    struct seat *seat;
    struct buf heard;
    buf_init(&heard, 1 << 21);
    room_open(room);
    int fd = join(room, &seat);
    say(room, fd, "a\nb\n");
    UNTIL(room, seat->lines == 2);
    client_send(seat->client, flood, OUT_MAX);
    client_finish(seat->client);
    say(room, fd, "too late\n");
    assert_true(hear_all(room, fd, &heard) || heard.length == OUT_MAX);
    assert_int_equal(heard.length, OUT_MAX);
    UNTIL(room, !seat->client);
    assert_log(seat, "<a><b>");
    buf_free(&heard);
    close(fd);
}

static void finish(struct seat *seat, const char *text)
{
    if (strcmp(text, "QUIT") == 0)
        client_finish(seat->client);
}

static void test_no_lines_after_finish(void **state)
{
    struct room *room = *state;
    struct seat *seat;
    room->on_line = finish;
    room_open(room);
    int fd = join(room, &seat);
    say(room, fd, "a\nQUIT\nb\n");
    UNTIL(room, !seat->client);
    assert_log(seat, "<a><QUIT>");
    close(fd);
}

static void test_one_too_many(void **state)
{
    struct room *room = *state;
    struct seat *seats[2];
    struct buf heard;
    buf_init(&heard, 1000);
    room->config.max = 2;
    room->greeting = "hello\n";
    room_open(room);
    int first = join(room, &seats[0]), second = join(room, &seats[1]);
    int third = dial(room->path);
    assert_true(hear_all(room, third, &heard));
    assert_string_equal(buf_text(&heard),
                        "ERR {\"code\":\"too-many\",\"message\":\"2 clients are connected, and "
                        "[limits] clients is 2\"}\n");
    settle(room);
    assert_int_equal(room->seated, 2);
    assert_int_equal(clients_count(room->clients), 2);
    close(first);
    UNTIL(room, clients_count(room->clients) == 1);
    int fourth = join(room, &seats[0]);
    assert_int_equal(room->seated, 3);
    buf_reset(&heard);
    hear(room, fourth, &heard, 6);
    assert_string_equal(buf_text(&heard), "hello\n");
    buf_free(&heard);
    close(second);
    close(third);
    close(fourth);
}

static void test_close_writes_what_it_can(void **state)
{
    struct room *room = *state;
    struct seat *seat;
    struct buf heard;
    buf_init(&heard, 1000);
    room_open(room);
    int fd = join(room, &seat);
    client_send(seat->client, "last words\n", 11);
    room_close(room);
    assert_null(seat->client);
    (void)hear_all(room, fd, &heard);
    assert_string_equal(buf_text(&heard), "last words\n");
    buf_free(&heard);
    close(fd);
}

static void test_close_with_everything_open(void **state)
{
    struct room *room = *state;
    struct seat *seats[3];
    int fds[3];
    room_open(room);
    for (int i = 0; i < 3; i++)
        fds[i] = join(room, &seats[i]);
    client_send(seats[0]->client, flood, OUT_MAX); /* a write that doesn't end */
    shutdown(fds[1], SHUT_WR);                     /* a hang-up is watched for */
    settle(room);
    client_send(seats[2]->client, "x", 1);
    client_finish(seats[2]->client);
    room_close(room);
    for (int i = 0; i < 3; i++) {
        assert_null(seats[i]->client);
        close(fds[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_lines_come_in_order, room_set_up, room_tear_down),
        cmocka_unit_test_setup_teardown(test_bad_lines_cost_only_themselves, room_set_up,
                                        room_tear_down),
        cmocka_unit_test_setup_teardown(test_pause_and_resume, room_set_up, room_tear_down),
        cmocka_unit_test_setup_teardown(test_one_of_many_leaves_in_its_turn, room_set_up,
                                        room_tear_down),
        cmocka_unit_test_setup_teardown(test_a_paused_client_that_left_is_noticed, room_set_up,
                                        room_tear_down),
        cmocka_unit_test_setup_teardown(test_a_paused_client_is_not_read, room_set_up,
                                        room_tear_down),
        cmocka_unit_test_setup_teardown(test_half_closed_it_still_gets_its_answers, room_set_up,
                                        room_tear_down),
        cmocka_unit_test_setup_teardown(test_a_cut_line_is_told, room_set_up, room_tear_down),
        cmocka_unit_test_setup_teardown(test_the_end_waits_for_what_is_held, room_set_up,
                                        room_tear_down),
        cmocka_unit_test_setup_teardown(test_a_hang_up_after_the_end_is_seen, room_set_up,
                                        room_tear_down),
        cmocka_unit_test_setup_teardown(test_a_full_client_is_not_asked_for_more, room_set_up,
                                        room_tear_down),
        cmocka_unit_test_setup_teardown(test_what_is_sent_during_a_write_follows_it, room_set_up,
                                        room_tear_down),
        cmocka_unit_test_setup_teardown(test_above_the_greatest_output_it_is_dropped, room_set_up,
                                        room_tear_down),
        cmocka_unit_test_setup_teardown(test_no_hole_in_what_a_client_reads, room_set_up,
                                        room_tear_down),
        cmocka_unit_test_setup_teardown(test_who_reads_nothing_is_dropped, room_set_up,
                                        room_tear_down),
        cmocka_unit_test_setup_teardown(test_all_is_written_before_it_is_closed, room_set_up,
                                        room_tear_down),
        cmocka_unit_test_setup_teardown(test_no_lines_after_finish, room_set_up, room_tear_down),
        cmocka_unit_test_setup_teardown(test_one_too_many, room_set_up, room_tear_down),
        cmocka_unit_test_setup_teardown(test_close_writes_what_it_can, room_set_up, room_tear_down),
        cmocka_unit_test_setup_teardown(test_close_with_everything_open, room_set_up,
                                        room_tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
