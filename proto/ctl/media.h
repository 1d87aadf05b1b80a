/* The words that name an image or a video: a file here, or something that the daemon knows. */
#ifndef VEO_CTL_MEDIA_H
#define VEO_CTL_MEDIA_H

#include "proto/ctl/upload.h"
#include "proto/jsonw.h"

enum media_kind {
    MEDIA_FILE, /* to be sent */
    MEDIA_NAME, /* a blob, a job's id, an operation's name, an address: the daemon's to judge */
    MEDIA_LAST, /* "last": the user's newest job */
    MEDIA_BAD,  /* none of these; `why` says so */
};

/* A file that exists comes first; "./x", "/x" and "~" never mean anything but a file. */
enum media_kind media_kind_of(const char *word, char why[UPLOAD_TEXT]);

/* Writes what the daemon is to be told, a string, after sending the file if it is one. As
 * uploads_put; "last" is refused, since whoever calls has to find it. */
int media_write(struct uploads *uploads, struct connection *connection, const char *word,
                struct jsonw *w, char why[UPLOAD_TEXT]);

#endif
