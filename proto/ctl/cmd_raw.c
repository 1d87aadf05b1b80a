#include <string.h>
#include <unistd.h>

#include "proto/ctl/call.h"
#include "proto/ctl/commands.h"
#include "proto/ctl/text.h"
#include "proto/limits.h"

static void print_line(const struct ctl *ctl, const struct answer *answer)
{
    struct buf line;
    buf_init(&line, 7 * LIMIT_REPLY_LINE);
    if (*answer->tag)
        buf_addf(&line, "@%s ", answer->tag);
    buf_addf(&line, "%s ", reply_word_name(answer->word));
    if (ctl->out.is_terminal)
        text_json(&line, answer->json, answer->json_length);
    else
        buf_add(&line, answer->json, answer->json_length);
    puts(buf_text(&line));
    fflush(stdout);
    buf_free(&line);
}

/* A terminal is told how many bytes there are, and spared them. */
static enum connection_result copy_body(const struct ctl *ctl, struct connection *connection,
                                        const struct answer *answer)
{
    int64_t bytes = 0;
    const char *data;
    size_t length;
    json_int(json_get(answer->value, "bytes"), 0, INT64_MAX, &bytes);
    connection_expect(connection, (uint64_t)bytes);
    for (;;) {
        enum connection_result result =
            connection_read_body(connection, &data, &length, clock_after(ctl_reply_timeout(ctl)));
        if (result != CONNECTION_OK || length == 0)
            return result;
        if (!ctl->out.is_terminal)
            fwrite(data, 1, length, stdout);
    }
}

/* These two answer when it pleases them. */
static bool is_patient(const char *line, const char *verb)
{
    if (*line == '@')
        line += strcspn(line, " ");
    line += strspn(line, " ");
    size_t length = strcspn(line, " ");
    return length == strlen(verb) && strncasecmp(line, verb, length) == 0;
}

static int64_t deadline_for(const struct ctl *ctl, const char *line)
{
    bool patient = is_patient(line, "WAIT") || is_patient(line, "WATCH");
    return patient ? clock_after(ctl->timeout_ms) : clock_after(ctl_reply_timeout(ctl));
}

static int print_answers(struct ctl *ctl, struct connection *connection, const char *line)
{
    struct answer answer;
    int64_t deadline = deadline_for(ctl, line);
    for (;;) {
        enum connection_result result = connection_read(connection, &answer, deadline);
        if (result != CONNECTION_OK)
            return call_failed(ctl, connection, result);
        print_line(ctl, &answer);
        if (answer.word == REPLY_ERR)
            return call_error_status(answer.value);
        if (answer.word == REPLY_DATA) {
            result = copy_body(ctl, connection, &answer);
            return result == CONNECTION_OK ? EXIT_ALL_DONE : call_failed(ctl, connection, result);
        }
        if (answer.word == REPLY_OK && !is_patient(line, "WATCH"))
            return EXIT_ALL_DONE;
    }
}

static int join(struct ctl *ctl, struct args *args, struct buf *line)
{
    size_t count;
    if (args_next(args) != OPTION_END)
        return EXIT_USAGE;
    char **words = args_words(args, &count);
    for (size_t i = 0; i < count; i++) {
        if (i > 0)
            buf_add_byte(line, ' ');
        buf_add_text(line, words[i]);
    }
    if (line->failed || line->length == 0 || strchr(buf_text(line), '\n'))
        return ctl_usage(ctl, "expected one line of 1 to %d bytes", LIMIT_LINE);
    return EXIT_ALL_DONE;
}

int cmd_raw(struct ctl *ctl, struct args *args)
{
    struct connection connection;
    struct buf line;
    buf_init(&line, LIMIT_LINE);
    int status = join(ctl, args, &line);
    if (status == EXIT_ALL_DONE) {
        status = call_open(ctl, &connection);
        if (status == EXIT_ALL_DONE) {
            enum connection_result result = connection_send_line(
                &connection, buf_text(&line), line.length, clock_after(ctl_reply_timeout(ctl)));
            status = result == CONNECTION_OK ? print_answers(ctl, &connection, buf_text(&line))
                                             : call_failed(ctl, &connection, result);
        }
        connection_close(&connection);
    }
    buf_free(&line);
    return status;
}
