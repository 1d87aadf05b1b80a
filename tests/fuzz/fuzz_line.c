/* Bytes into lines. However the input is cut into reads, the reader must report the same; what it
 * calls text must be text; and it must never hold more than it may. The first two bytes choose the
 * longest line and the cuts; a line "BODY n" announces a body. */
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "proto/line.h"
#include "tests/fuzz/require.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void note(struct line_reader *reader, struct buf *transcript, enum line_event event,
                 struct line_piece piece)
{
    switch (event) {
    case LINE_MORE:
        break;
    case LINE_TEXT:
        REQUIRE(piece.data[piece.length] == '\0' && strlen(piece.data) == piece.length);
        REQUIRE(piece.length <= reader->max_line);
        REQUIRE(utf8_valid_prefix(piece.data, piece.length) == piece.length);
        REQUIRE(memchr(piece.data, '\n', piece.length) == NULL);
        buf_addf(transcript, "text %zu %s\n", piece.length, piece.data);
        if (strncmp(piece.data, "BODY ", 5) == 0)
            line_expect_body(reader, strtoull(piece.data + 5, NULL, 10));
        break;
    case LINE_TOO_LONG:
        REQUIRE(piece.length > reader->max_line);
        buf_addf(transcript, "long %zu\n", piece.length);
        break;
    case LINE_BAD_TEXT:
        REQUIRE(strlen(piece.data) == piece.length && piece.length < reader->max_line);
        buf_addf(transcript, "bad %zu %s\n", piece.length, piece.data);
        break;
    case LINE_BODY:
        REQUIRE(piece.length > 0);
        buf_add(transcript, piece.data, piece.length);
        break;
    case LINE_BODY_END:
        buf_add_text(transcript, "\nend\n");
        break;
    }
}

static void feed(struct line_reader *reader, struct buf *transcript, const char *data,
                 size_t length)
{
    for (;;) {
        struct line_piece piece;
        enum line_event event = line_next(reader, &data, &length, &piece);
        if (event == LINE_MORE)
            break;
        note(reader, transcript, event, piece);
    }
    REQUIRE(length == 0);
    REQUIRE(line_pending(reader) <= reader->max_line + 1);
    REQUIRE(reader->partial.capacity <= reader->max_line + 2);
    REQUIRE(line_pending(reader) > 0 || reader->partial.data == NULL);
}

/* `cut` is the size of a read; 0: reads of 1, 2, 3, … bytes. */
static char *transcribe(const char *data, size_t size, size_t max_line, size_t cut)
{
    struct line_reader reader;
    struct buf transcript;
    line_init(&reader, max_line);
    buf_init(&transcript, size * 32 + 1024);
    size_t step = cut;
    for (size_t at = 0; at < size; at += step) {
        step = cut != 0 ? cut : step + 1;
        if (step > size - at)
            step = size - at;
        feed(&reader, &transcript, data + at, step);
    }
    buf_addf(&transcript, "state %d pending %zu", (int)reader.state, line_pending(&reader));
    REQUIRE(!transcript.failed);
    line_free(&reader);
    return buf_steal(&transcript);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    size_t max_line = (size_t)data[0] + 1, cuts[] = {1, 0, (size_t)data[1] + 2};
    const char *text = (const char *)data + 2;
    size -= 2;
    char *whole = transcribe(text, size, max_line, size != 0 ? size : 1);
    for (size_t i = 0; i < sizeof(cuts) / sizeof(cuts[0]); i++) {
        char *parts = transcribe(text, size, max_line, cuts[i]);
        REQUIRE(strcmp(whole, parts) == 0);
        free(parts);
    }
    free(whole);
    return 0;
}
