/* The videos that are served: two real ones, built into the program, and what passes for one when
 * a test asks for it. Larger ones are padded with an MP4 `free` box, made up as it is read. */
#ifndef SIM_MEDIA_H
#define SIM_MEDIA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum media_kind {
    MEDIA_VIDEO,
    MEDIA_CUT,     /* the first half of a video */
    MEDIA_GARBAGE, /* noise */
    MEDIA_HTML,
    MEDIA_JSON, /* the body of a redirect that nobody followed */
    MEDIA_EMPTY,
};

struct media {
    const unsigned char *head; /* what the file begins with; static */
    uint64_t head_length;
    unsigned char box[16]; /* the header of the padding */
    unsigned box_length;
    uint64_t length;
};

/* `bytes` is the size of a padded video or of noise; 0, or less than the video: as it is. */
struct media media_open(enum media_kind kind, bool portrait, uint64_t bytes);

/* Writes `length` bytes of it, from `offset`; both must lie within it. */
void media_read(const struct media *media, uint64_t offset, void *out, size_t length);

/* False if there is no kind of that name. */
bool media_kind_from_name(const char *name, enum media_kind *ret);

#endif
