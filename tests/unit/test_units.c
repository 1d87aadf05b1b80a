#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "proto/units.h"

#define COUNT(rows) (sizeof(rows) / sizeof((rows)[0]))
#define UNTOUCHED   INT64_C(-123456)

static void durations_are_numbers_with_a_unit(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t ms;
    } good[] = {
        {"0", 0},
        {"5", 5000},
        {"250ms", 250},
        {"5s", 5000},
        {"10m", 600000},
        {"1h", 3600000},
        {"7d", 604800000},
        {"1.5s", 1500},
        {"1.5", 1500},
        {"0.25h", 900000},
        {"0.5d", 43200000},
        {"0.0001s", 0},
        {"1.9999999999999999999999s", 1999},
        {"2.5ms", 2},
        {"9223372036854775807ms", INT64_MAX},
        {"9223372036854775.807s", INT64_MAX},
    };
    for (size_t i = 0; i < COUNT(good); i++) {
        int64_t ms = UNTOUCHED;
        assert_int_equal(units_parse_duration(good[i].text, &ms), 0);
        assert_int_equal(ms, good[i].ms);
    }
    static const char *const bad[] = {
        "",
        "s",
        "-1s",
        "+1s",
        " 1s",
        "1s ",
        "1 s",
        "1.s",
        ".5s",
        "1.",
        "1,5",
        "1.5.",
        "5S",
        "5M",
        "1w",
        "1m20s",
        "ms",
        "1e3",
        "0x5",
        "1ss",
        "1..5",
        "inf",
        "nan",
        "9223372036854775808ms",
        "9223372036854775.808s",
        "99999999999999999999",
        "106751991168d",
        "1\xC2\xA0s",
    };
    for (size_t i = 0; i < COUNT(bad); i++) {
        int64_t ms = UNTOUCHED;
        assert_int_equal(units_parse_duration(bad[i], &ms), -1);
        assert_int_equal(ms, UNTOUCHED);
    }
}

static void sizes_are_powers_of_1024(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint64_t bytes;
    } good[] = {
        {"0", 0},
        {"17", 17},
        {"64K", 65536},
        {"64k", 65536},
        {"10M", 10485760},
        {"2G", UINT64_C(2147483648)},
        {"18446744073709551615", UINT64_MAX},
        {"17179869183G", UINT64_C(18446744072635809792)},
    };
    for (size_t i = 0; i < COUNT(good); i++) {
        uint64_t bytes = 1;
        assert_int_equal(units_parse_size(good[i].text, &bytes), 0);
        assert_int_equal(bytes, good[i].bytes);
    }
    static const char *const bad[] = {
        "",
        "K",
        "-1",
        "+1",
        " 1",
        "1 ",
        "1.5M",
        "1KB",
        "1KiB",
        "1T",
        "1B",
        "0x10",
        "18446744073709551616",
        "17179869184G",
    };
    for (size_t i = 0; i < COUNT(bad); i++) {
        uint64_t bytes = 1;
        assert_int_equal(units_parse_size(bad[i], &bytes), -1);
        assert_int_equal(bytes, 1);
    }
}

static void durations_are_shown_in_two_units(void **state)
{
    (void)state;
    static const struct {
        int64_t ms;
        const char *text;
    } rows[] = {
        {0, "0ms"},
        {250, "250ms"},
        {999, "999ms"},
        {1000, "1s"},
        {3200, "3.2s"},
        {3299, "3.2s"},
        {59999, "59.9s"},
        {60000, "1m"},
        {80000, "1m20s"},
        {3599999, "59m59s"},
        {3600000, "1h"},
        {3900000, "1h5m"},
        {86399999, "23h59m"},
        {86400000, "1d"},
        {100000000, "1d3h"},
        {-80000, "-1m20s"},
        {-1, "-1ms"},
        {INT64_MAX, "106751991167d7h"},
        {INT64_MIN, "-106751991167d7h"},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        char text[UNITS_TEXT];
        units_format_duration(rows[i].ms, text);
        assert_string_equal(text, rows[i].text);
    }
}

static void sizes_are_shown_with_one_decimal(void **state)
{
    (void)state;
    static const struct {
        uint64_t bytes;
        const char *text;
    } rows[] = {
        {0, "0 B"},
        {1023, "1023 B"},
        {1024, "1.0 KiB"},
        {1536, "1.5 KiB"},
        {5976884, "5.7 MiB"},
        {1048575, "1.0 MiB"},
        {1048570, "1.0 MiB"},
        {1048000, "1023.4 KiB"},
        {UINT64_C(1) << 40, "1.0 TiB"},
        {UINT64_MAX, "16.0 EiB"},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        char text[UNITS_TEXT];
        units_format_size(rows[i].bytes, text);
        assert_string_equal(text, rows[i].text);
    }
}

static void times_are_rfc_3339(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t ms;
    } good[] = {
        {"1970-01-01T00:00:00Z", 0},
        {"1970-01-01t00:00:00z", 0},
        {"1970-01-01 00:00:00Z", 0},
        {"1969-12-31T23:59:59.999Z", -1},
        {"2026-11-03T10:20:30.456Z", INT64_C(1793701230456)},
        {"2026-11-03T10:20:30.4567891234567Z", INT64_C(1793701230456)},
        {"2026-11-03T10:20:30.4Z", INT64_C(1793701230400)},
        {"2026-11-03T12:20:30+02:00", INT64_C(1793701230000)},
        {"2026-11-03T05:50:30-04:30", INT64_C(1793701230000)},
        {"2026-11-03T10:20:30-00:00", INT64_C(1793701230000)},
        {"2024-02-29T00:00:00Z", INT64_C(1709164800000)},
        {"2000-02-29T00:00:00Z", INT64_C(951782400000)},
        {"2016-12-31T23:59:60Z", INT64_C(1483228800000)},
        {"2017-01-01T01:59:60.5+02:00", INT64_C(1483228800500)},
        {"0000-01-01T00:00:00Z", INT64_C(-62167219200000)},
        {"9999-12-31T23:59:59.999Z", INT64_C(253402300799999)},
    };
    for (size_t i = 0; i < COUNT(good); i++) {
        int64_t ms = UNTOUCHED;
        assert_int_equal(units_parse_time(good[i].text, &ms), 0);
        assert_int_equal(ms, good[i].ms);
    }
    static const char *const bad[] = {
        "",
        "now",
        "2026-11-03",
        "2026-11-03T10:20:30",
        "2026-11-03T10:20Z",
        "2026-11-03T10:20:30.Z",
        "2026-11-03T10:20:30.5",
        "2026-11-03T10:20:30ZZ",
        "2026-11-03T10:20:30Z ",
        " 2026-11-03T10:20:30Z",
        "2026-11-3T10:20:30Z",
        "26-11-03T10:20:30Z",
        "+2026-11-03T10:20:30Z",
        "2026/11/03T10:20:30Z",
        "2026-11-03_10:20:30Z",
        "2026-00-03T10:20:30Z",
        "2026-13-03T10:20:30Z",
        "2026-11-00T10:20:30Z",
        "2026-11-31T10:20:30Z",
        "2026-02-29T10:20:30Z",
        "1900-02-29T10:20:30Z",
        "2026-11-03T24:00:00Z",
        "2026-11-03T10:60:00Z",
        "2026-11-03T10:20:61Z",
        "2026-11-03T10:20:60Z",
        "2016-12-31T23:59:60+01:00",
        "2026-11-03T10:20:30+2:00",
        "2026-11-03T10:20:30+24:00",
        "2026-11-03T10:20:30+02:60",
        "2026-11-03T10:20:30+0200",
        "2026-11-03T10:20:30+02",
        "2026-11-03T10:20:30 UTC",
    };
    for (size_t i = 0; i < COUNT(bad); i++) {
        int64_t ms = UNTOUCHED;
        if (units_parse_time(bad[i], &ms) != -1)
            fail_msg("\"%s\" was taken", bad[i]);
        assert_int_equal(ms, UNTOUCHED);
    }
}

static void times_are_shown_in_utc_with_milliseconds(void **state)
{
    (void)state;
    static const struct {
        int64_t ms;
        const char *text;
    } rows[] = {
        {0, "1970-01-01T00:00:00.000Z"},
        {-1, "1969-12-31T23:59:59.999Z"},
        {-1000, "1969-12-31T23:59:59.000Z"},
        {INT64_C(1793701230456), "2026-11-03T10:20:30.456Z"},
        {INT64_MAX, "9999-12-31T23:59:59.999Z"},
        {INT64_MIN, "0000-01-01T00:00:00.000Z"},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        char text[UNITS_TEXT];
        units_format_time(rows[i].ms, text);
        assert_string_equal(text, rows[i].text);
    }
}

static void dollars_have_at_least_cents(void **state)
{
    (void)state;
    static const struct {
        int64_t micro;
        const char *text;
    } rows[] = {
        {0, "$0.00"},
        {3200000, "$3.20"},
        {101360, "$0.10136"},
        {1, "$0.000001"},
        {-500000, "-$0.50"},
        {INT64_C(12000000000), "$12000.00"},
        {INT64_MIN, "-$9223372036854.775808"},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        char text[UNITS_TEXT];
        units_format_dollars(rows[i].micro, text);
        assert_string_equal(text, rows[i].text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(durations_are_numbers_with_a_unit),
        cmocka_unit_test(sizes_are_powers_of_1024),
        cmocka_unit_test(durations_are_shown_in_two_units),
        cmocka_unit_test(sizes_are_shown_with_one_decimal),
        cmocka_unit_test(times_are_rfc_3339),
        cmocka_unit_test(times_are_shown_in_utc_with_milliseconds),
        cmocka_unit_test(dollars_have_at_least_cents),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
