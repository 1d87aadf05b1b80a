#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/content.h"
#include "tests/sim/reply.h"

#define PLACE_BYTES 256

static bool check_schema(struct exchange *exchange, struct json_value schema, const char *place);

static bool check_properties(struct exchange *exchange, struct json_value properties,
                             const char *place)
{
    for (struct json_iter it = json_iter(properties); json_next(&it);) {
        char deeper[PLACE_BYTES];
        char *name = json_strdup(it.name, NULL);
        snprintf(deeper, sizeof(deeper), "%s.properties[%s]", place, name ? name : "");
        free(name);
        if (!check_schema(exchange, it.value, deeper)) {
            return false;
        }
    }
    return true;
}

/* The subset of OpenAPI's schemas that `parameters` takes. */
static bool check_schema(struct exchange *exchange, struct json_value schema, const char *place)
{
    static const char *const known[] = {
        "type",
        "format",
        "title",
        "description",
        "nullable",
        "enum",
        "maxItems",
        "minItems",
        "properties",
        "required",
        "minLength",
        "minProperties",
        "maxProperties",
        "maxLength",
        "pattern",
        "example",
        "anyOf",
        "default",
        "propertyOrdering",
        "items",
        "minimum",
        "maximum",
        NULL,
    };
    char deeper[PLACE_BYTES];
    struct json_value any = content_get(schema, "anyOf", "any_of");
    struct json_value items = json_get(schema, "items");
    if (!content_check_members(exchange, schema, known, place)) {
        return false;
    }
    if (json_type(json_get(schema, "type")) == JSON_ARRAY) {
        return reply_error(exchange, 400, NULL,
                           "Invalid JSON payload received. Unknown name \"type\" at '%s': Proto "
                           "field is not repeating, cannot start list.",
                           place);
    }
    snprintf(deeper, sizeof(deeper), "%s.any_of", place);
    for (struct json_iter it = json_iter(any); json_next(&it);) {
        if (!check_schema(exchange, it.value, deeper)) {
            return false;
        }
    }
    snprintf(deeper, sizeof(deeper), "%s.items", place);
    return (json_type(items) == JSON_NONE || check_schema(exchange, items, deeper)) &&
           check_properties(exchange, json_get(schema, "properties"), place);
}

static bool check_declaration(struct exchange *exchange, struct json_value declaration,
                              const char *place, struct chat_talk *talk)
{
    static const char *const known[] = {
        "name",     "description", "parameters",         "parametersJsonSchema",
        "response", "behavior",    "responseJsonSchema", NULL};
    struct json_value subset = json_get(declaration, "parameters");
    struct json_value schema =
        content_get(declaration, "parametersJsonSchema", "parameters_json_schema");
    char deeper[PLACE_BYTES];
    if (!content_check_members(exchange, declaration, known, place)) {
        return false;
    }
    if (json_type(subset) != JSON_NONE && json_type(schema) != JSON_NONE) {
        return reply_error(exchange, 400, NULL,
                           "* GenerateContentRequest.%s: parameters and parameters_json_schema "
                           "must not both be set.",
                           place);
    }
    snprintf(deeper, sizeof(deeper), "%.200s.parameters", place);
    if (!check_schema(exchange, subset, deeper)) {
        return false;
    }
    struct chat_tool tool = {.name = json_get(declaration, "name"),
                             .schema = json_type(subset) != JSON_NONE ? subset : schema};
    if (json_type(subset) == JSON_OBJECT && json_size(json_get(subset, "properties")) == 0) {
        return reply_error(exchange, 400, NULL,
                           "* GenerateContentRequest.%s.parameters.properties: should be "
                           "non-empty for OBJECT type",
                           place);
    }
    return chat_check_tool(exchange, &tool, place, talk);
}

bool content_check_tools(struct exchange *exchange, struct json_value tools, struct chat_talk *talk)
{
    unsigned at = 0;
    for (struct json_iter tool = json_iter(tools); json_next(&tool); at++) {
        unsigned index = 0;
        struct json_iter it =
            json_iter(content_get(tool.value, "functionDeclarations", "function_declarations"));
        for (; json_next(&it); index++) {
            char place[PLACE_BYTES];
            snprintf(place, sizeof(place), "tools[%u].function_declarations[%u]", at, index);
            if (!check_declaration(exchange, it.value, place, talk)) {
                return false;
            }
        }
    }
    return true;
}
