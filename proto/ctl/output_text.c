#include "proto/ctl/output.h"

#include <stdlib.h>
#include <string.h>

#include "proto/ctl/job_view.h"
#include "proto/ctl/money.h"
#include "proto/ctl/pretty.h"
#include "proto/ctl/text.h"
#include "proto/ctl/tree.h"
#include "proto/limits.h"
#include "proto/units.h"

static const struct {
    const char *state;
    const char *colour;
} colours[] = {
    {"done", "\033[32m"},     {"running", "\033[36m"},   {"submitting", "\033[36m"},
    {"fetching", "\033[36m"}, {"failed", "\033[31m"},    {"filtered", "\033[31m"},
    {"expired", "\033[31m"},  {"uncertain", "\033[35m"}, {"held", "\033[33m"},
    {"cancelled", "\033[2m"},
};

const char *output_state_colour(const char *state)
{
    for (size_t i = 0; i < sizeof colours / sizeof colours[0]; i++) {
        if (strcmp(colours[i].state, state) == 0)
            return colours[i].colour;
    }
    return "";
}

static const struct column job_columns[] = {
    {.title = "ID", .is_id = true},
    {.title = "STATE", .colour = output_state_colour},
    {.title = "AGE"},
    {.title = "MODEL"},
    {.title = "COST"},
    {.title = "PROMPT", .shrinks = true},
    {.title = "REASON"}, /* elsewhere than on a terminal */
};

struct table *output_job_table(struct ctl *ctl)
{
    size_t count = sizeof job_columns / sizeof job_columns[0];
    return table_new(ctl, job_columns, ctl->out.is_terminal ? count - 1 : count);
}

static void put_line(struct buf *line)
{
    puts(buf_text(line));
    fflush(stdout);
    buf_free(line);
}

static void put_member(struct json_value object, const char *path)
{
    struct buf line;
    buf_init(&line, LIMIT_REPLY_LINE);
    char *text = job_member(object, path);
    if (text)
        text_clean(&line, text, strlen(text));
    free(text);
    put_line(&line);
}

static void cell_member(struct table *table, struct json_value object, const char *path)
{
    char *text = job_member(object, path);
    table_cell(table, text);
    free(text);
}

static void show_accepted(struct ctl *ctl, const struct answer *job)
{
    (void)ctl;
    put_member(job->value, "id");
}

static void show_blob(struct ctl *ctl, const char *blob, const char *path)
{
    (void)ctl;
    (void)path;
    puts(blob);
    fflush(stdout);
}

static void put_price(struct json_value ok)
{
    char cost[MONEY_TEXT];
    money_of_job(ok, cost);
    if (*cost)
        printf("estimated price: %s\n", *cost == '~' ? cost + 1 : cost);
    else
        puts("estimated price: unknown");
}

/* What was understood, and what would be made of it. */
static void show_dry_run(struct ctl *ctl, const struct answer *ok)
{
    struct buf body;
    struct json_value request = json_get(ok->value, "request");
    if (json_type(request) != JSON_OBJECT) {
        tree_print(ctl, ok->value);
        return;
    }
    char *provider = job_member(ok->value, "provider");
    char *dialect = job_member(ok->value, "dialect");
    char *method = job_member(request, "method");
    char *url = job_member(request, "url");
    buf_init(&body, 8 * LIMIT_REPLY_LINE);
    buf_addf(&body, "provider: %s (%s)\n%s %s\n", provider ? provider : "?",
             dialect ? dialect : "?", method ? method : "?", url ? url : "?");
    pretty_json(&body, json_get(request, "body"));
    puts(buf_text(&body));
    put_price(ok->value);
    puts("nothing was sent");
    fflush(stdout);
    buf_free(&body);
    free(provider);
    free(dialect);
    free(method);
    free(url);
}

static void show_details(struct ctl *ctl, const struct answer *ok)
{
    tree_print(ctl, ok->value);
}

/* People want the age; a script gets the time itself. */
static void cell_age(struct ctl *ctl, struct table *table, struct json_value job)
{
    char age[UNITS_TEXT];
    int64_t created = job_time(job, "created_at");
    if (!ctl->out.is_terminal || created == 0) {
        cell_member(table, job, "created_at");
        return;
    }
    int64_t now = clock_unix_ms();
    int64_t ms = now > created ? now - created : 0;
    units_format_duration(ms - ms % 1000, age);
    table_cell(table, age);
}

static void cell_cost(struct table *table, struct json_value job)
{
    char cost[MONEY_TEXT];
    money_of_job(job, cost);
    table_cell(table, cost);
}

/* A person sees in front of it why the job is where it is; a script gets that in a column. */
static void cell_prompt(const struct ctl *ctl, struct table *table, struct json_value job)
{
    struct buf text;
    struct buf reason;
    buf_init(&text, LIMIT_REPLY_LINE);
    buf_init(&reason, LIMIT_REPLY_LINE);
    char *prompt = job_member(job, "prompt");
    job_reason(&reason, job);
    if (ctl->out.is_terminal && reason.length > 0)
        buf_addf(&text, "[%s] ", buf_text(&reason));
    buf_add_text(&text, prompt ? prompt : "");
    table_cell(table, buf_text(&text));
    if (!ctl->out.is_terminal)
        table_cell(table, buf_text(&reason));
    free(prompt);
    buf_free(&reason);
    buf_free(&text);
}

static void show_job_row(struct ctl *ctl, struct table *table, const struct answer *job)
{
    cell_member(table, job->value, "id");
    cell_member(table, job->value, "state");
    cell_age(ctl, table, job->value);
    cell_member(table, job->value, "model");
    cell_cost(table, job->value);
    cell_prompt(ctl, table, job->value);
}

static void put_job(void *arg, struct json_value job)
{
    (void)arg;
    struct buf line;
    buf_init(&line, LIMIT_REPLY_LINE);
    job_line(&line, job);
    struct json_value files = json_get(job, "files");
    for (size_t i = 0; i < json_size(files); i++) {
        char *path = job_member(json_at(files, i), "path");
        buf_add_byte(&line, ' ');
        text_clean(&line, path ? path : "", path ? strlen(path) : 0);
        free(path);
    }
    put_line(&line);
}

static void show_jobs(struct ctl *ctl, const struct answer *ok)
{
    (void)ctl;
    job_each(ok->value, put_job, NULL);
}

static void show_changed(struct ctl *ctl, const struct answer *ok)
{
    bool has_jobs = json_type(json_get(ok->value, "jobs")) == JSON_ARRAY ||
                    json_type(json_get(ok->value, "id")) == JSON_STRING;
    if (has_jobs)
        job_each(ok->value, put_job, NULL);
    else
        tree_print(ctl, ok->value);
}

static void show_event(struct ctl *ctl, const struct answer *event)
{
    static const char *const shown[] = {"event", "id", "state", "at", NULL};
    struct buf line;
    buf_init(&line, LIMIT_REPLY_LINE);
    char separator = ctl->out.is_terminal ? ' ' : '\t';
    for (const char *const *name = shown; *name; name++) {
        char *text = job_member(event->value, *name);
        const char *colour =
            ctl->out.has_colour && text && !strcmp(*name, "state") ? output_state_colour(text) : "";
        if (line.length > 0)
            buf_add_byte(&line, separator);
        buf_add_text(&line, colour);
        if (text)
            text_clean(&line, text, strlen(text));
        else
            tree_scalar(&line, *name, json_get(event->value, *name));
        buf_add_text(&line, *colour ? COLOUR_OFF : "");
        free(text);
    }
    struct buf rest;
    buf_init(&rest, LIMIT_REPLY_LINE);
    tree_line(&rest, event->value, shown);
    buf_add_byte(&line, separator);
    buf_add(&line, rest.data, rest.length);
    buf_free(&rest);
    put_line(&line);
}

static void put_attempt(struct json_value attempt)
{
    static const char *const but[] = {"number", NULL};
    struct buf line;
    buf_init(&line, LIMIT_REPLY_LINE);
    buf_add_text(&line, "attempt ");
    tree_scalar(&line, "number", json_get(attempt, "number"));
    buf_add_byte(&line, ':');
    tree_line(&line, attempt, but);
    put_line(&line);
}

static void show_why(struct ctl *ctl, const struct answer *ok)
{
    if (json_type(json_get(ok->value, "text")) != JSON_STRING) {
        tree_print(ctl, ok->value);
        return;
    }
    put_member(ok->value, "text");
    for (struct json_iter it = json_iter(json_get(ok->value, "attempts")); json_next(&it);)
        put_attempt(it.value);
}

static void show_reloaded(struct ctl *ctl, const struct answer *ok)
{
    struct json_value changed = json_get(ok->value, "changed");
    (void)ctl;
    if (json_size(changed) == 0)
        puts("nothing has changed");
    for (struct json_iter it = json_iter(changed); json_next(&it);) {
        struct buf line;
        buf_init(&line, LIMIT_REPLY_LINE);
        buf_add_text(&line, "changed: ");
        tree_scalar(&line, "key", it.value);
        put_line(&line);
    }
}

static void show_pong(struct ctl *ctl, const struct answer *ok, int64_t round_trip_us)
{
    (void)ok;
    printf("%s answered in %.2f ms\n", ctl->socket_path, (double)round_trip_us / 1000);
}

/* The line on standard error says it all. */
static void show_nothing(struct ctl *ctl, const struct answer *err)
{
    (void)ctl;
    (void)err;
}

const struct output output_text = {
    .accepted = show_accepted,
    .dry_run = show_dry_run,
    .blob = show_blob,
    .job = show_details,
    .job_row = show_job_row,
    .waited = show_jobs,
    .changed = show_changed,
    .event = show_event,
    .why = show_why,
    .details = show_details,
    .reloaded = show_reloaded,
    .pong = show_pong,
    .refused = show_nothing,
};
