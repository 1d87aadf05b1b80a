/* The legacy API: models/M:predictLongRunning and its operations. Vertex has nearly the same. */
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
    const struct model *model;
    bool vertex;
    char *prompt;
    char *storage_uri;
    bool has_image;
    bool has_last_frame;
    bool has_video;
    bool has_negative;
    unsigned references;
    const char *person; /* static; NULL: not given */
};

/* The body of a submission for a Veo model, and that model; NULL with the reply set. */
struct json *predict_open(struct exchange *exchange, const struct model **ret);

/* The model must be known by then. */
void predict_ask_init(struct predict_ask *ask, const struct model *model);
void predict_ask_free(struct predict_ask *ask);

/* Checks a submission as strictly as the real thing; false with the reply set. The next two are
 * parts of it. */
bool predict_check(struct exchange *exchange, struct json_value body, struct predict_ask *ask);
bool predict_check_media(struct exchange *exchange, struct json_value instance,
                         struct predict_ask *ask);
bool predict_check_parameters(struct exchange *exchange, struct json_value object,
                              struct predict_ask *ask);

/* One image, which is not in the place where predict_check_media() looks. */
bool predict_check_image(struct exchange *exchange, const char *role, struct json_value type,
                         struct json_value data, struct predict_ask *ask);

/* The refusal of a member. False. */
bool predict_refuse(struct exchange *exchange, const char *name);
bool predict_refuse_member(struct exchange *exchange, struct json_value name);

/* What the safety filter left, and what it says of the rest. */
unsigned predict_samples_left(const struct operation *operation);
void predict_write_filtered(struct jsonw *w, const struct operation *operation, unsigned count);

/* The error of an operation that has failed. */
bool predict_has_failed(const struct operation *operation);
void predict_write_error(struct jsonw *w, const struct operation *operation);

/* Accepts what was checked, unless something speaks against it. The operation's name begins with
 * plan.parent, or with the model's if there is none. */
void predict_submit(struct exchange *exchange, struct predict_ask *ask);

/* Answers with the operation as it is, or as if it still ran. */
void predict_answer(struct exchange *exchange, const struct operation *operation, bool with_end);

#endif
