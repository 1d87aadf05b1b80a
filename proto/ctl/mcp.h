/* `veoctl mcp`: the tools of veod for other people's agents, over the Model Context Protocol. One
 * loop: the client's lines, the daemon's replies, and the calls in between. */
#ifndef VEO_CTL_MCP_H
#define VEO_CTL_MCP_H

#include "proto/ctl/ctl.h"
#include "proto/ctl/mcp_link.h"
#include "proto/ctl/mcp_rpc.h"
#include "proto/line.h"

#define MCP_LINE_MAX   (1024 * 1024)      /* bytes of a line from the client */
#define MCP_CALLS_MAX  64                 /* to be answered, at a time */
#define MCP_CALLS_ALL  128                /* and those that were cancelled just now */
#define MCP_RESULT_MAX (2 * 1024 * 1024)  /* bytes of a result, which goes out twice */
#define MCP_OUT_MAX    (64 * 1024 * 1024) /* bytes for the client; more than there can be */
#define MCP_OUT_ENOUGH (1024 * 1024)      /* as long as so much waits, nothing more is read */

#define MCP_WAIT_MS      45000 /* clients give up after a minute */
#define MCP_WAIT_MOST_MS 50000 /* what wait_for_video can be asked for */

struct mcp_call;

/* What a version of MCP knows. */
struct mcp_version {
    const char *name;
    bool has_annotations;
    bool has_structure; /* titles, output schemas, structured results, links to resources */
};

struct mcp {
    struct ctl *ctl;
    int64_t wait_ms;
    char *output; /* the folder, absolute, that results are copied to; NULL: none */
    const struct mcp_version *version;
    struct line_reader reader;
    struct buf out;  /* for the client */
    size_t out_sent; /* of it */
    struct mcp_link link;
    struct mcp_call *calls[MCP_CALLS_ALL];
    size_t call_count;
};

/* The newest version, until the client says what it knows. */
void mcp_init_version(struct mcp *mcp);

/* A line of the client's, or what was wrong with it. */
void mcp_take_line(struct mcp *mcp, enum line_event event, struct line_piece piece);

#endif
