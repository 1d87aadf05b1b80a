#include "proto/schema.h"

static void begin_members(struct jsonw *w)
{
    jsonw_name(w, "properties");
    jsonw_object(w);
}

void schema_begin(struct jsonw *w)
{
    jsonw_object(w);
    jsonw_member_string(w, "type", "object");
    begin_members(w);
}

void schema_end(struct jsonw *w, const char *const *required)
{
    jsonw_object_end(w);
    if (*required) {
        jsonw_name(w, "required");
        jsonw_array(w);
        for (; *required; required++)
            jsonw_string(w, *required);
        jsonw_array_end(w);
    }
    jsonw_object_end(w);
}

void schema_begin_property(struct jsonw *w, const struct schema_property *property)
{
    jsonw_name(w, property->name);
    jsonw_object(w);
    jsonw_member_string(w, "type", property->type);
    jsonw_member_string(w, "description", property->description);
}

void schema_write_properties(struct jsonw *w, const struct schema_property *properties,
                             size_t count)
{
    for (size_t i = 0; i < count; i++) {
        schema_begin_property(w, &properties[i]);
        jsonw_object_end(w);
    }
}

void schema_write_object(struct jsonw *w, const char *name, const char *description,
                         const struct schema_property *properties, size_t count)
{
    schema_begin_property(w, &(struct schema_property){name, "object", description});
    begin_members(w);
    schema_write_properties(w, properties, count);
    jsonw_object_end(w);
    jsonw_object_end(w);
}

void schema_write_rows(struct jsonw *w, const char *name, const char *description,
                       const struct schema_property *properties, size_t count)
{
    static const char *const none[] = {NULL};
    schema_begin_property(w, &(struct schema_property){name, "array", description});
    jsonw_name(w, "items");
    schema_begin(w);
    schema_write_properties(w, properties, count);
    schema_end(w, none);
    jsonw_object_end(w);
}
