/* The limits that both ends of the socket know. What an operator may change is in veod.conf. */
#ifndef VEO_LIMITS_H
#define VEO_LIMITS_H

#define PROTOCOL_VERSION 1

#define LIMIT_LINE       (64 * 1024)   /* bytes of a command line */
#define LIMIT_REPLY_LINE (1024 * 1024) /* bytes of a reply line; veod never sends a longer one */
#define LIMIT_PROMPT     (32 * 1024)   /* bytes */
#define LIMIT_BATCH      1000          /* jobs in one BATCH */
#define LIMIT_IDS        1000          /* ids in one command */
#define LIMIT_LIST       1000          /* ITEMs of one LIST */
#define LIMIT_LABELS     16            /* labels of a job */
#define LIMIT_LABEL      128           /* bytes of a label's name or value */
#define LIMIT_KEY        256           /* bytes of a submission's key */
#define LIMIT_REFERENCES 10            /* reference images of a job */
#define LIMIT_MIME       64            /* bytes of a MIME type */
#define ID_PREFIX_MIN    4             /* characters */

#define DEFAULT_SOCKET "/run/veod/veod.sock"

#endif
