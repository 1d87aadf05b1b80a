#include "tests/sim/stream.h"

#include <stdlib.h>
#include <string.h>

#define GROUPS 1024 /* of 3 bytes, encoded at a time */

static struct piece *add(struct stream *stream, enum piece_kind kind, uint64_t length)
{
    if (stream->count == STREAM_PIECES) {
        abort();
    }
    struct piece *piece = &stream->pieces[stream->count++];
    piece->kind = kind;
    piece->length = length;
    stream->length = length == STREAM_FOREVER ? length : stream->length + length;
    return piece;
}

static void encode_group(const unsigned char *in, size_t length, char *out)
{
    static const char letters[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    unsigned bits =
        (unsigned)in[0] << 16 | (length > 1 ? (unsigned)in[1] << 8 : 0) | (length > 2 ? in[2] : 0u);
    out[0] = letters[bits >> 18];
    out[1] = letters[bits >> 12 & 63];
    out[2] = '=';
    out[3] = '=';
    if (length > 1) {
        out[2] = letters[bits >> 6 & 63];
    }
    if (length > 2) {
        out[3] = letters[bits & 63];
    }
}

static size_t read_base64(const struct piece *piece, uint64_t position, char *out, size_t size)
{
    unsigned char in[GROUPS * 3];
    char encoded[GROUPS * 4];
    uint64_t from = position / 4 * 3;
    uint64_t left = piece->media.length - from;
    size_t length = left < sizeof(in) ? (size_t)left : sizeof(in);
    media_read(&piece->media, from, in, length);
    size_t made = 0;
    for (size_t i = 0; i < length; i += 3, made += 4) {
        encode_group(in + i, length - i < 3 ? length - i : 3, encoded + made);
    }
    size_t skip = (size_t)(position % 4);
    size_t part = made - skip < size ? made - skip : size;
    memcpy(out, encoded + skip, part);
    return part;
}

static size_t read_piece(const struct piece *piece, uint64_t position, char *out, size_t size)
{
    uint64_t left = piece->length - position;
    size_t part = left < size ? (size_t)left : size;
    switch (piece->kind) {
    case PIECE_TEXT:
        memcpy(out, piece->text + position, part);
        break;
    case PIECE_MEDIA:
        media_read(&piece->media, piece->offset + position, out, part);
        break;
    case PIECE_BASE64:
        return read_base64(piece, position, out, part);
    case PIECE_FILLER:
        memset(out, 'x', part);
        break;
    }
    return part;
}

void stream_free(struct stream *stream)
{
    for (unsigned i = 0; i < stream->count; i++) {
        free(stream->pieces[i].text);
    }
    memset(stream->pieces, 0, stream->count * sizeof(*stream->pieces));
    stream->count = 0;
    stream->length = 0;
}

void stream_add_text(struct stream *stream, char *text, size_t length)
{
    add(stream, PIECE_TEXT, length)->text = text;
}

void stream_add_media(struct stream *stream, const struct media *media, uint64_t offset,
                      uint64_t length)
{
    struct piece *piece = add(stream, PIECE_MEDIA, length);
    piece->media = *media;
    piece->offset = offset;
}

void stream_add_base64(struct stream *stream, const struct media *media)
{
    add(stream, PIECE_BASE64, (media->length + 2) / 3 * 4)->media = *media;
}

void stream_add_filler(struct stream *stream, uint64_t length)
{
    add(stream, PIECE_FILLER, length);
}

bool stream_is_text(const struct stream *stream)
{
    return stream->count == 1 && stream->pieces[0].kind == PIECE_TEXT;
}

size_t stream_read(const struct stream *stream, uint64_t position, char *out, size_t size)
{
    size_t done = 0;
    uint64_t begin = 0;
    for (unsigned i = 0; i < stream->count && done < size; i++) {
        const struct piece *piece = &stream->pieces[i];
        while (done < size && position - begin < piece->length) {
            size_t part = read_piece(piece, position - begin, out + done, size - done);
            done += part;
            position += part;
        }
        begin += piece->length;
    }
    return done;
}
