/* Chat completions with tools: requests to write, answers to read. OpenAI's API, as Google's
 * compatible endpoint (ai.google.dev/gemini-api/docs/openai) and LiteLLM's proxy serve it. Pure.
 *
 * A message that the model sent goes back to it byte for byte: thought signatures travel in members
 * that nobody else knows (Google), or inside the calls' ids (LiteLLM). */
#ifndef VEO_CHAT_H
#define VEO_CHAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/buf.h"
#include "proto/json.h"

#define CHAT_CALLS_MAX 16 /* of one answer */

struct chat_request {
    const char *model;
    const char *temperature; /* a JSON number; NULL: not sent */
    int64_t max_tokens;      /* 0: not sent */
    const char *system_prompt;
    char *const *messages; /* JSON objects */
    size_t message_count;
    bool no_tools; /* `tool_choice` is "none": it must answer with what it has */
};

/* The body. Its tools are those of proto/tool.h. */
void chat_write_request(const struct chat_request *request, struct buf *ret);

enum chat_kind {
    CHAT_ANSWER,    /* `text`, and it is complete */
    CHAT_CALLS,     /* calls; there may be `text` as well */
    CHAT_TRUNCATED, /* max_tokens were used up; `text` is what there is, calls are dropped */
    CHAT_EMPTY,     /* neither text nor calls */
    CHAT_REFUSED,   /* the model, or a filter before it, won't: `error` */
    CHAT_MALFORMED, /* 2xx that isn't a chat completion, or a call that can't be answered: `error`
                     */
    CHAT_AGAIN,     /* later: no connection, 408, 409, 429, 5xx: `error`, `wait_ms` */
    CHAT_FAILED,    /* trying again doesn't help: `error` */
    CHAT_KINDS
};

struct chat_call {
    char *id;        /* the JSON string as it came, quotes included */
    char *name;      /* "" if there was none */
    char *arguments; /* JSON text, as it was inside the string; may be anything */
};

/* All strings are owned. */
struct chat_reply {
    enum chat_kind kind;
    char *message; /* the assistant's, byte for byte; NULL: there is none worth keeping */
    char *text;    /* NULL: none */
    struct chat_call *calls;
    size_t call_count;
    int64_t tokens;  /* usage.total_tokens; 0: not said */
    char *error;     /* one line for a person */
    int64_t wait_ms; /* AGAIN: what the server asks for; 0: nothing */
};

/* What came over the wire; an error's body may be an object, an array with one (Google), a string
 * (proxies) or HTML. */
struct chat_answer {
    int status;       /* 0: no answer */
    const char *body; /* borrowed; NULL: none */
    size_t length;
    int64_t retry_after_ms; /* -1: not said */
    const char *reason;     /* why there is no answer */
    const char *model;      /* begins the line of an error; NULL: nothing does */
};
void chat_read(const struct chat_answer *answer, struct chat_reply *ret);
void chat_reply_free(struct chat_reply *reply); /* what it owns, not itself */

/* Messages of the other roles, each in fresh memory. */
char *chat_user_message(const char *text);
char *chat_tool_message(const struct chat_call *call, const char *result);

/* Reads the calls of an assistant's message back; for a conversation that goes on after a restart.
 * The number of them, at most CHAT_CALLS_MAX; 0: it has none. `ret` is fresh memory. */
size_t chat_read_calls(const char *message, struct chat_call **ret);
void chat_calls_free(struct chat_call *calls, size_t count);

/* "user", "assistant", "tool" of a message; "" if it has none. A static string. */
const char *chat_role(const char *message);

#endif
