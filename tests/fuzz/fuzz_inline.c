/* The inline filter's output must not depend on how its input is cut, nor on how its reader takes
 * the bytes. The input's first byte seeds the cuts; a byte above 0xf0 stands for a long piece of
 * base64, so that runs are found without long inputs. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/provider/inline.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define INPUT_MAX    65536
#define DOCUMENT_MAX 16384

struct taker {
    struct buf log; /* what was heard, ends of runs included */
    uint32_t random;
    bool greedy;
};

static uint32_t next_random(uint32_t *random)
{
    *random = *random * 1664525 + 1013904223;
    return *random >> 16;
}

static void on_begin(void *arg, unsigned index)
{
    struct taker *taker = arg;
    buf_addf(&taker->log, "<%u:", index);
}

static size_t on_data(void *arg, unsigned index, const unsigned char *bytes, size_t length)
{
    (void)index;
    struct taker *taker = arg;
    size_t taken = taker->greedy ? length : next_random(&taker->random) % (length + 1);
    buf_add(&taker->log, bytes, taken);
    return taken;
}

static void on_end(void *arg, unsigned index, bool intact)
{
    struct taker *taker = arg;
    buf_addf(&taker->log, ":%u %d>", index, intact);
}

static const struct inline_hooks hooks = {on_begin, on_data, on_end};

static void expand(struct buf *input, const uint8_t *data, size_t size)
{
    char piece[INLINE_THRESHOLD / 2];
    for (size_t i = 0; i < sizeof(piece); i++)
        piece[i] = "AZaz09+/-_"[i % 10];
    for (size_t i = 0; i < size && input->length < INPUT_MAX; i++)
        if (data[i] > 0xf0)
            buf_add(input, piece, sizeof(piece));
        else
            buf_add_byte(input, (char)data[i]);
}

static void feed(struct taker *taker, struct buf *document, const struct buf *input)
{
    struct inline_filter *filter = inline_new(document, &hooks, taker);
    for (size_t at = 0; at < input->length;) {
        size_t left = input->length - at;
        size_t piece = taker->greedy ? left : next_random(&taker->random) % 97 + 1;
        at += inline_feed(filter, input->data + at, piece < left ? piece : left);
    }
    inline_free(filter);
}

static void require_same(const struct buf *a, const struct buf *b)
{
    if (a->failed != b->failed ||
        (!a->failed &&
         (a->length != b->length || (a->length && memcmp(a->data, b->data, a->length) != 0))))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    struct buf input, documents[2];
    struct taker takers[2];
    buf_init(&input, 1 << 22);
    expand(&input, data + 1, size - 1);
    /* Ends any escape, and then any run, so that the filter holds nothing back. */
    buf_add_text(&input, "x\"\"");
    for (unsigned i = 0; i < 2; i++) {
        takers[i] = (struct taker){.random = data[0], .greedy = i == 0};
        buf_init(&takers[i].log, 1 << 22);
        buf_init(&documents[i], DOCUMENT_MAX);
        feed(&takers[i], &documents[i], &input);
    }
    require_same(&documents[0], &documents[1]);
    require_same(&takers[0].log, &takers[1].log);
    for (unsigned i = 0; i < 2; i++) {
        buf_free(&takers[i].log);
        buf_free(&documents[i]);
    }
    buf_free(&input);
    return 0;
}
