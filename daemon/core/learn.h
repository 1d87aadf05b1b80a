/* When to poll: learned, for each model, from how long its generations took.
 *
 * With enough samples the polls are laid at equal steps of probability: few while no generation of
 * that model was ever ready, dense where most are. So the mean lag shrinks without more polls than
 * a fixed interval makes. Without samples the interval grows with the time that has passed. */
#ifndef VEO_LEARN_H
#define VEO_LEARN_H

#include <stddef.h>
#include <stdint.h>

#define LEARN_SAMPLES 64  /* kept for a model; the newest */
#define LEARN_ENOUGH  8   /* samples before they are believed */
#define LEARN_MODELS  256 /* later ones are not learned */
#define LEARN_STEPS   12  /* polls over the whole range of durations */

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
