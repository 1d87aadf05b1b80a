/* The misbehaviours themselves. */
#ifndef SIM_MISBEHAVE_H
#define SIM_MISBEHAVE_H

#include "tests/sim/rules.h"

/* Changes the exchange's reply as the rule wants; how long it is kept back, in ms. */
int64_t misbehave(struct exchange *exchange, const struct rule *rule);

#endif
