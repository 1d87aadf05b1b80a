#include "proto/ctl/interrupt.h"

#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <time.h>

static const int signals[] = {SIGINT, SIGTERM, SIGHUP};
#define SIGNAL_COUNT (sizeof signals / sizeof signals[0])

static volatile sig_atomic_t caught;
static sigset_t mask_in_poll;
static bool catching;

static void on_signal(int number)
{
    caught = number;
}

void interrupt_catch(void)
{
    if (catching)
        return;
    catching = true;
    struct sigaction action = {.sa_handler = on_signal};
    sigset_t blocked;
    sigemptyset(&blocked);
    for (size_t i = 0; i < SIGNAL_COUNT; i++) {
        struct sigaction old;
        sigaction(signals[i], NULL, &old);
        if (old.sa_handler == SIG_IGN) /* nohup */
            continue;
        sigaction(signals[i], &action, NULL);
        sigaddset(&blocked, signals[i]);
    }
    sigprocmask(SIG_BLOCK, &blocked, &mask_in_poll);
}

bool interrupt_pending(void)
{
    return caught != 0;
}

bool interrupt_take(void)
{
    bool is_key = caught == SIGINT;
    if (is_key)
        caught = 0;
    return is_key;
}

int interrupt_poll(struct pollfd *fds, nfds_t count, int64_t timeout_ms)
{
    if (interrupt_pending()) {
        errno = EINTR;
        return -1;
    }
    if (timeout_ms < 0)
        timeout_ms = 0;
    struct timespec timeout = {.tv_sec = (time_t)(timeout_ms / 1000),
                               .tv_nsec = (long)(timeout_ms % 1000) * 1000000};
    int ready = ppoll(fds, count, &timeout, catching ? &mask_in_poll : NULL);
    return ready < 0 && errno == EINTR && !interrupt_pending() ? 0 : ready;
}

void interrupt_die(void)
{
    if (!interrupt_pending())
        return;
    fflush(stdout);
    sigset_t only;
    sigemptyset(&only);
    sigaddset(&only, caught);
    signal(caught, SIG_DFL);
    raise(caught);
    sigprocmask(SIG_UNBLOCK, &only, NULL);
}
