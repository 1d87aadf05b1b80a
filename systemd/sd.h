/* All that veod says to systemd and hears from it: sd_notify(3), sd_listen_fds(3),
 * sd_watchdog_enabled(3), the journal's native protocol. Outside systemd each of these does
 * nothing. */
#ifndef VEO_SD_H
#define VEO_SD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

void sd_ready(void);
void sd_reloading(void); /* until sd_ready() */
void sd_stopping(void);
void sd_watchdog(void);
void sd_status(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* The stop may take `usec` from now. */
void sd_extend_timeout(uint64_t usec);

/* How often sd_watchdog() is expected, in ms; 0: not at all. */
uint64_t sd_watchdog_interval_ms(void);

/* The listening stream socket that systemd passed; -1: none; negative errno otherwise, e.g. -EINVAL
 * when it passed something else or more than one. */
int sd_listening_socket(void);

/* Is stderr the journal? (JOURNAL_STREAM, systemd.exec(5)) */
bool sd_stderr_is_journal(void);

/* One entry: fields as "NAME=value". */
void sd_journal_write(const struct iovec *fields, size_t count);

#endif
