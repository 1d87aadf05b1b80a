/* Writing Prometheus' text format, version 0.0.4: a family's HELP and TYPE, then its samples. */
#ifndef VEO_EXPOSE_H
#define VEO_EXPOSE_H

#include "daemon/core/histogram.h"
#include "proto/buf.h"

enum expose_type { EXPOSE_COUNTER, EXPOSE_GAUGE, EXPOSE_HISTOGRAM };

struct expose {
    struct buf *out; /* borrowed; look at its `failed` in the end */
    const char *family;
};

/* A sample's labels: names and values in turn, values in UTF-8. */
#define EXPOSE_LABELS(...) ((const char *const[]){__VA_ARGS__, NULL})
#define EXPOSE_PLAIN       ((const char *const[]){NULL})

/* All samples of a family follow it, before the next family begins. `name` is borrowed until then;
 * of counters it ends in _total. */
void expose_family(struct expose *expose, const char *name, enum expose_type type,
                   const char *help);

void expose_uint(struct expose *expose, const char *const *labels, uint64_t value);
void expose_double(struct expose *expose, const char *const *labels, double value);
void expose_usd(struct expose *expose, const char *const *labels, int64_t micro); /* dollars */
void expose_histogram(struct expose *expose, const char *const *labels,
                      const struct histogram *histogram);

/* A family of one sample without labels. */
void expose_one_uint(struct expose *expose, const char *name, enum expose_type type,
                     const char *help, uint64_t value);
void expose_one_double(struct expose *expose, const char *name, enum expose_type type,
                       const char *help, double value);
void expose_one_histogram(struct expose *expose, const char *name, const char *help,
                          const struct histogram *histogram);

#endif
