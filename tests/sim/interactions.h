/* The Interactions API: POST /v1beta/interactions and what follows. */
#ifndef SIM_INTERACTIONS_H
#define SIM_INTERACTIONS_H

#include "proto/json.h"
#include "tests/sim/exchange.h"

void interactions_serve_create(struct exchange *exchange);
void interactions_serve_get(struct exchange *exchange);
void interactions_serve_cancel(struct exchange *exchange);
void interactions_serve_delete(struct exchange *exchange);

/* The operation that the exchange was held open for has ended, or is gone. */
void interactions_serve_held(struct exchange *exchange);

/* What a submission asks for. */
struct interaction_ask {
    struct operation_plan plan;
    struct buf prompt;
    char *model;
    char *storage_uri;
    bool background;
    unsigned images;
    unsigned videos;
};

/* Checks a submission as strictly as the real thing; false with the reply set. */
bool interaction_check(struct exchange *exchange, struct json_value body,
                       struct interaction_ask *ask);
bool interaction_check_input(struct exchange *exchange, struct json_value input,
                             struct interaction_ask *ask);

/* What the prompt's tags (<FIRST_FRAME> and the like) refer to must be there. The images' roles
 * are set by them. */
bool interaction_check_tags(struct exchange *exchange, struct interaction_ask *ask,
                            bool has_previous);
void interaction_ask_init(struct interaction_ask *ask);
void interaction_ask_free(struct interaction_ask *ask);

#endif
