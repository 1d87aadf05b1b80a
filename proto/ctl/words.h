/* Words of the command line that are one text. */
#ifndef VEO_CTL_WORDS_H
#define VEO_CTL_WORDS_H

#include <stddef.h>

#include "proto/buf.h"

/* Adds them with a space between; "-" alone stands for what standard input has, without the line
 * ends after it. */
void words_join(struct buf *text, char **words, size_t count);

#endif
