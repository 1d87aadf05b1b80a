/* `veoctl batch`: every line is checked before any is sent; then as many go into one BATCH as its
 * limits allow. A BATCH is taken whole or not at all, and the first that isn't ends it: nothing is
 * bought after an error. */
#include <stdlib.h>
#include <string.h>

#include "proto/ctl/call.h"
#include "proto/ctl/commands.h"
#include "proto/ctl/job_view.h"
#include "proto/ctl/key.h"
#include "proto/ctl/output.h"
#include "proto/ctl/text.h"
#include "proto/jsonw.h"
#include "proto/limits.h"
#include "proto/mem.h"

#define JOBS_MAX       100000
#define JOBS_PER_BATCH 500
#define OBJECT_ROOM    512 /* of a line: the verb, the brackets, and a key */
#define BATCH_BYTES    (LIMIT_LINE - 128)

struct line {
    size_t number;
    char *job; /* a GENERATE object with a key; owned */
    size_t length;
};

struct batch {
    struct ctl *ctl;
    const char *key_prefix;
    struct line *lines;
    size_t count;
    size_t capacity;
    size_t bad;
    size_t accepted;
};

/* ---- reading ---- */

static int write_key(const struct batch *batch, struct jsonw *w, size_t number)
{
    char random[KEY_SIZE];
    if (!batch->key_prefix) {
        int status = key_make(batch->ctl, random);
        jsonw_member_string(w, "key", random);
        return status;
    }
    char *key = mem_format("%s-%zu", batch->key_prefix, number);
    jsonw_member_string(w, "key", key);
    free(key);
    return EXIT_ALL_DONE;
}

/* A string is a prompt; an object gets a key if it has none. */
static int write_job(const struct batch *batch, struct json_value root, size_t number,
                     struct buf *out)
{
    struct jsonw w;
    size_t length;
    int status = EXIT_ALL_DONE;
    const char *raw = json_raw(root, &length);
    jsonw_init(&w, out);
    jsonw_object(&w);
    if (json_type(root) == JSON_STRING) {
        jsonw_name(&w, "prompt");
        jsonw_raw(&w, raw, length);
    } else if (json_size(root) > 0) {
        buf_add(out, raw + 1, length - 2);
        w.needs_comma = true;
    }
    if (json_type(json_get(root, "key")) == JSON_NONE)
        status = write_key(batch, &w, number);
    jsonw_object_end(&w);
    return status;
}

static void keep(struct batch *batch, struct buf *job, size_t number)
{
    if (batch->count == batch->capacity) {
        batch->capacity = batch->capacity ? batch->capacity * 2 : 64;
        batch->lines = mem_resize(batch->lines, batch->capacity, sizeof *batch->lines);
    }
    size_t length = job->length;
    batch->lines[batch->count++] =
        (struct line){.number = number, .job = buf_steal(job), .length = length};
}

static void reject(struct batch *batch, size_t number, const char *why)
{
    ctl_complain(batch->ctl, "line %zu: %s", number, why);
    batch->bad++;
}

static int take_line(struct batch *batch, const char *text, size_t length, size_t number)
{
    struct error error;
    struct buf job;
    struct json *doc = json_parse(text, length, (struct json_limits){0}, &error);
    if (!doc) {
        reject(batch, number, error.message);
        return EXIT_ALL_DONE;
    }
    int status = EXIT_ALL_DONE;
    struct json_value root = json_root(doc);
    buf_init(&job, LIMIT_LINE);
    if (json_type(root) != JSON_OBJECT && json_type(root) != JSON_STRING)
        reject(batch, number, "expected an object or a string");
    else
        status = write_job(batch, root, number, &job);
    if (job.failed)
        reject(batch, number, "the job is too long");
    else if (job.length > 0)
        keep(batch, &job, number);
    buf_free(&job);
    json_free(doc);
    return status;
}

static size_t without_end(const char *text, size_t length)
{
    while (length > 0 && strchr(" \t\r\n", text[length - 1]))
        length--;
    return length;
}

/* As getline(3), but bounded: the rest of a line that is too long is skipped. */
static bool read_line(FILE *file, struct buf *line)
{
    int c;
    buf_reset(line);
    while ((c = getc(file)) != EOF && c != '\n')
        buf_add_byte(line, (char)c);
    return c != EOF || line->length > 0;
}

static int read_lines(struct batch *batch, FILE *file)
{
    struct buf line;
    int status = EXIT_ALL_DONE;
    buf_init(&line, LIMIT_LINE - OBJECT_ROOM);
    for (size_t number = 1; status == EXIT_ALL_DONE && read_line(file, &line); number++) {
        size_t length = without_end(buf_text(&line), line.length);
        if (line.failed)
            reject(batch, number, "the line is too long");
        else if (batch->count == JOBS_MAX)
            status = ctl_usage(batch->ctl, "more than %d jobs", JOBS_MAX);
        else if (length > 0)
            status = take_line(batch, line.data, length, number);
    }
    buf_free(&line);
    if (status == EXIT_ALL_DONE && ferror(file))
        status = ctl_usage(batch->ctl, "the file can't be read to its end");
    if (status == EXIT_ALL_DONE && batch->bad > 0)
        status = ctl_usage(batch->ctl, "nothing was sent: %zu bad line%s", batch->bad,
                           batch->bad == 1 ? "" : "s");
    return status;
}

/* ---- sending ---- */

/* How many of the lines from `first` on fit into one BATCH. */
static size_t batch_length(const struct batch *batch, size_t first)
{
    size_t bytes = 0;
    size_t count = 0;
    while (first + count < batch->count && count < JOBS_PER_BATCH) {
        bytes += batch->lines[first + count].length + 1;
        if (count > 0 && bytes > BATCH_BYTES)
            break;
        count++;
    }
    return count;
}

static char *batch_argument(const struct batch *batch, size_t first, size_t count)
{
    struct buf text;
    struct jsonw w;
    buf_init(&text, LIMIT_LINE);
    jsonw_init(&w, &text);
    jsonw_object(&w);
    jsonw_name(&w, "jobs");
    jsonw_array(&w);
    for (size_t i = first; i < first + count; i++)
        jsonw_raw(&w, batch->lines[i].job, batch->lines[i].length);
    jsonw_array_end(&w);
    jsonw_object_end(&w);
    return buf_steal(&text);
}

/* An answer may list jobs or bare ids. */
static void print_accepted(const struct batch *batch, size_t first, const struct answer *answer)
{
    struct json_value list = json_get(answer->value, "jobs");
    if (json_type(list) != JSON_ARRAY)
        list = json_get(answer->value, "ids");
    size_t at = first;
    for (struct json_iter it = json_iter(list); json_next(&it) && at < batch->count; at++) {
        bool is_object = json_type(it.value) == JSON_OBJECT;
        char *id = json_strdup(is_object ? json_get(it.value, "id") : it.value, NULL);
        struct buf clean;
        buf_init(&clean, LIMIT_REPLY_LINE);
        text_clean(&clean, id ? id : "", id ? strlen(id) : 0);
        printf("%zu\t%s\n", batch->lines[at].number, buf_text(&clean));
        buf_free(&clean);
        free(id);
    }
    fflush(stdout);
}

/* The job that an ERR's field ("jobs.3.prompt", "jobs[3]") blames; `count` if it names none. */
static size_t blamed(const struct answer *answer, size_t count)
{
    char *field = job_member(answer->value, "field");
    size_t index = count;
    if (field && strncmp(field, "jobs", 4) == 0) {
        char *digits = field + strcspn(field, "0123456789");
        char *end;
        unsigned long number = strtoul(digits, &end, 10);
        index = end > digits && number < count ? (size_t)number : count;
    }
    free(field);
    return index;
}

static void print_refused(const struct batch *batch, size_t first, size_t count,
                          const struct answer *answer)
{
    struct buf message;
    buf_init(&message, LIMIT_REPLY_LINE);
    char *text = job_member(answer->value, "message");
    text_clean(&message, text ? text : "refused", text ? strlen(text) : 7);
    free(text);
    size_t at_fault = blamed(answer, count);
    for (size_t i = 0; i < count; i++) {
        size_t number = batch->lines[first + i].number;
        if (at_fault == count || at_fault == i)
            printf("%zu\terror: %s\n", number, buf_text(&message));
        else
            printf("%zu\tnot sent: line %zu was refused\n", number,
                   batch->lines[first + at_fault].number);
    }
    buf_free(&message);
}

static int send_some(struct batch *batch, struct connection *connection, size_t first, size_t count)
{
    struct answer answer = {.word = REPLY_UNKNOWN};
    struct ctl *ctl = batch->ctl;
    char *argument = batch_argument(batch, first, count);
    struct call call = {.verb = "BATCH", .argument = argument};
    int status = call_run_again(ctl, connection, &call, &answer);
    free(argument);
    if (status == EXIT_ALL_DONE) {
        batch->accepted += count;
        if (ctl->json)
            ctl->output->details(ctl, &answer);
        else
            print_accepted(batch, first, &answer);
    } else if (answer.word == REPLY_ERR && !ctl->json) {
        print_refused(batch, first, count, &answer);
    }
    return status;
}

static int send_all(struct batch *batch, struct connection *connection)
{
    int status = EXIT_ALL_DONE;
    for (size_t first = 0; first < batch->count && status == EXIT_ALL_DONE;) {
        size_t count = batch_length(batch, first);
        status = send_some(batch, connection, first, count);
        first += count;
    }
    if (status != EXIT_ALL_DONE)
        ctl_complain(batch->ctl, "%zu of %zu jobs were accepted", batch->accepted, batch->count);
    return status;
}

static int run(struct batch *batch, FILE *file)
{
    struct connection connection;
    int status = read_lines(batch, file);
    if (status != EXIT_ALL_DONE || batch->count == 0)
        return status;
    status = call_open(batch->ctl, &connection);
    if (status == EXIT_ALL_DONE)
        status = send_all(batch, &connection);
    connection_close(&connection);
    return status;
}

static void free_lines(struct batch *batch)
{
    for (size_t i = 0; i < batch->count; i++)
        free(batch->lines[i].job);
    free(batch->lines);
}

int cmd_batch(struct ctl *ctl, struct args *args)
{
    struct batch batch = {.ctl = ctl};
    size_t count;
    for (enum option_id option; (option = args_next(args)) != OPTION_END;) {
        if (option == OPTION_BAD)
            return EXIT_USAGE;
        batch.key_prefix = args->value;
    }
    char **words = args_words(args, &count);
    if (count != 1)
        return ctl_usage(ctl, "expected one file, or - for standard input");
    bool is_input = strcmp(words[0], "-") == 0;
    FILE *file = is_input ? stdin : fopen(words[0], "re");
    if (!file)
        return ctl_usage(ctl, "%s: %m", words[0]);
    int status = run(&batch, file);
    if (!is_input)
        fclose(file);
    free_lines(&batch);
    return status;
}
