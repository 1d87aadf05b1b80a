/* Files of the user's on their way to the daemon and back, in child processes. */
#ifndef VEO_CTL_MCP_COPY_H
#define VEO_CTL_MCP_COPY_H

#include "proto/ctl/mcp_call.h"
#include "proto/ctl/mcp_child.h"
#include "proto/ctl/upload.h"

/* NULL if there can't be a child. */
struct mcp_child *copy_start_upload(const struct mcp *mcp, const char *path);

/* Once it has ended: the blob's name, or -1 with `error`. */
int copy_take_upload(struct mcp_child *child, const struct mcp_call *call,
                     char ret_blob[BLOB_NAME_MAX], struct error *error);

/* True if the call's job has files that are there. */
bool copy_is_wanted(const struct mcp_call *call);

/* Copies the files of the call's job into the output folder. */
struct mcp_child *copy_start_fetch(const struct mcp_call *call);

/* Once it has ended: NULL, or what is wrong, as fresh memory. */
char *copy_take_fetch(struct mcp_child *child);

/* Where the job's file of that number is copied to; fresh memory. */
char *copy_target(const struct mcp *mcp, const char *job_id, size_t file);

#endif
