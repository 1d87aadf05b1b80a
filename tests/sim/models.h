/* The models that the simulator knows, as of November 2026. */
#ifndef SIM_MODELS_H
#define SIM_MODELS_H

#include <stdbool.h>

#include "tests/sim/exchange.h"

enum family {
    FAMILY_OMNI_1_1 = 1,
    FAMILY_OMNI_1_2 = 2,
    FAMILY_VEO_3_1 = 4,
    FAMILY_VEO_3_1_FAST = 8,
    FAMILY_VEO_3_1_LITE = 16,
    FAMILY_VEO_3 = 32,
    FAMILY_VEO_2 = 64,
};
#define FAMILIES_OMNI    (FAMILY_OMNI_1_1 | FAMILY_OMNI_1_2)
#define FAMILIES_VEO_3_1 (FAMILY_VEO_3_1 | FAMILY_VEO_3_1_FAST | FAMILY_VEO_3_1_LITE)
#define FAMILIES_VEO     (FAMILIES_VEO_3_1 | FAMILY_VEO_3 | FAMILY_VEO_2)

enum place { PLACE_GEMINI = 1, PLACE_VERTEX = 2 };

struct model {
    const char *id;
    const char *title;
    enum family family;
    unsigned where; /* enum place */
};

/* NULL if there is none, or it is shut down: then the exchange's reply says so. */
const struct model *model_find(struct exchange *exchange, const char *id);

void models_serve_list(struct exchange *exchange);
void models_serve_one(struct exchange *exchange);

#endif
