#include "tests/sim/timer.h"

#include <stdlib.h>
#include <time.h>

#include "proto/mem.h"

static void put(struct timers *timers, size_t place, struct timer *timer)
{
    timers->heap[place - 1] = timer;
    timer->place = place;
}

static void sift_up(struct timers *timers, struct timer *timer)
{
    size_t place = timer->place;
    while (place > 1 && timers->heap[place / 2 - 1]->at_ms > timer->at_ms) {
        put(timers, place, timers->heap[place / 2 - 1]);
        place /= 2;
    }
    put(timers, place, timer);
}

static void sift_down(struct timers *timers, struct timer *timer)
{
    size_t place = timer->place;
    for (size_t child; (child = place * 2) <= timers->count; place = child) {
        if (child < timers->count && timers->heap[child]->at_ms < timers->heap[child - 1]->at_ms) {
            child++;
        }
        if (timers->heap[child - 1]->at_ms >= timer->at_ms) {
            break;
        }
        put(timers, place, timers->heap[child - 1]);
    }
    put(timers, place, timer);
}

int64_t timer_now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void timers_free(struct timers *timers)
{
    free(timers->heap);
    *timers = (struct timers){0};
}

void timer_set(struct timers *timers, struct timer *timer, int64_t at_ms,
               void (*fire)(struct timer *timer))
{
    timer_cancel(timers, timer);
    if (timers->count == timers->capacity) {
        timers->capacity = timers->capacity ? timers->capacity * 2 : 64;
        timers->heap = mem_resize(timers->heap, timers->capacity, sizeof(*timers->heap));
    }
    timer->at_ms = at_ms;
    timer->fire = fire;
    put(timers, ++timers->count, timer);
    sift_up(timers, timer);
}

void timer_cancel(struct timers *timers, struct timer *timer)
{
    if (timer->place == 0) {
        return;
    }
    struct timer *last = timers->heap[--timers->count];
    if (last != timer) {
        put(timers, timer->place, last);
        sift_up(timers, last);
        sift_down(timers, last);
    }
    timer->place = 0;
}

void timers_run(struct timers *timers, int64_t now_ms)
{
    while (timers->count > 0 && timers->heap[0]->at_ms <= now_ms) {
        struct timer *timer = timers->heap[0];
        timer_cancel(timers, timer);
        timer->fire(timer);
    }
}

int64_t timers_wait_ms(const struct timers *timers, int64_t now_ms)
{
    if (timers->count == 0) {
        return -1;
    }
    int64_t left = timers->heap[0]->at_ms - now_ms;
    return left > 0 ? left : 0;
}
