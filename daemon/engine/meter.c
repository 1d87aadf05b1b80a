#include "daemon/engine/meter.h"

#include <stdlib.h>
#include <string.h>

#include "proto/mem.h"

static const char *const kinds[METER_HTTP_COUNT] = {
    [METER_SUBMIT] = "submit",
    [METER_POLL] = "poll",
    [METER_FETCH] = "fetch",
    [METER_OTHER] = "other",
};

const char *meter_http_name(enum meter_http what)
{
    return kinds[what];
}

/* Codes are also what providers say, whatever that may be: what isn't here is "other". */
static const char *const codes[] = {
    "aborted",
    "already-exists",
    "api-error",
    "api-key-invalid",
    "authentication",
    "bad-output",
    "bad-redirect",
    "cancelled",
    "content-blocked",
    "data-loss",
    "deadline-exceeded",
    "failed-precondition",
    "fetch-failed",
    "file-exists",
    "http-400",
    "http-401",
    "http-403",
    "http-404",
    "http-500",
    "http-502",
    "http-503",
    "http-504",
    "input-gone",
    "internal",
    "interrupted",
    "invalid-argument",
    "invalid-request",
    "model-not-found",
    "no-answer",
    "no-db-connection",
    "not-a-video",
    "not-found",
    "out-of-range",
    "parameter-unknown",
    "payment-required",
    "permission-denied",
    "prohibited-content",
    "quota-exceeded",
    "quota-per-day",
    "quota-per-minute",
    "rate-limit-exceeded",
    "recitation",
    "resource-exhausted",
    "result-failed",
    "result-gone",
    "result-too-large",
    "safety",
    "service-unavailable",
    "third-party-content",
    "too-many-requests",
    "unauthenticated",
    "unavailable",
    "unimplemented",
    "unknown",
    "unreachable",
    "unreadable-answer",
    "unreadable-result",
    "other",
};
#define CODES (sizeof(codes) / sizeof(codes[0]))
_Static_assert(CODES <= METER_CODES_MAX, "a counter for each");

const char *meter_code(size_t index)
{
    return index < CODES ? codes[index] : NULL;
}

static size_t index_of(const char *code)
{
    size_t index = 0;
    while (index < CODES - 1 && !(code && strcmp(code, codes[index]) == 0))
        index++;
    return index;
}

struct meter *meter_new(size_t providers)
{
    struct meter *meter = mem_alloc(sizeof(*meter));
    histogram_init(&meter->queue_ms, &histogram_patience);
    histogram_init(&meter->fetch_ms, &histogram_patience);
    histogram_init(&meter->done_ms, &histogram_patience);
    meter->provider_count = providers;
    meter->providers = mem_alloc((providers + 1) * sizeof(*meter->providers));
    for (size_t i = 0; i <= providers; i++) {
        histogram_init(&meter->providers[i].generation_ms, &histogram_patience);
        for (int what = 0; what < METER_HTTP_COUNT; what++)
            http_tally_init(&meter->providers[i].http[what]);
    }
    return meter;
}

void meter_free(struct meter *meter)
{
    if (meter)
        free(meter->providers);
    free(meter);
}

/* The wait begins when it could have been submitted. */
static int64_t waited_ms(const struct job *before, const struct job *after)
{
    int64_t since = before->updated_at;
    if (before->not_before > since)
        since = before->not_before;
    return after->updated_at - since;
}

static void count_money(struct meter_provider *provider, int64_t amount)
{
    if (amount > 0)
        provider->charged += (uint64_t)amount;
    else
        provider->credited += (uint64_t)-amount;
}

void meter_changed(struct meter *meter, const struct job *before, const struct job *after,
                   size_t provider)
{
    struct meter_provider *its =
        &meter->providers[provider < meter->provider_count ? provider : meter->provider_count];
    count_money(its, after->charged - before->charged);
    if (after->state == before->state)
        return;
    meter->became[after->state]++;
    if (after->state == JOB_FAILED)
        meter->failed[index_of(after->error.code)]++;
    if (after->state == JOB_UNCERTAIN)
        meter->uncertain[index_of(after->error.code)]++;
    if (after->state == JOB_SUBMITTING)
        histogram_add(&meter->queue_ms, waited_ms(before, after));
    if (before->state == JOB_RUNNING && after->noticed_at && !before->noticed_at)
        histogram_add(&its->generation_ms, after->noticed_at - after->running_at);
    if (after->state != JOB_DONE)
        return;
    histogram_add(&meter->fetch_ms, after->updated_at - before->updated_at);
    histogram_add(&meter->done_ms, after->updated_at - after->created_at);
}
