#include <stdlib.h>
#include <string.h>

#include "proto/ctl/ask.h"
#include "proto/ctl/call.h"
#include "proto/ctl/interrupt.h"
#include "proto/ctl/output.h"
#include "proto/ctl/prompt.h"
#include "proto/ctl/remember.h"
#include "proto/mem.h"

enum what_next {
    GO_ON,
    LEAVE,
};

struct prompt_command {
    const char *name;
    const char *syntax;
    const char *summary;
    enum what_next (*run)(struct ask *ask, const char *argument);
};

static enum what_next show_help(struct ask *ask, const char *argument);

static enum what_next begin_anew(struct ask *ask, const char *argument)
{
    (void)argument;
    free(ask->session);
    ask->session = NULL;
    fputs("The next words begin a new conversation.\n", ask->ctl->err.file);
    return GO_ON;
}

static enum what_next tell_session(struct ask *ask, const char *argument)
{
    if (*argument && !remember_is_session(argument)) {
        ctl_complain(ask->ctl, "%s: that is no session's id", argument);
        return GO_ON;
    }
    if (*argument) {
        free(ask->session);
        ask->session = mem_strdup(argument);
    }
    fprintf(ask->ctl->err.file, "%s\n",
            ask->session ? ask->session : "There is none before the first words.");
    return GO_ON;
}

static void add_row(struct ctl *ctl, struct json_value item, const struct answer *answer, void *arg)
{
    (void)item;
    ctl->output->job_row(ctl, arg, answer);
}

static enum what_next list_jobs(struct ask *ask, const char *argument)
{
    struct connection connection;
    struct answer answer;
    (void)argument;
    if (!ask->session) {
        fputs("There are none before the first words.\n", ask->ctl->err.file);
        return GO_ON;
    }
    char *filter = mem_format("{\"label\":\"session=%s\"}", ask->session);
    struct table *table = output_job_table(ask->ctl);
    struct call call = {.verb = "LIST", .argument = filter, .item = add_row, .arg = table};
    if (call_open(ask->ctl, &connection) == EXIT_ALL_DONE)
        call_run(ask->ctl, &connection, &call, &answer);
    connection_close(&connection);
    table_finish(table);
    table_free(table);
    free(filter);
    return GO_ON;
}

static enum what_next leave(struct ask *ask, const char *argument)
{
    (void)ask;
    (void)argument;
    return LEAVE;
}

static const struct prompt_command prompt_commands[] = {
    {"help", "", "this list", show_help},
    {"new", "", "forget the conversation, and begin another", begin_anew},
    {"session", "[ID]", "which conversation this is; with ID, go on with that one", tell_session},
    {"jobs", "", "the jobs of this conversation", list_jobs},
    {"quit", "", "leave, as Ctrl-D does", leave},
};
#define COMMAND_COUNT (sizeof prompt_commands / sizeof prompt_commands[0])

static enum what_next show_help(struct ask *ask, const char *argument)
{
    FILE *file = ask->ctl->err.file;
    (void)argument;
    fputs("Say what video you wish for, and Enter. Images may be named by their path.\n", file);
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        char left[32];
        snprintf(left, sizeof left, "/%s %s", prompt_commands[i].name, prompt_commands[i].syntax);
        fprintf(file, "  %-14s %s\n", left, prompt_commands[i].summary);
    }
    fputs("Ctrl-C cancels what is being done, or clears the line; Ctrl-R searches the history.\n",
          file);
    return GO_ON;
}

/* "/name" and "/name argument", but no path. */
static bool is_command(const char *line)
{
    size_t length = strcspn(line, " ");
    return *line == '/' && !memchr(line + 1, '/', length > 0 ? length - 1 : 0);
}

static enum what_next run_command(struct ask *ask, const char *line)
{
    size_t length = strcspn(line + 1, " ");
    const char *argument = line + 1 + length;
    argument += strspn(argument, " ");
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        const struct prompt_command *command = &prompt_commands[i];
        if (strlen(command->name) == length && strncmp(command->name, line + 1, length) == 0)
            return command->run(ask, argument);
    }
    ctl_complain(ask->ctl, "%.*s: no such command; /help lists them", (int)length + 1, line);
    return GO_ON;
}

static enum what_next take_line(struct ask *ask, struct prompt *prompt, const char *line)
{
    if (!*line)
        return GO_ON;
    prompt_remember(prompt, line);
    if (is_command(line))
        return run_command(ask, line);
    ask_turn(ask, line);
    return GO_ON;
}

static enum prompt_result read_lines(struct ask *ask, struct prompt *prompt)
{
    for (;;) {
        const char *line;
        enum prompt_result result = prompt_read(prompt, &line);
        if (result == PROMPT_END || result == PROMPT_KILLED)
            return result;
        if (result == PROMPT_LINE && take_line(ask, prompt, line) == LEAVE)
            return PROMPT_END;
    }
}

int ask_prompt(struct ask *ask)
{
    char *history = remember_path("history");
    struct prompt *prompt = prompt_new(ask->ctl, "> ", history);
    free(history);
    if (!prompt)
        return EXIT_USAGE;
    ask->ctl->is_prompt = true;
    interrupt_catch();
    fputs("What video do you wish for? /help tells more, Ctrl-D leaves.\n", ask->ctl->err.file);
    enum prompt_result result = read_lines(ask, prompt);
    prompt_free(prompt);
    if (result == PROMPT_KILLED)
        interrupt_die();
    return EXIT_ALL_DONE;
}
