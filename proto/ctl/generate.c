#include "proto/ctl/generate.h"

#include <stdlib.h>
#include <string.h>

#include "proto/ctl/fetch.h"
#include "proto/limits.h"
#include "proto/line.h"
#include "proto/mem.h"

#define COUNT_MAX    64
#define COMMAND_ROOM (COMMAND_TAG_MAX + 32) /* of a line, for what stands before the object */

static int add_int(struct generate *g, const struct args *args, const char *name,
                   const char *member, int64_t min, int64_t max, int64_t *ret)
{
    if (args_int(args, name, min, max, ret) < 0)
        return -1;
    jsonw_member_int(&g->w, member, *ret);
    return 0;
}

static int add_seconds(struct generate *g, const struct args *args, const char *name,
                       const char *member)
{
    int64_t ms;
    if (args_duration(args, name, &ms) < 0)
        return -1;
    if (ms % 1000 == 0)
        jsonw_member_int(&g->w, member, ms / 1000);
    else
        jsonw_member_double(&g->w, member, (double)ms / 1000);
    return 0;
}

static int add_not_before(struct generate *g, const struct args *args)
{
    int64_t at;
    if (args_time(args, "not-before", 1, &at) < 0)
        return -1;
    jsonw_member_time(&g->w, "not_before", at);
    return 0;
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

/* Options that become one string member each. */
static const char *string_member(enum option_id option)
{
    switch (option) {
    case OPTION_MODEL:
        return "model";
    case OPTION_ASPECT:
        return "aspect_ratio";
    case OPTION_RESOLUTION:
        return "resolution";
    case OPTION_NEGATIVE:
        return "negative_prompt";
    case OPTION_PROVIDER:
        return "provider";
    default:
        return NULL;
    }
}

static int take_request_option(struct generate *g, const struct args *args, enum option_id option)
{
    int64_t number;
    switch (option) {
    case OPTION_DURATION:
        return add_seconds(g, args, "duration", "duration_seconds");
    case OPTION_DEADLINE:
        return add_seconds(g, args, "deadline", "deadline_seconds");
    case OPTION_SEED:
        return add_int(g, args, "seed", "seed", 0, UINT32_MAX, &number);
    case OPTION_COUNT:
        return add_int(g, args, "count", "sample_count", 1, COUNT_MAX, &g->count);
    case OPTION_PRIORITY:
        return add_int(g, args, "priority", "priority", -100, 100, &number);
    case OPTION_MAX_ATTEMPTS:
        return add_int(g, args, "max-attempts", "max_attempts", 1, INT32_MAX, &number);
    case OPTION_NOT_BEFORE:
        return add_not_before(g, args);
    case OPTION_LABEL:
        return add_label(g, args);
    default:
        jsonw_member_string(&g->w, string_member(option), args->value);
        return 0;
    }
}

static int take_option(struct generate *g, const struct args *args, enum option_id option)
{
    switch (option) {
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
    case OPTION_FORCE:
        jsonw_member_bool(&g->w, "force", true);
        return 0;
    case OPTION_RECONNECT:
        return args_duration(args, "reconnect", &g->reconnect_ms);
    default:
        return take_request_option(g, args, option);
    }
}

static void read_prompt(struct buf *text)
{
    for (int c; !text->failed && (c = getchar()) != EOF;)
        buf_add_byte(text, (char)c);
    while (text->length > 0 && strchr("\r\n", text->data[text->length - 1]))
        text->length--;
}

static void join_words(struct buf *text, char **words, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (i > 0)
            buf_add_byte(text, ' ');
        buf_add_text(text, words[i]);
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
    if (count == 1 && strcmp(words[0], "-") == 0)
        read_prompt(&prompt);
    else
        join_words(&prompt, words, count);
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
    for (int64_t i = 0; g->output && i < g->count && status == EXIT_ALL_DONE; i++)
        status = fetch_check(g->ctl, g->output, NULL, (size_t)i, g->overwrite);
    if (g->output && strcmp(g->output, "-") == 0 && g->count > 1)
        return ctl_usage(g->ctl, "--output -: only one video fits on standard output");
    return status;
}

int generate_parse(struct generate *g, struct ctl *ctl, struct args *args)
{
    size_t count;
    *g = (struct generate){.ctl = ctl, .count = 1, .reconnect_ms = RECONNECT_DEFAULT_MS};
    buf_init(&g->request, LIMIT_LINE - COMMAND_ROOM);
    buf_init(&g->labels, LIMIT_LINE);
    jsonw_init(&g->w, &g->request);
    jsonw_init(&g->labels_w, &g->labels);
    jsonw_object(&g->w);
    jsonw_object(&g->labels_w);
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
    if (status == EXIT_ALL_DONE)
        status = finish_request(g);
    return status == EXIT_ALL_DONE ? check_output(g) : status;
}

void generate_free(struct generate *g)
{
    buf_free(&g->request);
    buf_free(&g->labels);
}
