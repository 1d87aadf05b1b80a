/* Reading INI files with libinih: one, and the parts in the directory beside it. */
#ifndef VEO_CONFIG_FILE_H
#define VEO_CONFIG_FILE_H

#include <stdbool.h>
#include <stddef.h>

#include "proto/error.h"

#define CONFIG_SECTION_MAX 49 /* bytes; libinih cuts longer names */

/* One key; -1 with `error` ends the reading. */
typedef int config_set_fn(void *arg, const char *section, const char *name, const char *value,
                          struct error *error);

/* 0, or -1 with `error`: the file, the line and what is wrong with it. */
int config_file_read(const char *path, bool may_be_missing, config_set_fn *set, void *arg,
                     struct error *error);

/* The same of text that is there already; `name` is for the messages. */
int config_text_read(const char *name, const void *text, size_t length, config_set_fn *set,
                     void *arg, struct error *error);

/* PATH.d/NAME.conf in order of name, if there is such a directory. */
int config_parts_read(const char *path, config_set_fn *set, void *arg, struct error *error);

#endif
