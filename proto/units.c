#include "proto/units.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define MS_SECOND INT64_C(1000)
#define MS_MINUTE (60 * MS_SECOND)
#define MS_HOUR   (60 * MS_MINUTE)
#define MS_DAY    (24 * MS_HOUR)

#define TIME_MIN INT64_C(-62167219200000) /* 0000-01-01T00:00:00.000Z */
#define TIME_MAX INT64_C(253402300799999) /* 9999-12-31T23:59:59.999Z */

/* Reads one digit or more. */
static int read_number(const char **at, uint64_t *ret)
{
    if (!isdigit((unsigned char)**at))
        return -1;
    for (*ret = 0; isdigit((unsigned char)**at); ++*at)
        if (__builtin_mul_overflow(*ret, 10u, ret) ||
            __builtin_add_overflow(*ret, (uint64_t)(**at - '0'), ret))
            return -1;
    return 0;
}

/* Reads "" or ".digits" as parts of `unit`, cutting off what is below 1. `unit` is at most a day
 * in milliseconds, so that eleven digits decide and nothing overflows. */
static int read_fraction(const char **at, int64_t unit, int64_t *ret)
{
    const int64_t scale_max = 100000000000;
    int64_t digits = 0, scale = 1;
    *ret = 0;
    if (**at != '.')
        return 0;
    if (!isdigit((unsigned char)*++*at))
        return -1;
    for (; isdigit((unsigned char)**at); ++*at) {
        if (scale < scale_max) {
            digits = digits * 10 + (**at - '0');
            scale *= 10;
        }
    }
    *ret = (int64_t)((__int128)digits * unit / scale);
    return 0;
}

static int64_t duration_unit(const char *suffix)
{
    static const struct {
        const char *suffix;
        int64_t ms;
    } units[] = {{"ms", 1},        {"s", MS_SECOND}, {"", MS_SECOND},
                 {"m", MS_MINUTE}, {"h", MS_HOUR},   {"d", MS_DAY}};
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
        if (strcmp(suffix, units[i].suffix) == 0)
            return units[i].ms;
    return 0;
}

int units_parse_duration(const char *text, int64_t *ret_ms)
{
    int64_t unit = duration_unit(text + strspn(text, "0123456789."));
    uint64_t whole;
    int64_t ms, parts;
    if (unit == 0 || read_number(&text, &whole) < 0 || read_fraction(&text, unit, &parts) < 0 ||
        *text == '.' || __builtin_mul_overflow(whole, unit, &ms) ||
        __builtin_add_overflow(ms, parts, &ms))
        return -1;
    *ret_ms = ms;
    return 0;
}

int units_parse_size(const char *text, uint64_t *ret_bytes)
{
    static const char suffixes[] = "KMG";
    uint64_t bytes;
    if (read_number(&text, &bytes) < 0)
        return -1;
    if (*text != '\0') {
        const char *suffix = strchr(suffixes, toupper((unsigned char)*text));
        if (suffix == NULL || text[1] != '\0' ||
            __builtin_mul_overflow(bytes, UINT64_C(1024) << (10 * (suffix - suffixes)), &bytes))
            return -1;
    }
    *ret_bytes = bytes;
    return 0;
}

/* "1h5m": the larger unit, and the smaller one unless there is none of it. */
static void format_pair(char ret[UNITS_TEXT], const char *sign, uint64_t ms, int64_t large,
                        int64_t small, const char *letters)
{
    uint64_t first = ms / (uint64_t)large, second = ms % (uint64_t)large / (uint64_t)small;
    int length = snprintf(ret, UNITS_TEXT, "%s%" PRIu64 "%c", sign, first, letters[0]);
    if (second != 0 && length > 0)
        snprintf(ret + length, (size_t)(UNITS_TEXT - length), "%" PRIu64 "%c", second, letters[1]);
}

void units_format_duration(int64_t ms, char ret[UNITS_TEXT])
{
    const char *sign = ms < 0 ? "-" : "";
    uint64_t size = ms < 0 ? 0 - (uint64_t)ms : (uint64_t)ms;
    uint64_t tenths = size / 100;
    if (size < MS_SECOND)
        snprintf(ret, UNITS_TEXT, "%s%" PRIu64 "ms", sign, size);
    else if (size < MS_MINUTE && tenths % 10 != 0)
        snprintf(ret, UNITS_TEXT, "%s%" PRIu64 ".%" PRIu64 "s", sign, tenths / 10, tenths % 10);
    else if (size < MS_MINUTE)
        snprintf(ret, UNITS_TEXT, "%s%" PRIu64 "s", sign, tenths / 10);
    else if (size < MS_HOUR)
        format_pair(ret, sign, size, MS_MINUTE, MS_SECOND, "ms");
    else if (size < MS_DAY)
        format_pair(ret, sign, size, MS_HOUR, MS_MINUTE, "hm");
    else
        format_pair(ret, sign, size, MS_DAY, MS_HOUR, "dh");
}

void units_format_size(uint64_t bytes, char ret[UNITS_TEXT])
{
    static const char *const names[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    const size_t last = sizeof(names) / sizeof(names[0]) - 1;
    double value = (double)bytes;
    size_t unit = 0;
    /* What would be shown as 1024.0 goes on to the next unit. */
    for (; unit < last && value >= (unit == 0 ? 1024 : 1023.95); unit++)
        value /= 1024;
    snprintf(ret, UNITS_TEXT, "%.*f %s", unit == 0 ? 0 : 1, value, names[unit]);
}

void units_format_time(int64_t unix_ms, char ret[UNITS_TEXT])
{
    int64_t ms = unix_ms < TIME_MIN ? TIME_MIN : unix_ms > TIME_MAX ? TIME_MAX : unix_ms;
    int64_t part = (ms % 1000 + 1000) % 1000;
    time_t seconds = (time_t)((ms - part) / 1000);
    struct tm tm;
    gmtime_r(&seconds, &tm);
    /* The remainders tell the compiler what the clamp above ensures: it all fits. */
    snprintf(ret, UNITS_TEXT, "%04u-%02u-%02uT%02u:%02u:%02u.%03uZ",
             (unsigned)(tm.tm_year + 1900) % 10000, (unsigned)(tm.tm_mon + 1) % 100,
             (unsigned)tm.tm_mday % 100, (unsigned)tm.tm_hour % 100, (unsigned)tm.tm_min % 100,
             (unsigned)tm.tm_sec % 100, (unsigned)part);
}

/* Exactly `count` digits, and behind them one of `marks` unless that is empty. */
static int read_field(const char **at, int count, const char *marks, int max, int *ret)
{
    *ret = 0;
    for (; count > 0; count--, ++*at) {
        if (!isdigit((unsigned char)**at))
            return -1;
        *ret = *ret * 10 + (**at - '0');
    }
    if (*ret > max)
        return -1;
    if (*marks == '\0')
        return 0;
    return **at != '\0' && strchr(marks, *(*at)++) != NULL ? 0 : -1;
}

static int read_offset(const char **at, int *ret_seconds)
{
    int hours, minutes;
    *ret_seconds = 0;
    char sign = *(*at)++;
    if (sign == 'Z' || sign == 'z')
        return 0;
    if ((sign != '+' && sign != '-') || read_field(at, 2, ":", 23, &hours) < 0 ||
        read_field(at, 2, "", 59, &minutes) < 0)
        return -1;
    *ret_seconds = (hours * 60 + minutes) * (sign == '-' ? -60 : 60);
    return 0;
}

static bool is_date(int year, int month, int day)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return month >= 1 && day >= 1 && day <= days[month - 1] + (leap && month == 2);
}

int units_parse_time(const char *text, int64_t *ret_unix_ms)
{
    int year, month, offset;
    struct tm tm = {0};
    int64_t part;
    if (read_field(&text, 4, "-", 9999, &year) < 0 || read_field(&text, 2, "-", 12, &month) < 0 ||
        read_field(&text, 2, "Tt ", 31, &tm.tm_mday) < 0 || !is_date(year, month, tm.tm_mday) ||
        read_field(&text, 2, ":", 23, &tm.tm_hour) < 0 ||
        read_field(&text, 2, ":", 59, &tm.tm_min) < 0 ||
        read_field(&text, 2, "", 60, &tm.tm_sec) < 0 ||
        read_fraction(&text, MS_SECOND, &part) < 0 || *text == '\0' ||
        read_offset(&text, &offset) < 0 || *text != '\0')
        return -1;
    tm.tm_year = year - 1900;
    tm.tm_mon = month - 1;
    bool leap_second = tm.tm_sec == 60;
    int64_t seconds = (int64_t)timegm(&tm) - offset;
    /* A leap second ends a day in UTC; it is counted as the first second of the next. */
    if (leap_second && seconds % (MS_DAY / 1000) != 0)
        return -1;
    *ret_unix_ms = seconds * 1000 + part;
    return 0;
}

int units_parse_dollars(const char *text, int64_t *ret)
{
    int64_t micro = 0, scale = 1000000;
    size_t whole = strspn(text, "0123456789");
    const char *dot = text + whole;
    size_t decimals = *dot == '.' ? strspn(dot + 1, "0123456789") : 0;
    if (whole == 0 || whole > 9 || decimals > 6 || (*dot == '.' && decimals == 0) ||
        dot[*dot == '.' ? decimals + 1 : 0])
        return -1;
    for (size_t i = 0; i < whole; i++)
        micro = micro * 10 + (text[i] - '0');
    micro *= scale;
    for (size_t i = 1; i <= decimals; i++)
        micro += (dot[i] - '0') * (scale /= 10);
    *ret = micro;
    return 0;
}

void units_format_dollars(int64_t micro, char ret[UNITS_TEXT])
{
    uint64_t amount = micro < 0 ? 0 - (uint64_t)micro : (uint64_t)micro;
    int length =
        snprintf(ret, UNITS_TEXT, "%s$%llu.%06llu", micro < 0 ? "-" : "",
                 (unsigned long long)(amount / 1000000), (unsigned long long)(amount % 1000000));
    for (int zeros = 4; zeros > 0 && ret[length - 1] == '0'; zeros--)
        ret[--length] = '\0';
}
