/* A program that prints a token, such as "gcloud auth print-access-token". It is run without a
 * shell, in a process group of its own, and ended after 30 s. */
#ifndef VEO_TOKEN_COMMAND_H
#define VEO_TOKEN_COMMAND_H

#include <uv.h>

#define TOKEN_COMMAND_MS 30000

struct token_command;

/* `token` is the first line that it printed, only there during the call; or it is NULL, and `why`
 * says what went wrong. From the loop, never from inside token_command_run. */
typedef void token_command_fn(void *arg, const char *token, const char *why);

/* `text`: the program and its arguments are split at spaces. It frees itself after `done`. */
struct token_command *token_command_run(uv_loop_t *loop, const char *text, int64_t limit_ms,
                                        token_command_fn *done, void *arg);

/* Ends it; `done` is not called any more. Takes NULL. */
void token_command_stop(struct token_command *command);

#endif
