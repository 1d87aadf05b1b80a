#include "tests/sim/models.h"

#include <fnmatch.h>
#include <stdio.h>
#include <string.h>

#include "tests/sim/reply.h"
#include "tests/sim/sim.h"

static const struct model models[] = {
    {"gemini-omni-1.1-flash", "Gemini Omni 1.1 Flash", FAMILY_OMNI_1_1, PLACE_GEMINI},
    {"gemini-omni-1.2-flash", "Gemini Omni 1.2 Flash", FAMILY_OMNI_1_2,
     PLACE_GEMINI | PLACE_VERTEX},
    {"gemini-omni-1.1-flash-preview", "Gemini Omni 1.1 Flash", FAMILY_OMNI_1_1, PLACE_VERTEX},
    {"gemini-omni-flash-preview", "Gemini Omni Flash", FAMILY_OMNI_1_1, PLACE_VERTEX},
    {"veo-3.1-generate-001", "Veo 3.1", FAMILY_VEO_3_1, PLACE_VERTEX},
    {"veo-3.1-fast-generate-001", "Veo 3.1 fast", FAMILY_VEO_3_1_FAST, PLACE_VERTEX},
    {"veo-3.1-lite-generate-001", "Veo 3.1 lite", FAMILY_VEO_3_1_LITE, PLACE_VERTEX},
    {"veo-3.1-generate-preview", "Veo 3.1", FAMILY_VEO_3_1, PLACE_GEMINI},
    {"veo-3.1-fast-generate-preview", "Veo 3.1 fast", FAMILY_VEO_3_1_FAST, PLACE_GEMINI},
    {"veo-3.1-lite-generate-preview", "Veo 3.1 lite", FAMILY_VEO_3_1_LITE, PLACE_GEMINI},
    {"veo-3.0-generate-001", "Veo 3", FAMILY_VEO_3, PLACE_GEMINI | PLACE_VERTEX},
    {"veo-3.0-fast-generate-001", "Veo 3 fast", FAMILY_VEO_3, PLACE_GEMINI | PLACE_VERTEX},
    {"veo-3.0-generate-preview", "Veo 3", FAMILY_VEO_3, PLACE_GEMINI},
    {"veo-3.0-fast-generate-preview", "Veo 3 fast", FAMILY_VEO_3, PLACE_GEMINI},
    {"veo-2.0-generate-001", "Veo 2", FAMILY_VEO_2, PLACE_GEMINI | PLACE_VERTEX},
};
#define MODELS (sizeof(models) / sizeof(*models))

static bool is_gone(const struct exchange *exchange, const char *id)
{
    const char *gone = exchange->sim->options.gone;
    return gone && fnmatch(gone, id, FNM_EXTMATCH) == 0;
}

static void write_model(struct jsonw *w, const struct model *model)
{
    char name[128];
    snprintf(name, sizeof(name), "models/%s", model->id);
    bool omni = model->family & FAMILIES_OMNI;
    jsonw_object(w);
    jsonw_member_string(w, "name", name);
    jsonw_member_string(w, "version", "001");
    jsonw_member_string(w, "displayName", model->title);
    jsonw_member_int(w, "inputTokenLimit", omni ? 131072 : 480);
    jsonw_member_int(w, "outputTokenLimit", omni ? 32768 : 8192);
    jsonw_name(w, "supportedGenerationMethods");
    jsonw_array(w);
    jsonw_string(w, omni ? "generateContent" : "predictLongRunning");
    jsonw_array_end(w);
    jsonw_object_end(w);
}

static void reply_not_found(struct exchange *exchange, const char *id)
{
    const char *code = exchange->dialect == DIALECT_INTERACTIONS ? "model_not_found" : NULL;
    if (is_gone(exchange, id)) {
        reply_error(exchange, 404, code,
                    "This model models/%s is no longer available. Please update your code to use "
                    "a newer model for the latest features and improvements.",
                    id);
    } else if (*exchange->project) {
        reply_error(exchange, 404, code,
                    "Publisher Model `projects/%s/locations/%s/publishers/google/models/%s` was "
                    "not found or your project does not have access to it. Please ensure you are "
                    "using a valid model version.",
                    exchange->project, exchange->location, id);
    } else {
        reply_error(exchange, 404, code,
                    "models/%s is not found for API version %s, or is not supported for this "
                    "method. Call ListModels to see the list of available models and their "
                    "supported methods.",
                    id, exchange->version);
    }
}

const struct model *model_find(struct exchange *exchange, const char *id)
{
    unsigned where = *exchange->project ? PLACE_VERTEX : PLACE_GEMINI;
    for (size_t i = 0; i < MODELS && !is_gone(exchange, id); i++) {
        if (strcmp(models[i].id, id) == 0 && models[i].where & where) {
            return &models[i];
        }
    }
    reply_not_found(exchange, id);
    return NULL;
}

void models_serve_list(struct exchange *exchange)
{
    struct buf json;
    struct jsonw w;
    buf_init(&json, REPLY_BYTES_MAX);
    jsonw_init(&w, &json);
    jsonw_object(&w);
    jsonw_name(&w, "models");
    jsonw_array(&w);
    for (size_t i = 0; i < MODELS; i++) {
        if (models[i].where & PLACE_GEMINI && !is_gone(exchange, models[i].id)) {
            write_model(&w, &models[i]);
        }
    }
    jsonw_array_end(&w);
    jsonw_object_end(&w);
    reply_json(&exchange->reply, 200, &json);
}

void models_serve_one(struct exchange *exchange)
{
    const struct model *model = model_find(exchange, exchange->model);
    if (!model || rules_intercept(exchange, NULL)) {
        return;
    }
    struct buf json;
    struct jsonw w;
    buf_init(&json, REPLY_BYTES_MAX);
    jsonw_init(&w, &json);
    write_model(&w, model);
    reply_json(&exchange->reply, 200, &json);
}
