/* Fault points for the tests: places where a test can make an operation fail, or the process die.
 * They exist only in builds with VEOD_FAULTS.
 *
 *   VEOD_FAULT=store.commit#3=ENOSPC,http.sent=kill
 *
 * means: the third pass of store.commit fails with ENOSPC, the first of http.sent kills the
 * process with SIGKILL. `#N+` means the N-th and all later ones; `#*` every one. With
 * VEOD_FAULT_RECORD=FILE each point that was hit adds a line with its name to FILE, so that a test
 * can tell a fault that was survived from one that never happened. */
#ifndef VEO_FAULT_H
#define VEO_FAULT_H

#ifdef VEOD_FAULTS
/* 0, or the negative errno that the test wants here. May not return. Safe on any thread. */
int fault_point(const char *name);
#else
#define fault_point(name) 0
#endif

#endif
