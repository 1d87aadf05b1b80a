/* From bytes to lines: a state machine that takes whatever a read gave and yields lines, counted
 * bodies, and complaints, one at a time. Over-long lines are states, not flags: they are skipped
 * to their end and reported once, and the connection goes on. */
#ifndef VEO_LINE_H
#define VEO_LINE_H

#include <stddef.h>
#include <stdint.h>

#include "proto/buf.h"

enum line_state {
    LINE_COLLECTING, /* the bytes of a line */
    LINE_SKIPPING,   /* the rest of one that was too long */
    LINE_COUNTING,   /* a body whose length is known */
};

struct line_reader {
    enum line_state state;
    struct buf partial; /* what earlier reads gave of an unfinished line */
    size_t max_line;    /* bytes, without the line's end */
    uint64_t left;      /* of a body */
    uint64_t skipped;   /* of an over-long line */
};

enum line_event {
    LINE_MORE,     /* all bytes are used up; feed more */
    LINE_TEXT,     /* a line, without its LF or CR LF: valid UTF-8, no NUL */
    LINE_TOO_LONG, /* a line above max_line came to its end; `length` is what it had up to its LF */
    LINE_BAD_TEXT, /* a line with a NUL byte or invalid UTF-8; `length` is the offending offset,
                    * `data` what comes before it, NUL-terminated: its tag may be there */
    LINE_BODY,     /* some bytes of a body */
    LINE_BODY_END, /* the body is complete */
};

struct line_piece {
    const char *data; /* valid until the next call; for LINE_TEXT also NUL-terminated */
    size_t length;
};

void line_init(struct line_reader *reader, size_t max_line);
void line_free(struct line_reader *reader);

/* Takes bytes from *data / *length, which it advances, until there is something to report. Memory
 * held between calls is at most max_line; none when idle. */
enum line_event line_next(struct line_reader *reader, const char **data, size_t *length,
                          struct line_piece *ret);

/* The next `bytes` bytes are a body, not lines. 0 is allowed: LINE_BODY_END follows at once. */
void line_expect_body(struct line_reader *reader, uint64_t bytes);

/* The last `bytes` bytes of the LINE_BODY just given were not taken: they will be fed again. */
void line_return_body(struct line_reader *reader, uint64_t bytes);

/* Bytes of an unfinished line that are held now. */
size_t line_pending(const struct line_reader *reader);

/* The offset of the first byte that is not part of valid UTF-8 (RFC 3629), or `length`. */
size_t utf8_valid_prefix(const char *text, size_t length);

#endif
