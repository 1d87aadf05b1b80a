/* The tools that agents are offered: by ASK inside the daemon, to other agents by `veoctl mcp`.
 * Their names, arguments and results are those that the project was first described with (Strands
 * tools in Python), and more: everything there still means the same.
 *
 * A tool's call becomes a GENERATE or a look at a job; what the protocol says of the job becomes
 * the tool's result. Both ends of the socket do that with the functions here. */
#ifndef VEO_TOOL_H
#define VEO_TOOL_H

#include <stdbool.h>

#include "proto/error.h"
#include "proto/json.h"
#include "proto/jsonw.h"

enum tool {
    TOOL_FROM_TEXT,  /* generate_video_from_text */
    TOOL_FROM_IMAGE, /* generate_video_from_image */
    TOOL_CHECK,      /* check_video_status */
    TOOL_COUNT,
};

struct tool_info {
    const char *name;
    const char *title;
    const char *description; /* for a model */
};
const struct tool_info *tool_info(enum tool tool);
enum tool tool_named(const char *name); /* TOOL_COUNT: none. Takes NULL */

/* The JSON Schema (2020-12) of a tool's arguments, and of what it returns, as one value each. */
void tool_write_input_schema(enum tool tool, struct jsonw *w);
void tool_write_output_schema(enum tool tool, struct jsonw *w);

/* A call whose arguments are good. All strings are owned. */
struct tool_call {
    enum tool tool;
    bool wait; /* for the video to be there; true unless it says otherwise, but for CHECK */

    /* FROM_TEXT, FROM_IMAGE; what was not given, or is an empty string, is NULL or 0. */
    char *prompt;
    char *aspect_ratio;
    char *resolution;
    char *negative_prompt;
    char *model;
    double duration_seconds;
    char *image_path; /* FROM_IMAGE: as it was given */

    char *operation; /* CHECK: an operation's name or a job's id */

    const char *ask_again; /* borrowed: the tool that a result names for what is still being
                            * generated; NULL: check_video_status */
};

/* Reads a call's arguments, an object; absent arguments are an empty one. Refuses a member that it
 * doesn't have (but `_meta`, which some clients put there), one of another type, and a missing one:
 * with `field`, and one line that a model can mend its call by. Whether a value makes sense is
 * GENERATE's to say. 0 or -1, with nothing to be freed. */
int tool_read(enum tool tool, struct json_value arguments, struct tool_call *ret,
              struct error *error);
void tool_call_free(struct tool_call *call); /* what it owns, not itself */

/* The members of its GENERATE but for the image's, into an object that the caller has opened. */
void tool_write_request(const struct tool_call *call, struct jsonw *w);

/* The result, as one object: `job` is a job as the protocol shows it, or STATUS's answer about an
 * operation that no job has. */
void tool_write_result(const struct tool_call *call, struct json_value job, struct jsonw *w);

/* The same for a call that could not be done. */
void tool_write_failure(const struct tool_call *call, const struct error *error, struct jsonw *w);

/* "file:///a%20b.mp4" of an absolute path, as fresh memory. */
char *tool_file_uri(const char *path);

#endif
