/* The connection to the daemon that all calls share: opened when it is wanted, never waited for. */
#ifndef VEO_CTL_MCP_LINK_H
#define VEO_CTL_MCP_LINK_H

#include "proto/buf.h"
#include "proto/ctl/connection.h"

struct mcp_link {
    struct connection connection;
    struct buf out; /* not sent yet */
    unsigned last_tag;
    int64_t pause_ms; /* before it is tried again */
    int64_t retry_at;
};

void link_init(struct mcp_link *link, const char *path);
void link_free(struct mcp_link *link);

bool link_is_open(const struct mcp_link *link);

/* Opens it unless it is. False if the daemon is away: connection.problem says why. */
bool link_open(struct mcp_link *link);

/* The same for what waits for the daemon to come back: at most every so often. */
bool link_reopen(struct mcp_link *link);

void link_close(struct mcp_link *link); /* what was not sent yet is lost, too */

/* Queues "@TAG VERB[ ARGUMENT]" with a fresh tag. */
void link_send(struct mcp_link *link, const char *verb, const char *argument,
               char ret_tag[COMMAND_TAG_MAX + 1]);

/* Sends what goes out without waiting. */
enum connection_result link_flush(struct mcp_link *link);

/* The next reply that is there; CONNECTION_TIMED_OUT: none. */
enum connection_result link_read(struct mcp_link *link, struct answer *ret);

/* "no daemon at PATH: …" */
void link_explain(const struct mcp_link *link, char *ret, size_t size);

#endif
