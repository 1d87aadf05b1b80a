#include "daemon/cmd/expose.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "proto/jsonw.h"

static const char *const types[] = {
    [EXPOSE_COUNTER] = "counter",
    [EXPOSE_GAUGE] = "gauge",
    [EXPOSE_HISTOGRAM] = "histogram",
};

static void add_escaped(struct buf *out, const char *text, bool is_quoted)
{
    for (; *text; text++) {
        if (*text == '\\' || (is_quoted && *text == '"'))
            buf_add_byte(out, '\\');
        if (*text == '\n')
            buf_add_text(out, "\\n");
        else
            buf_add_byte(out, *text);
    }
}

void expose_family(struct expose *expose, const char *name, enum expose_type type, const char *help)
{
    expose->family = name;
    buf_addf(expose->out, "# HELP %s ", name);
    add_escaped(expose->out, help, false);
    buf_addf(expose->out, "\n# TYPE %s %s\n", name, types[type]);
}

/* ---- samples ---- */

static void add_label(struct buf *out, const char *name, const char *value, bool is_first)
{
    buf_addf(out, "%s%s=\"", is_first ? "{" : ",", name);
    add_escaped(out, value, true);
    buf_add_byte(out, '"');
}

/* Up to the value; `le` may be NULL. */
static void begin_sample(const struct expose *expose, const char *suffix, const char *const *labels,
                         const char *le)
{
    struct buf *out = expose->out;
    bool is_first = true;
    buf_addf(out, "%s%s", expose->family, suffix);
    for (; labels[0]; labels += 2, is_first = false)
        add_label(out, labels[0], labels[1], is_first);
    if (le)
        add_label(out, "le", le, is_first);
    buf_add_text(out, is_first && !le ? " " : "} ");
}

static void add_double(struct buf *out, double value)
{
    struct jsonw w;
    jsonw_init(&w, out);
    if (isfinite(value))
        jsonw_double(&w, value);
    else
        buf_add_text(out, isnan(value) ? "NaN" : value > 0 ? "+Inf" : "-Inf");
    buf_add_byte(out, '\n');
}

void expose_uint(struct expose *expose, const char *const *labels, uint64_t value)
{
    begin_sample(expose, "", labels, NULL);
    buf_addf(expose->out, "%llu\n", (unsigned long long)value);
}

void expose_double(struct expose *expose, const char *const *labels, double value)
{
    begin_sample(expose, "", labels, NULL);
    add_double(expose->out, value);
}

void expose_usd(struct expose *expose, const char *const *labels, int64_t micro)
{
    expose_double(expose, labels, (double)micro / 1e6);
}

void expose_histogram(struct expose *expose, const char *const *labels,
                      const struct histogram *histogram)
{
    const struct histogram_scale *scale = histogram->scale;
    uint64_t count = 0;
    for (size_t i = 0; i < scale->count; i++) {
        char bound[32];
        count += histogram->counts[i];
        snprintf(bound, sizeof(bound), "%.9g", (double)scale->bounds[i] / scale->per_unit);
        begin_sample(expose, "_bucket", labels, bound);
        buf_addf(expose->out, "%llu\n", (unsigned long long)count);
    }
    begin_sample(expose, "_bucket", labels, "+Inf");
    buf_addf(expose->out, "%llu\n", (unsigned long long)histogram->count);
    begin_sample(expose, "_sum", labels, NULL);
    add_double(expose->out, (double)histogram->sum / scale->per_unit);
    begin_sample(expose, "_count", labels, NULL);
    buf_addf(expose->out, "%llu\n", (unsigned long long)histogram->count);
}

/* ---- families of one ---- */

void expose_one_uint(struct expose *expose, const char *name, enum expose_type type,
                     const char *help, uint64_t value)
{
    expose_family(expose, name, type, help);
    expose_uint(expose, EXPOSE_PLAIN, value);
}

void expose_one_double(struct expose *expose, const char *name, enum expose_type type,
                       const char *help, double value)
{
    expose_family(expose, name, type, help);
    expose_double(expose, EXPOSE_PLAIN, value);
}

void expose_one_histogram(struct expose *expose, const char *name, const char *help,
                          const struct histogram *histogram)
{
    expose_family(expose, name, EXPOSE_HISTOGRAM, help);
    expose_histogram(expose, EXPOSE_PLAIN, histogram);
}
