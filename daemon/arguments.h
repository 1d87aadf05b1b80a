/* The command line. */
#ifndef VEO_ARGUMENTS_H
#define VEO_ARGUMENTS_H

#include <stdbool.h>
#include <stddef.h>

#define OVERRIDES_MAX 64

struct arguments {
    const char *config_file;
    char *overrides[OVERRIDES_MAX + 1];
    size_t override_count;
    bool only_check;
    bool only_print;
};

/* Ends the process where that is all there is to do, or where something is wrong. */
void arguments_read(int argc, char **argv, struct arguments *ret);

#endif
