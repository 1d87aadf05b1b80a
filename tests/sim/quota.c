#include "tests/sim/quota.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/mem.h"
#include "proto/units.h"
#include "tests/sim/reply.h"
#include "tests/sim/sim.h"

#define QUOTA_ID "GenerateRequestsPerMinutePerProjectPerModel"

static struct quota_use *find_use(struct quotas *quotas, const char *model)
{
    for (size_t i = 0; i < quotas->count; i++) {
        if (strcmp(quotas->list[i].model, model) == 0) {
            return &quotas->list[i];
        }
    }
    quotas->list = mem_resize(quotas->list, quotas->count + 1, sizeof(*quotas->list));
    struct quota_use *use = &quotas->list[quotas->count++];
    *use = (struct quota_use){.model = mem_strdup(model), .begin_ms = INT64_MIN};
    return use;
}

/* Milliseconds until there is room, 0 if there is. */
static int64_t wait_of_window(const struct options *options, struct quota_use *use, int64_t now)
{
    if (use->begin_ms == INT64_MIN || now >= use->begin_ms + options->quota_window_ms) {
        use->begin_ms = now;
        use->used = 0;
    }
    return use->used < options->quota ? 0 : use->begin_ms + options->quota_window_ms - now;
}

static int64_t wait_of_bucket(const struct options *options, struct quota_use *use, int64_t now)
{
    double per_ms = (double)options->quota / (double)options->quota_window_ms;
    double full = (double)options->quota;
    double tokens =
        use->begin_ms == INT64_MIN ? full : use->tokens + (double)(now - use->filled_ms) * per_ms;
    use->begin_ms = 0;
    use->tokens = tokens < full ? tokens : full;
    use->filled_ms = now;
    return use->tokens >= 1 ? 0 : (int64_t)ceil((1 - use->tokens) / per_ms);
}

static void refuse(struct exchange *exchange, const char *message, int64_t wait_ms)
{
    char delay[32];
    struct reply_problem problem = {.status = 429, .message = message};
    exchange->sim->stats.throttled++;
    if (wait_ms > 0) {
        problem.quota_id = QUOTA_ID;
    }
    bool tells = wait_ms > 0 && exchange->sim->options.quota_retry_info;
    if (tells) {
        snprintf(delay, sizeof(delay), "%.3fs", (double)wait_ms / 1000);
        problem.retry_delay = delay;
    }
    reply_problem(exchange, SHAPE_DIALECT, &problem);
    if (tells && reply_usual_shape(exchange) != SHAPE_GOOGLE) {
        reply_header(&exchange->reply, "Retry-After",
                     mem_format("%lld", (long long)(wait_ms + 999) / 1000));
    }
}

void quotas_clear(struct quotas *quotas)
{
    for (size_t i = 0; i < quotas->count; i++) {
        free(quotas->list[i].model);
    }
    free(quotas->list);
    *quotas = (struct quotas){0};
}

int quota_parse(const char *text, int64_t *ret_count, int64_t *ret_window_ms)
{
    char *end;
    *ret_count = strtoll(text, &end, 10);
    if (end == text || *end != '/' || *ret_count < 1) {
        return -1;
    }
    return units_parse_duration(end + 1, ret_window_ms) < 0 || *ret_window_ms < 1 ? -1 : 0;
}

bool quota_admit(struct exchange *exchange, const char *model)
{
    struct sim *sim = exchange->sim;
    const struct options *options = &sim->options;
    if (options->in_flight > 0 && sim->operations.running >= options->in_flight) {
        refuse(exchange, "Too many concurrent operations. Please try again later.", 0);
        return false;
    }
    if (options->quota == 0) {
        return true;
    }
    struct quota_use *use = find_use(&sim->quotas, model);
    int64_t now = timer_now_ms();
    int64_t wait_ms = options->quota_bucket ? wait_of_bucket(options, use, now)
                                            : wait_of_window(options, use, now);
    if (wait_ms > 0) {
        refuse(exchange,
               "You exceeded your current quota, please check your plan and billing "
               "details.",
               wait_ms);
        return false;
    }
    use->used++;
    use->tokens -= 1;
    return true;
}
