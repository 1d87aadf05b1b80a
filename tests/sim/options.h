/* The command line. */
#ifndef SIM_OPTIONS_H
#define SIM_OPTIONS_H

#include "tests/sim/sim.h"

/* -1 to go on, or the exit status. The strings are argv's. */
int options_read(struct options *options, int argc, char **argv);

#endif
