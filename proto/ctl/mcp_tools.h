/* The tools that an MCP client is offered, from one table. */
#ifndef VEO_CTL_MCP_TOOLS_H
#define VEO_CTL_MCP_TOOLS_H

#include "proto/json.h"
#include "proto/jsonw.h"
#include "proto/tool.h"

struct mcp_call;
struct mcp_version;

#define MCP_ARGUMENTS_MAX 4

struct mcp_argument {
    const char *name;
    bool is_number;
    bool is_required;
    const char *description;
};

/* An argument as given. */
struct mcp_value {
    char *text; /* owned; NULL: not given, or a number */
    double number;
    bool is_given;
};

struct mcp_tool {
    enum tool shared; /* TOOL_COUNT: it is ours alone, and has these four: */
    const char *name, *title, *description;
    const struct mcp_argument *arguments; /* ends with a NULL name */
    bool is_read_only, is_destructive, is_idempotent, is_open_world;
    void (*write_output_schema)(struct jsonw *w);
    /* Begins the call: its first command, or -1 with `error` for the client's model. `values` are
     * in the order of `arguments`. */
    int (*start)(struct mcp_call *call, const struct mcp_value *values, struct error *error);
    bool (*takes_row)(const struct mcp_call *call, struct json_value item); /* NULL: all */
    /* One ITEM, as the row of a list; NULL: as it came. */
    void (*write_row)(struct json_value item, struct jsonw *w);
    /* The OK of its first command. */
    void (*answered)(struct mcp_call *call, struct json_value ok);
};

const struct mcp_tool *mcp_tool_find(const char *name); /* NULL: none of that name */
const char *mcp_tool_name(const struct mcp_tool *tool);

/* The array of all of them, as tools/list has it. */
void mcp_tools_write(const struct mcp_version *version, struct jsonw *w);

/* Reads the arguments and starts the call. 0, or -1 with `error`. */
int mcp_tool_start(struct mcp_call *call, struct json_value arguments, struct error *error);

/* The GENERATE of a call that makes a video; `blob` is its image, or NULL. As mcp_tool_start. */
int mcp_tool_generate(struct mcp_call *call, const char *blob, struct error *error);

/* The arguments of a tool that is ours alone. 0, or -1 with `error`; texts are owned either way. */
int mcp_arguments_read(const struct mcp_tool *tool, struct json_value arguments,
                       struct mcp_value values[MCP_ARGUMENTS_MAX], struct error *error);

#endif
