/* What the words after `veoctl generate` ask for. */
#ifndef VEO_CTL_GENERATE_H
#define VEO_CTL_GENERATE_H

#include "proto/buf.h"
#include "proto/ctl/args.h"
#include "proto/ctl/connection.h"
#include "proto/ctl/key.h"
#include "proto/jsonw.h"

#define GENERATE_MEDIA_MAX 16

struct generate_media {
    const char *option; /* its long name */
    const char *member; /* NULL: one of the reference images */
    const char *word;
};

struct generate {
    struct ctl *ctl;
    struct buf request; /* the GENERATE object */
    struct jsonw w;
    struct buf labels; /* its `labels` */
    struct jsonw labels_w;
    uint64_t given; /* a bit for each row of the table of members */
    struct generate_media media[GENERATE_MEDIA_MAX];
    size_t media_count;
    const char *key; /* the user's, or random_key; NULL for a dry run */
    char random_key[KEY_SIZE];
    const char *output; /* NULL: the video stays with the daemon */
    int64_t samples;    /* results asked for */
    int64_t reconnect_ms;
    int64_t wait_ms; /* how long to wait for the end; below 0: for ever */
    bool waits;
    bool dry_run;
    bool overwrite;
};

/* Everything that needs no daemon. EXIT_ALL_DONE, or the status to exit with. To be freed either
 * way. */
int generate_parse(struct generate *g, struct ctl *ctl, struct args *args);

/* Sends the files; then `request` is complete. */
int generate_complete(struct generate *g, struct connection *connection);

void generate_free(struct generate *generate);

#endif
