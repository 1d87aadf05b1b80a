#include "systemd/sd.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define SD_JOURNAL_SUPPRESS_LOCATION /* it would always be this file */
#include <systemd/sd-daemon.h>
#include <systemd/sd-journal.h>

void sd_ready(void)
{
    (void)sd_notify(0, "READY=1");
}

void sd_reloading(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    (void)sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%llu",
                     (unsigned long long)now.tv_sec * 1000000 +
                         (unsigned long long)now.tv_nsec / 1000);
}

void sd_stopping(void)
{
    (void)sd_notify(0, "STOPPING=1");
}

void sd_watchdog(void)
{
    (void)sd_notify(0, "WATCHDOG=1");
}

void sd_status(const char *format, ...)
{
    char text[512] = "STATUS=";
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text + strlen(text), sizeof(text) - strlen(text), format, arguments);
    va_end(arguments);
    (void)sd_notify(0, text);
}

void sd_extend_timeout(uint64_t usec)
{
    (void)sd_notifyf(0, "EXTEND_TIMEOUT_USEC=%llu", (unsigned long long)usec);
}

uint64_t sd_watchdog_interval_ms(void)
{
    uint64_t usec = 0;
    if (sd_watchdog_enabled(0, &usec) <= 0)
        return 0;
    return usec / 1000 / 2;
}

int sd_listening_socket(void)
{
    int count = sd_listen_fds(1);
    if (count <= 0)
        return count < 0 ? count : -1;
    if (count > 1 || sd_is_socket_unix(SD_LISTEN_FDS_START, SOCK_STREAM, 1, NULL, 0) <= 0)
        return -EINVAL;
    return SD_LISTEN_FDS_START;
}

bool sd_stderr_is_journal(void)
{
    const char *stream = getenv("JOURNAL_STREAM");
    unsigned long long device, inode;
    struct stat status;
    return stream && sscanf(stream, "%llu:%llu", &device, &inode) == 2 &&
           fstat(STDERR_FILENO, &status) == 0 && status.st_dev == device && status.st_ino == inode;
}

void sd_journal_write(const struct iovec *fields, size_t count)
{
    (void)sd_journal_sendv(fields, (int)count);
}
