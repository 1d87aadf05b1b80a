#include "daemon/io/lag.h"

static void on_turn(uv_prepare_t *turn)
{
    struct lag *lag = turn->data;
    uint64_t now = uv_hrtime();
    uint64_t idle = uv_metrics_idle_time(turn->loop);
    uint64_t elapsed = now - lag->last_at;
    uint64_t rested = idle - lag->last_idle;
    uint64_t us = elapsed > rested ? (elapsed - rested) / 1000 : 0;
    histogram_add(&lag->us, (int64_t)us);
    if (us > lag->us_max)
        lag->us_max = us;
    lag->last_at = now;
    lag->last_idle = idle;
}

void lag_open(uv_loop_t *loop, struct lag *lag)
{
    histogram_init(&lag->us, &histogram_moments);
    uv_loop_configure(loop, UV_METRICS_IDLE_TIME);
    uv_prepare_init(loop, &lag->turn);
    lag->turn.data = lag;
    lag->last_at = uv_hrtime();
    lag->last_idle = uv_metrics_idle_time(loop);
    uv_prepare_start(&lag->turn, on_turn);
    uv_unref((uv_handle_t *)&lag->turn);
}

void lag_close(struct lag *lag)
{
    uv_close((uv_handle_t *)&lag->turn, NULL);
}
