/* `veoctl models`: what can be asked for, as a table that fits the terminal. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "proto/ctl/call.h"
#include "proto/ctl/commands.h"
#include "proto/ctl/job_view.h"
#include "proto/ctl/money.h"
#include "proto/ctl/output.h"
#include "proto/ctl/text.h"
#include "proto/limits.h"
#include "proto/units.h"

#define USD_MAX   1e6
#define NOTES_MAX 65536 /* bytes */

static const char *colour_of_state(const char *cell)
{
    return strcmp(cell, "shut-down") == 0 ? output_state_colour("failed") : "";
}

static const struct column columns[] = {
    {.title = "MODEL"},
    {.title = "PROVIDER", .drop = 4},
    {.title = "STATE", .colour = colour_of_state},
    {.title = "RESOLUTIONS", .shrinks = true, .drop = 2},
    {.title = "SECONDS", .drop = 3},
    {.title = "$/S", .drop = 1},
    {.title = "INPUTS", .shrinks = true, .drop = 5},
    {.title = "MEDIAN", .drop = 6},
    {.title = "REPLACED BY"}, /* elsewhere than on a terminal */
};
#define COLUMN_COUNT (sizeof columns / sizeof columns[0])

struct models {
    struct ctl *ctl;
    struct table *table;
    struct buf notes; /* to be told after the table */
};

static void cell_text(struct table *table, struct json_value item, const char *path)
{
    char *text = job_member(item, path);
    table_cell(table, text);
    free(text);
}

static void add_scalar(struct buf *out, struct json_value value)
{
    size_t length;
    char *text = json_strdup(value, NULL);
    const char *raw = json_raw(value, &length);
    if (text)
        buf_add_text(out, text);
    else
        buf_add(out, raw ? raw : "", length);
    free(text);
}

static void cell_list(struct table *table, struct json_value list)
{
    struct buf text;
    buf_init(&text, LIMIT_REPLY_LINE);
    for (struct json_iter it = json_iter(list); json_next(&it);) {
        if (text.length > 0)
            buf_add_byte(&text, ',');
        add_scalar(&text, it.value);
    }
    table_cell(table, buf_text(&text));
    buf_free(&text);
}

static void cell_durations(struct table *table, struct json_value durations)
{
    struct buf text;
    if (json_type(durations) != JSON_OBJECT) {
        cell_list(table, durations);
        return;
    }
    buf_init(&text, LIMIT_REPLY_LINE);
    add_scalar(&text, json_get(durations, "min"));
    buf_add_byte(&text, '-');
    add_scalar(&text, json_get(durations, "max"));
    table_cell(table, buf_text(&text));
    buf_free(&text);
}

/* The range over the resolutions, with and without sound. */
static bool find_range(struct json_value item, double *ret_least, double *ret_most)
{
    static const char *const names[] = {"price_per_second", "silent_price_per_second"};
    bool is_found = false;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        for (struct json_iter it = json_iter(json_get(item, names[i])); json_next(&it);) {
            double usd;
            if (json_double(it.value, 0, USD_MAX, &usd) < 0)
                continue;
            *ret_least = is_found && *ret_least < usd ? *ret_least : usd;
            *ret_most = is_found && *ret_most > usd ? *ret_most : usd;
            is_found = true;
        }
    }
    return is_found;
}

/* A person needs no more than two digits of it. */
static void add_price(const struct ctl *ctl, struct buf *out, double usd)
{
    char text[MONEY_TEXT];
    double digits = usd >= 0.1 ? 100 : 1000;
    money_text(ctl->out.is_terminal ? round(usd * digits) / digits : usd, text);
    buf_add_text(out, text + strlen("$"));
}

static void cell_price(const struct ctl *ctl, struct table *table, struct json_value item)
{
    double least;
    double most;
    struct buf text;
    buf_init(&text, LIMIT_LINE);
    if (find_range(item, &least, &most)) {
        add_price(ctl, &text, least);
        if (most > least) {
            buf_add_byte(&text, '-');
            add_price(ctl, &text, most);
        }
    } else if (json_type(json_get(item, "price_per_million_tokens")) == JSON_OBJECT) {
        buf_add_text(&text, "by tokens");
    }
    table_cell(table, buf_text(&text));
    buf_free(&text);
}

static void cell_median(struct table *table, struct json_value item)
{
    int64_t ms;
    char text[UNITS_TEXT] = "";
    if (json_int(json_get(item, "median_ms"), 0, INT64_MAX / 2, &ms) == 0)
        units_format_duration(ms >= 10000 ? ms - ms % 1000 : ms, text);
    table_cell(table, text);
}

static void add_note(struct buf *notes, struct json_value item)
{
    char *model = job_member(item, "model");
    char *other = job_member(item, "default_model");
    char *since = job_member(item, "since");
    char *replaced_by = job_member(item, "replaced_by");
    if (other)
        buf_addf(notes, "%s is the default\n", other);
    if (json_equals(json_get(item, "state"), "shut-down"))
        buf_addf(notes, "%s was shut down%s%s%s%s\n", model ? model : "", since ? " on " : "",
                 since ? since : "", replaced_by ? "; take " : "", replaced_by ? replaced_by : "");
    free(model);
    free(other);
    free(since);
    free(replaced_by);
}

static void take_model(struct ctl *ctl, struct json_value item, const struct answer *answer,
                       void *arg)
{
    struct models *models = arg;
    struct table *table = models->table;
    if (ctl->json) {
        ctl->output->details(ctl, answer);
        return;
    }
    cell_text(table, item, "model");
    cell_text(table, item, "provider");
    cell_text(table, item, "state");
    cell_list(table, json_get(item, "resolutions"));
    cell_durations(table, json_get(item, "durations"));
    cell_price(ctl, table, item);
    cell_list(table, json_get(item, "inputs"));
    cell_median(table, item);
    if (ctl->out.is_terminal)
        add_note(&models->notes, item);
    else
        cell_text(table, item, "replaced_by");
}

/* A model can have several providers. */
static bool is_said(const char *notes, const char *line, size_t length)
{
    for (const char *other = notes; other < line; other += strcspn(other, "\n") + 1) {
        if (strncmp(other, line, length) == 0)
            return true;
    }
    return false;
}

static void put_notes(const struct models *models)
{
    const char *end = models->notes.data + models->notes.length;
    for (const char *line = models->notes.data; line && line < end;) {
        size_t length = strcspn(line, "\n") + 1;
        if (!is_said(models->notes.data, line, length)) {
            struct buf clean;
            buf_init(&clean, NOTES_MAX * 2);
            text_clean(&clean, line, length - 1);
            puts(buf_text(&clean));
            buf_free(&clean);
        }
        line += length;
    }
}

static int show_models(struct ctl *ctl, struct connection *connection)
{
    struct models models = {.ctl = ctl};
    struct answer answer;
    buf_init(&models.notes, NOTES_MAX);
    models.table = table_new(ctl, columns, COLUMN_COUNT - (ctl->out.is_terminal ? 1 : 0));
    struct call call = {.verb = "MODELS", .item = take_model, .arg = &models};
    int status = call_run(ctl, connection, &call, &answer);
    if (status == EXIT_ALL_DONE) {
        table_finish(models.table);
        buf_text(&models.notes);
        put_notes(&models);
    }
    table_free(models.table);
    buf_free(&models.notes);
    return status;
}

int cmd_models(struct ctl *ctl, struct args *args)
{
    struct connection connection;
    int status = args_take_none(args);
    if (status != EXIT_ALL_DONE)
        return status;
    status = call_open(ctl, &connection);
    if (status == EXIT_ALL_DONE)
        status = show_models(ctl, &connection);
    connection_close(&connection);
    return status;
}
