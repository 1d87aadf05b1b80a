#include "daemon/core/retry.h"

#include <fnmatch.h>
#include <stddef.h>
#include <string.h>
#include <time.h>

#define HOUR INT64_C(3600)
#define DAY  (24 * HOUR)

enum speaker { ANYBODY, PROVIDER };

/* clang-format off */
#define ELSEWHERE(shuts) {RETRY_ELSEWHERE, shuts, false, false}
#define BACK_OFF         {RETRY_BACK_OFF, SHUTS_NOTHING, false, false}
#define GATE             {RETRY_GATE, SHUTS_MODEL, false, false}
#define GATE_AND_SLOW    {RETRY_GATE, SHUTS_MODEL, true, false}
#define GATE_FOR_THE_DAY {RETRY_GATE, SHUTS_MODEL, false, true}
#define HOLD             {RETRY_HOLD, SHUTS_PROVIDER, false, false}
#define FAIL             {RETRY_FAIL, SHUTS_NOTHING, false, false}
#define UNCERTAIN        {RETRY_UNCERTAIN, SHUTS_NOTHING, false, false}

/* Statuses from and to; who must have spoken; globs for code and quota id, NULL for any. Quotas are
 * counted by project and model; a spend limit of the last ten minutes is as good as one. 303,
 * 408, 502 and 504, and whatever a gateway says with 5xx, may come after the provider has accepted.
 */
static const struct row {
    enum retry_end end;
    int from, to;
    enum speaker speaker;
    const char *code;
    const char *quota_id;
    struct retry_rule rule;
} rows[] = {
    {RETRY_NOT_SENT,    0,   0, ANYBODY, NULL, NULL, ELSEWHERE(SHUTS_PROVIDER)},
    {RETRY_NO_ANSWER,   0, 999, ANYBODY, NULL, NULL, UNCERTAIN},
    {RETRY_OPERATION,   8,   8, ANYBODY, NULL, NULL, BACK_OFF},
    {RETRY_OPERATION,  13,  14, ANYBODY, NULL, NULL, BACK_OFF},
    {RETRY_OPERATION,  -1, 999, ANYBODY, NULL, NULL, FAIL},
    {RETRY_ANSWERED,  303, 303, ANYBODY, NULL, NULL, UNCERTAIN},
    {RETRY_ANSWERED,  300, 399, ANYBODY, NULL, NULL, ELSEWHERE(SHUTS_PROVIDER)},
    {RETRY_ANSWERED,  400, 400, ANYBODY, "api-key-invalid", NULL, ELSEWHERE(SHUTS_PROVIDER)},
    {RETRY_ANSWERED,  400, 400, ANYBODY, "failed-precondition", NULL, ELSEWHERE(SHUTS_NOTHING)},
    {RETRY_ANSWERED,  401, 401, ANYBODY, NULL, NULL, ELSEWHERE(SHUTS_PROVIDER)},
    {RETRY_ANSWERED,  402, 402, ANYBODY, NULL, NULL, HOLD},
    {RETRY_ANSWERED,  403, 403, ANYBODY, NULL, NULL, ELSEWHERE(SHUTS_PROVIDER)},
    {RETRY_ANSWERED,  404, 404, ANYBODY, NULL, NULL, ELSEWHERE(SHUTS_MODEL)},
    {RETRY_ANSWERED,  408, 408, ANYBODY, NULL, NULL, UNCERTAIN},
    {RETRY_ANSWERED,  429, 429, ANYBODY, "quota-per-day", NULL, GATE_FOR_THE_DAY},
    {RETRY_ANSWERED,  429, 429, ANYBODY, "quota-exceeded", NULL, GATE_FOR_THE_DAY},
    {RETRY_ANSWERED,  429, 429, ANYBODY, NULL, "*PerDay*", GATE_FOR_THE_DAY},
    {RETRY_ANSWERED,  429, 429, ANYBODY, NULL, NULL, GATE_AND_SLOW},
    {RETRY_ANSWERED,  400, 499, ANYBODY, NULL, NULL, FAIL},
    {RETRY_ANSWERED,  502, 502, ANYBODY, NULL, NULL, UNCERTAIN},
    {RETRY_ANSWERED,  503, 503, ANYBODY, NULL, NULL, GATE},
    {RETRY_ANSWERED,  504, 504, ANYBODY, NULL, NULL, UNCERTAIN},
    {RETRY_ANSWERED,  500, 599, PROVIDER, NULL, NULL, BACK_OFF},
    {RETRY_ANSWERED,    0, 999, ANYBODY, NULL, NULL, UNCERTAIN},
};
/* clang-format on */

static bool fits(const char *glob, const char *text)
{
    return !glob || (text && fnmatch(glob, text, 0) == 0);
}

const struct retry_rule *retry_rule(const struct retry_facts *facts)
{
    static const struct retry_rule unknown = UNCERTAIN;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const struct row *row = &rows[i];
        if (row->end == facts->end && facts->status >= row->from && facts->status <= row->to &&
            (row->speaker == ANYBODY || facts->own_words) && fits(row->code, facts->code) &&
            fits(row->quota_id, facts->quota_id))
            return &row->rule;
    }
    return &unknown;
}

/* Unix time of `hour` UTC on the nth Sunday of a month (from 0) of the year that `at` is in. */
static int64_t nth_sunday(int64_t at, int month, int nth, int hour)
{
    time_t seconds = (time_t)at;
    struct tm tm;
    gmtime_r(&seconds, &tm);
    tm = (struct tm){.tm_year = tm.tm_year, .tm_mon = month, .tm_mday = 1, .tm_hour = hour};
    int64_t first = timegm(&tm);
    return first + ((7 - tm.tm_wday) % 7 + 7 * (nth - 1)) * DAY;
}

/* From the second Sunday of March to the first of November, each time at two in the morning. */
static bool is_daylight_time(int64_t at)
{
    return at >= nth_sunday(at, 2, 2, 10) && at < nth_sunday(at, 10, 1, 9);
}

int64_t retry_day_turns(int64_t now)
{
    int64_t at = now / 1000;
    int64_t local = at - (is_daylight_time(at) ? 7 : 8) * HOUR;
    int64_t midnight = (local / DAY + 1) * DAY;
    bool is_daylight = is_daylight_time(midnight + 7 * HOUR);
    return (midnight + (is_daylight ? 7 : 8) * HOUR) * 1000;
}
