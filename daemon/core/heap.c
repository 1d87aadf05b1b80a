#include "daemon/core/heap.h"

#include <stdlib.h>

#include "proto/mem.h"

static void put(struct heap *heap, size_t place, struct heap_node *node)
{
    heap->nodes[place] = node;
    node->place = place;
}

static void rise(struct heap *heap, size_t place)
{
    struct heap_node *node = heap->nodes[place];
    for (; place > 1 && heap->less(node, heap->nodes[place / 2]); place /= 2)
        put(heap, place, heap->nodes[place / 2]);
    put(heap, place, node);
}

static void sink(struct heap *heap, size_t place)
{
    struct heap_node *node = heap->nodes[place];
    for (size_t child; (child = 2 * place) <= heap->count; place = child) {
        if (child < heap->count && heap->less(heap->nodes[child + 1], heap->nodes[child]))
            child++;
        if (!heap->less(heap->nodes[child], node))
            break;
        put(heap, place, heap->nodes[child]);
    }
    put(heap, place, node);
}

void heap_init(struct heap *heap,
               bool (*less)(const struct heap_node *a, const struct heap_node *b))
{
    *heap = (struct heap){.less = less};
}

void heap_free(struct heap *heap)
{
    free(heap->nodes);
    heap->nodes = NULL;
    heap->count = heap->capacity = 0;
}

void heap_add(struct heap *heap, struct heap_node *node)
{
    if (heap->count + 1 >= heap->capacity) {
        heap->capacity = heap->capacity ? 2 * heap->capacity : 16;
        heap->nodes = mem_resize(heap->nodes, heap->capacity, sizeof(struct heap_node *));
    }
    put(heap, ++heap->count, node);
    rise(heap, heap->count);
}

void heap_remove(struct heap *heap, struct heap_node *node)
{
    size_t place = node->place;
    if (place == 0)
        return;
    struct heap_node *last = heap->nodes[heap->count--];
    node->place = 0;
    if (last == node)
        return;
    put(heap, place, last);
    rise(heap, place);
    sink(heap, last->place);
}

struct heap_node *heap_first(const struct heap *heap)
{
    return heap->count ? heap->nodes[1] : NULL;
}
