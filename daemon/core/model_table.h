/* What is known of models: sections of the configuration, each for those that its glob takes. The
 * shipped ones are read first; a user's section of the same glob changes single keys of a shipped
 * one, and others go before all shipped ones. */
#ifndef VEO_MODEL_TABLE_H
#define VEO_MODEL_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "proto/error.h"

#define MODEL_TABLE_MAX 256 /* models */
#define MODEL_WORDS_MAX 16  /* in a list */
#define MODEL_RULES_MAX 16
#define MODEL_TERMS_MAX 8 /* of a rule */

/* name, text; the order is that of `field_present` in model.c. */
#define MODEL_FIELDS(X)                   \
    X(ASPECT_RATIO, "aspect_ratio")       \
    X(RESOLUTION, "resolution")           \
    X(DURATION, "duration_seconds")       \
    X(SAMPLES, "sample_count")            \
    X(IMAGE, "image")                     \
    X(LAST_FRAME, "last_frame")           \
    X(REFERENCES, "reference_images")     \
    X(VIDEO, "video")                     \
    X(NEGATIVE_PROMPT, "negative_prompt") \
    X(SEED, "seed")                       \
    X(GENERATE_AUDIO, "generate_audio")   \
    X(ENHANCE_PROMPT, "enhance_prompt")   \
    X(PERSON_GENERATION, "person_generation")

enum model_field {
#define X(name, text) MODEL_##name,
    MODEL_FIELDS(X)
#undef X
        MODEL_FIELD_COUNT
};
const char *model_field_name(enum model_field field);
enum model_field model_field_named(const char *name); /* MODEL_FIELD_COUNT: none */

enum model_state { MODEL_UNKNOWN, MODEL_CURRENT, MODEL_PREVIEW, MODEL_SHUT_DOWN };
const char *model_state_name(enum model_state state); /* NULL for MODEL_UNKNOWN */

/* Words that are owned. Not given: nothing is known, and all is taken. */
struct model_words {
    bool given;
    char *words[MODEL_WORDS_MAX];
    size_t count;
};

struct model_prices {
    struct {
        char *name;     /* a resolution, or what is counted; owned */
        int64_t amount; /* micro-dollars */
    } rows[MODEL_WORDS_MAX];
    size_t count;
};

/* "resolution=1080p|4k": the field has one of these; "image": it is there; "!image": it is not. */
struct model_term {
    enum model_field field;
    bool absent;
    char *values; /* "1080p|4k"; NULL: any. Owned */
};

/* Where all of `when` holds all of `need` must. */
struct model_rule {
    char *text; /* as it was written; owned */
    struct model_term when[MODEL_TERMS_MAX], need[MODEL_TERMS_MAX];
    size_t when_count, need_count;
};

struct model_rule *model_rule_parse(const char *text); /* NULL: it is none */
void model_rule_free(struct model_rule *rule);

struct model {
    char *glob;
    bool is_shipped;
    bool has_own_rules; /* a user's took the place of the shipped ones */
    enum model_state state;
    char *since;
    char *replaced_by;
    char *note;
    struct model_words aspect_ratios;
    struct model_words resolutions;
    struct model_words durations; /* seconds; a range is the one word "3-10" */
    struct model_words inputs;
    struct model_words accepts;
    int samples;          /* at most; 0: not known */
    int reference_images; /* at most; 0: not known */
    char *default_resolution;
    char *default_duration;
    struct model_prices prices;        /* a second, by resolution; "*": any */
    struct model_prices silent_prices; /* the same without sound */
    struct model_prices token_prices;  /* a million tokens: input, video, other */
    struct model_rule *rules[MODEL_RULES_MAX];
    size_t rule_count;
};

struct model_table;

struct model_table *model_table_new(void);
void model_table_free(struct model_table *table); /* takes NULL */

/* One key of the section [model GLOB]; `shipped`: of the embedded table. -1 with `error`. */
int model_table_set(struct model_table *table, bool shipped, const char *glob, const char *key,
                    const char *value, struct error *error);

/* Refuses what no single key shows. -1 with `error`. */
int model_table_check(const struct model_table *table, struct error *error);

/* The first that takes the model. A name such as gemini/veo-3.1-generate-preview, which no glob
 * takes as a whole, is looked up without what is before its last slash. NULL: unknown. `table` may
 * be NULL. */
const struct model *model_table_find(const struct model_table *table, const char *model);

size_t model_table_count(const struct model_table *table);
const struct model *model_table_at(const struct model_table *table, size_t index);

/* As sections of veod.conf. */
void model_table_print(const struct model_table *table, FILE *to);

#endif
