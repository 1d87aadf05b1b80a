#include "proto/ctl/mcp_link.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "proto/ctl/ctl.h"
#include "proto/limits.h"

#define OUT_MAX       (16 * 1024 * 1024) /* more than all calls together can ask for */
#define OPEN_MS       1000               /* for a place in the daemon's queue */
#define PAUSE_LEAST   100
#define PAUSE_MOST_MS 1000

void link_init(struct mcp_link *link, const char *path)
{
    connection_init(&link->connection, path);
    buf_init(&link->out, OUT_MAX);
    link->last_tag = 0;
    link->pause_ms = link->retry_at = 0;
}

void link_free(struct mcp_link *link)
{
    link_close(link);
}

bool link_is_open(const struct mcp_link *link)
{
    return link->connection.fd >= 0;
}

bool link_open(struct mcp_link *link)
{
    if (link_is_open(link))
        return true;
    if (connection_open(&link->connection, clock_after(OPEN_MS)) == CONNECTION_OK)
        return true;
    link->pause_ms = link->pause_ms ? 2 * link->pause_ms : PAUSE_LEAST;
    if (link->pause_ms > PAUSE_MOST_MS)
        link->pause_ms = PAUSE_MOST_MS;
    link->retry_at = clock_after(link->pause_ms);
    return false;
}

bool link_reopen(struct mcp_link *link)
{
    return link_is_open(link) || (clock_left(link->retry_at) == 0 && link_open(link));
}

void link_close(struct mcp_link *link)
{
    connection_close(&link->connection);
    buf_free(&link->out);
    link->retry_at = clock_after(PAUSE_LEAST);
}

void link_send(struct mcp_link *link, const char *verb, const char *argument,
               char ret_tag[COMMAND_TAG_MAX + 1])
{
    snprintf(ret_tag, COMMAND_TAG_MAX + 1, "%u", ++link->last_tag);
    buf_addf(&link->out, "@%s %s%s", ret_tag, verb, *argument ? " " : "");
    buf_add_text(&link->out, argument);
    buf_add_byte(&link->out, '\n');
}

enum connection_result link_flush(struct mcp_link *link)
{
    while (link->out.length > 0) {
        ssize_t n = send(link->connection.fd, link->out.data, link->out.length, MSG_NOSIGNAL);
        if (n < 0)
            return errno == EAGAIN || errno == EINTR ? CONNECTION_OK : CONNECTION_BROKEN;
        buf_consume(&link->out, (size_t)n);
    }
    return CONNECTION_OK;
}

enum connection_result link_read(struct mcp_link *link, struct answer *ret)
{
    enum connection_result result = connection_read(&link->connection, ret, clock_ms());
    if (result == CONNECTION_OK)
        link->pause_ms = 0;
    return result;
}

void link_explain(const struct mcp_link *link, char *ret, size_t size)
{
    const char *why = link->connection.problem;
    char known[320];
    snprintf(known, sizeof known, "can't connect to %s: ", link->connection.path);
    if (strncmp(why, known, strlen(known)) == 0)
        why += strlen(known);
    snprintf(ret, size, "no daemon at %s: %s", link->connection.path, why);
}
