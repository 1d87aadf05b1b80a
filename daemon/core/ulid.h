/* Job ids: ULIDs (github.com/ulid/spec), 48 bits of time and 80 random ones, in 26 characters of
 * Crockford's base 32. Within one millisecond they count upward, so ids sort by acceptance. */
#ifndef VEO_ULID_H
#define VEO_ULID_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ULID_SIZE 27 /* with the NUL */

struct ulid_source {
    int64_t last_ms;
    uint8_t last[10];
};

/* `random` is 10 fresh random bytes. A clock that went back goes on from the last id. */
void ulid_next(struct ulid_source *source, int64_t unix_ms, const uint8_t random[10],
               char ret[ULID_SIZE]);

/* Is it a prefix of an id, in any letter case? Upper-cases into ret. */
bool ulid_prefix(const char *text, size_t min_length, char ret[ULID_SIZE]);

#endif
