/* Words for the agent, and what comes of them. */
#ifndef VEO_CTL_ASK_H
#define VEO_CTL_ASK_H

#include "proto/ctl/connection.h"
#include "proto/ctl/ctl.h"

struct ask {
    struct ctl *ctl;
    char *session;      /* NULL: a new one; owned; in full once the daemon has said it */
    bool is_remembered; /* '--session last' means it */
    const char *output; /* where videos are written; NULL: they stay with the daemon */
    bool overwrite;
    int64_t timeout_ms;   /* of a turn; below 0: none */
    int64_t reconnect_ms; /* how long a daemon that went away is waited for */
};

/* One turn: sends the words (NULL: waits for the answer of the session's last turn), shows the
 * steps, and then the answer and the videos. Ctrl-C cancels the turn. The status to exit with. */
int ask_turn(struct ask *ask, const char *words);

/* Its last part: the OK of a turn. */
int ask_end(struct ask *ask, struct connection *connection, const struct answer *ok);

/* Turn after turn, as a person types them. */
int ask_prompt(struct ask *ask);

#endif
