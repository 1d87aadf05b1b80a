/* Thought signatures, and seals that tell whether a message came back as it had left. Any veosim
 * can check them: nothing is kept. */
#ifndef SIM_CHAT_SIGN_H
#define SIM_CHAT_SIGN_H

#include <stddef.h>

#define CHAT_NONCE 12
#define CHAT_SEAL  32

enum chat_signature {
    CHAT_SIGNATURE_GOOD,
    CHAT_SIGNATURE_SKIPPED, /* the word by which a client says that it has none */
    CHAT_SIGNATURE_BAD,
};

/* Of a call of this function by this model; long, and with '+', '/' and '=' in it. `nonce` has
 * CHAT_NONCE letters or digits. To be freed. */
char *chat_sign(const char *nonce, const char *model, const char *function);

enum chat_signature chat_sign_check(const char *signature, const char *model, const char *function);

void chat_seal(const char *bytes, size_t length, char ret[CHAT_SEAL + 1]);

/* SHA-256 in hexadecimal. */
void chat_digest(const char *bytes, size_t length, char ret[65]);

#endif
