/* A binary min-heap of nodes that live inside other structs. */
#ifndef VEO_HEAP_H
#define VEO_HEAP_H

#include <stdbool.h>
#include <stddef.h>

struct heap_node {
    size_t place; /* from 1; 0: in no heap */
};

struct heap {
    bool (*less)(const struct heap_node *a, const struct heap_node *b);
    struct heap_node **nodes; /* from index 1 */
    size_t count;
    size_t capacity;
};

#define heap_entry(node, type, member) ((type *)((char *)(node)-offsetof(type, member)))

void heap_init(struct heap *heap,
               bool (*less)(const struct heap_node *a, const struct heap_node *b));
void heap_free(struct heap *heap); /* the nodes are their owners' */
void heap_add(struct heap *heap, struct heap_node *node);
void heap_remove(struct heap *heap, struct heap_node *node); /* harmless if it is in no heap */
struct heap_node *heap_first(const struct heap *heap);       /* NULL if empty */

#endif
