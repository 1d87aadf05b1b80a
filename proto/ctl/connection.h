/* One connection to the daemon. Every call has a deadline (of clock_ms) and can be interrupted by
 * a caught signal; a reply line is at most LIMIT_REPLY_LINE long. */
#ifndef VEO_CTL_CONNECTION_H
#define VEO_CTL_CONNECTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/command.h"
#include "proto/json.h"
#include "proto/line.h"

#define CONNECTION_INPUT 65536

enum connection_result {
    CONNECTION_OK,
    CONNECTION_BROKEN,      /* not there, or went away: trying again may help */
    CONNECTION_TIMED_OUT,   /* nothing is lost: reading may go on */
    CONNECTION_INTERRUPTED, /* as well */
    CONNECTION_NONSENSE,    /* what came is not the protocol */
};

struct connection {
    const char *path; /* borrowed */
    int fd;           /* below 0: closed */
    struct line_reader reader;
    const char *data; /* read, not yet looked at */
    size_t length;
    struct json *doc; /* of the last answer */
    unsigned last_tag;
    char problem[320]; /* one line for a person about the last result that wasn't OK */
    char input[CONNECTION_INPUT];
};

/* A reply; all of it is valid until the next read or close. */
struct answer {
    enum reply_word word;
    char tag[COMMAND_TAG_MAX + 1];
    const char *json; /* as sent */
    size_t json_length;
    struct json_value value; /* the same, an object */
};

void connection_init(struct connection *connection, const char *path);
void connection_close(struct connection *connection); /* can be opened again */

enum connection_result connection_open(struct connection *connection, int64_t deadline);

/* Opens it, trying again with back-off while nobody answers. */
enum connection_result connection_reopen(struct connection *connection, int64_t deadline);

/* Sends "@TAG VERB[ ARGUMENT]" with a fresh tag, which is also written to `ret_tag`. */
enum connection_result connection_send(struct connection *connection, const char *verb,
                                       const char *argument, int64_t deadline,
                                       char ret_tag[COMMAND_TAG_MAX + 1]);

/* Sends a line as it is. */
enum connection_result connection_send_line(struct connection *connection, const char *line,
                                            size_t length, int64_t deadline);

/* Sends bytes as they are: a body. */
enum connection_result connection_send_bytes(struct connection *connection, const char *bytes,
                                             size_t length, int64_t deadline);

/* True if there is something to read, be it the end: at once. */
bool connection_has_input(const struct connection *connection);

enum connection_result connection_read(struct connection *connection, struct answer *ret,
                                       int64_t deadline);

/* After a DATA answer that was followed by connection_expect(bytes): the next bytes; a length of 0
 * means that the body is complete. */
void connection_expect(struct connection *connection, uint64_t bytes);
enum connection_result connection_read_body(struct connection *connection, const char **ret_data,
                                            size_t *ret_length, int64_t deadline);

#endif
