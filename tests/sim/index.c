#include "tests/sim/index.h"

#include <stdlib.h>
#include <string.h>

#include "proto/mem.h"

static uint64_t hash_text(const char *text)
{
    uint64_t hash = 14695981039346656037u;
    for (; *text; text++) {
        hash = (hash ^ (unsigned char)*text) * 1099511628211u;
    }
    return hash ^ (hash >> 29);
}

/* The slot that holds the key, or the free one where it belongs. */
static struct index_slot *find_slot(const struct index *index, const char *key, uint64_t hash)
{
    size_t mask = index->capacity - 1;
    size_t at = (size_t)hash & mask;
    while (index->slots[at].key &&
           (index->slots[at].hash != hash || strcmp(index->slots[at].key, key) != 0)) {
        at = (at + 1) & mask;
    }
    return &index->slots[at];
}

static void grow(struct index *index)
{
    struct index old = *index;
    index->capacity = old.capacity ? old.capacity * 2 : 64;
    index->slots = mem_alloc(index->capacity * sizeof(*index->slots));
    for (size_t i = 0; i < old.capacity; i++) {
        if (old.slots[i].key) {
            *find_slot(index, old.slots[i].key, old.slots[i].hash) = old.slots[i];
        }
    }
    free(old.slots);
}

void index_free(struct index *index)
{
    free(index->slots);
    *index = (struct index){0};
}

void *index_find(const struct index *index, const char *key)
{
    if (index->count == 0) {
        return NULL;
    }
    return find_slot(index, key, hash_text(key))->value;
}

void index_add(struct index *index, const char *key, void *value)
{
    if (index->count * 2 >= index->capacity) {
        grow(index);
    }
    uint64_t hash = hash_text(key);
    *find_slot(index, key, hash) = (struct index_slot){.key = key, .hash = hash, .value = value};
    index->count++;
}
