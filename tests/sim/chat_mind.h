/* The scripted model: what it says next in a conversation. It remembers nothing; the conversation
 * tells where it is. */
#ifndef SIM_CHAT_MIND_H
#define SIM_CHAT_MIND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/error.h"
#include "proto/json.h"

struct chat_talk;
struct sim;

#define CHAT_CALLS_MAX  64
#define CHAT_TEXT_BYTES ((size_t)1 << 20)

enum chat_kind {
    CHAT_SAY,       /* text, or calls, or both */
    CHAT_EMPTY,     /* neither */
    CHAT_REFUSE,    /* the text says why */
    CHAT_MALFORMED, /* the text is the answer's body */
    CHAT_STATUS,    /* an error */
    CHAT_RESET,     /* no answer */
};

struct chat_call {
    char *id; /* NULL: any */
    char *name;
    char *arguments; /* JSON text, or what the script wants to pass for it */
};

/* All strings are owned; NULL is absent. */
struct chat_thought {
    enum chat_kind kind;
    char *text;
    struct chat_call *calls;
    size_t call_count;
    char *finish;
    char *retry_after;
    char *retry_info;
    int64_t status;
    int64_t tokens;   /* 0: as many as there are */
    int64_t delay_ms; /* before it is said */
    int64_t stall_ms; /* of an error: no error, but a delay of what comes next */
    int64_t times;    /* of an error */
    bool repeat;      /* for ever */
    bool say_results;
};

void chat_thought_free(struct chat_thought *thought); /* what it owns, not itself */

/* What it does next. The script must have been opened. */
void chat_think(struct sim *sim, const struct chat_talk *talk, struct chat_thought *ret);

/* Finds the script in the last user message and checks it. -1 with `error` if it is bad. */
int chat_script_open(struct chat_talk *talk, struct error *error);

/* Reads one of its steps, or one of a step's `errors`. -1 with `error`, and nothing to be freed. */
int chat_script_read(struct json_value step, struct chat_thought *ret, struct error *error);

/* What it does if nobody has told it: picks the tool by the user's words, and reports. */
void chat_default(const struct chat_talk *talk, struct chat_thought *ret);

/* What the tools have said, quoted; "" if they said nothing. To be freed. */
char *chat_results(const struct chat_talk *talk);

extern const char chat_help[]; /* lines for --help */

#endif
