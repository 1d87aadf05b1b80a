/* What an agent's tools are called with and what comes of it, as one line each for a person: pure
 * text, cleaned. */
#ifndef VEO_CTL_ASK_LINE_H
#define VEO_CTL_ASK_LINE_H

#include <stddef.h>

#include "proto/buf.h"
#include "proto/json.h"

enum ask_mark {
    ASK_MARK_NONE,
    ASK_MARK_CALL,
    ASK_MARK_DONE,
    ASK_MARK_GOING,
    ASK_MARK_BAD,
    ASK_MARK_AGAIN,
};

/* A `calling`: the tool, the prompt, and the other arguments. The prompt gives way so that all of
 * it is at most `columns` wide, if that can be. */
void ask_line_call(struct buf *out, struct json_value event, size_t columns);

/* A `result`: the job, and its video or why there is none. */
enum ask_mark ask_line_result(struct buf *out, struct json_value event);

/* A job that ended after its call had its result. */
enum ask_mark ask_line_job(struct buf *out, struct json_value job);

/* A file of a job: its path and size. */
void ask_line_file(struct buf *out, struct json_value file);

#endif
