#include "proto/error.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "proto/line.h"

static const char *const names[ERROR_CODES_END] = {[ERROR_NONE] = "none",
#define X(name, text, summary) [ERROR_##name] = (text),
                                                   ERROR_CODES(X)
#undef X
};

/* C1 controls (U+0080 to U+009F) drive terminals just as the ASCII ones do. */
static bool is_c1_control(const char *at)
{
    return at[0] == '\xC2' && (unsigned char)at[1] >= 0x80 && (unsigned char)at[1] <= 0x9F;
}

static void make_printable(char *text, size_t length)
{
    for (size_t at = 0; at < length; at++)
        if ((unsigned char)text[at] < ' ' || text[at] == '\x7F' || is_c1_control(text + at))
            text[at] = '?';
    for (size_t at = 0; (at += utf8_valid_prefix(text + at, length - at)) < length;)
        text[at] = '?';
}

/* The length without a character that the cut at the end of the array went through. */
static size_t whole_characters(const char *text, size_t length)
{
    size_t start = length;
    while (start > 0 && length - start < 4 && ((unsigned char)text[start - 1] & 0xC0) == 0x80)
        start--;
    if (start == 0 || (unsigned char)text[start - 1] < 0xC0)
        return length;
    start--;
    return utf8_valid_prefix(text + start, length - start) != 0 ? length : start;
}

/* `wanted` is what vsnprintf returned for an array that may have been too small. */
static void tidy(char *text, int wanted)
{
    size_t length = strlen(text);
    if (wanted > 0 && (size_t)wanted > length)
        length = whole_characters(text, length);
    text[length] = '\0';
    make_printable(text, length);
}

int error_set(struct error *error, enum error_code code, const char *field, const char *format, ...)
{
    if (error == NULL)
        return -1;
    /* Composed aside: the arguments may be parts of the very error that is replaced. */
    struct error composed = {.code = code};
    tidy(composed.field,
         snprintf(composed.field, sizeof(composed.field), "%s", field != NULL ? field : ""));
    va_list arguments;
    va_start(arguments, format);
    tidy(composed.message,
         vsnprintf(composed.message, sizeof(composed.message), format, arguments));
    va_end(arguments);
    *error = composed;
    return -1;
}

const char *error_code_name(enum error_code code)
{
    return code < ERROR_CODES_END ? names[code] : names[ERROR_INTERNAL];
}

enum error_code error_code_from_name(const char *name, size_t length)
{
    for (enum error_code code = ERROR_NONE + 1; code < ERROR_CODES_END; code++)
        if (strlen(names[code]) == length && memcmp(names[code], name, length) == 0)
            return code;
    return ERROR_NONE;
}
