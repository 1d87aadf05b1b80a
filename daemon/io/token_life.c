#include "daemon/io/token_life.h"

#include "daemon/core/backoff.h"

#define EARLY_MAX_MS   (5 * 60 * 1000LL)
#define RENEW_AGAIN_MS (60 * 1000LL) /* between tokens that are all refused */

bool token_life_usable(const struct token_life *life, int64_t now)
{
    return life->generation > 0 && !life->refused && now < life->expires_at;
}

bool token_life_wants(const struct token_life *life, int64_t now)
{
    return !life->fetching && now >= life->again_at &&
           (!token_life_usable(life, now) || now >= life->refresh_at);
}

void token_life_begin(struct token_life *life)
{
    life->fetching = true;
}

void token_life_got(struct token_life *life, int64_t begun_at, int64_t lasts_ms)
{
    int64_t early = lasts_ms / 10 < EARLY_MAX_MS ? lasts_ms / 10 : EARLY_MAX_MS;
    *life = (struct token_life){
        .generation = life->generation + 1,
        .doubtful = life->renewing,
        .expires_at = begun_at + lasts_ms,
        .refresh_at = begun_at + lasts_ms - early,
    };
}

void token_life_failed(struct token_life *life, int64_t now, double random)
{
    static const struct backoff backoff = {.base_ms = 1000, .max_ms = 60000};
    life->fetching = false;
    life->again_at = now + backoff_delay(&backoff, life->failures++, random);
}

bool token_life_judge(struct token_life *life, unsigned generation, int status, int64_t now)
{
    if (status != 401) {
        if (generation == life->generation)
            life->doubtful = life->renewing = false;
        return false;
    }
    if (generation != life->generation || life->refused)
        return true;
    life->renewing = true;
    if (!life->doubtful) {
        life->refused = true;
        return true;
    }
    /* A fresh one is refused as well: the fault lies elsewhere, but it may pass. */
    if (life->refresh_at > now + RENEW_AGAIN_MS)
        life->refresh_at = now + RENEW_AGAIN_MS;
    return false;
}
