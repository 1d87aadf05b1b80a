/* `veoctl metrics`: what Prometheus reads, on standard output or in a file for node_exporter. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/ctl/call.h"
#include "proto/ctl/commands.h"
#include "proto/mem.h"

#define TEXT_MAX (16 * 1024 * 1024) /* bytes */

/* ---- the text ---- */

static enum connection_result read_body(const struct ctl *ctl, struct connection *connection,
                                        const struct answer *answer, struct buf *text)
{
    int64_t bytes = 0;
    const char *data;
    size_t length;
    (void)json_int(json_get(answer->value, "bytes"), 0, INT64_MAX, &bytes);
    connection_expect(connection, (uint64_t)bytes);
    for (;;) {
        int64_t deadline = clock_after(ctl_reply_timeout(ctl));
        enum connection_result result = connection_read_body(connection, &data, &length, deadline);
        if (result != CONNECTION_OK || length == 0)
            return result;
        buf_add(text, data, length);
    }
}

static int ask(struct ctl *ctl, struct buf *text)
{
    struct connection connection;
    struct answer answer;
    int status = call_open(ctl, &connection);
    if (status == EXIT_ALL_DONE)
        status = call_run(ctl, &connection, &(struct call){.verb = "METRICS"}, &answer);
    if (status == EXIT_ALL_DONE) {
        enum connection_result result = read_body(ctl, &connection, &answer, text);
        if (result != CONNECTION_OK)
            status = call_failed(ctl, &connection, result);
        else if (answer.word != REPLY_DATA || text->failed) {
            ctl_complain(ctl, "the daemon's answer to METRICS is not what it should be");
            status = EXIT_PROTOCOL;
        }
    }
    connection_close(&connection);
    return status;
}

/* ---- the file ---- */

/* The temporary name has another ending than FILE, which the collector goes by. */
static char *temporary_name(const char *target)
{
    const char *slash = strrchr(target, '/');
    int folder = slash ? (int)(slash + 1 - target) : 0;
    return mem_format("%.*s.%s.XXXXXX", folder, target, target + folder);
}

static int write_all(int fd, const char *data, size_t length)
{
    while (length > 0) {
        ssize_t n = write(fd, data, length);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        data += n;
        length -= (size_t)n;
    }
    return 0;
}

/* Everybody may read it: the collector runs as a user of its own. */
static int replace(const char *target, const struct buf *text)
{
    char *temporary = temporary_name(target);
    int fd = mkostemp(temporary, O_CLOEXEC);
    int status = -1;
    if (fd >= 0) {
        status = fchmod(fd, 0644);
        if (status == 0)
            status = write_all(fd, text->data, text->length);
        if (close(fd) < 0 || status < 0 || rename(temporary, target) < 0) {
            int problem = errno;
            unlink(temporary);
            errno = problem;
            status = -1;
        }
    }
    free(temporary);
    return status;
}

/* What an older file says would look as if it were so still. */
static int write_file(struct ctl *ctl, const char *target, struct buf *text, int status)
{
    if (status != EXIT_ALL_DONE)
        buf_reset(text);
    buf_addf(text, "# HELP veod_up 1, if veod has answered.\n# TYPE veod_up gauge\nveod_up %d\n",
             status == EXIT_ALL_DONE);
    if (replace(target, text) < 0) {
        ctl_complain(ctl, "can't write %s: %s", target, strerror(errno));
        return EXIT_PROTOCOL;
    }
    return status;
}

int cmd_metrics(struct ctl *ctl, struct args *args)
{
    const char *target = NULL;
    struct buf text;
    size_t count;
    for (enum option_id option; (option = args_next(args)) != OPTION_END;) {
        if (option == OPTION_BAD)
            return EXIT_USAGE;
        if (option == OPTION_TEXTFILE)
            target = args->value;
    }
    char **words = args_words(args, &count);
    if (count > 0)
        return ctl_usage(ctl, "%s: takes options only", words[0]);
    buf_init(&text, TEXT_MAX);
    int status = ask(ctl, &text);
    if (target)
        status = write_file(ctl, target, &text, status);
    else if (status == EXIT_ALL_DONE)
        fwrite(text.data, 1, text.length, stdout);
    buf_free(&text);
    return status;
}
