#include "tests/sim/media.h"

#include <string.h>

#define EMBED(name, path)                              \
    __asm__(".section .rodata\n"                       \
            ".global " #name "_begin, " #name "_end\n" \
            ".balign 16\n" #name "_begin:\n"           \
            ".incbin \"" path "\"\n" #name "_end:\n"   \
            ".byte 0\n"                                \
            ".previous\n");                            \
    extern const unsigned char name##_begin[], name##_end[]

EMBED(sim_landscape, SIM_MEDIA_DIRECTORY "/16x9.mp4");
EMBED(sim_portrait, SIM_MEDIA_DIRECTORY "/9x16.mp4");

#define NOISE_BYTES 20000

static const char html[] = "<!DOCTYPE html>\n<html><head><title>Sorry</title></head>"
                           "<body>This is no video.</body></html>\n";
static const char json[] =
    "{\"error\":{\"code\":302,\"message\":\"Unknown Error.\",\"status\":\"UNKNOWN\"}}\n";

/* Bytes that depend on their place, so that a download put together wrongly can't look right. */
static uint64_t noise(uint64_t word)
{
    uint64_t x = (word + 1) * 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    return x ^ (x >> 27);
}

static void fill_noise(uint64_t offset, unsigned char *out, size_t length)
{
    while (length > 0) {
        uint64_t word = noise(offset / 8);
        size_t skip = (size_t)(offset % 8);
        size_t part = 8 - skip < length ? 8 - skip : length;
        memcpy(out, (const unsigned char *)&word + skip, part);
        out += part;
        offset += part;
        length -= part;
    }
}

static void put_big_endian(unsigned char *out, uint64_t number, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++) {
        out[i] = (unsigned char)(number >> (8 * (bytes - 1 - i)));
    }
}

static void pad(struct media *media, uint64_t bytes)
{
    uint64_t box = bytes > media->length ? bytes - media->length : 0;
    if (box < 16) {
        return;
    }
    bool large = box > UINT32_MAX;
    put_big_endian(media->box, large ? 1 : box, 4);
    memcpy(media->box + 4, "free", 4);
    if (large) {
        put_big_endian(media->box + 8, box, 8);
    }
    media->box_length = large ? 16 : 8;
    media->length = bytes;
}

static struct media open_static(const void *data, size_t length)
{
    return (struct media){.head = data, .head_length = length, .length = length};
}

static struct media open_video(bool portrait)
{
    return portrait
               ? open_static(sim_portrait_begin, (size_t)(sim_portrait_end - sim_portrait_begin))
               : open_static(sim_landscape_begin,
                             (size_t)(sim_landscape_end - sim_landscape_begin));
}

struct media media_open(enum media_kind kind, bool portrait, uint64_t bytes)
{
    struct media media = open_video(portrait);
    switch (kind) {
    case MEDIA_VIDEO:
        pad(&media, bytes);
        return media;
    case MEDIA_CUT:
        media.head_length = media.length = media.length / 2;
        return media;
    case MEDIA_GARBAGE:
        return (struct media){.head = sim_landscape_begin, .length = bytes ? bytes : NOISE_BYTES};
    case MEDIA_HTML:
        return open_static(html, sizeof(html) - 1);
    case MEDIA_JSON:
        return open_static(json, sizeof(json) - 1);
    case MEDIA_EMPTY:
        break;
    }
    return open_static("", 0);
}

void media_read(const struct media *media, uint64_t offset, void *out, size_t length)
{
    unsigned char *to = out;
    if (offset < media->head_length) {
        uint64_t left = media->head_length - offset;
        size_t part = left < length ? (size_t)left : length;
        memcpy(to, media->head + offset, part);
        to += part;
        offset += part;
        length -= part;
    }
    for (; length > 0 && offset - media->head_length < media->box_length; length--) {
        *to++ = media->box[offset++ - media->head_length];
    }
    fill_noise(offset, to, length);
}

bool media_kind_from_name(const char *name, enum media_kind *ret)
{
    static const char *const names[] = {"video", "cut", "garbage", "html", "json", "empty"};
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
        if (strcmp(names[i], name) == 0) {
            *ret = (enum media_kind)i;
            return true;
        }
    }
    return false;
}
