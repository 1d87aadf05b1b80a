/* A gateway's route without a version, with a body of its own: all of it in instances[0], in snake
 * case. */
#ifndef SIM_SEED_H
#define SIM_SEED_H

#include "tests/sim/exchange.h"

void seed_serve_submit(struct exchange *exchange);

#endif
