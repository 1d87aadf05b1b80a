/* What a client is told while a video is waited for, if it gave a token for that. */
#ifndef VEO_CTL_MCP_PROGRESS_H
#define VEO_CTL_MCP_PROGRESS_H

#include "proto/ctl/mcp_call.h"

/* A WAIT was just sent. */
void mcp_progress_begin(struct mcp_call *call);

/* The job, an event of the WAIT, or the answer to the look beside it. */
void mcp_progress_take(struct mcp_call *call, struct json_value job);
void mcp_progress_take_event(struct mcp_call *call, struct json_value event);
void mcp_progress_take_look(struct mcp_call *call, const struct answer *answer);

/* Time goes by. */
void mcp_progress_tick(struct mcp_call *call);

#endif
