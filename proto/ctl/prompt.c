#include "proto/ctl/prompt.h"

#include <errno.h>
#include <fcntl.h>
#include <histedit.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <wchar.h>

#include "proto/ctl/interrupt.h"
#include "proto/mem.h"

#define LOOK_MS 500 /* how often the flags are looked at that signals set */

struct prompt {
    struct ctl *ctl;
    const char *text;
    char *file;
    char *line; /* the last one */
    EditLine *edit;
    History *history;
    mbstate_t state; /* of a character that is half read */
};

static volatile sig_atomic_t resized;
static volatile sig_atomic_t suspended;

static void on_signal(int number)
{
    if (number == SIGWINCH)
        resized = 1;
    else
        suspended = 1;
}

/* Nothing that is typed may end the program while the terminal isn't as it was. */
static void set_handlers(void (*handler)(int number))
{
    struct sigaction action = {.sa_handler = handler};
    struct sigaction quit = {.sa_handler = handler == SIG_DFL ? SIG_DFL : SIG_IGN};
    sigaction(SIGWINCH, &action, NULL);
    sigaction(SIGTSTP, &action, NULL);
    sigaction(SIGQUIT, &quit, NULL);
}

/* Gives the terminal back as it was, stops, and takes it again. */
static void suspend(EditLine *edit)
{
    suspended = 0;
    el_set(edit, EL_PREP_TERM, 0);
    set_handlers(SIG_DFL);
    raise(SIGTSTP);
    set_handlers(on_signal);
    el_set(edit, EL_PREP_TERM, 1);
    el_set(edit, EL_REFRESH);
}

static void heed_signals(EditLine *edit)
{
    if (suspended)
        suspend(edit);
    if (resized) {
        resized = 0;
        el_resize(edit);
        el_set(edit, EL_REFRESH);
    }
}

/* 1 with a byte, 0 at the end, -1 when a signal came. */
static int read_byte(EditLine *edit, char *ret)
{
    for (;;) {
        struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
        int ready = interrupt_poll(&input, 1, LOOK_MS);
        heed_signals(edit);
        if (ready < 0)
            return -1;
        if (ready == 0)
            continue;
        ssize_t n = read(STDIN_FILENO, ret, 1);
        if (n >= 0)
            return (int)n;
        if (errno != EINTR && errno != EAGAIN)
            return 0;
    }
}

/* What is no UTF-8 becomes a question mark. */
static int read_character(EditLine *edit, wchar_t *ret)
{
    struct prompt *prompt;
    char byte;
    el_get(edit, EL_CLIENTDATA, &prompt);
    for (;;) {
        int n = read_byte(edit, &byte);
        if (n <= 0)
            return n;
        size_t used = mbrtowc(ret, &byte, 1, &prompt->state);
        if (used == (size_t)-2)
            continue;
        if (used == (size_t)-1) {
            memset(&prompt->state, 0, sizeof prompt->state);
            *ret = L'?';
        }
        return 1;
    }
}

static char *text_of(EditLine *edit)
{
    struct prompt *prompt;
    el_get(edit, EL_CLIENTDATA, &prompt);
    return (char *)prompt->text;
}

static void load_history(struct prompt *prompt)
{
    HistEvent event;
    prompt->history = history_init();
    if (!prompt->history)
        return;
    history(prompt->history, &event, H_SETSIZE, PROMPT_HISTORY);
    history(prompt->history, &event, H_SETUNIQUE, 1);
    if (prompt->file)
        history(prompt->history, &event, H_LOAD, prompt->file);
    el_set(prompt->edit, EL_HIST, history, prompt->history);
}

struct prompt *prompt_new(struct ctl *ctl, const char *text, const char *file)
{
    EditLine *edit = el_init("veoctl", stdin, ctl->err.file, ctl->err.file);
    if (!edit) {
        ctl_complain(ctl, "this terminal can't be used for a prompt");
        return NULL;
    }
    struct prompt *prompt = mem_alloc(sizeof *prompt);
    prompt->ctl = ctl;
    prompt->text = text;
    prompt->file = mem_strdup(file);
    prompt->edit = edit;
    el_set(edit, EL_CLIENTDATA, prompt);
    el_set(edit, EL_PROMPT, text_of);
    el_set(edit, EL_GETCFN, read_character);
    el_set(edit, EL_EDITOR, "emacs");
    el_set(edit, EL_BIND, "^R", "em-inc-search-prev", NULL);
    load_history(prompt);
    el_source(edit, NULL); /* the user's own ~/.editrc */
    return prompt;
}

void prompt_free(struct prompt *prompt)
{
    if (!prompt)
        return;
    el_end(prompt->edit);
    if (prompt->history)
        history_end(prompt->history);
    free(prompt->file);
    free(prompt->line);
    free(prompt);
}

static void take_line(struct prompt *prompt, const char *line)
{
    static const char space[] = " \t\r\n";
    line += strspn(line, space);
    size_t length = strlen(line);
    while (length > 0 && strchr(space, line[length - 1]))
        length--;
    free(prompt->line);
    prompt->line = mem_strndup(line, length);
}

enum prompt_result prompt_read(struct prompt *prompt, const char **ret)
{
    int count = 0;
    fflush(stdout);
    set_handlers(on_signal);
    const char *line = el_gets(prompt->edit, &count);
    set_handlers(SIG_DFL);
    if (line && count > 0) {
        take_line(prompt, line);
        *ret = prompt->line;
        return PROMPT_LINE;
    }
    bool is_key = interrupt_take();
    fprintf(prompt->ctl->err.file, "%s\n", is_key ? "^C" : "");
    if (is_key)
        return PROMPT_CLEARED;
    return interrupt_pending() ? PROMPT_KILLED : PROMPT_END;
}

/* Only the user may read it, also before libedit has written the first byte. */
static void save_history(struct prompt *prompt)
{
    HistEvent event;
    int fd = open(prompt->file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    FILE *file = fd >= 0 ? fdopen(fd, "w") : NULL;
    if (!file) {
        if (fd >= 0)
            close(fd);
        return;
    }
    history(prompt->history, &event, H_SAVE_FP, file);
    fclose(file);
}

void prompt_remember(struct prompt *prompt, const char *line)
{
    HistEvent event;
    if (!prompt->history)
        return;
    history(prompt->history, &event, H_ENTER, line);
    if (prompt->file)
        save_history(prompt);
}
