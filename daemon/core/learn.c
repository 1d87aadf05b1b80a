#include "daemon/core/learn.h"

#include <stdlib.h>
#include <string.h>

#include "proto/mem.h"

struct model {
    char *name;
    int64_t newest[LEARN_SAMPLES]; /* a ring */
    int64_t sorted[LEARN_SAMPLES];
    size_t count;
    size_t oldest;
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

/* The first planned time after `elapsed_ms`, or where overdue ones are looked for. */
static int64_t next_planned(const struct model *model, int64_t elapsed_ms)
{
    int64_t first = model->sorted[0], last = model->sorted[model->count - 1];
    for (int step = 0; step <= LEARN_STEPS; step++) {
        int64_t planned = quantile(model, (double)step / LEARN_STEPS);
        if (planned > elapsed_ms)
            return planned;
    }
    return elapsed_ms + (last - first) / LEARN_STEPS + (elapsed_ms - last) / 4;
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

void learn_add(struct learn *learn, const char *name, int64_t running_ms, int64_t noticed_ms)
{
    struct model *model = find_or_add(learn, name);
    if (!model || noticed_ms < 0 || running_ms > noticed_ms)
        return;
    /* Found at the first look: how much earlier it was ready is unknown. A little less than what
     * was seen lets the estimate follow a provider that has become faster. */
    int64_t sample = running_ms > 0 ? (running_ms + noticed_ms) / 2 : noticed_ms - noticed_ms / 10;
    if (model->count < LEARN_SAMPLES) {
        model->newest[model->count++] = sample;
    } else {
        model->newest[model->oldest] = sample;
        model->oldest = (model->oldest + 1) % LEARN_SAMPLES;
    }
    memcpy(model->sorted, model->newest, sizeof(model->sorted));
    qsort(model->sorted, model->count, sizeof(model->sorted[0]), compare);
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
