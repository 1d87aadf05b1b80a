/* Lines that a person types, with editing and a history. */
#ifndef VEO_CTL_PROMPT_H
#define VEO_CTL_PROMPT_H

#include "proto/ctl/ctl.h"

#define PROMPT_HISTORY 1000 /* lines */

struct prompt;

enum prompt_result {
    PROMPT_LINE,
    PROMPT_CLEARED, /* Ctrl-C */
    PROMPT_END,     /* Ctrl-D, or the terminal is gone */
    PROMPT_KILLED,  /* by a signal that is still pending */
};

/* On standard input and error, both terminals. `text` stands before each line, and is borrowed. The
 * history is kept in `file`, which is copied; NULL: it isn't. NULL if the terminal can't be used;
 * that was said. */
struct prompt *prompt_new(struct ctl *ctl, const char *text, const char *file);
void prompt_free(struct prompt *prompt); /* takes NULL */

/* `ret` is the line without its end, and with nothing but spaces around it taken away; valid until
 * the next call. */
enum prompt_result prompt_read(struct prompt *prompt, const char **ret);

/* Makes the line part of the history. */
void prompt_remember(struct prompt *prompt, const char *line);

#endif
