/* Writing JSON Schemas (2020-12) of objects, as tools tell what they take and return. */
#ifndef VEO_SCHEMA_H
#define VEO_SCHEMA_H

#include <stddef.h>

#include "proto/jsonw.h"

struct schema_property {
    const char *name;
    const char *type;        /* NULL: any */
    const char *description; /* NULL: none */
};

/* The schema as one value; its properties are written in between. `required`: names, ended by NULL.
 * Where that is empty nothing is said of it: older drafts forbid an empty list. */
void schema_begin(struct jsonw *w);
void schema_end(struct jsonw *w, const char *const *required);

/* Left open for more of its members, until jsonw_object_end. */
void schema_begin_property(struct jsonw *w, const struct schema_property *property);
void schema_write_properties(struct jsonw *w, const struct schema_property *properties,
                             size_t count);

/* A property that is an object with these properties, or an array of such objects. */
void schema_write_object(struct jsonw *w, const char *name, const char *description,
                         const struct schema_property *properties, size_t count);
void schema_write_rows(struct jsonw *w, const char *name, const char *description,
                       const struct schema_property *properties, size_t count);

#endif
