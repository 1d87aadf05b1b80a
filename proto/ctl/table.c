#include "proto/ctl/table.h"

#include <stdlib.h>
#include <string.h>

#include "proto/ctl/output.h"
#include "proto/ctl/text.h"
#include "proto/limits.h"
#include "proto/mem.h"

#define ID_SHORT     8
#define CELL_COLUMNS 512 /* more doesn't fit on any terminal */
#define COLUMN_GAP   "  "
#define COLUMN_LEAST 8 /* of one that shrinks */

struct table {
    struct ctl *ctl;
    const struct column *columns;
    size_t column_count;
    char **cells; /* owned; only on a terminal */
    size_t cell_count;
    size_t capacity;
    size_t added; /* in all */
};

struct table *table_new(struct ctl *ctl, const struct column *columns, size_t count)
{
    struct table *table = mem_alloc(sizeof *table);
    *table = (struct table){.ctl = ctl, .columns = columns, .column_count = count};
    return table;
}

void table_free(struct table *table)
{
    if (!table)
        return;
    for (size_t i = 0; i < table->cell_count; i++)
        free(table->cells[i]);
    free(table->cells);
    free(table);
}

static void keep(struct table *table, char *cell)
{
    if (table->cell_count == table->capacity) {
        table->capacity = table->capacity ? table->capacity * 2 : 64;
        table->cells = mem_resize(table->cells, table->capacity, sizeof *table->cells);
    }
    table->cells[table->cell_count++] = cell;
}

void table_cell(struct table *table, const char *text)
{
    struct buf clean;
    buf_init(&clean, LIMIT_REPLY_LINE);
    bool is_last = ++table->added % table->column_count == 0;
    if (!text)
        text = "";
    if (table->ctl->out.is_terminal) {
        text_cut(&clean, text, strlen(text), CELL_COLUMNS);
        keep(table, buf_steal(&clean));
        return;
    }
    text_clean(&clean, text, strlen(text));
    printf("%s%c", buf_text(&clean), is_last ? '\n' : '\t');
    buf_free(&clean);
}

size_t table_rows(const struct table *table)
{
    return table->added / table->column_count; /* NOLINT(*DivideZero): all tables have columns */
}

static char *cell_at(const struct table *table, size_t row, size_t column)
{
    return table->cells[row * table->column_count + column];
}

static size_t common_prefix(const char *a, const char *b)
{
    size_t length = 0;
    while (a[length] && a[length] == b[length])
        length++;
    return length;
}

/* Ids come sorted by time, so neighbours are those that look alike. */
static void shorten_ids(struct table *table, size_t column)
{
    size_t length = ID_SHORT;
    for (size_t row = 1; row < table_rows(table); row++) {
        size_t same = common_prefix(cell_at(table, row - 1, column), cell_at(table, row, column));
        if (same + 1 > length)
            length = same + 1;
    }
    for (size_t row = 0; row < table_rows(table); row++) {
        char *id = cell_at(table, row, column);
        if (strlen(id) > length)
            id[length] = '\0';
    }
}

/* 0: there is nothing in it, so that it can be left out. */
static size_t widest(const struct table *table, size_t column)
{
    size_t width = 0;
    for (size_t row = 0; row < table_rows(table); row++) {
        const char *cell = cell_at(table, row, column);
        size_t cell_width = text_width(cell, strlen(cell));
        width = cell_width > width ? cell_width : width;
    }
    size_t title_width = strlen(table->columns[column].title);
    return width > 0 && width < title_width ? title_width : width;
}

/* Columns needed at the least; those that are left out have no width. */
static size_t least_width(const struct table *table, const size_t widths[])
{
    size_t used = 0;
    for (size_t i = 0; i < table->column_count; i++) {
        if (widths[i] == 0)
            continue;
        bool is_small = !table->columns[i].shrinks || widths[i] < COLUMN_LEAST;
        used += (used > 0 ? strlen(COLUMN_GAP) : 0) + (is_small ? widths[i] : COLUMN_LEAST);
    }
    return used;
}

static void drop_columns(const struct table *table, size_t widths[], size_t room)
{
    while (least_width(table, widths) > room) {
        size_t worst = table->column_count;
        for (size_t i = 0; i < table->column_count; i++) {
            unsigned than = worst < table->column_count ? table->columns[worst].drop : 0;
            if (widths[i] > 0 && table->columns[i].drop > than)
                worst = i;
        }
        if (worst == table->column_count)
            break;
        widths[worst] = 0;
    }
}

static void fit(const struct table *table, size_t widths[])
{
    size_t room = ctl_columns(&table->ctl->out);
    for (size_t i = 0; i < table->column_count; i++)
        widths[i] = widest(table, i);
    drop_columns(table, widths, room);
    size_t used = 0;
    for (size_t i = 0; i < table->column_count; i++) {
        if (widths[i] > 0)
            used += (used > 0 ? strlen(COLUMN_GAP) : 0) + widths[i];
    }
    for (size_t i = table->column_count; i-- > 0 && used > room;) {
        if (!table->columns[i].shrinks || widths[i] <= COLUMN_LEAST)
            continue;
        size_t wanted = widths[i];
        size_t excess = used - room;
        widths[i] = wanted > excess + COLUMN_LEAST ? wanted - excess : COLUMN_LEAST;
        used -= wanted - widths[i];
    }
}

static void print_cell(const struct table *table, size_t column, const char *text, size_t width,
                       bool is_header, bool is_last)
{
    struct buf cut;
    buf_init(&cut, LIMIT_REPLY_LINE);
    text_cut(&cut, text, strlen(text), width);
    const struct column *spec = &table->columns[column];
    const char *colour = "";
    if (table->ctl->out.has_colour)
        colour = is_header ? "\033[1m" : spec->colour ? spec->colour(text) : "";
    int gap = (int)(width - text_width(cut.data, cut.length));
    if (spec->is_number)
        printf("%*s", gap, "");
    printf("%s%s%s", colour, buf_text(&cut), *colour ? COLOUR_OFF : "");
    if (!spec->is_number && !is_last)
        printf("%*s", gap, "");
    buf_free(&cut);
}

/* `row` of cells, or the header. */
static void print_row(const struct table *table, const size_t widths[], size_t row, bool is_header)
{
    size_t last = table->column_count;
    while (last > 0 && widths[last - 1] == 0)
        last--;
    const char *gap = "";
    for (size_t i = 0; i < last; i++) {
        if (widths[i] == 0)
            continue;
        fputs(gap, stdout);
        print_cell(table, i, is_header ? table->columns[i].title : cell_at(table, row, i),
                   widths[i], is_header, i + 1 == last);
        gap = COLUMN_GAP;
    }
    putchar('\n');
}

void table_finish(struct table *table)
{
    if (!table->ctl->out.is_terminal || table_rows(table) == 0)
        return;
    size_t *widths = mem_alloc(table->column_count * sizeof *widths);
    for (size_t i = 0; i < table->column_count; i++) {
        if (table->columns[i].is_id)
            shorten_ids(table, i);
    }
    fit(table, widths);
    print_row(table, widths, 0, true);
    for (size_t row = 0; row < table_rows(table); row++)
        print_row(table, widths, row, false);
    free(widths);
}
