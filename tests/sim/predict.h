/* The legacy API: models/M:predictLongRunning and its operations. */
#ifndef SIM_PREDICT_H
#define SIM_PREDICT_H

#include "proto/json.h"
#include "tests/sim/exchange.h"
#include "tests/sim/models.h"

void predict_serve_submit(struct exchange *exchange);
void predict_serve_poll(struct exchange *exchange);

/* Any other method of a model. */
void predict_serve_method(struct exchange *exchange);

struct predict_ask {
    struct operation_plan plan;
    char *prompt;
    const struct model *model;
    bool has_image;
    bool has_last_frame;
    bool has_video;
    bool has_negative;
    unsigned references;
    const char *person; /* static; NULL: not given */
};

/* Checks a submission as strictly as the real thing; false with the reply set. */
bool predict_check(struct exchange *exchange, struct json_value body, struct predict_ask *ask);

#endif
