/* Chat completions with tools: Google's compatible endpoint, and a LiteLLM proxy. They differ in
 * the shape of errors and in where thought signatures travel: in a member of the call, or hidden
 * in its id. */
#ifndef SIM_CHAT_H
#define SIM_CHAT_H

#include "proto/json.h"
#include "proto/jsonw.h"
#include "tests/sim/chat_log.h"
#include "tests/sim/chat_mind.h"
#include "tests/sim/chat_talk.h"
#include "tests/sim/exchange.h"

#define CHAT_NAME_MAX     128
#define CHAT_ID_SIGNATURE "__thought__"

void chat_serve_google(struct exchange *exchange);
void chat_serve_litellm(struct exchange *exchange);

/* What is asked for. */
struct chat_ask {
    bool google;
    struct json_value body;
    struct chat_talk talk;
    struct chat_note note;
};

/* Check a request as strictly as the real thing; false with the reply set. The second is a part
 * of the first. */
bool chat_check(struct exchange *exchange, struct chat_ask *ask);
bool chat_check_messages(struct exchange *exchange, struct chat_ask *ask);

/* Whether there is such a model for this. The name is as it was asked for, and stays without its
 * provider in the talk. False with the reply set. */
bool chat_check_model(struct exchange *exchange, const char *name, struct chat_talk *talk);

/* Whether it takes a temperature and the like. */
bool chat_takes_sampling(const struct chat_talk *talk);
bool chat_wants_signatures(const struct chat_talk *talk);

/* Offers a tool; `schema` may be absent. `place` says where it stands. */
struct chat_tool {
    struct json_value name;
    struct json_value schema;
};
bool chat_check_tool(struct exchange *exchange, const struct chat_tool *tool, const char *place,
                     struct chat_talk *talk);

/* Counts a signature that was skipped. False, with the reply set, if it isn't valid. */
bool chat_check_signature(struct exchange *exchange, const struct chat_talk *talk,
                          const char *signature, const char *function);
bool chat_refuse_unsigned(struct exchange *exchange, const char *function, size_t position);

/* "Invalid JSON payload received. Unknown name …". False. */
bool chat_refuse_member(struct exchange *exchange, struct json_value name, const char *place);

/* A text, or an array of parts with texts in them. To be freed; NULL: it is neither. */
char *chat_text(struct json_value content);

/* Once a request is checked: lets the model think, and `write` its words. */
void chat_answer(struct exchange *exchange, const struct chat_talk *talk,
                 void (*write)(struct exchange *exchange, const struct chat_talk *talk,
                               const struct chat_thought *thought));

void chat_write_google(struct exchange *exchange, const struct chat_talk *talk,
                       const struct chat_thought *thought);
void chat_write_litellm(struct exchange *exchange, const struct chat_talk *talk,
                        const struct chat_thought *thought);

/* Whether a message is one that was written here, byte for byte. */
bool chat_is_sealed(struct json_value message);

/* What an answer's calls and tokens are known by. */
struct chat_mint {
    char nonce[65]; /* letters and digits that no other answer has */
    int64_t prompt_tokens;
    int64_t answer_tokens;
};
struct chat_mint chat_mint(struct exchange *exchange, const struct chat_talk *talk,
                           const struct chat_thought *thought);

#endif
