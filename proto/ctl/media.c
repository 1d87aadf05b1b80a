#include "proto/ctl/media.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "proto/ctl/select.h"
#include "proto/limits.h"

#define NAME_MAX_BYTES 2048

static enum media_kind bad(char why[UPLOAD_TEXT], const char *word, const char *problem)
{
    snprintf(why, UPLOAD_TEXT, "%.300s: %s", word, problem);
    return MEDIA_BAD;
}

static bool starts_with(const char *text, const char *start)
{
    return strncmp(text, start, strlen(start)) == 0;
}

/* A blob is whole: of an id a part will do, of a checksum none. */
static bool is_blob(const char *word)
{
    const char *digits = word + strlen("sha256-");
    return starts_with(word, "sha256-") && strlen(digits) == 64 &&
           strspn(digits, "0123456789abcdef") == 64;
}

/* Of a ULID, or its beginning. */
static bool is_id(const char *word)
{
    size_t length = strlen(word);
    for (size_t i = 0; i < length; i++) {
        if (!isalnum((unsigned char)word[i]))
            return false;
    }
    return length >= ID_PREFIX_MIN && length <= ID_LENGTH && *word >= '0' && *word <= '7';
}

static bool is_operation(const char *word)
{
    return strstr(word, "/operations/") || strstr(word, "/interactions/") ||
           starts_with(word, "operations/") || starts_with(word, "interactions/");
}

/* "v1_…", "int_…", "video_…": operations that are no path. */
static bool is_opaque(const char *word)
{
    bool is_known = starts_with(word, "v1_") || starts_with(word, "int_") ||
                    starts_with(word, "video_") || strlen(word) > ID_LENGTH;
    return is_known && !strpbrk(word, "/. \t\r\n");
}

static bool must_be_file(const char *word)
{
    return *word == '/' || *word == '~' || starts_with(word, "./") || starts_with(word, "../");
}

enum media_kind media_kind_of(const char *word, char why[UPLOAD_TEXT])
{
    struct stat info;
    if (*word == '\0' || strlen(word) > NAME_MAX_BYTES)
        return bad(why, word, "expected a file, a blob, a job's id or an operation's name");
    if (stat(word, &info) == 0)
        return S_ISREG(info.st_mode) ? MEDIA_FILE : bad(why, word, "expected a regular file");
    bool is_absent = errno == ENOENT || errno == ENOTDIR || errno == ENAMETOOLONG;
    if (!is_absent || must_be_file(word))
        return bad(why, word, strerror(errno));
    if (strcmp(word, "last") == 0)
        return MEDIA_LAST;
    if (starts_with(word, "sha256-"))
        return is_blob(word)
                   ? MEDIA_NAME
                   : bad(why, word, "a blob's name has 64 hexadecimal digits after 'sha256-'");
    if (strstr(word, "://") || is_operation(word) || is_id(word) || is_opaque(word))
        return MEDIA_NAME;
    return bad(why, word,
               "no such file, and neither a blob (sha256-…), a job's id, an operation's name nor "
               "an address");
}

int media_write(struct uploads *uploads, struct connection *connection, const char *word,
                struct jsonw *w, char why[UPLOAD_TEXT])
{
    char blob[BLOB_NAME_MAX];
    int status = EXIT_ALL_DONE;
    *why = '\0';
    switch (media_kind_of(word, why)) {
    case MEDIA_FILE:
        status = uploads_put(uploads, connection, word, blob, why);
        if (status == EXIT_ALL_DONE)
            jsonw_string(w, blob);
        return status;
    case MEDIA_NAME:
        jsonw_string(w, word);
        return status;
    case MEDIA_LAST:
        bad(why, word, "which job that is can't be told here; give its id");
        return EXIT_USAGE;
    case MEDIA_BAD:
        return EXIT_USAGE;
    }
    return EXIT_PROTOCOL;
}
