#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include <cmocka.h>

#include "daemon/core/retry.h"

#define OWN true

static const struct {
    struct retry_facts facts;
    enum retry_class class;
    enum retry_shuts shuts;
    bool slows;
    bool until_day;
} rows[] = {
    {{RETRY_NOT_SENT, 0, false, NULL, NULL}, RETRY_ELSEWHERE, SHUTS_PROVIDER, false, false},
    {{RETRY_NO_ANSWER, 0, false, NULL, NULL}, RETRY_UNCERTAIN, 0, false, false},
    {{RETRY_NO_ANSWER, 200, false, NULL, NULL}, RETRY_UNCERTAIN, 0, false, false},

    {{RETRY_OPERATION, 8, OWN, NULL, NULL}, RETRY_BACK_OFF, 0, false, false},
    {{RETRY_OPERATION, 13, OWN, NULL, NULL}, RETRY_BACK_OFF, 0, false, false},
    {{RETRY_OPERATION, 14, OWN, NULL, NULL}, RETRY_BACK_OFF, 0, false, false},
    {{RETRY_OPERATION, 3, OWN, NULL, NULL}, RETRY_FAIL, 0, false, false},
    {{RETRY_OPERATION, 9, OWN, NULL, NULL}, RETRY_FAIL, 0, false, false},
    {{RETRY_OPERATION, 12, OWN, NULL, NULL}, RETRY_FAIL, 0, false, false},
    {{RETRY_OPERATION, 15, OWN, NULL, NULL}, RETRY_FAIL, 0, false, false},
    {{RETRY_OPERATION, -1, OWN, NULL, NULL}, RETRY_FAIL, 0, false, false},

    {{RETRY_ANSWERED, 307, false, "redirected", NULL}, RETRY_ELSEWHERE, SHUTS_PROVIDER, 0, 0},
    {{RETRY_ANSWERED, 400, OWN, "invalid-argument", NULL}, RETRY_FAIL, 0, false, false},
    {{RETRY_ANSWERED, 400, OWN, "api-key-invalid", NULL}, RETRY_ELSEWHERE, SHUTS_PROVIDER, 0, 0},
    {{RETRY_ANSWERED, 400, OWN, "failed-precondition", NULL}, RETRY_ELSEWHERE, 0, 0, 0},
    {{RETRY_ANSWERED, 401, OWN, "authentication", NULL}, RETRY_ELSEWHERE, SHUTS_PROVIDER, 0, 0},
    {{RETRY_ANSWERED, 402, OWN, "payment-required", NULL}, RETRY_HOLD, SHUTS_PROVIDER, 0, 0},
    {{RETRY_ANSWERED, 403, false, NULL, NULL}, RETRY_ELSEWHERE, SHUTS_PROVIDER, 0, 0},
    {{RETRY_ANSWERED, 404, OWN, "not-found", NULL}, RETRY_ELSEWHERE, SHUTS_MODEL, 0, 0},
    {{RETRY_ANSWERED, 408, OWN, NULL, NULL}, RETRY_UNCERTAIN, 0, false, false},
    {{RETRY_ANSWERED, 409, OWN, NULL, NULL}, RETRY_FAIL, 0, false, false},
    {{RETRY_ANSWERED, 413, false, NULL, NULL}, RETRY_FAIL, 0, false, false},
    {{RETRY_ANSWERED, 499, OWN, "cancelled", NULL}, RETRY_FAIL, 0, false, false},

    {{RETRY_ANSWERED, 429, false, NULL, NULL}, RETRY_GATE, SHUTS_MODEL, true, false},
    {{RETRY_ANSWERED, 429, OWN, "rate-limit-exceeded", NULL}, RETRY_GATE, SHUTS_MODEL, true, 0},
    {{RETRY_ANSWERED, 429, OWN, "quota-per-minute", "GenerateRequestsPerMinutePerProject"},
     RETRY_GATE,
     SHUTS_MODEL,
     true,
     false},
    {{RETRY_ANSWERED, 429, OWN, "quota-per-day", NULL}, RETRY_GATE, SHUTS_MODEL, false, true},
    {{RETRY_ANSWERED, 429, OWN, "quota-exceeded", NULL}, RETRY_GATE, SHUTS_MODEL, false, true},
    {{RETRY_ANSWERED, 429, OWN, "resource-exhausted", "PredictRequestsPerDayPerProject"},
     RETRY_GATE,
     SHUTS_MODEL,
     false,
     true},
    {{RETRY_ANSWERED, 503, false, NULL, NULL}, RETRY_GATE, SHUTS_MODEL, false, false},

    {{RETRY_ANSWERED, 500, OWN, "internal", NULL}, RETRY_BACK_OFF, 0, false, false},
    {{RETRY_ANSWERED, 500, false, NULL, NULL}, RETRY_UNCERTAIN, 0, false, false},
    {{RETRY_ANSWERED, 501, OWN, NULL, NULL}, RETRY_BACK_OFF, 0, false, false},
    {{RETRY_ANSWERED, 502, OWN, NULL, NULL}, RETRY_UNCERTAIN, 0, false, false},
    {{RETRY_ANSWERED, 504, OWN, "deadline-exceeded", NULL}, RETRY_UNCERTAIN, 0, false, false},
    {{RETRY_ANSWERED, 599, false, NULL, NULL}, RETRY_UNCERTAIN, 0, false, false},
    {{RETRY_ANSWERED, 101, false, NULL, NULL}, RETRY_UNCERTAIN, 0, false, false},
    {{RETRY_ANSWERED, 2000, OWN, NULL, NULL}, RETRY_UNCERTAIN, 0, false, false},
    /* A code alone decides nothing where the status says more. */
    {{RETRY_ANSWERED, 503, OWN, "quota-exceeded", NULL}, RETRY_GATE, SHUTS_MODEL, false, false},
    {{RETRY_ANSWERED, 403, OWN, "quota-per-day", NULL}, RETRY_ELSEWHERE, SHUTS_PROVIDER, 0, 0},
};

static void test_the_table(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const struct retry_rule *rule = retry_rule(&rows[i].facts);
        if (rule->class != rows[i].class || rule->shuts != rows[i].shuts ||
            rule->slows != rows[i].slows || rule->until_day != rows[i].until_day)
            fail_msg("row %zu, status %d: class %d, shuts %d, slows %d, until day %d", i,
                     rows[i].facts.status, rule->class, rule->shuts, rule->slows, rule->until_day);
    }
}

/* What may have been accepted is never tried again by itself; what was refused always may be. */
static void test_no_status_is_left_out(void **state)
{
    (void)state;
    for (int status = 0; status <= 1000; status++)
        for (int own_words = 0; own_words < 2; own_words++) {
            const struct retry_facts facts = {
                .end = RETRY_ANSWERED, .status = status, .own_words = own_words};
            enum retry_class class = retry_rule(&facts)->class;
            bool is_certain =
                (status >= 300 && status <= 499 && status != 303 && status != 408) ||
                status == 503 ||
                (status >= 500 && status <= 599 && own_words && status != 502 && status != 504);
            assert_int_equal(class != RETRY_UNCERTAIN, is_certain);
        }
}

static int64_t utc(int year, int month, int day, int hour, int minute, int second)
{
    struct tm tm = {.tm_year = year - 1900,
                    .tm_mon = month - 1,
                    .tm_mday = day,
                    .tm_hour = hour,
                    .tm_min = minute,
                    .tm_sec = second};
    return (int64_t)timegm(&tm) * 1000;
}

/* Taken from the tz database: America/Los_Angeles. */
static void test_the_day_turns_at_midnight_in_los_angeles(void **state)
{
    (void)state;
    static const struct {
        int now[6], turns[6];
    } days[] = {
        {{2026, 11, 22, 21, 0, 0}, {2026, 11, 23, 8, 0, 0}}, /* standard time */
        {{2026, 11, 23, 7, 59, 59}, {2026, 11, 23, 8, 0, 0}},
        {{2026, 11, 23, 8, 0, 0}, {2026, 11, 24, 8, 0, 0}},
        {{2026, 7, 1, 6, 59, 59}, {2026, 7, 1, 7, 0, 0}}, /* daylight saving time */
        {{2026, 7, 1, 7, 0, 0}, {2026, 7, 2, 7, 0, 0}},
        {{2026, 3, 7, 12, 0, 0}, {2026, 3, 8, 8, 0, 0}}, /* it begins on the 8th */
        {{2026, 3, 8, 8, 0, 0}, {2026, 3, 9, 7, 0, 0}},
        {{2026, 3, 8, 9, 59, 59}, {2026, 3, 9, 7, 0, 0}},
        {{2026, 3, 8, 10, 0, 0}, {2026, 3, 9, 7, 0, 0}},
        {{2026, 10, 31, 12, 0, 0}, {2026, 11, 1, 7, 0, 0}}, /* it ends on the 1st */
        {{2026, 11, 1, 7, 0, 0}, {2026, 11, 2, 8, 0, 0}},
        {{2026, 11, 1, 8, 59, 59}, {2026, 11, 2, 8, 0, 0}},
        {{2026, 11, 1, 9, 0, 0}, {2026, 11, 2, 8, 0, 0}},
        {{2027, 3, 14, 8, 0, 0}, {2027, 3, 15, 7, 0, 0}}, /* a month that begins on a Monday */
        {{2028, 3, 12, 8, 0, 0}, {2028, 3, 13, 7, 0, 0}},
        {{2026, 12, 31, 23, 0, 0}, {2027, 1, 1, 8, 0, 0}},
        {{2028, 2, 29, 8, 0, 0}, {2028, 3, 1, 8, 0, 0}},
    };
    for (size_t i = 0; i < sizeof(days) / sizeof(days[0]); i++) {
        const int *n = days[i].now, *t = days[i].turns;
        int64_t turns = retry_day_turns(utc(n[0], n[1], n[2], n[3], n[4], n[5]));
        if (turns != utc(t[0], t[1], t[2], t[3], t[4], t[5]))
            fail_msg("row %zu: %lld", i, (long long)turns);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_table),
        cmocka_unit_test(test_no_status_is_left_out),
        cmocka_unit_test(test_the_day_turns_at_midnight_in_los_angeles),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
