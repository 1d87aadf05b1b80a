#include "daemon/provider/inline.h"

#include <stdlib.h>
#include <string.h>

#include "proto/mem.h"

#define BLOCK 3072 /* decoded bytes held until they are taken; a multiple of 3 */

/* A string's bytes go to the document while it is PROBED. Once it has proved to be a run, they are
 * taken back and decoded, and the rest never gets there. Telling strings from the rest takes only
 * the quotes and the backslashes; whether the document is JSON is for its reader to say. */
enum state {
    OUTSIDE,
    PROBED, /* in a string of base64 so far, shorter than the threshold */
    PLAIN,  /* in a string that is none */
    RUN,    /* in one that is taken out */
};

enum escape { NO_ESCAPE, BACKSLASH, HEX };

/* What a byte of a string comes to, escapes resolved: a character, or one of these. */
enum {
    UNFINISHED = -1, /* inside an escape */
    LINE_END = -2,   /* an escaped CR or LF: some encoders break their lines */
    QUOTE = -3,      /* the string's end */
    FOREIGN = -4,    /* a character that base64 hasn't got */
};

struct inline_filter {
    struct buf *document; /* borrowed */
    const struct inline_hooks *hooks;
    void *arg;

    enum state state;
    enum escape escape;
    unsigned hex_digits; /* of \uXXXX, seen so far */
    unsigned hex;

    size_t string_start; /* where the probed string's content begins in the document */
    unsigned probed;     /* its characters so far */

    unsigned next_index;
    unsigned index;    /* of the current run */
    uint32_t bits;     /* of the unfinished group of 4 characters */
    unsigned sextets;  /* 0 to 3 */
    unsigned paddings; /* '=' seen */
    bool broken;       /* the rest of the run is skipped */

    unsigned char block[BLOCK];
    size_t block_length;
    size_t block_taken;
};

/* Values of base64's characters, in both alphabets, plus 1; 0 for all others. */
static const unsigned char values[256] = {
    ['A'] = 1,  ['B'] = 2,  ['C'] = 3,  ['D'] = 4,  ['E'] = 5,  ['F'] = 6,  ['G'] = 7,  ['H'] = 8,
    ['I'] = 9,  ['J'] = 10, ['K'] = 11, ['L'] = 12, ['M'] = 13, ['N'] = 14, ['O'] = 15, ['P'] = 16,
    ['Q'] = 17, ['R'] = 18, ['S'] = 19, ['T'] = 20, ['U'] = 21, ['V'] = 22, ['W'] = 23, ['X'] = 24,
    ['Y'] = 25, ['Z'] = 26, ['a'] = 27, ['b'] = 28, ['c'] = 29, ['d'] = 30, ['e'] = 31, ['f'] = 32,
    ['g'] = 33, ['h'] = 34, ['i'] = 35, ['j'] = 36, ['k'] = 37, ['l'] = 38, ['m'] = 39, ['n'] = 40,
    ['o'] = 41, ['p'] = 42, ['q'] = 43, ['r'] = 44, ['s'] = 45, ['t'] = 46, ['u'] = 47, ['v'] = 48,
    ['w'] = 49, ['x'] = 50, ['y'] = 51, ['z'] = 52, ['0'] = 53, ['1'] = 54, ['2'] = 55, ['3'] = 56,
    ['4'] = 57, ['5'] = 58, ['6'] = 59, ['7'] = 60, ['8'] = 61, ['9'] = 62, ['+'] = 63, ['/'] = 64,
    ['-'] = 63, ['_'] = 64,
};

struct inline_filter *inline_new(struct buf *document, const struct inline_hooks *hooks, void *arg)
{
    struct inline_filter *filter = mem_alloc(sizeof(*filter));
    filter->document = document;
    filter->hooks = hooks;
    filter->arg = arg;
    return filter;
}

void inline_free(struct inline_filter *filter)
{
    free(filter);
}

static int hex_value(unsigned char byte)
{
    if (byte >= '0' && byte <= '9')
        return byte - '0';
    byte |= 0x20;
    return byte >= 'a' && byte <= 'f' ? byte - 'a' + 10 : -1;
}

static int resolve_backslash(struct inline_filter *filter, unsigned char byte)
{
    filter->escape = NO_ESCAPE;
    if (byte == 'u') {
        filter->escape = HEX;
        filter->hex = 0;
        filter->hex_digits = 0;
        return UNFINISHED;
    }
    if (byte == 'n' || byte == 'r')
        return LINE_END;
    return byte == '/' ? byte : FOREIGN;
}

static int resolve_hex(struct inline_filter *filter, int digit)
{
    filter->hex = filter->hex << 4 | (unsigned)digit;
    if (++filter->hex_digits < 4)
        return UNFINISHED;
    filter->escape = NO_ESCAPE;
    if (filter->hex == '\n' || filter->hex == '\r')
        return LINE_END;
    return filter->hex < 0x80 && (values[filter->hex] || filter->hex == '=') ? (int)filter->hex
                                                                             : FOREIGN;
}

/* Takes one more byte of a string. */
static int resolve(struct inline_filter *filter, unsigned char byte)
{
    if (filter->escape == BACKSLASH)
        return resolve_backslash(filter, byte);
    if (filter->escape == HEX) {
        int digit = hex_value(byte);
        if (digit >= 0)
            return resolve_hex(filter, digit);
        /* Not JSON. The byte counts as if there had been no escape: it may be the quote. */
        filter->escape = byte == '\\' ? BACKSLASH : NO_ESCAPE;
        return byte == '"' ? QUOTE : FOREIGN;
    }
    if (byte == '\\') {
        filter->escape = BACKSLASH;
        return UNFINISHED;
    }
    if (byte == '"')
        return QUOTE;
    return values[byte] || byte == '=' ? byte : FOREIGN;
}

static bool flush(struct inline_filter *filter)
{
    size_t left = filter->block_length - filter->block_taken;
    if (left > 0) {
        size_t taken = filter->hooks->data(filter->arg, filter->index,
                                           filter->block + filter->block_taken, left);
        filter->block_taken += taken < left ? taken : left;
        if (taken < left)
            return false;
    }
    filter->block_length = 0;
    filter->block_taken = 0;
    return true;
}

/* There is room for a group in the block. */
static void decode_character(struct inline_filter *filter, int character)
{
    if (character == LINE_END || character == UNFINISHED || filter->broken)
        return;
    if (character == '=') {
        filter->paddings++;
        return;
    }
    if (character < 0 || filter->paddings > 0) {
        filter->broken = true;
        return;
    }
    filter->bits = filter->bits << 6 | (uint32_t)(values[character] - 1);
    if (++filter->sextets < 4)
        return;
    unsigned char *out = filter->block + filter->block_length;
    out[0] = (unsigned char)(filter->bits >> 16);
    out[1] = (unsigned char)(filter->bits >> 8);
    out[2] = (unsigned char)filter->bits;
    filter->block_length += 3;
    filter->sextets = 0;
}

/* Whole groups of four, as long as there are nothing but such and room for them. */
static size_t decode_groups(struct inline_filter *filter, const unsigned char *bytes, size_t length)
{
    unsigned char *out = filter->block + filter->block_length;
    size_t room = (BLOCK - filter->block_length) / 3;
    size_t groups = length / 4 < room ? length / 4 : room;
    size_t done = 0;
    for (; done < groups; done++, bytes += 4, out += 3) {
        unsigned a = values[bytes[0]], b = values[bytes[1]];
        unsigned c = values[bytes[2]], d = values[bytes[3]];
        if (!a || !b || !c || !d)
            break;
        uint32_t bits = (a - 1) << 18 | (b - 1) << 12 | (c - 1) << 6 | (d - 1);
        out[0] = (unsigned char)(bits >> 16);
        out[1] = (unsigned char)(bits >> 8);
        out[2] = (unsigned char)bits;
    }
    filter->block_length += done * 3;
    return done * 4;
}

/* What is left of a group at the run's end. Padding may be missing, but not be wrong. */
static void decode_end(struct inline_filter *filter)
{
    unsigned left = filter->sextets;
    unsigned expected = left ? 4 - left : 0;
    if (left == 1 || (filter->paddings && filter->paddings != expected))
        filter->broken = true;
    if (!filter->broken && left > 1) {
        uint32_t bits = filter->bits << 6 * expected;
        filter->block[filter->block_length++] = (unsigned char)(bits >> 16);
        if (left == 3)
            filter->block[filter->block_length++] = (unsigned char)(bits >> 8);
    }
    filter->sextets = 0;
    filter->paddings = 0;
}

/* Returns how many bytes of the run it took; fewer than `length` if the run has ended, or if its
 * bytes find no taker. */
static size_t feed_run(struct inline_filter *filter, const unsigned char *bytes, size_t length)
{
    size_t at = 0;
    while (at < length) {
        if (filter->block_length + 3 > BLOCK && !flush(filter))
            return at;
        if (filter->escape == NO_ESCAPE && !filter->sextets && !filter->paddings && !filter->broken)
            at += decode_groups(filter, bytes + at, length - at);
        if (at == length || filter->block_length + 3 > BLOCK)
            continue;
        if (filter->escape != BACKSLASH && bytes[at] == '"') {
            if (filter->escape != NO_ESCAPE)
                filter->broken = true;
            decode_end(filter);
            if (!flush(filter))
                return at;
            filter->state = OUTSIDE;
            filter->hooks->end(filter->arg, filter->index, !filter->broken);
            buf_add_byte(filter->document, '"');
            return at + 1;
        }
        decode_character(filter, resolve(filter, bytes[at++]));
    }
    flush(filter);
    return at;
}

/* Takes the probed string back out of the document and begins to decode it. */
static void begin_run(struct inline_filter *filter)
{
    struct buf *document = filter->document;
    filter->state = RUN;
    filter->index = filter->next_index++;
    filter->bits = 0;
    filter->sextets = 0;
    filter->paddings = 0;
    filter->broken = false;
    filter->hooks->begin(filter->arg, filter->index);
    for (size_t at = filter->string_start; at < document->length; at++)
        decode_character(filter, resolve(filter, (unsigned char)document->data[at]));
    document->length = filter->string_start;
    buf_addf(document, "inline:%u", filter->index);
}

static size_t feed_probed(struct inline_filter *filter, const unsigned char *bytes, size_t length)
{
    size_t at = 0;
    while (at < length && filter->state == PROBED && filter->probed < INLINE_THRESHOLD) {
        int character = resolve(filter, bytes[at++]);
        if (character == QUOTE)
            filter->state = OUTSIDE;
        else if (character == FOREIGN || character == '=')
            filter->state = PLAIN;
        else if (character >= 0)
            filter->probed++;
    }
    buf_add(filter->document, bytes, at);
    if (filter->state == PROBED && filter->probed == INLINE_THRESHOLD) {
        /* What the document had no room for can't be taken back out of it. */
        if (filter->document->failed)
            filter->state = PLAIN;
        else
            begin_run(filter);
    }
    return at;
}

static size_t feed_plain(struct inline_filter *filter, const unsigned char *bytes, size_t length)
{
    size_t at = 0;
    while (at < length && filter->state == PLAIN) {
        unsigned char byte = bytes[at++];
        if (filter->escape == BACKSLASH)
            filter->escape = NO_ESCAPE;
        else if (byte == '\\')
            filter->escape = BACKSLASH;
        else if (byte == '"')
            filter->state = OUTSIDE;
    }
    buf_add(filter->document, bytes, at);
    return at;
}

static size_t feed_outside(struct inline_filter *filter, const unsigned char *bytes, size_t length)
{
    const unsigned char *quote = memchr(bytes, '"', length);
    size_t taken = quote ? (size_t)(quote - bytes) + 1 : length;
    buf_add(filter->document, bytes, taken);
    if (quote) {
        filter->state = PROBED;
        filter->escape = NO_ESCAPE;
        filter->probed = 0;
        filter->string_start = filter->document->length;
    }
    return taken;
}

size_t inline_feed(struct inline_filter *filter, const char *bytes, size_t length)
{
    const unsigned char *from = (const unsigned char *)bytes;
    size_t at = 0;
    while (at < length) {
        size_t taken = 0;
        switch (filter->state) {
        case OUTSIDE:
            taken = feed_outside(filter, from + at, length - at);
            break;
        case PROBED:
            taken = feed_probed(filter, from + at, length - at);
            break;
        case PLAIN:
            taken = feed_plain(filter, from + at, length - at);
            break;
        case RUN:
            taken = feed_run(filter, from + at, length - at);
            if (filter->state == RUN)
                return at + taken;
            break;
        }
        at += taken;
    }
    return at;
}

int inline_index(const char *text)
{
    static const char prefix[] = "inline:";
    if (strncmp(text, prefix, sizeof(prefix) - 1) != 0)
        return -1;
    const char *digits = text + sizeof(prefix) - 1;
    size_t count = strspn(digits, "0123456789");
    if (count == 0 || count > 9 || digits[count] || (count > 1 && *digits == '0'))
        return -1;
    return atoi(digits);
}
