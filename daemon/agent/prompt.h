/* What the model is told before anything else: daemon/agent/system_prompt.txt, which is built into
 * the program, or an operator's own. Pure.
 *
 * {models} stands for the models that can be asked for, with what they take and cost;
 * {default_model} for the one that is used if none is named; {today} for the date. */
#ifndef VEO_PROMPT_H
#define VEO_PROMPT_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/core/model_table.h"

struct prompt_facts {
    const struct model_table *models;
    bool (*is_offered)(void *arg, const char *model); /* some provider takes it */
    void *arg;
    const char *default_model;
    int64_t now; /* Unix time in ms */
};

/* Fresh memory. `text`: NULL for the shipped one. */
char *prompt_fill(const char *text, const struct prompt_facts *facts);

#endif
