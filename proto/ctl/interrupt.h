/* Ctrl-C and its kin, where veoctl has something to tidy up or to say before it dies. */
#ifndef VEO_CTL_INTERRUPT_H
#define VEO_CTL_INTERRUPT_H

#include <poll.h>
#include <stdbool.h>
#include <stdint.h>

/* From now on SIGINT, SIGTERM and SIGHUP are taken in interrupt_poll only. */
void interrupt_catch(void);
bool interrupt_pending(void);

/* Takes a Ctrl-C: true if one was caught, and then nothing is pending any more. A signal that is
 * meant to end the program stays. */
bool interrupt_take(void);

/* As poll(2); -1 with EINTR when a signal was caught, also one that came before the call. Other
 * signals (a resized window) end it early with 0. */
int interrupt_poll(struct pollfd *fds, nfds_t count, int64_t timeout_ms);

/* Dies by the signal that was caught, as shells expect. Returns if there was none. */
void interrupt_die(void);

#endif
