/* Inside the clients: what the listener (clients.c) and a client's bytes (client.c) share. */
#ifndef VEO_CLIENT_INTERNAL_H
#define VEO_CLIENT_INTERNAL_H

#include "daemon/io/client.h"

#define READ_CHUNK (64 * 1024)

struct client {
    struct clients *clients;
    struct client *next, *previous;
    struct client *next_touched; /* has something for the end of this turn */
    void *data;
    uv_pipe_t pipe;
    uv_write_t write;
    uv_poll_t hangup; /* after its end of file: tells a closed peer from a waiting one */
    int hangup_fd;
    struct line_reader lines;
    struct buf held; /* bytes read but not yet taken apart, while paused */
    struct buf output;
    struct buf writing;
    uint64_t progress_at; /* of the output */
    uint64_t heard_at;    /* the last bytes of a body */
    size_t queued;        /* what the kernel hadn't taken at the last look */
    struct peer peer;
    bool admin;
    bool paused;  /* by whoever takes the lines */
    bool reading; /* the pipe is */
    bool ended;   /* end of file was read */
    bool told_end;
    bool finishing;
    bool closing;
    bool is_touched;
    bool wants_drained;
    bool resumed;
    int open_handles;
};

struct clients {
    uv_loop_t *loop;
    struct clients_config config;
    struct clients_hooks hooks;
    void *arg;
    uv_pipe_t listener;
    uv_prepare_t flush;
    uv_idle_t awake; /* keeps the loop from sleeping while something waits for `flush` */
    uv_timer_t stall;
    struct client *first;
    struct client *touched;
    size_t count;
    gid_t admin_gid;
    bool has_admin_gid;
    bool closing;
    int open_handles;
    void (*closed)(void *);
    void *closed_arg;
    char chunk[READ_CHUNK];
};

/* clients.c */
void clients_maybe_closed(struct clients *clients);

/* client.c */
struct client *client_new(struct clients *clients);
void client_close(struct client *client);
void client_deliver(struct client *client); /* takes apart what is held, then reads on */
void client_on_flush(uv_prepare_t *prepare);

#endif
