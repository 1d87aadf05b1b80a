#include "proto/json_text.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "proto/line.h"
#include "proto/mem.h"

/* The value of four hexadecimal digits, -1 if there are none. */
static int hex4(const char *at, const char *end)
{
    int ret = 0;
    if (end - at < 4)
        return -1;
    for (int i = 0; i < 4; i++) {
        unsigned char c = (unsigned char)at[i];
        if (!isxdigit(c))
            return -1;
        ret = ret * 16 + (isdigit(c) ? c - '0' : (c | 0x20) - 'a' + 10);
    }
    return ret;
}

static bool is_high_surrogate(int unit)
{
    return unit >= 0xD800 && unit <= 0xDBFF;
}

static bool is_low_surrogate(int unit)
{
    return unit >= 0xDC00 && unit <= 0xDFFF;
}

static const char *check_unicode_escape(const char **at, const char *end)
{
    int unit = hex4(*at + 2, end);
    if (unit < 0)
        return "four hexadecimal digits must follow \\u";
    if (is_low_surrogate(unit))
        return "lone surrogate";
    bool paired = is_high_surrogate(unit);
    if (paired && (end - *at < 12 || (*at)[6] != '\\' || (*at)[7] != 'u' ||
                   !is_low_surrogate(hex4(*at + 8, end))))
        return "lone surrogate";
    *at += paired ? 12 : 6;
    return NULL;
}

static const char *check_escape(const char **at, const char *end)
{
    if (end - *at < 2)
        return "string without an end";
    char c = (*at)[1];
    if (c == 'u')
        return check_unicode_escape(at, end);
    if (c == '\0' || strchr("\"\\/bfnrt", c) == NULL)
        return "unknown escape";
    *at += 2;
    return NULL;
}

const char *json_text_check_string(const char **at, const char *end)
{
    while (*at < end && **at != '"') {
        const char *plain = *at;
        while (plain < end && *plain != '"' && *plain != '\\' && (unsigned char)*plain >= ' ')
            plain++;
        size_t length = (size_t)(plain - *at);
        size_t valid = utf8_valid_prefix(*at, length);
        *at += valid;
        if (valid < length)
            return "invalid UTF-8";
        if (*at == end || **at == '"')
            break;
        if (**at != '\\')
            return "control character in a string";
        const char *wrong = check_escape(at, end);
        if (wrong != NULL)
            return wrong;
    }
    return *at < end ? NULL : "string without an end";
}

static bool skip_digits(const char **at, const char *end)
{
    const char *from = *at;
    while (*at < end && isdigit((unsigned char)**at))
        ++*at;
    return *at > from;
}

static bool skip_one_of(const char **at, const char *end, const char *set)
{
    if (*at >= end || **at == '\0' || strchr(set, **at) == NULL)
        return false;
    ++*at;
    return true;
}

const char *json_text_check_number(const char **at, const char *end)
{
    skip_one_of(at, end, "-");
    if (!skip_one_of(at, end, "0") && !skip_digits(at, end))
        return "expected a digit";
    if (skip_one_of(at, end, ".") && !skip_digits(at, end))
        return "expected a digit after the point";
    if (skip_one_of(at, end, "eE")) {
        skip_one_of(at, end, "+-");
        if (!skip_digits(at, end))
            return "expected a digit in the exponent";
    }
    return NULL;
}

/* Yields the bytes of a checked string with its escapes resolved. */
struct unescaper {
    const char *at;
    const char *end;
    unsigned char queue[4]; /* of an escape that gives several */
    unsigned queued;
    unsigned taken;
};

static struct unescaper unescape_from(const char *escaped, size_t length)
{
    return (struct unescaper){.at = escaped, .end = escaped + length};
}

static void queue_character(struct unescaper *from, int character)
{
    unsigned char *queue = from->queue;
    from->taken = 0;
    from->queued = character < 0x80 ? 1 : character < 0x800 ? 2 : character < 0x10000 ? 3 : 4;
    static const unsigned char lead[] = {0, 0, 0xC0, 0xE0, 0xF0};
    for (unsigned i = from->queued - 1; i > 0; i--, character >>= 6)
        queue[i] = (unsigned char)(0x80 | (character & 0x3F));
    queue[0] = (unsigned char)(lead[from->queued] | character);
}

static void resolve_escape(struct unescaper *from)
{
    static const char short_forms[] = "bfnrt", meanings[] = "\b\f\n\r\t";
    char c = from->at[1];
    if (c != 'u') {
        const char *form = strchr(short_forms, c);
        queue_character(from, form != NULL ? meanings[form - short_forms] : c);
        from->at += 2;
        return;
    }
    int unit = hex4(from->at + 2, from->end);
    from->at += 6;
    if (is_high_surrogate(unit)) {
        int low = hex4(from->at + 2, from->end);
        unit = 0x10000 + ((unit - 0xD800) << 10) + (low - 0xDC00);
        from->at += 6;
    }
    queue_character(from, unit);
}

/* The next byte, -1 at the end. */
static int next_byte(struct unescaper *from)
{
    if (from->taken == from->queued) {
        if (from->at == from->end)
            return -1;
        if (*from->at != '\\')
            return (unsigned char)*from->at++;
        resolve_escape(from);
    }
    return from->queue[from->taken++];
}

static bool has_escapes(const char *text, size_t length)
{
    return memchr(text, '\\', length) != NULL;
}

/* UTF-8 sorts by bytes as it does by code points, so that both branches give one order. */
int json_text_compare(const char *a, size_t a_length, const char *b, size_t b_length)
{
    if (!has_escapes(a, a_length) && !has_escapes(b, b_length)) {
        int order = memcmp(a, b, a_length < b_length ? a_length : b_length);
        return order != 0 ? order : (a_length > b_length) - (a_length < b_length);
    }
    struct unescaper from_a = unescape_from(a, a_length), from_b = unescape_from(b, b_length);
    int byte_a, byte_b;
    do {
        byte_a = next_byte(&from_a);
        byte_b = next_byte(&from_b);
    } while (byte_a == byte_b && byte_a >= 0);
    return byte_a - byte_b;
}

bool json_text_equals(const char *escaped, size_t length, const char *text, size_t text_length)
{
    if (!has_escapes(escaped, length))
        return length == text_length && memcmp(escaped, text, length) == 0;
    struct unescaper from = unescape_from(escaped, length);
    for (size_t i = 0; i < text_length; i++)
        if (next_byte(&from) != (unsigned char)text[i])
            return false;
    return next_byte(&from) < 0;
}

char *json_text_unescape(const char *escaped, size_t length, size_t *ret_length)
{
    char *ret = mem_resize(NULL, length + 1, 1);
    size_t used = 0;
    if (has_escapes(escaped, length)) {
        struct unescaper from = unescape_from(escaped, length);
        for (int byte; (byte = next_byte(&from)) >= 0; ret[used++] = (char)byte) {
            if (byte == 0) {
                free(ret);
                return NULL;
            }
        }
    } else {
        memcpy(ret, escaped, length);
        used = length;
    }
    ret[used] = '\0';
    if (ret_length != NULL)
        *ret_length = used;
    return ret;
}

/* A number as plain digits and a power of ten. */
struct decimal {
    bool negative;
    uint64_t digits; /* zeros at both ends left out */
    int64_t power;
    bool overflow; /* more digits than an integer of 64 bits has */
};

static void add_digit(struct decimal *to, char digit, unsigned *zeros)
{
    if (digit == '0') {
        ++*zeros;
        return;
    }
    for (; to->digits != 0 && *zeros > 0 && !to->overflow; --*zeros)
        to->overflow = __builtin_mul_overflow(to->digits, 10u, &to->digits);
    *zeros = 0;
    to->overflow = to->overflow || __builtin_mul_overflow(to->digits, 10u, &to->digits) ||
                   __builtin_add_overflow(to->digits, (uint64_t)(digit - '0'), &to->digits);
}

/* Clamped: no text is long enough to bring a power of 10^12 back to what fits. */
static int64_t exponent_from(const char *at, const char *end)
{
    const int64_t clamp = 1000000000000;
    bool negative = *at == '-';
    int64_t ret = 0;
    for (at += *at == '-' || *at == '+'; at < end && ret < clamp; at++)
        ret = ret * 10 + (*at - '0');
    return negative ? -ret : ret;
}

static struct decimal decimal_from(const char *at, size_t length)
{
    const char *end = at + length;
    struct decimal ret = {.negative = *at == '-'};
    unsigned zeros = 0;
    bool fraction = false;
    for (at += ret.negative; at < end && *at != 'e' && *at != 'E'; at++) {
        if (*at == '.') {
            fraction = true;
            continue;
        }
        add_digit(&ret, *at, &zeros);
        ret.power -= fraction;
    }
    ret.power += zeros;
    if (at < end)
        ret.power += exponent_from(at + 1, end);
    return ret;
}

int json_text_int(const char *number, size_t length, int64_t *ret)
{
    struct decimal value = decimal_from(number, length);
    if (value.overflow || (value.power < 0 && value.digits != 0))
        return -1;
    for (; value.digits != 0 && value.power > 0; value.power--)
        if (__builtin_mul_overflow(value.digits, 10u, &value.digits))
            return -1;
    uint64_t limit = (uint64_t)INT64_MAX + value.negative;
    if (value.digits > limit)
        return -1;
    *ret = value.negative ? (int64_t)(0 - value.digits) : (int64_t)value.digits;
    return 0;
}

int json_text_double(const char *number, size_t length, double *ret)
{
    char small[64];
    char *copy = length < sizeof(small) ? small : mem_resize(NULL, length + 1, 1);
    memcpy(copy, number, length);
    copy[length] = '\0';
    double value = strtod(copy, NULL);
    if (copy != small)
        free(copy);
    if (!isfinite(value))
        return -1;
    *ret = value;
    return 0;
}
