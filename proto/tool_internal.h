/* The arguments of the tools, from one table: the schemas and the reader use it. For tool*.c. */
#ifndef VEO_TOOL_INTERNAL_H
#define VEO_TOOL_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>

#include "proto/tool.h"

#define TOOL_ARGUMENTS_MAX 16 /* of one tool */

enum tool_type { TOOL_TEXT, TOOL_NUMBER, TOOL_FLAG };

struct tool_argument {
    const char *name;
    enum tool_type type;
    unsigned tools;    /* a bit for each that takes it */
    unsigned required; /* a bit for each that needs it */
    size_t offset;     /* in struct tool_call */
    const char *description;
};

/* The next argument of the tool after `last`, the first after NULL; NULL at the end. */
const struct tool_argument *tool_argument_next(enum tool tool, const struct tool_argument *last);
bool tool_argument_required(enum tool tool, const struct tool_argument *argument);

#endif
