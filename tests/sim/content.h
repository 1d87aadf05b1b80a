/* generateContent: Google's own way to talk to a model, by which a LiteLLM proxy reaches it.
 * Members may be spelled in either case, as everywhere where Google reads JSON. */
#ifndef SIM_CONTENT_H
#define SIM_CONTENT_H

#include "tests/sim/chat.h"

void content_serve_generate(struct exchange *exchange); /* models/M:generateContent */
void content_serve_stream(struct exchange *exchange);   /* models/M:streamGenerateContent */

/* A member by either of its names; absent if there is none. */
struct json_value content_get(struct json_value value, const char *camel, const char *snake);

/* The parts of the check of a request; false with the reply set. */
bool content_check_tools(struct exchange *exchange, struct json_value tools,
                         struct chat_talk *talk);
bool content_check_turns(struct exchange *exchange, struct chat_ask *ask);

/* Whether it is one of the object's members, as the table names them in camel case; a row NULL
 * ends it. Refuses the first that isn't. */
bool content_check_members(struct exchange *exchange, struct json_value object,
                           const char *const *known, const char *place);

void content_write(struct exchange *exchange, const struct chat_talk *talk,
                   const struct chat_thought *thought);

#endif
