/* Work with files that may take a while, in a child process: it has a connection of its own, and
 * nobody else waits for it. */
#ifndef VEO_CTL_MCP_CHILD_H
#define VEO_CTL_MCP_CHILD_H

#include "proto/buf.h"
#include "proto/ctl/ctl.h"

#define CHILD_TEXT_MAX 4096 /* bytes of what it says */

struct mcp_child;

/* What runs in the child. It may say on standard output what came out, and complain on standard
 * error; both are collected. Returns an exit status. */
typedef int mcp_child_fn(struct ctl *ctl, const void *arg);

/* NULL with errno set if there can't be one. */
struct mcp_child *child_start(const struct ctl *ctl, mcp_child_fn *run, const void *arg);

/* To be polled for reading. */
int child_descriptor(const struct mcp_child *child);

/* Takes what it has said. True once it has ended; it says no more then. */
bool child_read(struct mcp_child *child);

/* After its end: its exit status, and what it said, without line ends; valid as long as the child.
 */
int child_result(struct mcp_child *child, const char **ret_text);

/* Ends it if it still runs, in a way that lets it tidy up. Takes NULL. */
void child_free(struct mcp_child *child);

#endif
