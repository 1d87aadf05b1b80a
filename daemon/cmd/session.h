/* Inside a session: what its lines (session.c) and its replies (replies.c) share. */
#ifndef VEO_SESSION_H
#define VEO_SESSION_H

#include "daemon/cmd/call.h"

struct session {
    struct commands *commands;
    struct client *client;
    struct call *calls; /* newest first */
    size_t call_count;
    struct call *in_order;  /* the untagged one that is being answered */
    struct call *streaming; /* its raw bytes are being sent */
    struct call *paging;    /* it reads a page of a list */
    struct buf behind;      /* what others said meanwhile */
    struct call *taking;    /* the bytes that come now are its; NULL: nobody's */
    uint64_t body_left;     /* of them */
    unsigned puts;          /* not ended */
    bool body_waits;        /* until somebody takes them */
    char *waiting_line;     /* untagged, while another one is being answered */
    size_t waiting_length;
    enum line_event waiting_event;
    bool has_waiting;
    bool ended; /* the client sends no more */
    bool quit;
};

/* Answers a line that became no call. */
void session_refuse(struct session *session, const char *tag, const struct error *error);

#endif
