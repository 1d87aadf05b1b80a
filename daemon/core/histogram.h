/* How values are spread over fixed buckets: adding one costs a short search and no memory. Pure. */
#ifndef VEO_HISTOGRAM_H
#define VEO_HISTOGRAM_H

#include <stddef.h>
#include <stdint.h>

#define HISTOGRAM_BUCKETS_MAX 20

struct histogram_scale {
    int64_t bounds[HISTOGRAM_BUCKETS_MAX]; /* ascending; a bucket takes its bound as well */
    size_t count;
    double per_unit; /* values that make one of the unit that is shown: 1000 ms a second */
};

extern const struct histogram_scale histogram_moments;  /* µs: of the loop, of the disk */
extern const struct histogram_scale histogram_answers;  /* ms: of somebody else's server */
extern const struct histogram_scale histogram_patience; /* ms: of jobs */
extern const struct histogram_scale histogram_numbers;  /* of things, to 1024 */

struct histogram {
    const struct histogram_scale *scale;
    uint64_t counts[HISTOGRAM_BUCKETS_MAX + 1]; /* the last in use: above all bounds */
    uint64_t count;
    uint64_t sum; /* stays at its greatest */
};

void histogram_init(struct histogram *histogram, const struct histogram_scale *scale);

/* A value below 0 counts as 0: of clocks that were set back. */
void histogram_add(struct histogram *histogram, int64_t value);

/* How many were at most the bound of that index. */
uint64_t histogram_up_to(const struct histogram *histogram, size_t index);

#endif
