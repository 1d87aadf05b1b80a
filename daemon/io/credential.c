#include "daemon/io/credential.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/mem.h"

enum credential_form { CREDENTIAL_LINE, CREDENTIAL_DOCUMENT };

static size_t longest(enum credential_form form)
{
    return form == CREDENTIAL_LINE ? CREDENTIAL_MAX : CREDENTIAL_DOCUMENT_MAX;
}

static bool may_hold(enum credential_form form, unsigned char byte)
{
    return isgraph(byte) || (form == CREDENTIAL_DOCUMENT && (isspace(byte) || byte >= 0x80));
}

bool credential_is_word(const char *text)
{
    for (const char *c = text; *c; c++)
        if (!may_hold(CREDENTIAL_LINE, (unsigned char)*c))
            return false;
    return text[0] != '\0';
}

static char *accept_secret(char *text, size_t length, enum credential_form form, const char *from,
                           struct error *error)
{
    while (length > 0 && isspace((unsigned char)text[length - 1]))
        length--;
    text[length] = '\0';
    for (size_t i = 0; i < length; i++)
        if (!may_hold(form, (unsigned char)text[i]))
            length = 0;
    if (length == 0) {
        error_set(error, ERROR_UNAVAILABLE, NULL, "%s holds no usable secret: expected %s", from,
                  form == CREDENTIAL_LINE ? "one line of printable ASCII" : "text");
        return NULL;
    }
    return mem_strdup(text);
}

static char *read_open_file(int fd, enum credential_form form, const char *path,
                            struct error *error)
{
    char text[CREDENTIAL_DOCUMENT_MAX + 1];
    ssize_t length = read(fd, text, sizeof(text));
    char *secret = NULL;
    if (length < 0)
        error_set(error, ERROR_UNAVAILABLE, NULL, "%s: %s", path, strerror(errno));
    else if ((size_t)length > longest(form))
        error_set(error, ERROR_UNAVAILABLE, NULL, "%s is longer than %zu bytes", path,
                  longest(form));
    else
        secret = accept_secret(text, (size_t)length, form, path, error);
    explicit_bzero(text, sizeof(text));
    return secret;
}

static char *read_file(const char *path, enum credential_form form, bool only_owner,
                       struct error *error)
{
    struct stat status;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0) {
        error_set(error, ERROR_UNAVAILABLE, NULL, "%s: %s", path, strerror(errno));
        return NULL;
    }
    char *secret = NULL;
    if (fstat(fd, &status) < 0 || !S_ISREG(status.st_mode))
        error_set(error, ERROR_UNAVAILABLE, NULL, "%s is no regular file", path);
    else if (only_owner && (status.st_mode & 077))
        error_set(error, ERROR_UNAVAILABLE, NULL,
                  "%s may be read or written by others (mode %04o): expected 0600", path,
                  (unsigned)status.st_mode & 07777);
    else
        secret = read_open_file(fd, form, path, error);
    close(fd);
    return secret;
}

static char *from_environment(const char *name, enum credential_form form, struct error *error)
{
    char variable[128];
    size_t i = 0;
    for (; name[i] && i + 1 < sizeof(variable); i++)
        variable[i] = name[i] == '-' ? '_' : (char)toupper((unsigned char)name[i]);
    variable[i] = '\0';
    char *value = getenv(variable);
    if (!value)
        return NULL;
    char *secret = NULL;
    if (strlen(value) <= longest(form))
        secret = accept_secret(value, strlen(value), form, variable, error);
    else
        error_set(error, ERROR_UNAVAILABLE, NULL, "%s is too long", variable);
    return secret;
}

/* The unit gives unusable words in place of a missing file, so that veod can say this: systemd
 * would only speak of a protocol error, again and again. */
static char *from_systemd(const char *path, enum credential_form form, struct error *error)
{
    char *secret = read_file(path, form, false, error);
    if (secret)
        return secret;
    struct error cause = *error;
    error_set(error, ERROR_UNAVAILABLE, NULL,
              "%s. Is the secret in the file that LoadCredential= names in the unit?",
              cause.message);
    return NULL;
}

static char *load(const char *name, const char *file, enum credential_form form,
                  struct error *error)
{
    const char *directory = getenv("CREDENTIALS_DIRECTORY");
    char path[PATH_MAX];
    *error = (struct error){0};
    if (directory && !strchr(name, '/')) {
        snprintf(path, sizeof(path), "%s/%s", directory, name);
        if (access(path, F_OK) == 0)
            return from_systemd(path, form, error);
    }
    char *secret = from_environment(name, form, error);
    if (secret || error->code)
        return secret;
    if (file)
        return read_file(file, form, true, error);
    error_set(error, ERROR_UNAVAILABLE, NULL,
              "no credential \"%s\": looked in $CREDENTIALS_DIRECTORY and the environment, and no "
              "credential_file is set",
              name);
    return NULL;
}

char *credential_load(const char *name, const char *file, struct error *error)
{
    return load(name, file, CREDENTIAL_LINE, error);
}

char *credential_load_document(const char *name, const char *file, struct error *error)
{
    return load(name, file, CREDENTIAL_DOCUMENT, error);
}

void credential_free(char *secret)
{
    if (!secret)
        return;
    explicit_bzero(secret, strlen(secret));
    free(secret);
}

void credential_protect_process(void)
{
#ifndef __SANITIZE_ADDRESS__ /* LeakSanitizer attaches to the process */
    (void)prctl(PR_SET_DUMPABLE, 0);
#endif
}
