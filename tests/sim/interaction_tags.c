#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/interactions.h"
#include "tests/sim/reply.h"

#define INVALID(exchange, ...) reply_error(exchange, 400, "invalid_request", __VA_ARGS__)

#define TAGS_MAX 32

/* What a tag stands for. */
static const struct tag_kind {
    const char *name; /* "<NAME>", or "<NAME_n>" if it is numbered */
    bool numbered;
    bool video;
    unsigned usual;   /* which image or video it is, counted from 0, unless declared */
    const char *role; /* of an image; NULL: as it was */
} kinds[] = {
    {"FIRST_FRAME", false, false, 0, "image"},
    {"LAST_FRAME", false, false, 1, "last_frame"},
    {"IMAGE_REF_", true, false, 0, "reference"},
    {"VIDEO_REF_", true, true, 0, NULL},
    {"VIDEO_", true, true, 0, NULL},
    {"PREVIOUS_VIDEO", false, true, 0, NULL},
};

struct tag {
    const struct tag_kind *kind;
    unsigned number;
    unsigned target; /* counted from 0 */
    bool declared;   /* as in <IMAGE_REF_0>@Image1 */
};

struct tags {
    struct tag list[TAGS_MAX];
    unsigned count;
};

/* A tag at its '<'; the text after its '>', NULL if it is none. */
static const char *read_tag(const char *text, struct tag *ret)
{
    for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++) {
        const struct tag_kind *kind = &kinds[i];
        size_t length = strlen(kind->name);
        if (strncmp(text + 1, kind->name, length) != 0) {
            continue;
        }
        const char *rest = text + 1 + length;
        size_t digits = strspn(rest, "0123456789");
        if (rest[digits] == '>' && kind->numbered == (digits > 0)) {
            unsigned number = (unsigned)strtoul(rest, NULL, 10);
            *ret = (struct tag){kind, number, kind->numbered ? number : kind->usual, false};
            return rest + digits + 1;
        }
    }
    return NULL;
}

/* "@Image2", "@Video1": its number, 0 if it is none. */
static unsigned read_target(const char *text, bool video)
{
    const char *word = video ? "@Video" : "@Image";
    size_t length = strlen(word);
    return strncmp(text, word, length) == 0 ? (unsigned)strtoul(text + length, NULL, 10) : 0;
}

static bool is_known(const struct tags *tags, const struct tag *tag)
{
    for (unsigned i = 0; i < tags->count; i++) {
        if (tags->list[i].kind == tag->kind && tags->list[i].number == tag->number) {
            return true;
        }
    }
    return false;
}

static void read_tags(const char *text, struct tags *ret)
{
    *ret = (struct tags){0};
    while ((text = strchr(text, '<'))) {
        struct tag tag;
        const char *rest = read_tag(text, &tag);
        text = rest ? rest : text + 1;
        if (!rest || ret->count == TAGS_MAX || is_known(ret, &tag)) {
            continue;
        }
        unsigned target = read_target(rest, tag.kind->video);
        tag.declared = target > 0;
        tag.target = target > 0 ? target - 1 : tag.target;
        ret->list[ret->count++] = tag;
    }
}

/* Every @ImageN and @VideoN. */
static bool check_targets(struct exchange *exchange, const char *text, unsigned images,
                          unsigned videos)
{
    while ((text = strchr(text, '@'))) {
        bool video = strncmp(text, "@Video", 6) == 0;
        bool image = strncmp(text, "@Image", 6) == 0;
        const char *digits = text++ + 6;
        if ((!image && !video) || *digits < '0' || *digits > '9') {
            continue;
        }
        unsigned long number = strtoul(digits, NULL, 10);
        if (number < 1 || number > (video ? videos : images)) {
            return INVALID(exchange, "The prompt refers to @%s%lu, which is not in the input.",
                           video ? "Video" : "Image", number);
        }
    }
    return true;
}

static struct input *find_image(struct inputs *inputs, unsigned number)
{
    for (unsigned i = 0; i < inputs->count; i++) {
        if (strcmp(inputs->list[i].role, "video") != 0 && number-- == 0) {
            return &inputs->list[i];
        }
    }
    return NULL;
}

static bool bind_tag(struct exchange *exchange, const struct tag *tag, struct interaction_ask *ask,
                     unsigned videos)
{
    if (tag->target >= (tag->kind->video ? videos : ask->images)) {
        return INVALID(exchange,
                       "The prompt's tag <%s…> refers to %s %u, which is not in the "
                       "input.",
                       tag->kind->name, tag->kind->video ? "video" : "image", tag->target + 1);
    }
    struct input *image = tag->kind->video ? NULL : find_image(&ask->plan.inputs, tag->target);
    if (image) {
        image->role = tag->kind->role;
    }
    return true;
}

bool interaction_check_tags(struct exchange *exchange, struct interaction_ask *ask,
                            bool has_previous)
{
    struct tags tags;
    const char *prompt = buf_text(&ask->prompt);
    unsigned videos = ask->videos + has_previous;
    bool has_first = strstr(prompt, "<FIRST_FRAME>") != NULL;
    read_tags(prompt, &tags);
    if (strstr(prompt, "<LAST_FRAME>") && !has_first) {
        return INVALID(exchange, "<LAST_FRAME> needs <FIRST_FRAME>.");
    }
    if (!check_targets(exchange, prompt, ask->images, videos)) {
        return false;
    }
    for (unsigned i = 0; i < tags.count; i++) {
        if (!bind_tag(exchange, &tags.list[i], ask, videos)) {
            return false;
        }
    }
    return true;
}
