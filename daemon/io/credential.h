/* Where a secret comes from: $CREDENTIALS_DIRECTORY/NAME (systemd.exec(5), LoadCredential=), then
 * the environment (gemini-api-key → GEMINI_API_KEY), then a file that only its owner may read. */
#ifndef VEO_CREDENTIAL_H
#define VEO_CREDENTIAL_H

#include <stdbool.h>

#include "proto/error.h"

#define CREDENTIAL_MAX          4096 /* bytes */
#define CREDENTIAL_DOCUMENT_MAX (16 * 1024)

/* One line of printable ASCII, in fresh memory, to be given to credential_free; NULL with `error`
 * saying where was looked. `file` may be NULL. */
char *credential_load(const char *name, const char *file, struct error *error);
/* The same for text of several lines: a service account's key. */
char *credential_load_document(const char *name, const char *file, struct error *error);
void credential_free(char *secret); /* wipes it; takes NULL */

/* True if it can stand in a header: printable ASCII without spaces, and not empty. */
bool credential_is_word(const char *text);

/* No core dump of this process, no ptrace by others of the same user. */
void credential_protect_process(void);

#endif
