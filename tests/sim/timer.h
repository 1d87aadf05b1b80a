/* Things to do later, in a heap. All in one thread. */
#ifndef SIM_TIMER_H
#define SIM_TIMER_H

#include <stddef.h>
#include <stdint.h>

/* Embedded in what it belongs to; all zero is a timer that is not set. */
struct timer {
    int64_t at_ms;
    size_t place; /* in the heap, counted from 1; 0: not set */
    void (*fire)(struct timer *timer);
};

struct timers {
    struct timer **heap;
    size_t count;
    size_t capacity;
};

int64_t timer_now_ms(void); /* monotonic, rounded down: add 1 to what must not end early */

void timers_free(struct timers *timers);

/* Sets it, or sets it anew. */
void timer_set(struct timers *timers, struct timer *timer, int64_t at_ms,
               void (*fire)(struct timer *timer));
void timer_cancel(struct timers *timers, struct timer *timer);

/* Fires all that are due; a timer is no longer set when it fires. */
void timers_run(struct timers *timers, int64_t now_ms);

/* Milliseconds until the next one is due, -1 if none is set. */
int64_t timers_wait_ms(const struct timers *timers, int64_t now_ms);

#endif
