/* veosim: a simulator of Google's video API, for tests. One thread: it waits in epoll for its two
 * servers and for signals, and no longer than its next timer. */
#include <arpa/inet.h>
#include <errno.h>
#include <microhttpd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "proto/mem.h"
#include "tests/sim/exchange.h"
#include "tests/sim/options.h"
#include "tests/sim/sim.h"

#define CONNECTIONS_MAX  20000
#define CONNECTION_BYTES 16384
#define FILES_SPARE      64

static void raise_file_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static unsigned connections_max(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur > CONNECTIONS_MAX + FILES_SPARE) {
        return CONNECTIONS_MAX;
    }
    return limit.rlim_cur > FILES_SPARE * 2 ? (unsigned)limit.rlim_cur - FILES_SPARE : FILES_SPARE;
}

static int listen_on(struct listener *listener, struct sim *sim, uint16_t *port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(*port)};
    inet_pton(AF_INET, sim->options.address, &address.sin_addr);
    listener->sim = sim;
    listener->daemon = MHD_start_daemon(
        MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME, 0, NULL, NULL, exchange_on_request, listener,
        MHD_OPTION_SOCK_ADDR, (struct sockaddr *)&address, MHD_OPTION_URI_LOG_CALLBACK,
        exchange_on_uri, listener, MHD_OPTION_NOTIFY_COMPLETED, exchange_on_completed, listener,
        MHD_OPTION_NOTIFY_CONNECTION, exchange_on_connection, listener, MHD_OPTION_CONNECTION_LIMIT,
        connections_max(), MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_BYTES,
        MHD_OPTION_LISTEN_BACKLOG_SIZE, 4096u, MHD_OPTION_END);
    if (!listener->daemon) {
        fprintf(stderr, "veosim: can't listen on %s port %u: %s\n", sim->options.address, *port,
                strerror(errno));
        return -1;
    }
    *port = MHD_get_daemon_info(listener->daemon, MHD_DAEMON_INFO_BIND_PORT)->port;
    return 0;
}

static int write_port_file(const struct options *options)
{
    if (!options->port_file) {
        return 0;
    }
    char *partial = mem_format("%s.tmp", options->port_file);
    FILE *file = fopen(partial, "we");
    int result = -1;
    if (file) {
        fprintf(file, "%u\n", options->port);
        result = fclose(file) == 0 ? rename(partial, options->port_file) : -1;
    }
    if (result < 0) {
        fprintf(stderr, "veosim: %s: %s\n", options->port_file, strerror(errno));
    }
    free(partial);
    return result;
}

static int signals_open(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigprocmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
    return signalfd(-1, &set, SFD_CLOEXEC);
}

/* The parent may have ended before this was asked for. */
static bool tie_to_parent(pid_t parent)
{
    return prctl(PR_SET_PDEATHSIG, SIGTERM) == 0 && getppid() == parent;
}

static int watch(int epoll, int fd)
{
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    return epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
}

static int64_t sooner(int64_t a, int64_t b)
{
    return a < 0 || (b >= 0 && b < a) ? b : a;
}

static int64_t server_wait_ms(const struct listener *listener)
{
    MHD_UNSIGNED_LONG_LONG ms;
    bool waits = listener->daemon && MHD_get_timeout(listener->daemon, &ms) == MHD_YES;
    return waits ? (int64_t)ms : -1;
}

static void run_server(const struct listener *listener)
{
    if (listener->daemon) {
        MHD_run(listener->daemon);
    }
}

/* Until a signal comes. */
static void run(struct sim *sim, int epoll, int signals)
{
    for (bool ended = false; !ended;) {
        struct epoll_event events[4];
        int64_t wait_ms = timers_wait_ms(&sim->timers, timer_now_ms());
        wait_ms =
            sooner(wait_ms, sooner(server_wait_ms(&sim->main), server_wait_ms(&sim->foreign)));
        int count = epoll_wait(epoll, events, 4, wait_ms > 60000 ? 60000 : (int)wait_ms);
        for (int i = 0; i < count; i++) {
            ended = ended || events[i].data.fd == signals;
        }
        timers_run(&sim->timers, timer_now_ms());
        run_server(&sim->main);
        run_server(&sim->foreign);
    }
}

static int watch_all(const struct sim *sim, int epoll, int signals)
{
    const struct listener *const listeners[] = {&sim->main, &sim->foreign};
    for (size_t i = 0; i < 2; i++) {
        struct MHD_Daemon *daemon = listeners[i]->daemon;
        if (daemon &&
            watch(epoll, MHD_get_daemon_info(daemon, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd) < 0) {
            return -1;
        }
    }
    return watch(epoll, signals);
}

static int start(struct sim *sim)
{
    struct options *options = &sim->options;
    sim->foreign.foreign = true;
    if (listen_on(&sim->main, sim, &options->port) < 0 ||
        (options->has_foreign && listen_on(&sim->foreign, sim, &options->foreign_port) < 0) ||
        write_port_file(options) < 0) {
        return -1;
    }
    if (!options->quiet) {
        fprintf(stderr, "%s: this is not Google; listening on http://%s:%u\n", SIM_NAME,
                options->address, options->port);
    }
    return 0;
}

static void stop(struct sim *sim)
{
    exchange_wake_all(sim);
    if (sim->main.daemon) {
        MHD_stop_daemon(sim->main.daemon);
    }
    if (sim->foreign.daemon) {
        MHD_stop_daemon(sim->foreign.daemon);
    }
    rules_clear(&sim->rules);
    quotas_clear(&sim->quotas);
    tokens_free(&sim->tokens);
    chat_log_clear(&sim->chats);
    operations_free(&sim->operations);
    timers_free(&sim->timers);
}

int main(int argc, char **argv)
{
    static struct sim sim;
    pid_t parent = getppid();
    int status = options_read(&sim.options, argc, argv);
    if (status >= 0) {
        return status;
    }
    if (tokens_init(&sim.tokens, &sim.options) < 0) {
        return 1;
    }
    raise_file_limit();
    int signals = signals_open();
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    if (sim.options.die_with_parent && !tie_to_parent(parent)) {
        return 0;
    }
    operations_init(&sim.operations, &sim.timers, sim.options.seed);
    bool started =
        start(&sim) == 0 && signals >= 0 && epoll >= 0 && watch_all(&sim, epoll, signals) == 0;
    if (started) {
        run(&sim, epoll, signals);
    }
    stop(&sim);
    close(epoll);
    close(signals);
    return started ? 0 : 1;
}
