#include "proto/mem.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void die_without_memory(void) __attribute__((noreturn));

static void die_without_memory(void)
{
    fputs("out of memory\n", stderr);
    abort();
}

void *mem_alloc(size_t size)
{
    void *ret = calloc(1, size != 0 ? size : 1);
    if (ret == NULL)
        die_without_memory();
    return ret;
}

void *mem_resize(void *old, size_t count, size_t size)
{
    bool empty = count == 0 || size == 0;
    void *ret = empty ? realloc(old, 1) : reallocarray(old, count, size);
    if (ret == NULL)
        die_without_memory();
    return ret;
}

char *mem_strdup(const char *text)
{
    return text != NULL ? mem_strndup(text, strlen(text)) : NULL;
}

char *mem_strndup(const char *text, size_t length)
{
    if (text == NULL)
        return NULL;
    char *ret = strndup(text, length);
    if (ret == NULL)
        die_without_memory();
    return ret;
}

char *mem_format(const char *format, ...)
{
    char *ret = NULL;
    va_list arguments;
    va_start(arguments, format);
    int length = vasprintf(&ret, format, arguments);
    va_end(arguments);
    if (length < 0 || ret == NULL)
        die_without_memory();
    return ret;
}
