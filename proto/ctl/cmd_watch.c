#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "proto/ctl/commands.h"
#include "proto/ctl/filter.h"
#include "proto/ctl/interrupt.h"
#include "proto/ctl/job_view.h"
#include "proto/ctl/output.h"
#include "proto/ctl/select.h"
#include "proto/limits.h"

#define PAUSE_MS  100
#define STABLE_MS 2000

struct watching {
    struct ctl *ctl;
    struct connection connection;
    struct filter filter;
    struct selection only; /* empty: all jobs */
    char tag[COMMAND_TAG_MAX + 1];
    int64_t next_event; /* the first that wasn't seen; below 0: from now */
    int64_t reconnect_ms;
    int64_t opened_at;
    int64_t give_up_at;
    bool said_broken;
};

static int parse(struct watching *watching, struct args *args)
{
    watching->next_event = -1;
    watching->reconnect_ms = RECONNECT_DEFAULT_MS;
    for (enum option_id option; (option = args_next(args)) != OPTION_END;) {
        int result = 0;
        if (option == OPTION_BAD)
            return EXIT_USAGE;
        if (option == OPTION_FROM)
            result = args_int(args, "from", 0, INT64_MAX - 1, &watching->next_event);
        else if (option == OPTION_RECONNECT)
            result = args_duration(args, "reconnect", &watching->reconnect_ms);
        else if (option == OPTION_PLAIN)
            watching->ctl->out.is_terminal = watching->ctl->out.has_colour = false;
        else
            result = filter_take(&watching->filter, args, option);
        if (result < 0)
            return EXIT_USAGE;
    }
    return EXIT_ALL_DONE;
}

static enum connection_result start(struct watching *watching)
{
    struct buf text;
    struct jsonw w;
    buf_init(&text, LIMIT_LINE);
    jsonw_init(&w, &text);
    jsonw_object(&w);
    if (watching->next_event >= 0) /* it sends those after `from` */
        jsonw_member_int(&w, "from", watching->next_event > 0 ? watching->next_event - 1 : 0);
    filter_write(&watching->filter, &w);
    jsonw_object_end(&w);
    watching->opened_at = clock_ms();
    enum connection_result result = connection_send(&watching->connection, "WATCH", buf_text(&text),
                                                    clock_after(REPLY_TIMEOUT_MS), watching->tag);
    buf_free(&text);
    return result;
}

static enum connection_result reconnect(struct watching *watching)
{
    if (!watching->said_broken)
        ctl_complain(watching->ctl, "the daemon went away; trying to reach it again");
    watching->said_broken = true;
    if (watching->give_up_at == 0 || clock_ms() - watching->opened_at > STABLE_MS)
        watching->give_up_at = clock_after(watching->reconnect_ms);
    interrupt_poll(NULL, 0, PAUSE_MS);
    if (clock_left(watching->give_up_at) == 0)
        return CONNECTION_BROKEN;
    enum connection_result result = connection_reopen(&watching->connection, watching->give_up_at);
    return result == CONNECTION_OK ? start(watching) : result;
}

static bool is_wanted(const struct watching *watching, struct json_value event)
{
    for (size_t i = 0; i < watching->only.count; i++) {
        if (json_equals(json_get(event, "id"), watching->only.ids[i]))
            return true;
    }
    return watching->only.count == 0;
}

/* Each event is shown once, whatever the daemon repeats after a break. */
static void take_event(struct watching *watching, const struct answer *answer)
{
    int64_t number;
    if (json_int(json_get(answer->value, "event"), 0, INT64_MAX - 1, &number) == 0) {
        if (number < watching->next_event)
            return;
        watching->next_event = number + 1;
    }
    if (is_wanted(watching, answer->value))
        watching->ctl->output->event(watching->ctl, answer);
}

/* The OK says after which event it starts: from there a reconnection goes on. */
static void take_start(struct watching *watching, const struct answer *answer)
{
    int64_t last;
    if (watching->next_event < 0 &&
        json_int(json_get(answer->value, "from"), 0, INT64_MAX - 1, &last) == 0)
        watching->next_event = last + 1;
}

static int watch(struct watching *watching)
{
    struct answer answer;
    enum connection_result result = start(watching);
    for (;;) {
        if (result == CONNECTION_OK)
            result = connection_read(&watching->connection, &answer, CLOCK_NEVER);
        if (result == CONNECTION_OK && call_is_leaving(&answer))
            result = CONNECTION_BROKEN;
        if (result == CONNECTION_OK && answer.word == REPLY_ERR)
            return call_refused(watching->ctl, &answer);
        if (result == CONNECTION_OK && answer.word == REPLY_EVENT)
            take_event(watching, &answer);
        if (result == CONNECTION_OK && answer.word == REPLY_OK)
            take_start(watching, &answer);
        if (result == CONNECTION_BROKEN)
            result = reconnect(watching);
        if (result != CONNECTION_OK)
            return call_failed(watching->ctl, &watching->connection, result);
    }
}

int cmd_watch(struct ctl *ctl, struct args *args)
{
    struct watching watching = {.ctl = ctl};
    size_t count;
    filter_init(&watching.filter);
    connection_init(&watching.connection, ctl->socket_path);
    int status = parse(&watching, args);
    char **words = args_words(args, &count);
    if (status == EXIT_ALL_DONE && count > 0)
        status = select_check(ctl, count);
    if (status == EXIT_ALL_DONE)
        status = call_open(ctl, &watching.connection);
    if (status == EXIT_ALL_DONE && count > 0)
        status = select_full(ctl, &watching.connection, words, count, &watching.only);
    if (status == EXIT_ALL_DONE)
        status = watch(&watching);
    select_free(&watching.only);
    filter_free(&watching.filter);
    connection_close(&watching.connection);
    return status;
}
