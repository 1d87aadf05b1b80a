/* A conversation as the scripted model sees it, whatever API it came by. */
#ifndef SIM_CHAT_TALK_H
#define SIM_CHAT_TALK_H

#include <stdbool.h>
#include <stddef.h>

#include "proto/json.h"

#define CHAT_TOOLS_MAX   256
#define CHAT_RESULTS_MAX 1024

/* What a tool said. Strings are owned, as all of them here. */
struct chat_result {
    char *name; /* of the tool */
    char *text;
};

struct chat_talk {
    char *model;
    char *user;                  /* the last user message; NULL: none yet */
    size_t step;                 /* how often the model spoke since then */
    struct chat_result *results; /* since then */
    size_t result_count;
    char **tools; /* the names of those that are offered */
    size_t tool_count;
    bool may_call;
    bool stream;
    bool stream_usage;
    size_t bytes;      /* of all messages */
    char digest[65];   /* of all messages */
    char *script_text; /* NULL: there is none */
    struct json *script;
};

void chat_talk_init(struct chat_talk *talk);
void chat_talk_free(struct chat_talk *talk); /* what it owns, not itself */

/* The next message. Texts are taken. */
void chat_talk_user(struct chat_talk *talk, char *text);
void chat_talk_model(struct chat_talk *talk);
void chat_talk_result(struct chat_talk *talk, const char *name, char *text);

/* False if there are too many. The name is taken. */
bool chat_talk_offer(struct chat_talk *talk, char *name);

/* The messages as they came. */
void chat_talk_measure(struct chat_talk *talk, struct json_value messages);

/* The name under which a tool is offered: this one, or one that ends with it after an underscore.
 * NULL if none is. */
const char *chat_talk_tool(const struct chat_talk *talk, const char *name);

#endif
