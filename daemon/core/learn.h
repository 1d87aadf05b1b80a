/* When to poll: learned, for each model, from how long its generations took.
 *
 * With enough samples no poll is made while no generation of that model was ever ready; from then
 * on each step is the geometric mean of an equal step of probability and an equal step of time: for
 * a given number of polls the mean lag is least when their density goes with the square root of
 * that of the endings. There are as many steps as a fixed interval of LEARN_INTERVAL_MS would make
 * polls over all, so the lag shrinks without more of them. Without samples the interval grows with
 * the time that has passed. A model whose durations have changed is learned anew. */
#ifndef VEO_LEARN_H
#define VEO_LEARN_H

#include <stddef.h>
#include <stdint.h>

#define LEARN_SAMPLES     64   /* kept for a model; the newest */
#define LEARN_ENOUGH      8    /* samples before they are believed */
#define LEARN_MODELS      256  /* later ones are not learned */
#define LEARN_INTERVAL_MS 5000 /* the fixed interval whose number of polls is not exceeded */
#define LEARN_STEPS_MIN   4    /* over the range of durations */
#define LEARN_STEPS_MAX   24   /* for long generations fewer polls are enough */
#define LEARN_SURPRISES   4    /* in a row: ready at the first look, or later than any before */

struct learn;

struct learn_bounds {
    int64_t min_ms; /* between two polls */
    int64_t max_ms;
};

struct learn *learn_new(void);
void learn_free(struct learn *learn); /* takes NULL */

/* A generation by the model `name` was seen finished `noticed_ms` after its start, and still
 * running `running_ms` after it (0: never looked). The truth lies between. */
void learn_add(struct learn *learn, const char *name, int64_t running_ms, int64_t noticed_ms);

/* How long to wait for the next poll of a generation that has run for `elapsed_ms`. `random` in
 * [0, 1) spreads those that began together. */
int64_t learn_wait(const struct learn *learn, const char *name, const struct learn_bounds *bounds,
                   int64_t elapsed_ms, double random);

/* The median duration, 0 if there are not enough samples; and how many there are. */
int64_t learn_median(const struct learn *learn, const char *name);
size_t learn_count(const struct learn *learn, const char *name);

#endif
