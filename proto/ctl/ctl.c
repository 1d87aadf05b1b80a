#include "proto/ctl/ctl.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "proto/buf.h"
#include "proto/ctl/text.h"

#define COMPLAINT_MAX 4096

static bool is_set(const char *variable)
{
    const char *value = getenv(variable);
    return value && *value;
}

static void stream_init(struct stream *stream, FILE *file)
{
    const char *term = getenv("TERM");
    stream->file = file;
    stream->is_terminal = isatty(fileno(file)) == 1;
    stream->can_redraw = stream->is_terminal && term && *term && strcmp(term, "dumb") != 0;
    stream->has_colour = stream->can_redraw && !is_set("NO_COLOR");
}

void ctl_init(struct ctl *ctl)
{
    memset(ctl, 0, sizeof *ctl);
    ctl->timeout_ms = -1;
    stream_init(&ctl->out, stdout);
    stream_init(&ctl->err, stderr);
}

int64_t ctl_reply_timeout(const struct ctl *ctl)
{
    return ctl->timeout_ms < 0 ? REPLY_TIMEOUT_MS : ctl->timeout_ms;
}

int64_t ctl_take_timeout(struct ctl *ctl)
{
    int64_t timeout_ms = ctl->timeout_ms;
    ctl->timeout_ms = -1;
    return timeout_ms;
}

size_t ctl_columns(const struct stream *stream)
{
    struct winsize size;
    if (ioctl(fileno(stream->file), TIOCGWINSZ, &size) == 0 && size.ws_col >= 20)
        return size.ws_col;
    const char *columns = getenv("COLUMNS");
    long wanted = columns ? strtol(columns, NULL, 10) : 0;
    return wanted >= 20 && wanted <= 1000 ? (size_t)wanted : 80;
}

static void complain(const struct ctl *ctl, const char *format, va_list arguments)
{
    char text[COMPLAINT_MAX];
    vsnprintf(text, sizeof text, format, arguments);
    struct buf clean;
    buf_init(&clean, 2 * COMPLAINT_MAX);
    text_clean(&clean, text, strlen(text));
    fflush(stdout);
    fprintf(stderr, "veoctl: %s%s%s\n", ctl->command ? ctl->command : "", ctl->command ? ": " : "",
            buf_text(&clean));
    buf_free(&clean);
}

void ctl_complain(const struct ctl *ctl, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    complain(ctl, format, arguments);
    va_end(arguments);
}

int ctl_usage(const struct ctl *ctl, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    complain(ctl, format, arguments);
    va_end(arguments);
    fprintf(stderr, "Try 'veoctl %s%s--help'.\n", ctl->command ? ctl->command : "",
            ctl->command ? " " : "");
    return EXIT_USAGE;
}

static int64_t read_clock(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int64_t clock_ms(void)
{
    return read_clock(CLOCK_MONOTONIC);
}

int64_t clock_unix_ms(void)
{
    return read_clock(CLOCK_REALTIME);
}

int64_t clock_after(int64_t ms)
{
    int64_t now = clock_ms();
    return ms < 0 || ms > INT64_MAX - now ? CLOCK_NEVER : now + ms;
}

int64_t clock_left(int64_t deadline)
{
    if (deadline == CLOCK_NEVER)
        return CLOCK_NEVER;
    int64_t left = deadline - clock_ms();
    return left < 0 ? 0 : left;
}
