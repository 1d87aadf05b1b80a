#include "proto/ctl/key.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>

int key_make(const struct ctl *ctl, char ret[KEY_SIZE])
{
    unsigned char bytes[16];
    if (getrandom(bytes, sizeof bytes, 0) != (ssize_t)sizeof bytes) {
        ctl_complain(ctl, "no random bytes for a key: %s", strerror(errno));
        return EXIT_PROTOCOL;
    }
    int at = snprintf(ret, KEY_SIZE, "veoctl-");
    for (size_t i = 0; i < sizeof bytes; i++)
        at += snprintf(ret + at, KEY_SIZE - (size_t)at, "%02x", bytes[i]);
    return EXIT_ALL_DONE;
}
