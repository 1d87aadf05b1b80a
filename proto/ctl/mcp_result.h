/* Results of tools, as the client gets them. */
#ifndef VEO_CTL_MCP_RESULT_H
#define VEO_CTL_MCP_RESULT_H

#include "proto/ctl/mcp_call.h"

/* The call's job as a tool's result, in fresh memory; with `is_copied` its files are those in the
 * output folder. `problem`: why they were not copied; NULL: nothing is wrong. */
char *result_of_job(const struct mcp_call *call, bool is_copied, const char *problem);

/* Answers the request of that id with the result, a JSON object: structured, as text, and with a
 * link to each file. */
void result_write(struct mcp *mcp, const char *id, const char *result);

#endif
