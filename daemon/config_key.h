/* The keys of veod.conf: one table for each kind of section, and what is done with a value by its
 * type. Only daemon/config*.c include this. */
#ifndef VEO_CONFIG_KEY_H
#define VEO_CONFIG_KEY_H

#include "daemon/config.h"

enum key_type {
    KEY_TEXT,
    KEY_NUMBER,
    KEY_DURATION, /* ms */
    KEY_SIZE,     /* bytes */
    KEY_MODE,     /* octal */
    KEY_DOLLARS,  /* micro-dollars; unset is -1 */
    KEY_CHOICE,   /* one of the words in `choices` */
};

struct key {
    const char *section;
    const char *name;
    enum key_type type;
    size_t offset;
    const char *fallback; /* NULL: unset */
    int64_t min, max;
    const char *choices;
};
struct key_table {
    const struct key *rows;
    size_t count;
};

extern const struct key_table config_keys;          /* in a struct config */
extern const struct key_table config_provider_keys; /* in a struct config_provider */

/* -1 with `error`: what was expected. */
int config_key_set(const struct key *key, void *base, const char *value, struct error *error);
int config_keys_set_defaults(const struct key_table *table, void *base, struct error *error);
void config_keys_print(const struct key_table *table, const void *base, FILE *to);
void config_keys_free(const struct key_table *table, void *base);

bool config_key_is_text(const struct key *key);
bool config_key_is_same(const struct key *key, const void *a, const void *b);
/* Gives `to` the value that `from` has, and `from` the one that `to` had. */
void config_key_swap(const struct key *key, void *to, void *from);

#endif
