/* Queue, pause, cancel and close: who is called when, and who is not. */
#include "tests/unit/http_fixture.h"

#define MANY 1000

static struct wish many[MANY];

static void say_nothing(struct peer *peer)
{
    (void)peer;
}

static void answer_all(struct server *server)
{
    for (struct peer *peer = server->peers; peer; peer = peer->next)
        answer_hello(peer);
}

static void send_head(struct peer *peer)
{
    peer_send(peer, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n");
}

static void test_many(void **state)
{
    struct world *world = *state;
    struct http_stats stats;
    int all = 0;
    for (int i = 0; i < MANY; i++) {
        wish_init(&many[i], world, "/");
        http_start(world->http, &many[i].transfer);
        assert_int_equal(many[i].prepared, 0); /* never inside http_start */
    }
    http_stats(world->http, &stats);
    assert_int_equal(stats.waiting[HTTP_CALLS], MANY);
    for (int i = 0; i < MANY; i++)
        run_until(world, &many[i].done, 1);
    for (int i = 0; i < MANY; i++)
        all += many[i].done == 1 && many[i].prepared == 1 && many[i].end == HTTP_ANSWERED;
    assert_int_equal(all, MANY);
    assert_int_equal(world->server.requests, MANY);
    assert_in_range(world->server.most_open, 1, 8);
    http_stats(world->http, &stats);
    assert_int_equal(stats.requests[HTTP_CALLS], MANY);
    assert_int_equal(stats.connections, world->server.accepted);
    assert_int_equal(stats.waiting[HTTP_CALLS] + stats.active[HTTP_CALLS], 0);
}

static void test_order(void **state)
{
    struct world *world = *state;
    world->server.on_request = say_nothing;
    for (int i = 0; i < 11; i++) {
        wish_init(&many[i], world, "/");
        many[i].transfer.urgent = i == 10;
        many[i].unwanted = i == 8;
        http_start(world->http, &many[i].transfer);
    }
    run_until(world, &world->server.requests, 8);
    assert_int_equal(many[10].prepared, 1);
    assert_int_equal(many[6].prepared, 1);
    assert_int_equal(many[7].prepared, 0);
    http_cancel(world->http, &many[0].transfer);
    run_until(world, &many[7].prepared, 1);
    assert_int_equal(many[8].prepared, 0);
    http_cancel(world->http, &many[1].transfer);
    run_until(world, &many[9].prepared, 1);
    assert_int_equal(many[8].prepared, 1); /* asked, and skipped */
    assert_null(many[8].transfer.slot);
    assert_int_equal(many[8].done, 0);
    for (int i = 0; i < 11; i++)
        http_cancel(world->http, &many[i].transfer);
}

static void test_lanes(void **state)
{
    struct world *world = *state;
    struct wish call;
    world->server.on_request = say_nothing;
    for (int i = 0; i < 6; i++) {
        wish_init(&many[i], world, "/");
        many[i].transfer.lane = HTTP_TRANSFERS;
        http_start(world->http, &many[i].transfer);
    }
    run_until(world, &world->server.requests, 4);
    world->server.on_request = NULL;
    wish_init(&call, world, "/");
    wish_run(&call); /* is not behind them */
    assert_int_equal(call.end, HTTP_ANSWERED);
    assert_int_equal(many[4].prepared, 0);
    for (int i = 0; i < 6; i++)
        http_cancel(world->http, &many[i].transfer);
}

/* All have their connections to one host, whatever the others hold. */
static void test_full_lanes(void **state)
{
    struct world *world = *state;
    int count = 0;
    world->server.on_request = say_nothing;
    for (int lane = HTTP_LANES - 1; lane >= 0; lane--) {
        for (int i = 0; i < (lane == HTTP_CALLS ? 8 : 4); i++, count++) {
            wish_init(&many[count], world, "/");
            many[count].transfer.lane = (enum http_lane)lane;
            http_start(world->http, &many[count].transfer);
        }
    }
    run_until(world, &world->server.requests, count);
    answer_all(&world->server);
    for (int i = 0; i < count; i++)
        run_until(world, &many[i].done, 1);
}

static void count_turn(uv_prepare_t *prepare)
{
    ++*(int *)prepare->data;
}

static int turns, turn_of_first;

static void note_turn(struct wish *wish)
{
    int *turn = wish->arg;
    *turn = turns;
}

/* Two completions in one turn: both are told of in it. */
static void test_two_at_once(void **state)
{
    struct world *world = *state;
    uv_prepare_t prepare;
    int turn_of_second = -2;
    uv_prepare_init(&world->loop, &prepare);
    prepare.data = &turns;
    uv_prepare_start(&prepare, count_turn);
    world->server.on_request = say_nothing;
    for (int i = 0; i < 2; i++) {
        wish_init(&many[i], world, "/");
        many[i].on_done = note_turn;
        many[i].arg = i == 0 ? &turn_of_first : &turn_of_second;
        http_start(world->http, &many[i].transfer);
    }
    run_until(world, &world->server.requests, 2);
    answer_all(&world->server);
    run_until(world, &many[0].done, 1);
    assert_int_equal(many[1].done, 1);
    assert_int_equal(turn_of_first, turn_of_second);
    uv_close((uv_handle_t *)&prepare, NULL);
    run_for(world, 1);
}

/* Takes the bytes; pauses when it is told to. */
static int pauses_left, bodies;
static enum http_flow final_flow;

static enum http_flow take(struct http_transfer *transfer, const struct http_reply *head,
                           const char *data, size_t length)
{
    struct wish *wish = (struct wish *)transfer;
    bodies++;
    assert_int_equal(head->status, 200);
    if (pauses_left > 0) {
        pauses_left--;
        return HTTP_PAUSE;
    }
    assert_true(wish->streamed_length + length < sizeof(wish->streamed));
    memcpy(wish->streamed + wish->streamed_length, data, length);
    wish->streamed_length += length;
    return final_flow;
}

static void stream_init(struct wish *wish, struct world *world)
{
    wish_init(wish, world, "/");
    wish->transfer.lane = HTTP_TRANSFERS;
    wish->transfer.body = take;
    bodies = pauses_left = 0;
    final_flow = HTTP_GO_ON;
}

static void answer_500(struct peer *peer)
{
    peer_send(peer, "HTTP/1.1 500 No\r\nContent-Length: 5\r\n\r\nerror");
}

static void test_stream(void **state)
{
    struct wish wish;
    stream_init(&wish, *state);
    wish.ask.max_body = 1; /* does not count */
    wish_run(&wish);
    assert_int_equal(wish.end, HTTP_ANSWERED);
    assert_string_equal(wish.streamed, "hello");
    assert_string_equal(wish.body, "");
    wish.world->server.on_request = answer_500;
    wish.ask.max_body = 5;
    wish_run(&wish);
    assert_string_equal(wish.body, "error");
    assert_string_equal(wish.streamed, "hello");
}

static void test_stop(void **state)
{
    struct wish wish;
    stream_init(&wish, *state);
    final_flow = HTTP_STOP;
    wish_run(&wish);
    assert_int_equal(wish.end, HTTP_STOPPED);
    assert_int_equal(bodies, 1);
    wish.streamed_length = 0;
    final_flow = HTTP_GO_ON;
    wish_run(&wish);
    assert_int_equal(wish.end, HTTP_ANSWERED);
}

/* A pause of ours is no stall of theirs. The bytes come again. */
static void test_pause(void **state)
{
    struct world *world = *state;
    struct wish wish;
    stream_init(&wish, world);
    wish.ask.stall_ms = 40;
    wish.ask.total_ms = 0;
    pauses_left = 3;
    http_start(world->http, &wish.transfer);
    for (int i = 1; i <= 3; i++) {
        run_until(world, &bodies, i);
        run_for(world, 100);
        assert_int_equal(bodies, i);
        assert_int_equal(wish.done, 0);
        http_resume(world->http, &wish.transfer);
        assert_int_equal(bodies, i); /* never inside http_resume */
    }
    run_until(world, &wish.done, 1);
    assert_int_equal(wish.end, HTTP_ANSWERED);
    assert_string_equal(wish.streamed, "hello");
}

static void test_stall_after_pause(void **state)
{
    struct world *world = *state;
    struct wish wish;
    stream_init(&wish, world);
    world->server.on_request = send_head;
    wish.ask.stall_ms = 40;
    wish.ask.total_ms = 0;
    pauses_left = 1;
    http_start(world->http, &wish.transfer);
    run_until(world, &world->server.requests, 1);
    peer_send(world->server.peers, "01234");
    run_until(world, &bodies, 1);
    run_for(world, 100);
    assert_int_equal(wish.done, 0);
    http_resume(world->http, &wish.transfer);
    run_until(world, &wish.done, 1);
    assert_int_equal(wish.end, HTTP_NO_ANSWER);
    assert_non_null(strstr(wish.reason, "no progress"));
    assert_string_equal(wish.streamed, "01234");
}

static void peer_sends_all_and_goes(struct peer *peer)
{
    answer_hello(peer);
    peer_close(peer);
}

/* Everything arrived, and the connection is gone before we go on. */
static void test_pause_at_the_end(void **state)
{
    struct world *world = *state;
    struct wish wish;
    stream_init(&wish, world);
    world->server.on_request = peer_sends_all_and_goes;
    pauses_left = 1;
    http_start(world->http, &wish.transfer);
    run_until(world, &bodies, 1);
    run_for(world, 20);
    http_resume(world->http, &wish.transfer);
    run_until(world, &wish.done, 1);
    assert_int_equal(wish.end, HTTP_ANSWERED);
    assert_string_equal(wish.streamed, "hello");
}

static void test_stop_after_pause(void **state)
{
    struct world *world = *state;
    struct wish wish;
    stream_init(&wish, world);
    pauses_left = 1;
    final_flow = HTTP_STOP;
    http_start(world->http, &wish.transfer);
    run_until(world, &bodies, 1);
    http_resume(world->http, &wish.transfer);
    run_until(world, &wish.done, 1);
    assert_int_equal(wish.end, HTTP_STOPPED);
}

static void test_cancel_at_each_stage(void **state)
{
    struct world *world = *state;
    struct wish wish, other;
    stream_init(&wish, world);
    http_cancel(world->http, &wish.transfer); /* at rest */
    for (int turns_before = 0; turns_before < 12; turns_before++) {
        world->server.on_request = turns_before % 2 ? send_head : NULL;
        wish.streamed_length = 0;
        wish.done = 0;
        http_start(world->http, &wish.transfer);
        for (int i = 0; i < turns_before; i++)
            uv_run(&world->loop, UV_RUN_NOWAIT);
        http_cancel(world->http, &wish.transfer);
        assert_null(wish.transfer.slot);
        assert_false(wish.transfer.waiting);
        int done = wish.done;
        run_for(world, 5);
        assert_int_equal(wish.done, done);
    }
    pauses_left = 1; /* while it is paused */
    bodies = 0;
    world->server.on_request = NULL;
    http_start(world->http, &wish.transfer);
    run_until(world, &bodies, 1);
    http_resume(world->http, &wish.transfer);
    http_cancel(world->http, &wish.transfer);
    wish_init(&other, world, "/");
    wish_run(&other);
    assert_int_equal(other.end, HTTP_ANSWERED);
}

static struct wish *victims[2];

static enum http_flow cancel_in_body(struct http_transfer *transfer, const struct http_reply *head,
                                     const char *data, size_t length)
{
    struct wish *wish = (struct wish *)transfer;
    (void)head;
    (void)data;
    (void)length;
    for (int i = 0; i < 2; i++)
        http_cancel(wish->world->http, &victims[i]->transfer);
    http_start(wish->world->http, &victims[1]->transfer);
    bodies++;
    return HTTP_GO_ON;
}

/* Both answers are there, and the first to be read takes back both, and starts one anew. */
static void test_cancel_in_body(void **state)
{
    struct world *world = *state;
    struct http_stats stats;
    world->server.on_request = say_nothing;
    bodies = 0;
    for (int i = 0; i < 2; i++) {
        wish_init(&many[i], world, "/");
        many[i].transfer.body = cancel_in_body;
        victims[i] = &many[i];
        http_start(world->http, &many[i].transfer);
    }
    run_until(world, &world->server.requests, 2);
    answer_all(&world->server);
    run_until(world, &bodies, 1);
    many[1].transfer.body = NULL;
    run_until(world, &world->server.requests, 3);
    answer_all(&world->server);
    run_until(world, &many[1].done, 1);
    assert_int_equal(many[0].done, 0);
    assert_int_equal(many[1].end, HTTP_ANSWERED);
    http_stats(world->http, &stats);
    assert_int_equal(stats.active[HTTP_CALLS], 0);
}

static void cancel_the_other(struct wish *wish)
{
    struct wish *other = wish->arg;
    http_cancel(wish->world->http, &other->transfer);
}

/* The other one is complete as well, and its message waits in libcurl. */
static void test_cancel_in_done(void **state)
{
    struct world *world = *state;
    world->server.on_request = say_nothing;
    for (int i = 0; i < 2; i++) {
        wish_init(&many[i], world, "/");
        many[i].on_done = cancel_the_other;
        many[i].arg = &many[1 - i];
        http_start(world->http, &many[i].transfer);
    }
    run_until(world, &world->server.requests, 2);
    answer_all(&world->server);
    run_for(world, 20);
    assert_int_equal(many[0].done + many[1].done, 1);
}

static void start_again(struct wish *wish)
{
    if (wish->done < 5)
        http_start(wish->world->http, &wish->transfer);
}

static void free_it(struct wish *wish)
{
    ++*(int *)wish->arg;
    free(wish);
}

static void test_restart_and_free_in_done(void **state)
{
    struct world *world = *state;
    struct wish wish;
    int freed = 0;
    wish_init(&wish, world, "/");
    wish.on_done = start_again;
    http_start(world->http, &wish.transfer);
    run_until(world, &wish.done, 5);
    assert_int_equal(world->server.requests, 5);
    assert_int_equal(world->server.accepted, 1);
    struct wish *own = mem_alloc(sizeof(*own));
    wish_init(own, world, "/");
    own->on_done = free_it;
    own->arg = &freed;
    http_start(world->http, &own->transfer);
    run_until(world, &freed, 1);
}

static void run_until_closed(struct world *world)
{
    for (int i = 0; i < 1000 && !world->closed; i++)
        uv_run(&world->loop, UV_RUN_ONCE);
    assert_true(world->closed);
}

/* Also: timers of ours and of libcurl's that were due are never heard of again. */
static void test_close_with_all_kinds(void **state)
{
    struct world *world = *state;
    world->server.on_request = send_head;
    for (int i = 0; i < 40; i++) {
        wish_init(&many[i], world, "/");
        many[i].ask.total_ms = many[i].ask.stall_ms = 5;
        many[i].transfer.lane = i % 2 ? HTTP_CALLS : HTTP_TRANSFERS;
        http_start(world->http, &many[i].transfer);
    }
    run_until(world, &world->server.requests, 2);
    int done = 0;
    for (int i = 0; i < 40; i++)
        done += many[i].done;
    http_close(world->http, on_http_closed, world);
    assert_false(world->closed);
    run_until_closed(world);
    run_for(world, 30);
    for (int i = 0; i < 40; i++) {
        done -= many[i].done;
        assert_null(many[i].transfer.slot);
        assert_false(many[i].transfer.waiting);
    }
    assert_int_equal(done, 0);
}

static void close_it(struct wish *wish)
{
    http_close(wish->world->http, on_http_closed, wish->world);
    assert_string_equal(wish->content_type, "text/plain");
}

static void test_close_in_done(void **state)
{
    struct world *world = *state;
    for (int i = 0; i < 20; i++) {
        wish_init(&many[i], world, "/");
        many[i].on_done = close_it;
        http_start(world->http, &many[i].transfer);
    }
    run_until_closed(world);
    int done = 0;
    for (int i = 0; i < 20; i++)
        done += many[i].done;
    assert_int_equal(done, 1);
}

static enum http_flow close_in_body(struct http_transfer *transfer, const struct http_reply *head,
                                    const char *data, size_t length)
{
    struct wish *wish = (struct wish *)transfer;
    (void)head;
    (void)data;
    (void)length;
    bodies++;
    http_close(wish->world->http, on_http_closed, wish->world);
    return HTTP_PAUSE;
}

static void test_close_in_body(void **state)
{
    struct world *world = *state;
    struct wish wish;
    stream_init(&wish, world);
    wish.transfer.body = close_in_body;
    http_start(world->http, &wish.transfer);
    run_until_closed(world);
    assert_int_equal(bodies, 1);
    assert_int_equal(wish.done, 0);
}

/* The server closes a connection that waits for its next use; nobody spins, and nobody minds. */
static void test_idle_close(void **state)
{
    struct world *world = *state;
    struct wish wish;
    uv_prepare_t prepare;
    wish_init(&wish, world, "/");
    wish_run(&wish);
    peer_close(world->server.peers);
    uv_prepare_init(&world->loop, &prepare);
    turns = 0;
    prepare.data = &turns;
    uv_prepare_start(&prepare, count_turn);
    run_for(world, 100);
    assert_in_range(turns, 1, 20);
    uv_close((uv_handle_t *)&prepare, NULL);
    run_for(world, 1);
    wish_run(&wish);
    assert_int_equal(wish.end, HTTP_ANSWERED);
    assert_int_equal(world->server.accepted, 2);
}

#define WITH_WORLD(test) cmocka_unit_test_setup_teardown(test, world_open, world_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_WORLD(test_many),
        WITH_WORLD(test_order),
        WITH_WORLD(test_lanes),
        WITH_WORLD(test_full_lanes),
        WITH_WORLD(test_two_at_once),
        WITH_WORLD(test_stream),
        WITH_WORLD(test_stop),
        WITH_WORLD(test_pause),
        WITH_WORLD(test_stall_after_pause),
        WITH_WORLD(test_pause_at_the_end),
        WITH_WORLD(test_stop_after_pause),
        WITH_WORLD(test_cancel_at_each_stage),
        WITH_WORLD(test_cancel_in_body),
        WITH_WORLD(test_cancel_in_done),
        WITH_WORLD(test_restart_and_free_in_done),
        WITH_WORLD(test_close_with_all_kinds),
        WITH_WORLD(test_close_in_done),
        WITH_WORLD(test_close_in_body),
        WITH_WORLD(test_idle_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
