/* What the words after `veoctl generate` ask for. */
#ifndef VEO_CTL_GENERATE_H
#define VEO_CTL_GENERATE_H

#include "proto/buf.h"
#include "proto/ctl/args.h"
#include "proto/ctl/key.h"
#include "proto/jsonw.h"

struct generate {
    struct ctl *ctl;
    struct buf request; /* the GENERATE object */
    struct jsonw w;
    struct buf labels; /* its `labels` */
    struct jsonw labels_w;
    const char *key; /* the user's, or random_key; NULL for a dry run */
    char random_key[KEY_SIZE];
    const char *output; /* NULL: the video stays with the daemon */
    int64_t count;      /* results asked for */
    int64_t reconnect_ms;
    int64_t wait_ms; /* how long to wait for the end; below 0: for ever */
    bool waits;
    bool dry_run;
    bool overwrite;
};

/* EXIT_ALL_DONE, or the status to exit with. To be freed either way. */
int generate_parse(struct generate *g, struct ctl *ctl, struct args *args);
void generate_free(struct generate *generate);

#endif
