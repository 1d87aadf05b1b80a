#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/ctl/ask.h"
#include "proto/ctl/ask_show.h"
#include "proto/ctl/call.h"
#include "proto/ctl/interrupt.h"
#include "proto/ctl/job_view.h"
#include "proto/ctl/output.h"
#include "proto/ctl/progress.h"
#include "proto/ctl/remember.h"
#include "proto/jsonw.h"
#include "proto/limits.h"
#include "proto/mem.h"

#define STABLE_MS       2000 /* a connection that lived as long was a good one */
#define RECONNECT_PAUSE 100
#define COMMAND_ROOM    (COMMAND_TAG_MAX + 32) /* of a line, for what stands before the object */

struct turn {
    struct ask *ask;
    struct ctl *ctl;
    struct connection *connection;
    struct ask_show *show;
    const char *words;                    /* NULL: somebody else's are picked up */
    char tag[COMMAND_TAG_MAX + 1];        /* of the ASK */
    char cancel_tag[COMMAND_TAG_MAX + 1]; /* "": not sent on this connection */
    int64_t deadline;
    int64_t opened_at;
    int64_t give_up_at; /* while nobody answers */
    bool is_taken;      /* by the daemon: it goes on without us */
    bool is_cancelled;  /* by Ctrl-C */
    bool is_refused;    /* by a daemon that ends: it may be sent again */
    bool said_broken;
};

/* ---- what is sent ---- */

static void write_directory(struct jsonw *w)
{
    char *directory = getcwd(NULL, 0);
    if (directory && *directory == '/')
        jsonw_member_string(w, "directory", directory);
    free(directory);
}

/* Fresh memory; NULL if it doesn't fit into a line. */
static char *ask_argument(const struct turn *turn)
{
    struct buf text;
    struct jsonw w;
    buf_init(&text, LIMIT_LINE - COMMAND_ROOM);
    jsonw_init(&w, &text);
    jsonw_object(&w);
    if (turn->words && !turn->is_taken) {
        jsonw_member_string(&w, "text", turn->words);
        write_directory(&w);
    }
    jsonw_member_string(&w, "session", turn->ask->session);
    jsonw_object_end(&w);
    if (!text.failed)
        return buf_steal(&text);
    buf_free(&text);
    return NULL;
}

static enum connection_result send_cancel(struct turn *turn)
{
    char *argument = mem_format("{\"session\":\"%s\",\"cancel\":true}", turn->ask->session);
    enum connection_result result = connection_send(
        turn->connection, "ASK", argument, clock_after(REPLY_TIMEOUT_MS), turn->cancel_tag);
    free(argument);
    return result;
}

static bool cancel_is_due(const struct turn *turn)
{
    return turn->is_cancelled && turn->is_taken && turn->ask->session && !*turn->cancel_tag;
}

static enum connection_result start(struct turn *turn)
{
    char *argument = ask_argument(turn);
    turn->opened_at = clock_ms();
    turn->is_refused = false;
    *turn->cancel_tag = '\0';
    enum connection_result result = connection_send(turn->connection, "ASK", argument,
                                                    clock_after(REPLY_TIMEOUT_MS), turn->tag);
    free(argument);
    if (result == CONNECTION_OK && cancel_is_due(turn))
        result = send_cancel(turn);
    return result;
}

/* Asks beside the ASK how a job is: its answer carries the estimate. */
static void look_at(struct turn *turn, struct json_value event)
{
    char tag[COMMAND_TAG_MAX + 1];
    char *id = job_member(event, "id");
    if (id && json_equals(json_get(event, "state"), "running") && ask_show_is_drawn(turn->show))
        connection_send(turn->connection, "STATUS", id, clock_after(REPLY_TIMEOUT_MS), tag);
    free(id);
}

/* ---- what comes ---- */

static void take_session(struct ask *ask, struct json_value object)
{
    char *session = job_member(object, "session");
    if (!session || !remember_is_session(session)) {
        free(session);
        return;
    }
    bool is_same = ask->session && strcmp(ask->session, session) == 0;
    free(ask->session);
    ask->session = session;
    if (!is_same || !ask->is_remembered)
        remember_set_session(ask->ctl, session);
    ask->is_remembered = true;
}

static enum connection_result take_event(struct turn *turn, const struct answer *answer)
{
    if (!turn->is_taken) {
        turn->is_taken = true;
        ask_show_clear(turn->show);
        take_session(turn->ask, answer->value);
    }
    ask_show_step(turn->show, answer);
    if (json_equals(json_get(answer->value, "step"), "job"))
        look_at(turn, answer->value);
    return cancel_is_due(turn) ? send_cancel(turn) : CONNECTION_OK;
}

static void take_cancelled(struct turn *turn, const struct answer *answer)
{
    char *message = job_member(answer->value, "message");
    ask_show_clear(turn->show);
    if (answer->word == REPLY_ERR)
        ctl_complain(turn->ctl, "it can't be cancelled: %s", message ? message : "refused");
    free(message);
}

/* True if this answer ends the turn. */
static bool take_answer(struct turn *turn, const struct answer *answer,
                        enum connection_result *result)
{
    bool is_end = answer->word == REPLY_OK || answer->word == REPLY_ERR;
    bool is_ask = strcmp(answer->tag, turn->tag) == 0;
    if (is_ask && answer->word == REPLY_EVENT)
        *result = take_event(turn, answer);
    else if (*turn->cancel_tag && strcmp(answer->tag, turn->cancel_tag) == 0)
        take_cancelled(turn, answer);
    else if (!is_ask && answer->word == REPLY_OK)
        ask_show_job(turn->show, answer->value);
    return is_end && (is_ask || (answer->word == REPLY_ERR && !*answer->tag));
}

/* ---- what goes wrong ---- */

/* Words that may have been taken aren't said again: they cost money. */
static bool may_start_again(const struct turn *turn)
{
    return turn->is_taken || !turn->words || turn->is_refused;
}

static enum connection_result reconnect(struct turn *turn)
{
    if (!may_start_again(turn))
        return CONNECTION_BROKEN;
    if (!turn->said_broken) {
        ask_show_clear(turn->show);
        ctl_complain(turn->ctl, "the daemon went away; trying to reach it again");
    }
    turn->said_broken = true;
    if (turn->give_up_at == 0 || clock_ms() - turn->opened_at > STABLE_MS)
        turn->give_up_at = clock_after(turn->ask->reconnect_ms);
    int64_t until = turn->give_up_at < turn->deadline ? turn->give_up_at : turn->deadline;
    interrupt_poll(NULL, 0, RECONNECT_PAUSE);
    if (clock_left(until) == 0)
        return CONNECTION_BROKEN;
    enum connection_result result = connection_reopen(turn->connection, until);
    return result == CONNECTION_OK ? start(turn) : result;
}

/* The first Ctrl-C cancels the turn; the second one, and other signals, end veoctl. */
static enum connection_result interrupted(struct turn *turn)
{
    if (turn->is_cancelled || !interrupt_take())
        return CONNECTION_INTERRUPTED;
    turn->is_cancelled = true;
    int64_t patience = clock_after(REPLY_TIMEOUT_MS);
    turn->deadline = patience < turn->deadline ? patience : turn->deadline;
    ask_show_clear(turn->show);
    ctl_complain(turn->ctl, "cancelling; Ctrl-C again leaves at once");
    if (turn->connection->fd < 0)
        return CONNECTION_BROKEN;
    if (!turn->words) /* it was known before */
        turn->is_taken = true;
    return cancel_is_due(turn) ? send_cancel(turn) : CONNECTION_OK;
}

static int64_t read_deadline(const struct turn *turn)
{
    int64_t tick = clock_after(PROGRESS_TICK_MS);
    return ask_show_is_drawn(turn->show) && tick < turn->deadline ? tick : turn->deadline;
}

/* To the answer that ends the ASK, over as many connections as it takes. */
static enum connection_result read_to_end(struct turn *turn, struct answer *ret)
{
    enum connection_result result = start(turn);
    for (;;) {
        ask_show_draw(turn->show);
        if (result == CONNECTION_OK)
            result = connection_read(turn->connection, ret, read_deadline(turn));
        if (result == CONNECTION_OK && take_answer(turn, ret, &result)) {
            turn->is_refused = call_is_leaving(ret);
            if (!turn->is_refused)
                return result;
            result = CONNECTION_BROKEN;
        }
        if (result == CONNECTION_INTERRUPTED) {
            result = interrupted(turn);
            if (result == CONNECTION_INTERRUPTED)
                return result;
        }
        if (result == CONNECTION_TIMED_OUT && clock_left(turn->deadline) > 0)
            result = CONNECTION_OK;
        if (result == CONNECTION_BROKEN)
            result = reconnect(turn);
        if (result != CONNECTION_OK && result != CONNECTION_INTERRUPTED)
            return result;
    }
}

static void say_how_to_come_back(const struct turn *turn, const char *what)
{
    if (turn->ask->session && may_start_again(turn))
        ctl_complain(turn->ctl, "%s; the turn goes on: veoctl ask --session %s", what,
                     turn->ask->session);
    else
        ctl_complain(turn->ctl, "%s; whether the daemon took the words isn't known", what);
}

static int explain(struct turn *turn, enum connection_result result)
{
    if (result == CONNECTION_INTERRUPTED) {
        say_how_to_come_back(turn, "no longer waiting");
        interrupt_die();
    }
    if (clock_left(turn->deadline) == 0) {
        say_how_to_come_back(turn, result == CONNECTION_BROKEN ? "timed out; no daemon answers"
                                                               : "timed out");
        return EXIT_TIMED_OUT;
    }
    say_how_to_come_back(turn, turn->connection->problem);
    return result == CONNECTION_BROKEN ? EXIT_NO_DAEMON : EXIT_PROTOCOL;
}

/* An ERR may have ended a turn that has made jobs already. */
static int refused(struct turn *turn, const struct answer *answer)
{
    struct buf ids;
    buf_init(&ids, LIMIT_REPLY_LINE);
    take_session(turn->ask, answer->value);
    int status = call_refused(turn->ctl, answer);
    for (struct json_iter it = json_iter(json_get(answer->value, "jobs")); json_next(&it);) {
        char *id = json_strdup(it.value, NULL);
        buf_addf(&ids, " %s", id ? id : "");
        free(id);
    }
    if (ids.length > 0)
        ctl_complain(turn->ctl, "its jobs go on: veoctl wait%s", buf_text(&ids));
    buf_free(&ids);
    return status;
}

static int run(struct turn *turn)
{
    struct answer answer;
    turn->show = ask_show_new(turn->ctl, !turn->words);
    enum connection_result result = read_to_end(turn, &answer);
    ask_show_free(turn->show);
    if (result != CONNECTION_OK)
        return explain(turn, result);
    if (answer.word == REPLY_ERR)
        return refused(turn, &answer);
    take_session(turn->ask, answer.value);
    return ask_end(turn->ask, turn->connection, &answer);
}

int ask_turn(struct ask *ask, const char *words)
{
    struct connection connection;
    struct turn turn = {.ask = ask, .ctl = ask->ctl, .connection = &connection, .words = words};
    char *argument = ask_argument(&turn);
    if (!argument) {
        ctl_complain(ask->ctl, "the words have more than %d bytes", LIMIT_LINE - COMMAND_ROOM);
        return EXIT_REFUSED;
    }
    free(argument);
    turn.deadline = clock_after(ask->timeout_ms);
    interrupt_catch();
    int status = call_open(ask->ctl, &connection);
    if (status == EXIT_ALL_DONE)
        status = run(&turn);
    connection_close(&connection);
    return status;
}
