/* Results of the tools that don't return one video: lists, costs, models. */
#ifndef VEO_CTL_MCP_LISTS_H
#define VEO_CTL_MCP_LISTS_H

#include <stdbool.h>

#include "proto/json.h"
#include "proto/jsonw.h"

struct mcp_call;

void lists_write_videos_schema(struct jsonw *w);
void lists_write_costs_schema(struct jsonw *w);
void lists_write_models_schema(struct jsonw *w);

/* A job, or an item of MODELS, as a row. */
void lists_write_video(struct json_value job, struct jsonw *w);
void lists_write_model(struct json_value item, struct jsonw *w);

/* Whether it is one of those that were asked for, by a part of its name. */
bool lists_takes_model(const struct mcp_call *call, struct json_value item);

/* What follows from the OK after the rows. */
void lists_answer_videos(struct mcp_call *call, struct json_value ok);
void lists_answer_costs(struct mcp_call *call, struct json_value ok);
void lists_answer_models(struct mcp_call *call, struct json_value ok);
void lists_answer_cancelled(struct mcp_call *call, struct json_value ok);

#endif
