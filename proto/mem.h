/* Memory that is there or the process ends: every buffer in veod is capped, so running out of
 * memory for a small allocation means that the machine is beyond help. */
#ifndef VEO_MEM_H
#define VEO_MEM_H

#include <stddef.h>

/* Zeroed memory; never NULL. Freed with free(). */
void *mem_alloc(size_t size) __attribute__((malloc, returns_nonnull));

/* As reallocarray(3), but never NULL for a size above 0; new memory is not zeroed. */
void *mem_resize(void *old, size_t count, size_t size) __attribute__((returns_nonnull));

/* Copies; NULL gives NULL. Freed with free(). */
char *mem_strdup(const char *text);
char *mem_strndup(const char *text, size_t length);

/* Formats into fresh memory; never NULL. */
char *mem_format(const char *format, ...)
    __attribute__((format(printf, 1, 2), malloc, returns_nonnull));

#endif
