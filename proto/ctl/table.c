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

static size_t widest(const struct table *table, size_t column)
{
    size_t width = strlen(table->columns[column].title);
    for (size_t row = 0; row < table_rows(table); row++) {
        const char *cell = cell_at(table, row, column);
        size_t cell_width = text_width(cell, strlen(cell));
        width = cell_width > width ? cell_width : width;
    }
    return width;
}

static void fit(const struct table *table, size_t widths[])
{
    size_t used = strlen(COLUMN_GAP) * (table->column_count - 1);
    for (size_t i = 0; i < table->column_count; i++) {
        widths[i] = widest(table, i);
        used += widths[i];
    }
    size_t room = ctl_columns(&table->ctl->out);
    for (size_t i = 0; i < table->column_count && used > room; i++) {
        if (!table->columns[i].shrinks)
            continue;
        size_t wanted = widths[i];
        size_t excess = used - room;
        widths[i] = wanted > excess + COLUMN_LEAST ? wanted - excess : COLUMN_LEAST;
        used -= wanted - widths[i];
    }
}

static void print_cell(const struct table *table, size_t column, const char *text, size_t width,
                       bool is_header)
{
    struct buf cut;
    buf_init(&cut, LIMIT_REPLY_LINE);
    text_cut(&cut, text, strlen(text), width);
    const struct column *spec = &table->columns[column];
    const char *colour = "";
    if (table->ctl->out.has_colour)
        colour = is_header ? "\033[1m" : spec->colour ? spec->colour(text) : "";
    bool is_last = column + 1 == table->column_count;
    size_t used = text_width(cut.data, cut.length);
    printf("%s%s%s", colour, buf_text(&cut), *colour ? COLOUR_OFF : "");
    if (is_last)
        putchar('\n');
    else
        printf("%*s" COLUMN_GAP, (int)(width - used), "");
    buf_free(&cut);
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
    for (size_t i = 0; i < table->column_count; i++)
        print_cell(table, i, table->columns[i].title, widths[i], true);
    for (size_t row = 0; row < table_rows(table); row++) {
        for (size_t i = 0; i < table->column_count; i++)
            print_cell(table, i, cell_at(table, row, i), widths[i], false);
    }
    free(widths);
}
