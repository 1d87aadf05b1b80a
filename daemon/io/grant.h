/* An owner's own way to its results: an access control list on the folder of that owner. */
#ifndef VEO_GRANT_H
#define VEO_GRANT_H

#include <sys/types.h>

/* Lets `owner` read what is in the folder and what will be made in it, and nobody else, whatever
 * group veod is in. Where the file system has no such lists `owner` can't either; there still is
 * GET. A set-group-ID folder is left as it is: its operator has seen to it who reads. */
void grant_owner(int folder, uid_t owner);

#endif
