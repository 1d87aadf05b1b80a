/* Calls of tools that are under way. Each is a command to the daemon and what follows from its
 * answer: the wait for a video's end, the copy of its file, the result.
 *
 *   UPLOAD → ASK → WAIT → COPY → the result         an image's file first; no wait; no copy
 *   ASK → HOLD → DROP                               cancelled before it was submitted
 *
 * When the connection breaks the current command is sent again; GENERATE has a key, and buys
 * nothing twice. A call has an answer within a minute, come what may. */
#ifndef VEO_CTL_MCP_CALL_H
#define VEO_CTL_MCP_CALL_H

#include "proto/command.h"
#include "proto/ctl/key.h"
#include "proto/ctl/mcp.h"
#include "proto/ctl/mcp_child.h"
#include "proto/ctl/mcp_tools.h"
#include "proto/tool.h"

enum mcp_step { STEP_UPLOAD, STEP_ASK, STEP_WAIT, STEP_COPY, STEP_HOLD, STEP_DROP };

/* For the client's progress bar. */
struct mcp_progress {
    char *token; /* as JSON; NULL: nobody wants to know */
    char state[16];
    char look_tag[COMMAND_TAG_MAX + 1]; /* of a STATUS beside the WAIT; empty: none */
    double last;                        /* seconds, as sent */
    int64_t next_at;
    int64_t running_since; /* 0: not known */
    int64_t expected_ms;
};

struct mcp_call {
    struct mcp *mcp;
    const struct mcp_tool *tool;
    char *id; /* the request's, as JSON */
    enum mcp_step step;
    bool is_silent;        /* cancelled: nothing is answered */
    struct tool_call call; /* of the tools of proto/tool.h */
    char key[KEY_SIZE];

    const char *verb; /* the current command */
    char *argument;
    char tag[COMMAND_TAG_MAX + 1]; /* empty: it is to be sent */
    unsigned sends;
    int64_t send_at;
    int64_t due;    /* when its answer is overdue */
    bool has_begun; /* the daemon knows of the call */

    int64_t started_at;
    int64_t wait_ms; /* for the video's end; 0: it isn't waited for */
    int64_t wait_until;
    struct buf rows; /* of a list, as JSON, with commas */
    size_t row_count;
    bool has_more_rows; /* than fit */
    char *job;          /* as JSON, once there is one */
    char *job_id;
    struct mcp_child *child; /* UPLOAD, COPY */
    struct mcp_progress progress;
};

/* Starts a call; it may be answered at once. `id` and `token` are JSON of that length; `token` may
 * be NULL. */
void mcp_call_start(struct mcp *mcp, const struct mcp_tool *tool, struct json_value arguments,
                    const char *id, size_t id_length, const char *token, size_t token_length);

/* True if one more may be started. */
bool mcp_call_has_room(const struct mcp *mcp);

/* The call with that request's id; NULL if there is none that is to be answered. */
struct mcp_call *mcp_call_find(const struct mcp *mcp, const char *id, size_t id_length);

/* The client isn't interested any more. What was submitted goes on, what is queued is cancelled. */
void mcp_call_cancel(struct mcp_call *call);

/* Forgets it; its job goes on. */
void mcp_call_free(struct mcp_call *call);

/* These are for the loop. */
void mcp_call_take_answer(struct mcp *mcp, const struct answer *answer);
void mcp_call_take_break(struct mcp *mcp);       /* the connection is gone */
void mcp_call_take_child(struct mcp_call *call); /* its child has something to say */
void mcp_call_send_all(struct mcp *mcp);         /* what is to be sent, if the daemon is there */
void mcp_call_tick(struct mcp *mcp);             /* what is due */
int64_t mcp_call_next_tick(const struct mcp *mcp);

/* These are for tools. */

/* The next command. `argument` is taken over; NULL: none. */
void mcp_call_ask(struct mcp_call *call, enum mcp_step step, const char *verb, char *argument);

/* Sends the file of call.image_path; then generates. As mcp_tool_start. */
int mcp_call_upload(struct mcp_call *call, struct error *error);

/* The job is there, or the operation that no job has: waits for its end, if that is wished for, and
 * answers. */
void mcp_call_take_job(struct mcp_call *call, struct json_value job);

/* Answers; the call is gone. */
void mcp_call_finish(struct mcp_call *call, const char *result);
void mcp_call_fail(struct mcp_call *call, const struct error *error);

#endif
