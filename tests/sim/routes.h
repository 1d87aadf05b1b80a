/* Which request goes where. */
#ifndef SIM_ROUTES_H
#define SIM_ROUTES_H

#include "tests/sim/exchange.h"

/* Called with the headers: finds the route. False if the connection is to be dropped at once. */
bool routes_early(struct exchange *exchange);

/* Called with the whole request: checks the key and fills in the reply, or makes the exchange
 * wait for an operation. */
void routes_dispatch(struct exchange *exchange);

/* Called when that operation has ended. */
void routes_operation_ended(struct exchange *exchange);

/* Counts a poll and looks for a rule; false if the handler must do nothing. */
bool routes_poll(struct exchange *exchange, struct operation *operation);

#endif
