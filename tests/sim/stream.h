/* A reply's body as a few pieces that are made up while they are sent, so that a large one costs
 * no memory; and what may go wrong on the way. */
#ifndef SIM_STREAM_H
#define SIM_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tests/sim/media.h"

#define STREAM_PIECES  10
#define STREAM_FOREVER UINT64_MAX

enum piece_kind { PIECE_TEXT, PIECE_MEDIA, PIECE_BASE64, PIECE_FILLER };

struct piece {
    enum piece_kind kind;
    uint64_t length;
    char *text; /* owned; NULL for other kinds */
    struct media media;
    uint64_t offset; /* into the media */
};

struct stream {
    struct piece pieces[STREAM_PIECES];
    unsigned count;
    uint64_t length; /* STREAM_FOREVER: it has no end */
};

void stream_free(struct stream *stream); /* leaves an empty, usable stream */

void stream_add_text(struct stream *stream, char *text, size_t length); /* takes `text` */
void stream_add_media(struct stream *stream, const struct media *media, uint64_t offset,
                      uint64_t length);
void stream_add_base64(struct stream *stream, const struct media *media);
void stream_add_filler(struct stream *stream, uint64_t length); /* the letter 'x' */

/* Whether it is one text and nothing else. */
bool stream_is_text(const struct stream *stream);

/* Up to `size` bytes from `position`; 0 at the end. */
size_t stream_read(const struct stream *stream, uint64_t position, char *out, size_t size);

#endif
