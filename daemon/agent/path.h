/* The files that a model names. Pure. */
#ifndef VEO_AGENT_PATH_H
#define VEO_AGENT_PATH_H

#include "proto/error.h"

/* An absolute path, in fresh memory: `path` itself, or from `directory` on (NULL: there is none).
 * NULL with `error`, about `field`. */
char *path_join(const char *directory, const char *path, const char *field, struct error *error);

#endif
