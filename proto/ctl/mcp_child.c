#include "proto/ctl/mcp_child.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "proto/mem.h"

struct mcp_child {
    pid_t pid;
    int fd;
    int status; /* once it has ended */
    bool has_ended;
    struct buf text;
};

static void run_child(const struct ctl *parent, mcp_child_fn *run, const void *arg, int out)
{
    struct ctl ctl = *parent;
    int nothing = open("/dev/null", O_RDONLY | O_CLOEXEC);
    ctl.out.is_terminal = ctl.err.is_terminal = false;
    ctl.command = NULL;
    if (nothing < 0 || dup2(nothing, STDIN_FILENO) < 0 || dup2(out, STDOUT_FILENO) < 0 ||
        dup2(out, STDERR_FILENO) < 0)
        _exit(EXIT_PROTOCOL);
    int status = run(&ctl, arg);
    fflush(stdout);
    _exit(status);
}

struct mcp_child *child_start(const struct ctl *ctl, mcp_child_fn *run, const void *arg)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0)
        return NULL;
    pid_t pid = fork();
    if (pid == 0)
        run_child(ctl, run, arg, ends[1]);
    close(ends[1]);
    if (pid < 0) {
        close(ends[0]);
        return NULL;
    }
    struct mcp_child *child = mem_alloc(sizeof *child);
    child->pid = pid;
    child->fd = ends[0];
    fcntl(child->fd, F_SETFL, O_NONBLOCK);
    buf_init(&child->text, CHILD_TEXT_MAX);
    return child;
}

int child_descriptor(const struct mcp_child *child)
{
    return child->fd;
}

static void collect(struct mcp_child *child)
{
    int status = 0;
    while (waitpid(child->pid, &status, 0) < 0 && errno == EINTR)
        continue;
    child->status = WIFEXITED(status) ? WEXITSTATUS(status) : EXIT_PROTOCOL;
    child->has_ended = true;
}

bool child_read(struct mcp_child *child)
{
    char piece[512];
    ssize_t n;
    while ((n = read(child->fd, piece, sizeof piece)) > 0)
        for (ssize_t i = 0; i < n; i++)
            buf_add_byte(&child->text, piece[i] == '\n' ? ' ' : piece[i]);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return false;
    collect(child);
    return true;
}

int child_result(struct mcp_child *child, const char **ret_text)
{
    while (child->text.length > 0 && child->text.data[child->text.length - 1] == ' ')
        child->text.length--;
    *ret_text = buf_text(&child->text);
    return child->status;
}

void child_free(struct mcp_child *child)
{
    if (!child)
        return;
    if (!child->has_ended) {
        kill(child->pid, SIGTERM);
        collect(child);
    }
    close(child->fd);
    buf_free(&child->text);
    free(child);
}
