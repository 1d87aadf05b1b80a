#include "proto/ctl/select.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/ctl/job_view.h"
#include "proto/jsonw.h"
#include "proto/limits.h"
#include "proto/mem.h"

static void take_id(struct ctl *ctl, struct json_value item, const struct answer *answer, void *arg)
{
    (void)ctl;
    (void)answer;
    char **id = arg;
    if (!*id)
        *id = job_member(item, "id");
}

static int find_last(struct ctl *ctl, struct connection *connection, char **ret)
{
    char *argument = mem_format("{\"owner\":%u,\"limit\":1}", (unsigned)getuid());
    struct call call = {.verb = "LIST", .argument = argument, .item = take_id, .arg = ret};
    struct answer answer;
    int status = call_run(ctl, connection, &call, &answer);
    free(argument);
    if (status == EXIT_ALL_DONE && !*ret) {
        ctl_complain(ctl, "last: you have no jobs");
        return EXIT_NOT_FOUND;
    }
    return status;
}

/* An operation that no job has is answered without an id, and stays what it is. */
static int find_full(struct ctl *ctl, struct connection *connection, char **id)
{
    struct buf argument;
    struct jsonw w;
    struct answer answer;
    buf_init(&argument, LIMIT_LINE);
    jsonw_init(&w, &argument);
    jsonw_object(&w);
    jsonw_member_string(&w, "id", *id);
    jsonw_object_end(&w);
    struct call call = {.verb = "STATUS", .argument = buf_text(&argument)};
    int status = call_run(ctl, connection, &call, &answer);
    buf_free(&argument);
    char *full = status == EXIT_ALL_DONE ? job_member(answer.value, "id") : NULL;
    if (full) {
        free(*id);
        *id = full;
    }
    return status;
}

int select_check(const struct ctl *ctl, size_t count)
{
    if (count == 0)
        return ctl_usage(ctl, "which job? An id, the beginning of one, or 'last'");
    if (count > LIMIT_IDS)
        return ctl_usage(ctl, "at most %d jobs at a time, got %zu", LIMIT_IDS, count);
    return EXIT_ALL_DONE;
}

int select_words(struct ctl *ctl, struct connection *connection, char **words, size_t count,
                 struct selection *ret)
{
    int status = EXIT_ALL_DONE;
    *ret = (struct selection){0};
    ret->ids = mem_alloc(count * sizeof *ret->ids);
    for (; ret->count < count && status == EXIT_ALL_DONE; ret->count++) {
        const char *word = words[ret->count];
        if (strcmp(word, "last") == 0)
            status = find_last(ctl, connection, &ret->ids[ret->count]);
        else if (*word == '\0' || strlen(word) > LIMIT_PROMPT)
            status = ctl_usage(ctl, "'%.40s' is no id", word);
        else
            ret->ids[ret->count] = mem_strdup(word);
    }
    return status;
}

int select_full(struct ctl *ctl, struct connection *connection, char **words, size_t count,
                struct selection *ret)
{
    int status = select_words(ctl, connection, words, count, ret);
    for (size_t i = 0; i < ret->count && status == EXIT_ALL_DONE; i++) {
        if (strlen(ret->ids[i]) != ID_LENGTH)
            status = find_full(ctl, connection, &ret->ids[i]);
    }
    return status;
}

void select_free(struct selection *selection)
{
    for (size_t i = 0; i < selection->count; i++)
        free(selection->ids[i]);
    free(selection->ids);
    *selection = (struct selection){0};
}
