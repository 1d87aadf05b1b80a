/* `veoctl cost`: what was charged, as a table, as CSV or as the protocol's objects. */
#include <ctype.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>

#include "proto/ctl/call.h"
#include "proto/ctl/commands.h"
#include "proto/ctl/csv.h"
#include "proto/ctl/filter.h"
#include "proto/ctl/job_view.h"
#include "proto/ctl/money.h"
#include "proto/ctl/output.h"
#include "proto/ctl/tree.h"
#include "proto/limits.h"

#define USD_MAX    1e12
#define TITLE_SIZE 32

struct costs {
    struct ctl *ctl;
    struct filter filter;
    const char *by;     /* NULL: the daemon's default, which is days */
    const char *member; /* of an ITEM: what the row is of */
    bool csv;
    char title[TITLE_SIZE];
    struct column columns[4];
    struct table *table;
};

static int parse(struct costs *costs, struct args *args)
{
    size_t count;
    costs->member = "day";
    for (enum option_id option; (option = args_next(args)) != OPTION_END;) {
        int result = 0;
        if (option == OPTION_BAD)
            return EXIT_USAGE;
        if (option == OPTION_BY)
            costs->by = args->value;
        else if (option == OPTION_CSV)
            costs->csv = true;
        else if (option == OPTION_PLAIN)
            costs->ctl->out.is_terminal = costs->ctl->out.has_colour = false;
        else
            result = filter_take(&costs->filter, args, option);
        if (result < 0)
            return EXIT_USAGE;
    }
    if (costs->csv && costs->ctl->json)
        return ctl_usage(costs->ctl, "--csv and --json: only one of them");
    if (costs->by)
        costs->member = strncmp(costs->by, "label:", 6) == 0 ? "value" : costs->by;
    char **words = args_words(args, &count);
    return count > 0 ? ctl_usage(costs->ctl, "%s: takes options only", words[0]) : EXIT_ALL_DONE;
}

static char *cost_argument(const struct costs *costs)
{
    struct buf text;
    struct jsonw w;
    buf_init(&text, LIMIT_LINE);
    jsonw_init(&w, &text);
    jsonw_object(&w);
    jsonw_member_string(&w, "by", costs->by);
    filter_write(&costs->filter, &w);
    jsonw_object_end(&w);
    return buf_steal(&text);
}

/* ---- rows ---- */

static void begin(struct costs *costs)
{
    const char *title =
        costs->by && strncmp(costs->by, "label:", 6) == 0 ? costs->by + 6 : costs->member;
    if (costs->csv) {
        printf("%s,jobs,charged_usd,presumed_usd\r\n", costs->member);
        return;
    }
    snprintf(costs->title, sizeof costs->title, "%s", title);
    for (char *c = costs->title; *c; c++)
        *c = (char)toupper((unsigned char)*c);
    costs->columns[0] = (struct column){.title = costs->title, .shrinks = true};
    costs->columns[1] = (struct column){.title = "JOBS", .is_number = true};
    costs->columns[2] = (struct column){.title = "CHARGED", .is_number = true};
    costs->columns[3] = (struct column){.title = "OF IT UNSURE", .is_number = true};
    costs->table = table_new(costs->ctl, costs->columns, 4);
}

/* A person knows users by name. */
static void add_name(const struct costs *costs, struct buf *out, struct json_value item)
{
    int64_t uid;
    struct json_value value = json_get(item, costs->member);
    const struct passwd *user = NULL;
    if (costs->table && costs->ctl->out.is_terminal && strcmp(costs->member, "owner") == 0 &&
        json_int(value, 0, UINT32_MAX, &uid) == 0)
        user = getpwuid((uid_t)uid);
    char *text = json_strdup(value, NULL);
    size_t length;
    const char *raw = json_raw(value, &length);
    if (user || text)
        buf_add_text(out, user ? user->pw_name : text);
    else
        buf_add(out, raw ? raw : "", length);
    free(text);
}

static void add_amount(const struct costs *costs, struct buf *out, struct json_value item,
                       const char *name)
{
    double usd = 0;
    char text[MONEY_TEXT];
    size_t length;
    struct json_value value = json_get(item, name);
    const char *raw = json_raw(value, &length);
    bool is_money = strcmp(name, "jobs") != 0;
    if (!costs->csv && costs->ctl->out.is_terminal && is_money &&
        json_double(value, 0, USD_MAX, &usd) == 0) {
        money_text(usd, text);
        buf_add_text(out, usd > 0 ? text : "-");
    } else {
        buf_add(out, raw ? raw : "0", raw ? length : 1);
    }
}

static void take_item(struct ctl *ctl, struct json_value item, const struct answer *answer,
                      void *arg)
{
    static const char *const amounts[] = {"jobs", "charged_usd", "presumed_usd"};
    struct costs *costs = arg;
    struct buf record;
    struct buf cell;
    if (ctl->json) {
        ctl->output->details(ctl, answer);
        return;
    }
    buf_init(&record, LIMIT_REPLY_LINE);
    buf_init(&cell, LIMIT_REPLY_LINE);
    for (size_t i = 0; i < 4; i++) {
        buf_reset(&cell);
        if (i == 0)
            add_name(costs, &cell, item);
        else
            add_amount(costs, &cell, item, amounts[i - 1]);
        if (costs->csv)
            csv_add(&record, buf_text(&cell));
        else
            table_cell(costs->table, buf_text(&cell));
    }
    if (costs->csv)
        printf("%s\r\n", buf_text(&record));
    buf_free(&cell);
    buf_free(&record);
}

/* ---- what a person wants to know besides ---- */

static double amount(struct json_value object, const char *name)
{
    double usd = 0;
    (void)json_double(json_get(object, name), 0, USD_MAX, &usd);
    return usd;
}

static void put_budget(struct json_value budget)
{
    char left[MONEY_TEXT];
    char daily[MONEY_TEXT];
    struct buf whose;
    buf_init(&whose, LIMIT_LINE);
    char *provider = job_member(budget, "provider");
    if (provider)
        buf_addf(&whose, " of provider %s", provider);
    else if (json_equals(json_get(budget, "for"), "owner")) {
        buf_add_text(&whose, " of owner ");
        tree_scalar(&whose, "owner", json_get(budget, "owner"));
    }
    money_text(amount(budget, "left_usd"), left);
    money_text(amount(budget, "daily_usd"), daily);
    printf("today's budget%s: %s left of %s\n", buf_text(&whose), left, daily);
    free(provider);
    buf_free(&whose);
}

static void finish(const struct costs *costs, struct json_value ok)
{
    char charged[MONEY_TEXT];
    char reserved[MONEY_TEXT];
    char presumed[MONEY_TEXT];
    if (costs->table)
        table_finish(costs->table);
    if (!costs->table || !costs->ctl->out.is_terminal)
        return;
    money_text(amount(ok, "charged_usd"), charged);
    money_text(amount(ok, "reserved_usd"), reserved);
    money_text(amount(ok, "presumed_usd"), presumed);
    printf("in all: %s", charged);
    if (amount(ok, "presumed_usd") > 0)
        printf(", %s of it perhaps not charged by the provider", presumed);
    printf("; reserved for jobs that haven't ended: %s\n", reserved);
    for (struct json_iter it = json_iter(json_get(ok, "budgets")); json_next(&it);)
        put_budget(it.value);
}

int cmd_cost(struct ctl *ctl, struct args *args)
{
    struct costs costs = {.ctl = ctl};
    struct connection connection;
    struct answer answer;
    filter_init(&costs.filter);
    int status = parse(&costs, args);
    if (status == EXIT_ALL_DONE) {
        char *argument = cost_argument(&costs);
        struct call call = {.verb = "COST", .argument = argument, .item = take_item, .arg = &costs};
        status = call_open(ctl, &connection);
        if (status == EXIT_ALL_DONE && !ctl->json)
            begin(&costs);
        if (status == EXIT_ALL_DONE)
            status = call_run(ctl, &connection, &call, &answer);
        if (status == EXIT_ALL_DONE && ctl->json)
            ctl->output->details(ctl, &answer);
        else if (status == EXIT_ALL_DONE)
            finish(&costs, answer.value);
        table_free(costs.table);
        connection_close(&connection);
        free(argument);
    }
    filter_free(&costs.filter);
    return status;
}
