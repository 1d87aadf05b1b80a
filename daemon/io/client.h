/* The Unix socket: listening, clients, their lines in and their bytes out.
 *
 * A client's lines are delivered one at a time; whoever takes them may pause the delivery, and then
 * no more is read from that client. What is sent is collected and written once a turn of the loop.
 * While more than `output_high` bytes wait to be written, delivery is paused as well, and whoever
 * produces much should wait for `drained`. A client that takes nothing
 * for `stall_ms` is dropped, and so is one that sends nothing of what it announced.
 */
#ifndef VEO_CLIENT_H
#define VEO_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>
#include <uv.h>

#include "daemon/io/listen.h"
#include "proto/error.h"
#include "proto/line.h"

struct clients; /* the listener and all its clients */
struct client;

struct clients_config {
    const char *path;
    const char *group; /* of the socket file; NULL: the process's */
    mode_t mode;
    const char *admin_group; /* NULL: none */
    unsigned max;            /* clients at once */
    size_t output_high;      /* bytes */
    size_t output_max;       /* above this the client is dropped */
    int64_t stall_ms;
};

struct clients_hooks {
    /* A new client; what is returned is its `data`. */
    void *(*connected)(void *arg, struct client *client);
    /* A line, or what was wrong with one (line.h: LINE_TEXT, LINE_TOO_LONG, LINE_BAD_TEXT). */
    void (*line)(void *data, enum line_event event, const struct line_piece *piece);
    /* It will send no more, and `cut` bytes of a line without an end were its last; it may still
     * read. Answer what is open, then client_finish(). */
    void (*ended)(void *data, size_t cut);
    /* Some bytes of what client_expect() announced; says how many of them it took. Fewer than
     * `length`: the client is paused, and the rest comes again after client_resume(). */
    size_t (*body)(void *data, const char *bytes, size_t length);
    /* Less than output_high / 4 waits to be written. */
    void (*drained)(void *data);
    /* It is gone; the client must not be used any more. */
    void (*gone)(void *data);
};

/* Listens at `path`, or on `fd` if that is not negative (systemd's; the path is then not touched).
 * A file left by a dead veod is replaced; a living one is an error. */
int clients_open(uv_loop_t *loop, const struct clients_config *config, int fd,
                 const struct clients_hooks *hooks, void *arg, struct clients **ret,
                 struct error *error);

/* No new clients from now on. */
void clients_stop_listening(struct clients *clients);

/* Writes what the kernel takes at once, drops everybody, then calls `closed`. */
void clients_close(struct clients *clients, void (*closed)(void *), void *arg);

/* Other limits, for new clients and those that are there: max, output_high and stall_ms; output_max
 * for new ones. */
void clients_set_limits(struct clients *clients, const struct clients_config *config);

size_t clients_count(const struct clients *clients);

/* Who is an admin: root, the daemon's own user, admin_group. */
bool clients_trust(const struct clients *clients, const struct peer *peer);

void client_send(struct client *client, const char *bytes, size_t length);
size_t client_unsent(const struct client *client);
bool client_is_full(const struct client *client); /* more than output_high waits */

void client_pause(struct client *client);  /* the delivery of lines */
void client_resume(struct client *client); /* continues from the loop, not from inside the call */

/* The next `bytes` bytes after the line that was delivered last are no lines: `body` gets them. */
void client_expect(struct client *client, uint64_t bytes);

/* `drained` will be called, from the loop, once there is room. */
void client_want_drained(struct client *client);

/* Closes once all is written: from the loop, not from inside the call. No more lines are delivered,
 * and nothing more is taken for sending. */
void client_finish(struct client *client);

const struct peer *client_peer(const struct client *client); /* as it connected */
uid_t client_uid(const struct client *client);
bool client_is_admin(const struct client *client);

#endif
