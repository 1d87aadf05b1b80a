/* Files below a folder, found without following symbolic links. All of it blocks. */
#ifndef VEO_BENEATH_H
#define VEO_BENEATH_H

#include <stdbool.h>
#include <sys/types.h>

/* Opens `name`, which has no slash and is not "..", in `folder`. A descriptor or negative errno. */
int beneath_open(int folder, const char *name, int flags, mode_t mode);

/* Opens the folder that root/name lies in, with `make` making what is missing of it: the first
 * one, if it is named by a uid, so that this one may read in it. A descriptor or negative errno. */
int beneath_open_folder(const char *root, const char *name, bool make);

#endif
