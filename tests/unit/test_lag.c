#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "daemon/io/lag.h"

#define WAIT_MS 100
#define BUSY_NS 20000000

struct world {
    uv_loop_t loop;
    struct lag lag;
    uv_timer_t timer;
    uint64_t begun_at;
    int turns;
};

static void on_timer(uv_timer_t *timer)
{
    struct world *world = timer->data;
    uint64_t end = uv_hrtime() + BUSY_NS;
    while (uv_hrtime() < end)
        ;
    if (++world->turns == 3)
        uv_timer_stop(timer);
}

static void close_all(struct world *world)
{
    lag_close(&world->lag);
    if (world->timer.data)
        uv_close((uv_handle_t *)&world->timer, NULL);
    uv_run(&world->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&world->loop), 0);
}

static void begin(struct world *world)
{
    *world = (struct world){0};
    uv_loop_init(&world->loop);
    world->begun_at = uv_hrtime();
    lag_open(&world->loop, &world->lag);
}

/* Whatever the machine is doing: what was waited is not busy, and what was busy is all there. */
static void test_busy_and_idle_are_told_apart(void **state)
{
    struct world world;
    (void)state;
    begin(&world);
    uv_timer_init(&world.loop, &world.timer);
    world.timer.data = &world;
    uv_timer_start(&world.timer, on_timer, WAIT_MS, WAIT_MS);
    uv_run(&world.loop, UV_RUN_DEFAULT);
    uint64_t idle = uv_metrics_idle_time(&world.loop);
    uint64_t elapsed = uv_hrtime() - world.begun_at;
    assert_true(idle > 0);
    assert_true(world.lag.us.sum * 1000 + idle <= elapsed);
    assert_true(world.lag.us.sum >= 2 * BUSY_NS / 1000);
    assert_true(world.lag.us_max >= BUSY_NS / 1000);
    assert_true(world.lag.us_max <= world.lag.us.sum);
    assert_true(world.lag.us.count >= 3);
    close_all(&world);
}

static void test_it_keeps_no_loop_alive(void **state)
{
    struct world world;
    (void)state;
    begin(&world);
    assert_int_equal(uv_run(&world.loop, UV_RUN_DEFAULT), 0);
    close_all(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_busy_and_idle_are_told_apart),
        cmocka_unit_test(test_it_keeps_no_loop_alive),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
