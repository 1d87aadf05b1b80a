#include "proto/ctl/call.h"

#include <stdlib.h>
#include <string.h>

#include "proto/ctl/interrupt.h"
#include "proto/ctl/output.h"

#define RESEND_PAUSE_MS 1000 /* between connections that are made and break at once */

int call_failed(struct ctl *ctl, const struct connection *connection, enum connection_result result)
{
    if (result == CONNECTION_INTERRUPTED) {
        if (ctl->farewell)
            ctl_complain(ctl, "%s", ctl->farewell);
        if (ctl->is_prompt && interrupt_take())
            return EXIT_CANCELLED;
        interrupt_die();
    }
    ctl_complain(ctl, "%s", connection->problem);
    return result == CONNECTION_BROKEN ? EXIT_NO_DAEMON : EXIT_PROTOCOL;
}

bool call_is_leaving(const struct answer *answer)
{
    return answer->word == REPLY_ERR && json_equals(json_get(answer->value, "code"), "draining");
}

int call_error_status(struct json_value error)
{
    size_t length = 0;
    char *code = json_strdup(json_get(error, "code"), &length);
    enum exit_status status = exit_of_error(code ? error_code_from_name(code, length) : ERROR_NONE);
    free(code);
    return (int)status;
}

int call_refused(struct ctl *ctl, const struct answer *answer)
{
    char *code = json_strdup(json_get(answer->value, "code"), NULL);
    char *message = json_strdup(json_get(answer->value, "message"), NULL);
    char *field = json_strdup(json_get(answer->value, "field"), NULL);
    ctl->output->refused(ctl, answer);
    ctl_complain(ctl, "%s%s%s (%s)", field ? field : "", field ? ": " : "",
                 message ? message : "refused", code ? code : "no code");
    free(code);
    free(message);
    free(field);
    return call_error_status(answer->value);
}

int call_open(struct ctl *ctl, struct connection *connection)
{
    connection_init(connection, ctl->socket_path);
    enum connection_result result =
        connection_open(connection, clock_after(ctl_reply_timeout(ctl)));
    return result == CONNECTION_OK ? EXIT_ALL_DONE : call_failed(ctl, connection, result);
}

/* An ERR about a line that the daemon couldn't take apart has no tag. */
static bool is_ours(const struct answer *answer, const char *tag)
{
    return strcmp(answer->tag, tag) == 0 || (answer->word == REPLY_ERR && !*answer->tag);
}

enum connection_result call_exchange(struct ctl *ctl, struct connection *connection,
                                     const struct call *call, struct answer *ret)
{
    int64_t deadline = clock_after(ctl_reply_timeout(ctl));
    char tag[COMMAND_TAG_MAX + 1];
    enum connection_result result =
        connection_send(connection, call->verb, call->argument, deadline, tag);
    if (result == CONNECTION_BROKEN) /* it may have said why before it closed */
        result = CONNECTION_OK;
    while (result == CONNECTION_OK) {
        result = connection_read(connection, ret, deadline);
        if (result != CONNECTION_OK || !is_ours(ret, tag))
            continue;
        if (ret->word != REPLY_ITEM && ret->word != REPLY_EVENT)
            break;
        if (ret->word == REPLY_ITEM && call->item)
            call->item(ctl, ret->value, ret, call->arg);
    }
    return result;
}

static int conclude(struct ctl *ctl, struct connection *connection, enum connection_result result,
                    const struct answer *answer)
{
    if (result != CONNECTION_OK)
        return call_failed(ctl, connection, result);
    return answer->word == REPLY_ERR ? call_refused(ctl, answer) : EXIT_ALL_DONE;
}

int call_run(struct ctl *ctl, struct connection *connection, const struct call *call,
             struct answer *ret)
{
    return conclude(ctl, connection, call_exchange(ctl, connection, call, ret), ret);
}

int call_run_again(struct ctl *ctl, struct connection *connection, const struct call *call,
                   struct answer *ret)
{
    int64_t deadline = clock_after(RESEND_FOR_MS);
    enum connection_result result = call_exchange(ctl, connection, call, ret);
    if (result == CONNECTION_BROKEN)
        ctl_complain(ctl, "the connection broke before the answer; sending the same again");
    for (int64_t pause = 0; result == CONNECTION_BROKEN && clock_left(deadline) > 0;) {
        interrupt_poll(NULL, 0, pause);
        pause = pause < RESEND_PAUSE_MS ? pause + 100 : pause;
        result = connection_reopen(connection, deadline);
        if (result == CONNECTION_OK)
            result = call_exchange(ctl, connection, call, ret);
    }
    return conclude(ctl, connection, result, ret);
}

int call_and_show(struct ctl *ctl, const char *verb, const char *argument,
                  void (*show)(struct ctl *ctl, const struct answer *answer))
{
    struct connection connection;
    struct answer answer;
    int status = call_open(ctl, &connection);
    if (status == EXIT_ALL_DONE)
        status =
            call_run(ctl, &connection, &(struct call){.verb = verb, .argument = argument}, &answer);
    if (status == EXIT_ALL_DONE)
        show(ctl, &answer);
    connection_close(&connection);
    return status;
}
