/* What costs money goes out once. libcurl by itself sends a request again when the connection that
 * it had reused dies before any byte of an answer, also a POST. */
#include "tests/unit/http_fixture.h"

static void close_from_second_on(struct peer *peer)
{
    if (peer->requests == 2)
        peer_close(peer);
    else
        answer_hello(peer);
}

static void reset_from_second_on(struct peer *peer)
{
    if (peer->requests == 2)
        peer_reset(peer);
    else
        answer_hello(peer);
}

/* Before the body is read. */
static void close_at_second_head(struct peer *peer)
{
    if (peer->requests == 1)
        peer_close(peer);
}

static void answer_and_close(struct peer *peer)
{
    answer_hello(peer);
    peer_close(peer);
}

/* One POST that is answered, which leaves a connection, and then the one in question. */
static void post_twice(struct world *world, struct wish *wish, bool only_once, size_t length)
{
    char *body = mem_alloc(length);
    wish_post(wish, world, "/", only_once);
    wish_run(wish);
    assert_int_equal(wish->end, HTTP_ANSWERED);
    wish->ask.body = body;
    wish->ask.body_length = length;
    wish_run(wish);
    free(body);
}

static void test_closed_without_an_answer(void **state)
{
    struct world *world = *state;
    struct wish wish;
    world->server.on_request = close_from_second_on;
    post_twice(world, &wish, true, 100);
    assert_int_equal(wish.end, HTTP_NO_ANSWER);
    assert_non_null(strstr(wish.reason, "not sent again"));
    assert_int_equal(world->server.requests, 2);
    assert_int_equal(world->server.heads, 2);
}

static void test_reset_without_an_answer(void **state)
{
    struct world *world = *state;
    struct wish wish;
    world->server.on_request = reset_from_second_on;
    post_twice(world, &wish, true, 100);
    assert_int_equal(wish.end, HTTP_NO_ANSWER);
    assert_int_equal(world->server.requests, 2);
}

static void test_closed_before_the_body(void **state)
{
    static const size_t lengths[] = {0, 1, 100, 100000, 8 << 20};
    struct world *world = *state;
    struct wish wish;
    world->server.on_head = close_at_second_head;
    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        world->server.heads = world->server.requests = 0;
        post_twice(world, &wish, true, lengths[i]);
        assert_int_equal(wish.end, HTTP_NO_ANSWER);
        assert_int_equal(world->server.requests, 1);
        assert_int_equal(world->server.heads, 2);
    }
}

/* Shows that the tests above can fail. */
static void test_others_are_sent_again(void **state)
{
    struct world *world = *state;
    struct wish wish;
    world->server.on_request = close_from_second_on;
    post_twice(world, &wish, false, 100);
    assert_int_equal(wish.end, HTTP_ANSWERED);
    assert_int_equal(world->server.requests, 3);
}

/* libcurl notices before it sends, so nothing is uncertain. */
static void test_idle_connection_was_closed(void **state)
{
    struct world *world = *state;
    struct wish wish;
    world->server.on_request = answer_and_close;
    post_twice(world, &wish, true, 100);
    assert_int_equal(wish.end, HTTP_ANSWERED);
    assert_int_equal(world->server.requests, 2);
    assert_int_equal(world->server.accepted, 2);
}

#define WITH_WORLD(test) cmocka_unit_test_setup_teardown(test, world_open, world_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_WORLD(test_closed_without_an_answer),   WITH_WORLD(test_reset_without_an_answer),
        WITH_WORLD(test_closed_before_the_body),     WITH_WORLD(test_others_are_sent_again),
        WITH_WORLD(test_idle_connection_was_closed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
