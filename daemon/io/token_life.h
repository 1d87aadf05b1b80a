/* When a token is used, renewed and doubted. Pure: times are the caller's steady clock in ms. */
#ifndef VEO_TOKEN_LIFE_H
#define VEO_TOKEN_LIFE_H

#include <stdbool.h>
#include <stdint.h>

struct token_life {
    unsigned generation; /* of the last token that was got; 0: there was none yet */
    bool refused;        /* that one is no good */
    bool renewing;       /* the next one takes the place of one that was refused */
    bool doubtful;       /* it took that place, and nobody has accepted it yet */
    bool fetching;
    int failures; /* in a row */
    int64_t expires_at;
    int64_t refresh_at;
    int64_t again_at; /* after a failure */
};

bool token_life_usable(const struct token_life *life, int64_t now);

/* True if one should be fetched now: there is none, or the one that is there soon ends. */
bool token_life_wants(const struct token_life *life, int64_t now);

void token_life_begin(struct token_life *life);
void token_life_got(struct token_life *life, int64_t begun_at, int64_t lasts_ms);
void token_life_failed(struct token_life *life, int64_t now, double random);

/* An answer with that status came to a request with the token of that generation. True: the token
 * is to blame, and another one is there or will be; so try again. */
bool token_life_judge(struct token_life *life, unsigned generation, int status, int64_t now);

#endif
