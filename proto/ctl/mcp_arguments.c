#include <float.h>
#include <string.h>

#include "proto/ctl/mcp_tools.h"

#define SHOWN 60 /* bytes of something wrong that are quoted */

static const struct mcp_argument *find(const struct mcp_tool *tool, struct json_value name)
{
    const struct mcp_argument *argument = tool->arguments;
    while (argument->name && !json_equals(name, argument->name))
        argument++;
    return argument->name ? argument : NULL;
}

static int refuse_unknown(const struct mcp_tool *tool, struct json_value name, struct error *error)
{
    char taken[120] = "";
    size_t length;
    const char *raw = json_raw(name, &length);
    for (const struct mcp_argument *argument = tool->arguments; argument->name; argument++) {
        strncat(taken, *taken ? ", " : "", sizeof taken - strlen(taken) - 1);
        strncat(taken, argument->name, sizeof taken - strlen(taken) - 1);
    }
    return error_set(error, ERROR_INVALID_ARGUMENT, NULL, "%s has no argument %.*s; it takes %s",
                     tool->name, length > SHOWN ? SHOWN : (int)length, raw, taken);
}

static int read_value(const struct mcp_argument *argument, struct json_value value,
                      struct mcp_value *ret, struct error *error)
{
    size_t length;
    const char *raw = json_raw(value, &length);
    if (json_type(value) == JSON_NULL || json_equals(value, ""))
        return 0;
    ret->text = argument->is_number ? NULL : json_strdup(value, NULL);
    ret->is_given = argument->is_number ? json_double(value, -DBL_MAX, DBL_MAX, &ret->number) == 0
                                        : ret->text != NULL;
    if (ret->is_given)
        return 0;
    return error_set(error, ERROR_INVALID_ARGUMENT, argument->name, "%s must be %s, not %.*s",
                     argument->name, argument->is_number ? "a number" : "a string without NUL",
                     length > SHOWN ? SHOWN : (int)length, raw);
}

int mcp_arguments_read(const struct mcp_tool *tool, struct json_value arguments,
                       struct mcp_value values[MCP_ARGUMENTS_MAX], struct error *error)
{
    for (struct json_iter it = json_iter(arguments); json_next(&it);) {
        const struct mcp_argument *argument = find(tool, it.name);
        if (!argument && json_equals(it.name, "_meta"))
            continue;
        if (!argument)
            return refuse_unknown(tool, it.name, error);
        if (read_value(argument, it.value, &values[argument - tool->arguments], error) < 0)
            return -1;
    }
    for (size_t i = 0; tool->arguments[i].name; i++)
        if (tool->arguments[i].is_required && !values[i].is_given)
            return error_set(error, ERROR_INVALID_ARGUMENT, tool->arguments[i].name,
                             "%s needs %s, and it is missing or empty", tool->name,
                             tool->arguments[i].name);
    return 0;
}
