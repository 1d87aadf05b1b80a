#include "proto/verb.h"

#include <string.h>
#include <strings.h>

static const struct verb_info verbs[VERB_END] = {
#define X(name, argument, usage, summary) [VERB_##name] = {#name, argument, usage, summary},
    VERBS(X)
#undef X
};

const struct verb_info *verb_info(enum verb verb)
{
    return verb > VERB_NONE && verb < VERB_END ? &verbs[verb] : NULL;
}

enum verb verb_from_name(const char *name, size_t length)
{
    for (enum verb verb = VERB_NONE + 1; verb < VERB_END; verb++)
        if (strlen(verbs[verb].name) == length && strncasecmp(verbs[verb].name, name, length) == 0)
            return verb;
    return VERB_NONE;
}
