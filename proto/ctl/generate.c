#include "proto/ctl/generate.h"

#include <stdlib.h>
#include <string.h>

#include "proto/ctl/fetch.h"
#include "proto/ctl/media.h"
#include "proto/ctl/select.h"
#include "proto/ctl/words.h"
#include "proto/limits.h"
#include "proto/line.h"
#include "proto/mem.h"

#define SAMPLES_MAX  64
#define COMMAND_ROOM (COMMAND_TAG_MAX + 32) /* of a line, for what stands before the object */

enum member_kind {
    MEMBER_TEXT,
    MEMBER_INT,
    MEMBER_SECONDS,
    MEMBER_TIME,
    MEMBER_YES,
    MEMBER_NO,
    MEMBER_WORD,  /* the option stands for one */
    MEMBER_MEDIA, /* needs the daemon: later */
};

/* The options that become a member each. */
static const struct member {
    enum option_id option;
    const char *name;
    enum member_kind kind;
    int64_t min;
    int64_t max;
    const char *word;
} members[] = {
    {.option = OPTION_MODEL, .name = "model"},
    {.option = OPTION_PROVIDER, .name = "provider"},
    {.option = OPTION_ASPECT, .name = "aspect_ratio"},
    {.option = OPTION_RESOLUTION, .name = "resolution"},
    {.option = OPTION_NEGATIVE, .name = "negative_prompt"},
    {.option = OPTION_PERSON, .name = "person_generation"},
    {.option = OPTION_OUTPUT_NAME, .name = "output"},
    {OPTION_SEED, "seed", MEMBER_INT, 0, UINT32_MAX, NULL},
    {OPTION_SAMPLES, "sample_count", MEMBER_INT, 1, SAMPLES_MAX, NULL},
    {OPTION_PRIORITY, "priority", MEMBER_INT, -100, 100, NULL},
    {OPTION_MAX_ATTEMPTS, "max_attempts", MEMBER_INT, 1, INT32_MAX, NULL},
    {.option = OPTION_DURATION, .name = "duration_seconds", .kind = MEMBER_SECONDS},
    {.option = OPTION_DEADLINE, .name = "deadline_seconds", .kind = MEMBER_SECONDS},
    {.option = OPTION_NOT_BEFORE, .name = "not_before", .kind = MEMBER_TIME},
    {.option = OPTION_AUDIO, .name = "generate_audio", .kind = MEMBER_YES},
    {.option = OPTION_NO_AUDIO, .name = "generate_audio", .kind = MEMBER_NO},
    {.option = OPTION_ENHANCE, .name = "enhance_prompt", .kind = MEMBER_YES},
    {.option = OPTION_NO_ENHANCE, .name = "enhance_prompt", .kind = MEMBER_NO},
    {.option = OPTION_FORCE, .name = "force", .kind = MEMBER_YES},
    {.option = OPTION_EXTEND, .name = "video_task", .kind = MEMBER_WORD, .word = "extend"},
    {.option = OPTION_EDIT, .name = "video_task", .kind = MEMBER_WORD, .word = "edit"},
    {.option = OPTION_IMAGE, .name = "image", .kind = MEMBER_MEDIA},
    {.option = OPTION_LAST_FRAME, .name = "last_frame", .kind = MEMBER_MEDIA},
    {.option = OPTION_VIDEO, .name = "video", .kind = MEMBER_MEDIA},
};
#define MEMBER_COUNT (sizeof members / sizeof members[0])

static bool is_given(const struct generate *g, const char *name)
{
    for (size_t i = 0; i < MEMBER_COUNT; i++) {
        if ((g->given >> i & 1) && strcmp(members[i].name, name) == 0)
            return true;
    }
    return false;
}

static int add_int(struct generate *g, const struct args *args, const struct member *member,
                   const char *option)
{
    int64_t number;
    if (args_int(args, option, member->min, member->max, &number) < 0)
        return -1;
    if (member->option == OPTION_SAMPLES)
        g->samples = number;
    jsonw_member_int(&g->w, member->name, number);
    return 0;
}

static int add_seconds(struct generate *g, const struct args *args, const struct member *member,
                       const char *option)
{
    int64_t ms;
    if (args_duration(args, option, &ms) < 0)
        return -1;
    if (ms % 1000 == 0)
        jsonw_member_int(&g->w, member->name, ms / 1000);
    else
        jsonw_member_double(&g->w, member->name, (double)ms / 1000);
    return 0;
}

static int add_time(struct generate *g, const struct args *args, const struct member *member,
                    const char *option)
{
    int64_t at;
    if (args_time(args, option, 1, &at) < 0)
        return -1;
    jsonw_member_time(&g->w, member->name, at);
    return 0;
}

static int add_media(struct generate *g, const char *word, const char *member, const char *option)
{
    char why[UPLOAD_TEXT];
    if (g->media_count == GENERATE_MEDIA_MAX) {
        ctl_usage(g->ctl, "--%s: more than %d images", option, GENERATE_MEDIA_MAX);
        return -1;
    }
    if (media_kind_of(word, why) == MEDIA_BAD) {
        ctl_usage(g->ctl, "--%s: %s", option, why);
        return -1;
    }
    g->media[g->media_count++] =
        (struct generate_media){.option = option, .member = member, .word = word};
    return 0;
}

static int add_member(struct generate *g, const struct args *args, const struct member *member)
{
    const char *option = args_name(args, member->option);
    if (is_given(g, member->name)) {
        ctl_usage(g->ctl, "--%s: %s was given already", option, member->name);
        return -1;
    }
    g->given |= UINT64_C(1) << (member - members);
    switch (member->kind) {
    case MEMBER_TEXT:
        jsonw_member_string(&g->w, member->name, args->value);
        return 0;
    case MEMBER_INT:
        return add_int(g, args, member, option);
    case MEMBER_SECONDS:
        return add_seconds(g, args, member, option);
    case MEMBER_TIME:
        return add_time(g, args, member, option);
    case MEMBER_YES:
    case MEMBER_NO:
        jsonw_member_bool(&g->w, member->name, member->kind == MEMBER_YES);
        return 0;
    case MEMBER_WORD:
        jsonw_member_string(&g->w, member->name, member->word);
        return 0;
    case MEMBER_MEDIA:
        return add_media(g, args->value, member->name, option);
    }
    return -1;
}

static int add_label(struct generate *g, const struct args *args)
{
    const char *equals = strchr(args->value, '=');
    if (!equals || equals == args->value) {
        ctl_usage(g->ctl, "--label: expected NAME=VALUE, got '%s'", args->value);
        return -1;
    }
    char *name = mem_strndup(args->value, (size_t)(equals - args->value));
    jsonw_member_string(&g->labels_w, name, equals + 1);
    free(name);
    return 0;
}

static int take_option(struct generate *g, const struct args *args, enum option_id option)
{
    switch (option) {
    case OPTION_LABEL:
        return add_label(g, args);
    case OPTION_REFERENCE:
        return add_media(g, args->value, NULL, "reference");
    case OPTION_KEY:
        g->key = args->value;
        return 0;
    case OPTION_OUTPUT:
        g->output = args->value;
        g->waits = true;
        return 0;
    case OPTION_WAIT:
        g->waits = true;
        return 0;
    case OPTION_OVERWRITE:
        g->overwrite = true;
        return 0;
    case OPTION_DRY_RUN:
        g->dry_run = true;
        return 0;
    case OPTION_RECONNECT:
        return args_duration(args, "reconnect", &g->reconnect_ms);
    default:
        for (const struct member *member = members; member < members + MEMBER_COUNT; member++) {
            if (member->option == option)
                return add_member(g, args, member);
        }
        return -1;
    }
}

static int check_prompt(struct generate *g, const struct buf *prompt)
{
    if (prompt->failed || prompt->length > LIMIT_PROMPT) {
        ctl_complain(g->ctl, "the prompt has more than %d bytes", LIMIT_PROMPT);
        return EXIT_REFUSED;
    }
    if (prompt->length == 0)
        return ctl_usage(g->ctl, "the prompt is empty");
    if (utf8_valid_prefix(prompt->data, prompt->length) != prompt->length ||
        memchr(prompt->data, '\0', prompt->length))
        return ctl_usage(g->ctl, "the prompt is not UTF-8 text");
    return EXIT_ALL_DONE;
}

static int take_prompt(struct generate *g, char **words, size_t count)
{
    struct buf prompt;
    if (count == 0)
        return ctl_usage(g->ctl, "the prompt is missing");
    buf_init(&prompt, LIMIT_PROMPT + strlen("\r\n"));
    words_join(&prompt, words, count);
    int status = check_prompt(g, &prompt);
    if (status == EXIT_ALL_DONE) {
        jsonw_name(&g->w, "prompt");
        jsonw_string_n(&g->w, prompt.data, prompt.length);
    }
    buf_free(&prompt);
    return status;
}

static int finish_request(struct generate *g)
{
    jsonw_object_end(&g->labels_w);
    if (g->labels.length > strlen("{}")) {
        jsonw_name(&g->w, "labels");
        jsonw_raw(&g->w, g->labels.data, g->labels.length);
    }
    if (g->dry_run)
        jsonw_member_bool(&g->w, "dry_run", true);
    if (g->key)
        jsonw_member_string(&g->w, "key", g->key);
    jsonw_object_end(&g->w);
    if (!g->request.failed && !g->labels.failed)
        return EXIT_ALL_DONE;
    ctl_complain(g->ctl, "the request has more than %d bytes", LIMIT_LINE);
    return EXIT_REFUSED;
}

/* Money is only spent on what can be written down afterwards. */
static int check_output(const struct generate *g)
{
    int status = EXIT_ALL_DONE;
    for (int64_t i = 0; g->output && i < g->samples && status == EXIT_ALL_DONE; i++)
        status = fetch_check(g->ctl, g->output, NULL, (size_t)i, g->overwrite);
    if (g->output && strcmp(g->output, "-") == 0 && g->samples > 1)
        return ctl_usage(g->ctl, "--output -: only one video fits on standard output");
    return status;
}

static int check_together(const struct generate *g)
{
    if (is_given(g, "video_task") && !is_given(g, "video"))
        return ctl_usage(g->ctl, "--extend and --edit need a --video");
    return check_output(g);
}

static void init(struct generate *g, struct ctl *ctl)
{
    *g = (struct generate){.ctl = ctl, .samples = 1, .reconnect_ms = RECONNECT_DEFAULT_MS};
    buf_init(&g->request, LIMIT_LINE - COMMAND_ROOM);
    buf_init(&g->labels, LIMIT_LINE);
    jsonw_init(&g->w, &g->request);
    jsonw_init(&g->labels_w, &g->labels);
    jsonw_object(&g->w);
    jsonw_object(&g->labels_w);
}

int generate_parse(struct generate *g, struct ctl *ctl, struct args *args)
{
    size_t count;
    init(g, ctl);
    for (enum option_id option; (option = args_next(args)) != OPTION_END;) {
        if (option == OPTION_BAD || take_option(g, args, option) < 0)
            return EXIT_USAGE;
    }
    if (g->waits)
        g->wait_ms = ctl_take_timeout(ctl);
    char **words = args_words(args, &count);
    int status = take_prompt(g, words, count);
    if (status == EXIT_ALL_DONE && !g->key && !g->dry_run) {
        g->key = g->random_key;
        status = key_make(ctl, g->random_key);
    }
    return status == EXIT_ALL_DONE ? check_together(g) : status;
}

static int write_last(struct generate *g, struct connection *connection)
{
    struct selection selection;
    char word[] = "last";
    char *words[] = {word};
    int status = select_words(g->ctl, connection, words, 1, &selection);
    if (status == EXIT_ALL_DONE)
        jsonw_string(&g->w, selection.ids[0]);
    select_free(&selection);
    return status;
}

static int write_medium(struct generate *g, struct uploads *uploads, struct connection *connection,
                        const struct generate_media *medium)
{
    char why[UPLOAD_TEXT];
    if (media_kind_of(medium->word, why) == MEDIA_LAST)
        return write_last(g, connection);
    int status = media_write(uploads, connection, medium->word, &g->w, why);
    if (status != EXIT_ALL_DONE)
        ctl_complain(g->ctl, "--%s: %s", medium->option, why);
    return status;
}

/* First those with a name of their own, then the reference images. */
static int write_media(struct generate *g, struct uploads *uploads, struct connection *connection,
                       bool references)
{
    bool is_open = false;
    int status = EXIT_ALL_DONE;
    for (size_t i = 0; i < g->media_count && status == EXIT_ALL_DONE; i++) {
        const struct generate_media *medium = &g->media[i];
        if (references != !medium->member)
            continue;
        if (medium->member)
            jsonw_name(&g->w, medium->member);
        else if (!is_open) {
            is_open = true;
            jsonw_name(&g->w, "reference_images");
            jsonw_array(&g->w);
        }
        status = write_medium(g, uploads, connection, medium);
    }
    if (is_open)
        jsonw_array_end(&g->w);
    return status;
}

int generate_complete(struct generate *g, struct connection *connection)
{
    struct uploads *uploads = uploads_new(g->ctl);
    int status = write_media(g, uploads, connection, false);
    if (status == EXIT_ALL_DONE)
        status = write_media(g, uploads, connection, true);
    uploads_free(uploads);
    return status == EXIT_ALL_DONE ? finish_request(g) : status;
}

void generate_free(struct generate *g)
{
    buf_free(&g->request);
    buf_free(&g->labels);
}
