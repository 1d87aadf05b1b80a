/* A command and its answers: what most of veoctl's commands are. What goes wrong is said on
 * standard error here, once, and comes back as the exit status. */
#ifndef VEO_CTL_CALL_H
#define VEO_CTL_CALL_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/ctl/connection.h"
#include "proto/ctl/ctl.h"

struct call {
    const char *verb;
    const char *argument; /* NULL or "": none */
    /* For each ITEM; may be NULL. */
    void (*item)(struct ctl *ctl, struct json_value item, const struct answer *answer, void *arg);
    void *arg;
};

/* Opens the connection. EXIT_ALL_DONE, or the status to exit with. */
int call_open(struct ctl *ctl, struct connection *connection);

/* Sends the command and reads to the answer that ends it, OK, ERR or DATA, and says nothing. */
enum connection_result call_exchange(struct ctl *ctl, struct connection *connection,
                                     const struct call *call, struct answer *ret);

/* Sends the command and reads to its OK or DATA, which `ret` is then. An ERR is shown. */
int call_run(struct ctl *ctl, struct connection *connection, const struct call *call,
             struct answer *ret);

/* As call_run, on a connection that may break: then it opens it again and sends the same again,
 * for at most RESEND_FOR_MS. Only for what may be said twice: jobs with a key. */
int call_run_again(struct ctl *ctl, struct connection *connection, const struct call *call,
                   struct answer *ret);

/* True for the ERR of a daemon that ends: it may come back. */
bool call_is_leaving(const struct answer *answer);

/* The status for an ERR's object. */
int call_error_status(struct json_value error);

/* Shows an ERR and gives its status. */
int call_refused(struct ctl *ctl, const struct answer *answer);

/* Says what is wrong with the connection and gives the status. */
int call_failed(struct ctl *ctl, const struct connection *connection,
                enum connection_result result);

/* Opens, sends, gives the OK to `show`, closes. */
int call_and_show(struct ctl *ctl, const char *verb, const char *argument,
                  void (*show)(struct ctl *ctl, const struct answer *answer));

#endif
