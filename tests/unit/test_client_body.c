/* Bytes that follow a line: taken piece by piece, and not read before that. */
#include "tests/unit/client_fixture.h"

static void expect(struct seat *seat, const char *text)
{
    if (strncmp(text, "BODY ", 5) == 0)
        client_expect(seat->client, strtoull(text + 5, NULL, 10));
}

static int open_and_join(struct room *room, struct seat **seat)
{
    room_open(room);
    room->on_line = expect;
    return join(room, seat);
}

static void test_bytes_are_no_lines(void **state)
{
    struct room *room = *state;
    struct seat *seat;
    int fd = open_and_join(room, &seat);
    say(room, fd, "BODY 9\none\ntwo\n\nBODY 0\nthree\nBODY 4\n");
    UNTIL(room, seat->lines == 4);
    assert_log(seat, "<BODY 9>one\ntwo\n\n<BODY 0><three><BODY 4>");
    say(room, fd, "\xff\nx");
    say(room, fd, "yfour\n");
    UNTIL(room, seat->lines == 5);
    assert_log(seat, "<BODY 9>one\ntwo\n\n<BODY 0><three><BODY 4>\xff\nxy<four>");
    close(fd);
}

/* The fixture takes 1000 bytes at a time; the rest comes again, in order. */
static void test_what_is_not_taken_comes_again(void **state)
{
    struct room *room = *state;
    struct seat *seat;
    struct buf text, expected;
    buf_init(&text, 1 << 20);
    buf_init(&expected, 1 << 20);
    for (int i = 0; i < 3000; i++)
        buf_addf(&expected, "%06d\n", i);
    buf_addf(&text, "BODY %zu\n%slast\n", expected.length, buf_text(&expected));
    int fd = open_and_join(room, &seat);
    for (size_t sent = 0; seat->lines < 2;) {
        ssize_t now = send(fd, text.data + sent, text.length - sent, MSG_NOSIGNAL);
        sent += now > 0 ? (size_t)now : 0;
        size_t before = seat->log.length;
        settle(room);
        if (before > 20 && seat->lines < 2)
            assert_in_range(seat->log.length - before, 0, 1000);
        client_resume(seat->client);
    }
    assert_int_equal(memcmp(buf_text(&seat->log), "<BODY 21000>", 12), 0);
    assert_int_equal(memcmp(seat->log.data + 12, expected.data, expected.length), 0);
    assert_string_equal(buf_text(&seat->log) + 12 + expected.length, "<last>");
    buf_free(&text);
    buf_free(&expected);
    close(fd);
}

static void test_a_body_that_nobody_takes_is_not_read(void **state)
{
    struct room *room = *state;
    struct seat *seat;
    static char flood[4096];
    size_t sent = 0;
    int fd = open_and_join(room, &seat);
    say(room, fd, "BODY 100000000\n");
    for (int idle = 0; idle < 3;) {
        ssize_t now = send(fd, flood, sizeof(flood), MSG_NOSIGNAL);
        sent += now > 0 ? (size_t)now : 0;
        idle = now > 0 ? 0 : idle + 1;
        settle(room);
        assert_true(sent < 2000000); /* the sockets' buffers and one chunk, no more */
    }
    assert_int_equal(seat->log.length, strlen("<BODY 100000000>") + 1000);
    close(fd);
    UNTIL(room, !seat->client);
}

static void test_the_end_within_a_body(void **state)
{
    struct room *room = *state;
    struct seat *seat;
    int fd = open_and_join(room, &seat);
    say(room, fd, "BODY 100\nabc");
    shutdown(fd, SHUT_WR);
    UNTIL(room, strstr(buf_text(&seat->log), "<end"));
    assert_log(seat, "<BODY 100>abc<end 0>");
    close(fd);
    UNTIL(room, !seat->client);
}

static void test_who_sends_nothing_of_it_is_dropped(void **state)
{
    struct room *room = *state;
    struct seat *seat, *idle;
    room->config.stall_ms = 1;
    int fd = open_and_join(room, &seat);
    int other = join(room, &idle);
    say(room, fd, "BODY 100\nabc");
    UNTIL(room, !seat->client);
    assert_non_null(idle->client); /* who announced nothing may be silent */
    close(fd);
    close(other);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, room_set_up, room_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_bytes_are_no_lines),
        TEST(test_what_is_not_taken_comes_again),
        TEST(test_a_body_that_nobody_takes_is_not_read),
        TEST(test_the_end_within_a_body),
        TEST(test_who_sends_nothing_of_it_is_dropped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
