/* A gateway's own route, /v1/videos, as LiteLLM has it in front of Veo. */
#ifndef SIM_VIDEOS_H
#define SIM_VIDEOS_H

#include "tests/sim/exchange.h"

struct form;

void videos_serve_create(struct exchange *exchange);
void videos_serve_get(struct exchange *exchange);
void videos_serve_content(struct exchange *exchange);

/* Makes of the form what the gateway sends on: the body of a predictLongRunning, in place of the
 * exchange's text. Returns the request as it is to be shown, to be freed; NULL with the reply set.
 */
char *videos_translate(struct exchange *exchange, struct form *form);

#endif
