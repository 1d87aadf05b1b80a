#include "daemon/core/histogram.h"

#define SECOND 1000000 /* µs */

const struct histogram_scale histogram_moments = {
    .bounds = {100, 250, 500, 1000, 2500, 5000, 10000, 25000, 50000, 100000, 250000, 500000, SECOND,
               5 * SECOND, 30 * SECOND},
    .count = 15,
    .per_unit = 1e6,
};

const struct histogram_scale histogram_answers = {
    .bounds = {10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000, 30000, 60000, 120000, 600000},
    .count = 14,
    .per_unit = 1e3,
};

const struct histogram_scale histogram_patience = {
    .bounds = {100, 1000, 5000, 10000, 20000, 30000, 45000, 60000, 90000, 120000, 180000, 300000,
               600000, 1800000, 3600000, 21600000, 86400000},
    .count = 17,
    .per_unit = 1e3,
};

const struct histogram_scale histogram_numbers = {
    .bounds = {1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024},
    .count = 11,
    .per_unit = 1,
};

void histogram_init(struct histogram *histogram, const struct histogram_scale *scale)
{
    *histogram = (struct histogram){.scale = scale};
}

void histogram_add(struct histogram *histogram, int64_t value)
{
    const struct histogram_scale *scale = histogram->scale;
    size_t bucket = 0;
    if (value < 0)
        value = 0;
    while (bucket < scale->count && value > scale->bounds[bucket])
        bucket++;
    histogram->counts[bucket]++;
    histogram->count++;
    if (__builtin_add_overflow(histogram->sum, (uint64_t)value, &histogram->sum))
        histogram->sum = UINT64_MAX;
}

uint64_t histogram_up_to(const struct histogram *histogram, size_t index)
{
    uint64_t count = 0;
    for (size_t i = 0; i <= index; i++)
        count += histogram->counts[i];
    return count;
}
