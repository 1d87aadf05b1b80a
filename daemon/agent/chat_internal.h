/* For chat*.c alone. */
#ifndef VEO_CHAT_INTERNAL_H
#define VEO_CHAT_INTERNAL_H

#include "daemon/agent/chat.h"

#define CHAT_WORDS_MAX 250 /* bytes of a server's own words in an error */

/* The error's line begins with the model and HTTP's status, as far as they are there. */
void chat_set_error(struct chat_reply *reply, enum chat_kind kind, const struct chat_answer *answer,
                    const char *format, ...) __attribute__((format(printf, 4, 5)));

/* What an answer with an error status means: AGAIN or FAILED. */
void chat_read_error(const struct chat_answer *answer, struct chat_reply *ret);

/* The words of an error body in any shape, as one line in fresh memory; "" if there are none. */
char *chat_error_words(const struct chat_answer *answer);

/* Reads the calls of an assistant's message. 0, or -1 with nothing to be freed and one line of
 * fresh memory that says what is wrong with them. */
int chat_open_calls(struct json_value message, struct chat_call **ret, size_t *ret_count,
                    char **ret_error);

#endif
