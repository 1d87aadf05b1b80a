/* Keys that make a submission idempotent: sent again after a broken connection, it is the same job.
 */
#ifndef VEO_CTL_KEY_H
#define VEO_CTL_KEY_H

#include "proto/ctl/ctl.h"

#define KEY_SIZE 40

/* "veoctl-" and 128 random bits. EXIT_ALL_DONE, or EXIT_PROTOCOL if there is no randomness. */
int key_make(const struct ctl *ctl, char ret[KEY_SIZE]);

#endif
