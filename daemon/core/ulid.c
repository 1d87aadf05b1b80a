#include "daemon/core/ulid.h"

#include <ctype.h>
#include <string.h>

static const char alphabet[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

static void count_up(uint8_t bytes[10])
{
    for (int i = 9; i >= 0; i--)
        if (++bytes[i] != 0)
            return;
}

void ulid_next(struct ulid_source *source, int64_t unix_ms, const uint8_t random[10],
               char ret[ULID_SIZE])
{
    if (unix_ms > source->last_ms) {
        source->last_ms = unix_ms;
        memcpy(source->last, random, 10);
        source->last[0] &= 0x7f; /* room to count up in this millisecond */
    } else {
        count_up(source->last);
    }

    uint64_t time = (uint64_t)source->last_ms;
    for (int i = 9; i >= 0; i--, time >>= 5)
        ret[i] = alphabet[time & 31];

    unsigned bits = 0, held = 0;
    size_t at = 10;
    for (int i = 0; i < 10; i++) {
        held = (held << 8) | source->last[i];
        for (bits += 8; bits >= 5; bits -= 5)
            ret[at++] = alphabet[(held >> (bits - 5)) & 31];
    }
    ret[at] = '\0';
}

bool ulid_prefix(const char *text, size_t min_length, char ret[ULID_SIZE])
{
    size_t length = strlen(text);
    if (length < min_length || length >= ULID_SIZE)
        return false;
    for (size_t i = 0; i < length; i++) {
        ret[i] = (char)toupper((unsigned char)text[i]);
        if (!strchr(alphabet, ret[i]))
            return false;
    }
    ret[length] = '\0';
    return true;
}
