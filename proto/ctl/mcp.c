#include "proto/ctl/mcp.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/ctl/commands.h"
#include "proto/ctl/fetch.h"
#include "proto/ctl/interrupt.h"
#include "proto/ctl/mcp_call.h"
#include "proto/mem.h"

#define PIECE       65536
#define IDLE_MS     3600000
#define FAREWELL_MS 5000 /* for the client to read what was answered before it ended */

enum { AT_IN, AT_OUT, AT_LINK, AT_CHILDREN, AT_MAX = AT_CHILDREN + MCP_CALLS_ALL };

/* ---- the client ---- */

static size_t unsent(const struct mcp *mcp)
{
    return mcp->out.length - mcp->out_sent;
}

/* True while it reads what it is told: only then is anything more done for it. */
static bool is_listening(const struct mcp *mcp)
{
    return unsent(mcp) < MCP_OUT_ENOUGH;
}

/* False at its end. */
static bool read_lines(struct mcp *mcp)
{
    char input[PIECE];
    ssize_t n = read(STDIN_FILENO, input, sizeof input);
    if (n <= 0)
        return n < 0 && (errno == EAGAIN || errno == EINTR);
    const char *data = input;
    size_t length = (size_t)n;
    for (;;) {
        struct line_piece piece;
        enum line_event event = line_next(&mcp->reader, &data, &length, &piece);
        if (event == LINE_MORE)
            return true;
        mcp_take_line(mcp, event, piece);
    }
}

/* Writes what goes out at once: after POLLOUT a pipe has room for PIPE_BUF bytes. False if nobody
 * reads any more. */
static bool write_out(struct mcp *mcp)
{
    struct pollfd ready = {.fd = STDOUT_FILENO, .events = POLLOUT};
    while (unsent(mcp) > 0 && poll(&ready, 1, 0) == 1) {
        size_t length = unsent(mcp) < PIPE_BUF ? unsent(mcp) : PIPE_BUF;
        ssize_t n = write(STDOUT_FILENO, mcp->out.data + mcp->out_sent, length);
        if (n < 0 && errno != EAGAIN && errno != EINTR)
            return false;
        mcp->out_sent += n > 0 ? (size_t)n : 0;
    }
    if (mcp->out_sent > MCP_OUT_ENOUGH || unsent(mcp) == 0) {
        buf_consume(&mcp->out, mcp->out_sent);
        mcp->out_sent = 0;
    }
    if (mcp->out.length == 0)
        buf_free(&mcp->out);
    return true;
}

/* ---- the daemon ---- */

static void lose_link(struct mcp *mcp)
{
    link_close(&mcp->link);
    mcp_call_take_break(mcp);
}

static void read_replies(struct mcp *mcp)
{
    struct answer answer;
    while (link_is_open(&mcp->link) && is_listening(mcp)) {
        enum connection_result result = link_read(&mcp->link, &answer);
        if (result == CONNECTION_OK) {
            mcp_call_take_answer(mcp, &answer);
            continue;
        }
        if (result != CONNECTION_TIMED_OUT && result != CONNECTION_INTERRUPTED)
            lose_link(mcp);
        return;
    }
}

static void send_commands(struct mcp *mcp)
{
    mcp_call_send_all(mcp);
    if (link_is_open(&mcp->link) && link_flush(&mcp->link) != CONNECTION_OK)
        lose_link(mcp);
}

/* ---- the loop ---- */

static nfds_t list_descriptors(const struct mcp *mcp, struct pollfd fds[AT_MAX],
                               struct mcp_call *children[MCP_CALLS_ALL])
{
    bool listening = is_listening(mcp);
    nfds_t count = AT_CHILDREN;
    fds[AT_IN] = (struct pollfd){.fd = listening ? STDIN_FILENO : -1, .events = POLLIN};
    fds[AT_OUT] = (struct pollfd){.fd = unsent(mcp) > 0 ? STDOUT_FILENO : -1, .events = POLLOUT};
    fds[AT_LINK] =
        (struct pollfd){.fd = listening ? mcp->link.connection.fd : -1, .events = POLLIN};
    if (mcp->link.out.length > 0)
        fds[AT_LINK].events |= POLLOUT;
    for (size_t i = 0; i < mcp->call_count; i++) {
        if (!mcp->calls[i]->child)
            continue;
        children[count - AT_CHILDREN] = mcp->calls[i];
        fds[count++] =
            (struct pollfd){.fd = child_descriptor(mcp->calls[i]->child), .events = POLLIN};
    }
    return count;
}

static int64_t time_to_next(const struct mcp *mcp)
{
    int64_t left = clock_left(mcp_call_next_tick(mcp));
    if (is_listening(mcp) && mcp->link.connection.length > 0)
        return 0;
    return left < IDLE_MS ? left : IDLE_MS;
}

/* False at the client's end. */
static bool turn(struct mcp *mcp)
{
    struct pollfd fds[AT_MAX];
    struct mcp_call *children[MCP_CALLS_ALL];
    bool goes_on = true;
    send_commands(mcp);
    nfds_t count = list_descriptors(mcp, fds, children);
    if (interrupt_poll(fds, count, time_to_next(mcp)) < 0)
        interrupt_die();
    for (nfds_t i = AT_CHILDREN; i < count; i++)
        if (fds[i].revents)
            mcp_call_take_child(children[i - AT_CHILDREN]);
    read_replies(mcp);
    if (fds[AT_IN].revents)
        goes_on = read_lines(mcp);
    mcp_call_tick(mcp);
    return write_out(mcp) && goes_on;
}

static void say_farewell(struct mcp *mcp)
{
    int64_t deadline = clock_after(FAREWELL_MS);
    while (mcp->call_count > 0)
        mcp_call_free(mcp->calls[0]);
    while (write_out(mcp) && unsent(mcp) > 0 && clock_left(deadline) > 0) {
        struct pollfd ready = {.fd = STDOUT_FILENO, .events = POLLOUT};
        interrupt_poll(&ready, 1, clock_left(deadline));
    }
}

/* ---- the command ---- */

static int parse(struct mcp *mcp, struct args *args)
{
    size_t count;
    const char *output = NULL;
    for (enum option_id option; (option = args_next(args)) != OPTION_END;) {
        int result = 0;
        if (option == OPTION_OUTPUT)
            output = args->value;
        else if (option == OPTION_WAIT_FOR)
            result = args_duration(args, "wait", &mcp->wait_ms);
        if (option == OPTION_BAD || result < 0)
            return EXIT_USAGE;
    }
    char **words = args_words(args, &count);
    if (count > 0)
        return ctl_usage(mcp->ctl, "%s: takes no argument", words[0]);
    if (mcp->wait_ms > MCP_WAIT_MOST_MS)
        return ctl_usage(mcp->ctl, "--wait: at most %d s; clients give up after a minute",
                         MCP_WAIT_MOST_MS / 1000);
    if (!output)
        return EXIT_ALL_DONE;
    char *folder = realpath(output, NULL);
    if (!folder)
        return ctl_usage(mcp->ctl, "--output: %s: %s", output, strerror(errno));
    mcp->output = mem_format("%s/", folder);
    free(folder);
    return fetch_check(mcp->ctl, mcp->output, NULL, 0, true);
}

int cmd_mcp(struct ctl *ctl, struct args *args)
{
    struct mcp *mcp = mem_alloc(sizeof *mcp);
    mcp->ctl = ctl;
    mcp->wait_ms = MCP_WAIT_MS;
    mcp_init_version(mcp);
    line_init(&mcp->reader, MCP_LINE_MAX);
    buf_init(&mcp->out, MCP_OUT_MAX);
    int status = parse(mcp, args);
    link_init(&mcp->link, ctl->socket_path);
    if (status == EXIT_ALL_DONE) {
        signal(SIGPIPE, SIG_IGN);
        while (turn(mcp))
            continue;
        say_farewell(mcp);
    }
    link_free(&mcp->link);
    line_free(&mcp->reader);
    buf_free(&mcp->out);
    free(mcp->output);
    free(mcp);
    return status;
}
