#include "daemon/core/learn.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "proto/mem.h"

struct model {
    char *name;
    int64_t newest[LEARN_SAMPLES]; /* a ring */
    int64_t sorted[LEARN_SAMPLES];
    size_t count;
    size_t oldest;
    unsigned surprises; /* in a row */
};

struct learn {
    struct model *models[LEARN_MODELS];
    size_t count;
};

static struct model *find(const struct learn *learn, const char *name)
{
    for (size_t i = 0; i < learn->count; i++)
        if (strcmp(learn->models[i]->name, name) == 0)
            return learn->models[i];
    return NULL;
}

static struct model *find_or_add(struct learn *learn, const char *name)
{
    struct model *model = find(learn, name);
    if (model || learn->count == LEARN_MODELS)
        return model;
    model = mem_alloc(sizeof(*model));
    model->name = mem_strdup(name);
    learn->models[learn->count++] = model;
    return model;
}

static int compare(const void *a, const void *b)
{
    int64_t left = *(const int64_t *)a, right = *(const int64_t *)b;
    return (left > right) - (left < right);
}

/* Linear between the samples. */
static int64_t quantile(const struct model *model, double part)
{
    double place = part * (double)(model->count - 1);
    size_t below = (size_t)place;
    if (below + 1 >= model->count)
        return model->sorted[model->count - 1];
    double between = (double)(model->sorted[below + 1] - model->sorted[below]);
    return model->sorted[below] + (int64_t)(between * (place - (double)below));
}

/* The part of the samples, from 0 to 1, that is not above `ms`. `ms` lies between the first and the
 * last. */
static double rank(const struct model *model, int64_t ms)
{
    size_t above = 1;
    while (model->sorted[above] <= ms)
        above++;
    double gap = (double)(model->sorted[above] - model->sorted[above - 1]);
    double part = (double)(ms - model->sorted[above - 1]) / gap;
    return ((double)(above - 1) + part) / (double)(model->count - 1);
}

static double steps_of(const struct model *model)
{
    double steps = 2.0 * (double)quantile(model, 0.5) / LEARN_INTERVAL_MS - 1;
    return fmax(LEARN_STEPS_MIN, fmin(steps, LEARN_STEPS_MAX));
}

static int64_t next_planned(const struct model *model, int64_t elapsed_ms)
{
    int64_t first = model->sorted[0], last = model->sorted[model->count - 1];
    double steps = steps_of(model), even = (double)(last - first) / steps;
    int64_t from = elapsed_ms < first ? first : elapsed_ms;
    if (from >= last)
        return from + (int64_t)even + (from - last) / 4;
    double likely = (double)(quantile(model, fmin(1, rank(model, from) + 1 / steps)) - from);
    return from + (int64_t)sqrt(likely * even);
}

static int64_t clamp(int64_t value, int64_t min, int64_t max)
{
    return value < min ? min : value > max ? max : value;
}

struct learn *learn_new(void)
{
    return mem_alloc(sizeof(struct learn));
}

void learn_free(struct learn *learn)
{
    if (!learn)
        return;
    for (size_t i = 0; i < learn->count; i++) {
        free(learn->models[i]->name);
        free(learn->models[i]);
    }
    free(learn);
}

/* Ready before it was looked for, or later than any that is known: once, that is chance. */
static bool has_changed(struct model *model, int64_t running_ms, int64_t noticed_ms)
{
    bool known = model->count >= LEARN_ENOUGH && noticed_ms > LEARN_INTERVAL_MS;
    bool surprise = known && (running_ms <= 0 || running_ms > model->sorted[model->count - 1]);
    model->surprises = surprise ? model->surprises + 1 : 0;
    return model->surprises >= LEARN_SURPRISES;
}

static void put(struct model *model, int64_t sample)
{
    if (model->count < LEARN_SAMPLES) {
        model->newest[model->count++] = sample;
    } else {
        model->newest[model->oldest] = sample;
        model->oldest = (model->oldest + 1) % LEARN_SAMPLES;
    }
    memcpy(model->sorted, model->newest, sizeof(model->sorted));
    qsort(model->sorted, model->count, sizeof(model->sorted[0]), compare);
}

void learn_add(struct learn *learn, const char *name, int64_t running_ms, int64_t noticed_ms)
{
    struct model *model = find_or_add(learn, name);
    if (!model || noticed_ms < 0 || running_ms > noticed_ms)
        return;
    if (has_changed(model, running_ms, noticed_ms)) {
        model->count = 0;
        model->oldest = 0;
    }
    /* Found at the first look: how much earlier it was ready is unknown. A little less than what
     * was seen moves that look forward. */
    put(model,
        running_ms > 0 ? running_ms + (noticed_ms - running_ms) / 2 : noticed_ms - noticed_ms / 10);
}

int64_t learn_wait(const struct learn *learn, const char *name, const struct learn_bounds *bounds,
                   int64_t elapsed_ms, double random)
{
    const struct model *model = find(learn, name);
    int64_t wait = elapsed_ms / 4;
    if (model && model->count >= LEARN_ENOUGH)
        wait = next_planned(model, elapsed_ms) - elapsed_ms;
    wait += (int64_t)((double)wait * 0.1 * (random - 0.5));
    return clamp(wait, bounds->min_ms, bounds->max_ms);
}

int64_t learn_median(const struct learn *learn, const char *name)
{
    const struct model *model = find(learn, name);
    return model && model->count >= LEARN_ENOUGH ? quantile(model, 0.5) : 0;
}

size_t learn_count(const struct learn *learn, const char *name)
{
    const struct model *model = find(learn, name);
    return model ? model->count : 0;
}
