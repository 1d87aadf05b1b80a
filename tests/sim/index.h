/* Finds things by a string: a hash table that borrows its keys. */
#ifndef SIM_INDEX_H
#define SIM_INDEX_H

#include <stddef.h>
#include <stdint.h>

struct index_slot {
    const char *key; /* NULL: free */
    uint64_t hash;
    void *value;
};

struct index {
    struct index_slot *slots;
    size_t capacity; /* a power of two, or 0 */
    size_t count;
};

void index_free(struct index *index); /* leaves an empty, usable index; values are not its own */

/* NULL if there is none. */
void *index_find(const struct index *index, const char *key);

/* The key must not be in it yet, and must live as long as the index. */
void index_add(struct index *index, const char *key, void *value);

#endif
