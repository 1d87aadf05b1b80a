#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/ctl/ask.h"
#include "proto/ctl/commands.h"
#include "proto/ctl/fetch.h"
#include "proto/ctl/remember.h"
#include "proto/ctl/words.h"
#include "proto/limits.h"
#include "proto/line.h"
#include "proto/mem.h"

/* "last" is a file of ours; the beginning of an id is the daemon's business. */
static int take_session(struct ask *ask, const char *word)
{
    free(ask->session);
    ask->session = NULL;
    if (strcmp(word, "last") == 0) {
        ask->session = remember_session();
        ask->is_remembered = ask->session != NULL;
        return ask->session ? 0
                            : ctl_usage(ask->ctl, "there is no last session: %s", strerror(errno));
    }
    if (!remember_is_session(word))
        return ctl_usage(ask->ctl, "--session: %s: expected an id, or 'last'", word);
    ask->session = mem_strdup(word);
    return 0;
}

static int take_option(struct ask *ask, const struct args *args, enum option_id option)
{
    switch (option) {
    case OPTION_SESSION:
        return take_session(ask, args->value);
    case OPTION_CONTINUE:
        return take_session(ask, "last");
    case OPTION_OUTPUT:
        ask->output = args->value;
        return 0;
    case OPTION_OVERWRITE:
        ask->overwrite = true;
        return 0;
    case OPTION_RECONNECT:
        return args_duration(args, "reconnect", &ask->reconnect_ms);
    default:
        return -1;
    }
}

static int parse(struct ask *ask, struct args *args)
{
    for (enum option_id option; (option = args_next(args)) != OPTION_END;) {
        if (option == OPTION_BAD || take_option(ask, args, option) != 0)
            return EXIT_USAGE;
    }
    ask->timeout_ms = ctl_take_timeout(ask->ctl);
    if (!ask->output)
        return EXIT_ALL_DONE;
    if (strcmp(ask->output, "-") == 0)
        return ctl_usage(ask->ctl, "--output: standard output is for the answer; name a file");
    return fetch_check(ask->ctl, ask->output, NULL, 0, ask->overwrite);
}

static int check_words(const struct ask *ask, const struct buf *words)
{
    if (words->failed) {
        ctl_complain(ask->ctl, "the words have more than %d bytes", LIMIT_LINE);
        return EXIT_REFUSED;
    }
    if (words->length == 0)
        return ctl_usage(ask->ctl, "the words are empty");
    if (utf8_valid_prefix(words->data, words->length) != words->length ||
        memchr(words->data, '\0', words->length))
        return ctl_usage(ask->ctl, "the words are not UTF-8 text");
    return EXIT_ALL_DONE;
}

static void say_how_to_go_on(const struct ask *ask)
{
    if (ask->session && !ask->ctl->json)
        fprintf(ask->ctl->err.file, "go on: veoctl ask --session last …  (session %s)\n",
                ask->session);
}

static int ask_once(struct ask *ask, char **words, size_t count)
{
    struct buf text;
    buf_init(&text, LIMIT_LINE);
    words_join(&text, words, count);
    int status = check_words(ask, &text);
    if (status == EXIT_ALL_DONE) {
        status = ask_turn(ask, buf_text(&text));
        say_how_to_go_on(ask);
    }
    buf_free(&text);
    return status;
}

static int talk(struct ask *ask)
{
    struct ctl *ctl = ask->ctl;
    if (isatty(STDIN_FILENO) != 1 || !ctl->err.is_terminal)
        return ctl_usage(ctl, "the words are missing; - reads them from standard input");
    int status = ask_prompt(ask);
    say_how_to_go_on(ask);
    return status;
}

int cmd_ask(struct ctl *ctl, struct args *args)
{
    struct ask ask = {.ctl = ctl, .timeout_ms = -1, .reconnect_ms = RECONNECT_DEFAULT_MS};
    size_t count;
    int status = parse(&ask, args);
    char **words = args_words(args, &count);
    if (status == EXIT_ALL_DONE) {
        if (count > 0)
            status = ask_once(&ask, words, count);
        else if (ask.session)
            status = ask_turn(&ask, NULL);
        else
            status = talk(&ask);
    }
    free(ask.session);
    return status;
}
