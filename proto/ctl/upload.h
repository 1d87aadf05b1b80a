/* Files of the user's, sent to the daemon as blobs: read with the user's own rights, a piece at a
 * time, and each only once. */
#ifndef VEO_CTL_UPLOAD_H
#define VEO_CTL_UPLOAD_H

#include "proto/ctl/call.h"

#define BLOB_NAME_MAX 80  /* bytes of "sha256-…", with a NUL */
#define UPLOAD_TEXT   512 /* bytes of a line about what is wrong */

struct uploads; /* what was sent already, by device, inode, size and times */

struct uploads *uploads_new(struct ctl *ctl);
void uploads_free(struct uploads *uploads); /* takes NULL */

/* Sends the file unless that was done. EXIT_ALL_DONE with the blob's name, or the status to exit
 * with and in `why` one line about it; an interrupted one leaves interrupt_pending(). A connection
 * that breaks is opened again for RESEND_FOR_MS; afterwards it may be closed. */
int uploads_put(struct uploads *uploads, struct connection *connection, const char *path,
                char ret_blob[BLOB_NAME_MAX], char why[UPLOAD_TEXT]);

#endif
