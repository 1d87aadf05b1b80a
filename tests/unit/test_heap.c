#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "daemon/core/heap.h"

struct thing {
    int value;
    struct heap_node node;
};

static bool less(const struct heap_node *a, const struct heap_node *b)
{
    return heap_entry(a, const struct thing, node)->value <
           heap_entry(b, const struct thing, node)->value;
}

static int first_value(const struct heap *heap)
{
    return heap_entry(heap_first(heap), struct thing, node)->value;
}

static void assert_sound(const struct heap *heap)
{
    for (size_t i = 1; i <= heap->count; i++) {
        assert_int_equal(heap->nodes[i]->place, i);
        if (i > 1)
            assert_false(less(heap->nodes[i], heap->nodes[i / 2]));
    }
}

static void test_empty(void **state)
{
    (void)state;
    struct heap heap;
    struct thing thing = {.value = 1};
    heap_init(&heap, less);
    assert_null(heap_first(&heap));
    heap_remove(&heap, &thing.node);
    heap_add(&heap, &thing.node);
    assert_ptr_equal(heap_first(&heap), &thing.node);
    heap_remove(&heap, &thing.node);
    heap_remove(&heap, &thing.node);
    assert_null(heap_first(&heap));
    assert_int_equal(thing.node.place, 0);
    heap_free(&heap);
    heap_free(&heap);
}

static void test_all_orders_of_six_come_out_sorted(void **state)
{
    (void)state;
    for (int order = 0; order < 720; order++) {
        struct heap heap;
        struct thing things[6] = {0};
        int left[6] = {0, 1, 2, 3, 4, 5}, rest = order;
        heap_init(&heap, less);
        for (int i = 0; i < 6; i++) {
            int at = rest % (6 - i);
            rest /= 6 - i;
            things[i].value = left[at];
            left[at] = left[5 - i];
            heap_add(&heap, &things[i].node);
        }
        for (int i = 0; i < 6; i++) {
            assert_int_equal(first_value(&heap), i);
            heap_remove(&heap, heap_first(&heap));
        }
        assert_int_equal(heap.count, 0);
        heap_free(&heap);
    }
}

#define THINGS 300

static int smallest(const struct thing *things)
{
    int ret = INT32_MAX;
    for (int i = 0; i < THINGS; i++)
        if (things[i].node.place && things[i].value < ret)
            ret = things[i].value;
    return ret;
}

static size_t placed(const struct thing *things)
{
    size_t ret = 0;
    for (int i = 0; i < THINGS; i++)
        ret += things[i].node.place != 0;
    return ret;
}

static void test_any_add_and_remove(void **state)
{
    static struct thing things[THINGS];
    struct heap heap;
    unsigned seed = 7;
    (void)state;
    heap_init(&heap, less);
    for (int round = 0; round < 6000; round++) {
        struct thing *thing = &things[rand_r(&seed) % THINGS];
        /* Grows first, then shrinks. */
        if (!thing->node.place && rand_r(&seed) % 6000 > round / 2) {
            thing->value = rand_r(&seed) % 100; /* many are equal */
            heap_add(&heap, &thing->node);
        } else {
            heap_remove(&heap, &thing->node);
            assert_int_equal(thing->node.place, 0);
        }
        assert_int_equal(heap.count, placed(things));
        if (heap.count)
            assert_int_equal(first_value(&heap), smallest(things));
        if (round % 50 == 0)
            assert_sound(&heap);
    }
    heap_free(&heap);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_empty),
        cmocka_unit_test(test_all_orders_of_six_come_out_sorted),
        cmocka_unit_test(test_any_add_and_remove),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
