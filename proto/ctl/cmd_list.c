#include <stdlib.h>
#include <string.h>

#include "proto/ctl/call.h"
#include "proto/ctl/commands.h"
#include "proto/ctl/filter.h"
#include "proto/ctl/job_view.h"
#include "proto/ctl/output.h"
#include "proto/limits.h"

#define LIMIT_DEFAULT 100

struct listing {
    struct ctl *ctl;
    struct filter filter;
    struct table *table;
    int64_t limit;
    int64_t shown;
    int64_t in_page;
    char *last_id;
};

static int parse(struct listing *listing, struct args *args)
{
    size_t count;
    listing->limit = LIMIT_DEFAULT;
    for (enum option_id option; (option = args_next(args)) != OPTION_END;) {
        int result = 0;
        if (option == OPTION_BAD)
            return EXIT_USAGE;
        if (option == OPTION_ALL)
            listing->limit = INT64_MAX;
        else if (option == OPTION_PLAIN)
            listing->ctl->out.is_terminal = listing->ctl->out.has_colour = false;
        else if (option == OPTION_LIMIT)
            result = args_int(args, "limit", 1, INT64_MAX, &listing->limit);
        else
            result = filter_take(&listing->filter, args, option);
        if (result < 0)
            return EXIT_USAGE;
    }
    char **words = args_words(args, &count);
    return count > 0 ? ctl_usage(listing->ctl, "%s: takes options only", words[0]) : EXIT_ALL_DONE;
}

static void take_row(struct ctl *ctl, struct json_value item, const struct answer *answer,
                     void *arg)
{
    struct listing *listing = arg;
    ctl->output->job_row(ctl, listing->table, answer);
    free(listing->last_id);
    listing->last_id = job_member(item, "id");
    listing->in_page++;
}

static int list_page(struct listing *listing, struct connection *connection, int64_t limit)
{
    struct buf text;
    struct jsonw w;
    struct answer answer;
    buf_init(&text, LIMIT_LINE);
    jsonw_init(&w, &text);
    jsonw_object(&w);
    filter_write(&listing->filter, &w);
    jsonw_member_int(&w, "limit", limit);
    if (listing->last_id)
        jsonw_member_string(&w, "after", listing->last_id);
    jsonw_object_end(&w);
    struct call call = {
        .verb = "LIST", .argument = buf_text(&text), .item = take_row, .arg = listing};
    listing->in_page = 0;
    int status = call_run(listing->ctl, connection, &call, &answer);
    listing->shown += listing->in_page;
    buf_free(&text);
    return status;
}

static int list_pages(struct listing *listing, struct connection *connection)
{
    for (;;) {
        int64_t left = listing->limit - listing->shown;
        int64_t page = left < LIMIT_LIST ? left : LIMIT_LIST;
        int status = list_page(listing, connection, page);
        if (status != EXIT_ALL_DONE || listing->in_page < page || listing->shown >= listing->limit)
            return status;
    }
}

static void finish(struct listing *listing)
{
    struct ctl *ctl = listing->ctl;
    table_finish(listing->table);
    if (ctl->json || !ctl->out.is_terminal)
        return;
    if (listing->shown == 0)
        puts("no jobs");
    else if (listing->shown == listing->limit)
        fprintf(stderr, "the newest %lld; --all shows all\n", (long long)listing->shown);
}

int cmd_list(struct ctl *ctl, struct args *args)
{
    struct listing listing = {.ctl = ctl};
    struct connection connection;
    filter_init(&listing.filter);
    int status = parse(&listing, args);
    listing.table = output_job_table(ctl);
    if (status == EXIT_ALL_DONE) {
        status = call_open(ctl, &connection);
        if (status == EXIT_ALL_DONE)
            status = list_pages(&listing, &connection);
        if (status == EXIT_ALL_DONE)
            finish(&listing);
        connection_close(&connection);
    }
    table_free(listing.table);
    filter_free(&listing.filter);
    free(listing.last_id);
    return status;
}
