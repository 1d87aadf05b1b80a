/* Durations, sizes and times, as people write them and as the protocol does. */
#ifndef VEO_UNITS_H
#define VEO_UNITS_H

#include <stddef.h>
#include <stdint.h>

/* "250ms" "5s" "10m" "1h" "7d", a bare number being seconds; fractions are taken ("1.5s").
 * What is below a millisecond is cut off. 0, or -1 if it is none or would be above INT64_MAX. */
int units_parse_duration(const char *text, int64_t *ret_ms);

/* "64K" "10M" "2G" (powers of 1024), a bare number being bytes. */
int units_parse_size(const char *text, uint64_t *ret_bytes);

#define UNITS_TEXT 32                                          /* enough for each of these */
void units_format_duration(int64_t ms, char ret[UNITS_TEXT]);  /* "1m20s", "3.2s", "250ms" */
void units_format_size(uint64_t bytes, char ret[UNITS_TEXT]);  /* "5.7 MiB" */
void units_format_time(int64_t unix_ms, char ret[UNITS_TEXT]); /* RFC 3339, UTC, milliseconds */

/* RFC 3339 with any offset; a space may stand for the T. 0, or -1. */
int units_parse_time(const char *text, int64_t *ret_unix_ms);

/* "$3.20", "$0.1014": at least cents, at most six decimals. */
void units_format_dollars(int64_t micro, char ret[UNITS_TEXT]);

/* "12.5" dollars as micro-dollars, at most six decimals. -1 if it isn't that. */
int units_parse_dollars(const char *text, int64_t *ret);

#endif
