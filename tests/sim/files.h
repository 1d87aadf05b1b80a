/* Files: what a result's uri leads to. */
#ifndef SIM_FILES_H
#define SIM_FILES_H

#include "tests/sim/exchange.h"

void files_serve_get(struct exchange *exchange);      /* the file's state */
void files_serve_link(struct exchange *exchange);     /* the first hop of a download */
void files_serve_download(struct exchange *exchange); /* its bytes, from either origin */

/* Sends the bytes and counts a download. Without a file, with the reply saying why, only counts. */
void files_send(struct exchange *exchange, struct file *file);

/* The uri of a file, as a client that called us like this can reach it. To be freed. */
char *file_uri(const struct exchange *exchange, const struct file *file);

struct media file_media(const struct sim *sim, const struct file *file);

#endif
