/* The members of a job object that veoctl speaks of. */
#ifndef VEO_CTL_JOB_VIEW_H
#define VEO_CTL_JOB_VIEW_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/buf.h"
#include "proto/json.h"

/* A string member, as fresh memory; NULL if it is absent. */
char *job_member(struct json_value job, const char *path);

/* A time member as Unix time in ms; 0 if it is absent or none. */
int64_t job_time(struct json_value job, const char *path);

/* Why it is where it is: "message (code)" of its error; empty if it has none. Cleaned. */
void job_reason(struct buf *out, struct json_value job);

/* A job's state, or its error, on one line: "ID state reason". Cleaned. */
void job_line(struct buf *out, struct json_value job);

/* Exit status of what an OK says of its jobs: {"jobs":[…]} or one job itself. */
int job_exit_status(struct json_value ok);

/* Calls `each` for the jobs of such an object. */
void job_each(struct json_value ok, void (*each)(void *arg, struct json_value job), void *arg);

/* True if nothing but a person can move it on, or nothing at all. */
bool job_is_settled(const char *state);

#endif
