#include "proto/ctl/tree.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "proto/buf.h"
#include "proto/ctl/money.h"
#include "proto/ctl/output.h"
#include "proto/ctl/text.h"
#include "proto/limits.h"
#include "proto/units.h"

#define PATH_MAX_BYTES 512

struct walk {
    struct buf path;
    void (*leaf)(struct walk *walk, struct json_value value);
    struct ctl *ctl;
    size_t width;
    struct buf *line;
    const char *const *but;
};

static bool ends_with(const char *name, const char *end)
{
    size_t length = strlen(name);
    size_t end_length = strlen(end);
    return length >= end_length && strcmp(name + length - end_length, end) == 0;
}

static void add_age(struct buf *out, const char *text)
{
    int64_t at;
    char age[UNITS_TEXT];
    if (units_parse_time(text, &at) < 0)
        return;
    int64_t ago = clock_unix_ms() - at;
    units_format_duration(ago < 0 ? -ago : ago, age);
    buf_addf(out, ago < 0 ? " (in %s)" : " (%s ago)", age);
}

static void add_string(struct buf *out, const char *name, struct json_value value)
{
    size_t length;
    char *text = json_strdup(value, &length);
    if (!text)
        return;
    text_clean(out, text, length);
    if (ends_with(name, "_at"))
        add_age(out, text);
    free(text);
}

static void add_number(struct buf *out, const char *name, struct json_value value)
{
    char text[UNITS_TEXT];
    char money[MONEY_TEXT] = "";
    int64_t number;
    double fraction;
    double unit = ends_with(name, "_seconds") ? 1000 : 1;
    bool is_duration = unit > 1 || ends_with(name, "_ms");
    if (is_duration && json_double(value, 0, 1e12, &fraction) == 0)
        units_format_duration(llround(fraction * unit), text);
    else if (ends_with(name, "_usd") && json_double(value, 0, 1e12, &fraction) == 0)
        money_text(fraction, money);
    else if (ends_with(name, "bytes") && json_int(value, 0, INT64_MAX, &number) == 0)
        units_format_size((uint64_t)number, text);
    else {
        size_t length;
        const char *raw = json_raw(value, &length);
        buf_add(out, raw, length);
        return;
    }
    buf_add_text(out, *money ? money : text);
}

void tree_scalar(struct buf *out, const char *name, struct json_value value)
{
    size_t length;
    bool yes = false;
    const char *raw;
    switch (json_type(value)) {
    case JSON_STRING:
        add_string(out, name, value);
        break;
    case JSON_NUMBER:
        add_number(out, name, value);
        break;
    case JSON_BOOL:
        json_bool(value, &yes);
        buf_add_text(out, yes ? "yes" : "no");
        break;
    default:
        raw = json_raw(value, &length);
        text_clean(out, raw ? raw : "", length);
    }
}

static bool is_scalar(struct json_value value)
{
    enum json_type type = json_type(value);
    return type != JSON_OBJECT && type != JSON_ARRAY;
}

static bool is_flat(struct json_value array)
{
    for (struct json_iter it = json_iter(array); json_next(&it);) {
        if (!is_scalar(it.value))
            return false;
    }
    return true;
}

static bool is_left_out(const struct walk *walk, const char *name)
{
    for (const char *const *but = walk->but; but && *but; but++) {
        if (strcmp(*but, name) == 0)
            return true;
    }
    return false;
}

static void visit(struct walk *walk, struct json_value value)
{
    if (is_scalar(value) || (json_type(value) == JSON_ARRAY && is_flat(value))) {
        walk->leaf(walk, value);
        return;
    }
    size_t before = walk->path.length;
    size_t index = 0;
    for (struct json_iter it = json_iter(value); json_next(&it); index++) {
        char *name = json_strdup(it.name, NULL);
        if (before > 0)
            buf_add_byte(&walk->path, '.');
        if (name)
            text_clean(&walk->path, name, strlen(name));
        else
            buf_addf(&walk->path, "%zu", index);
        if (before > 0 || !name || !is_left_out(walk, name))
            visit(walk, it.value);
        free(name);
        walk->path.length = before;
        walk->path.failed = false;
    }
}

static void measure(struct walk *walk, struct json_value value)
{
    (void)value;
    size_t width = text_width(walk->path.data, walk->path.length);
    walk->width = width > walk->width ? width : walk->width;
}

static void add_leaf(struct buf *out, const char *path, struct json_value value)
{
    const char *dot = strrchr(path, '.');
    const char *name = dot ? dot + 1 : path;
    if (is_scalar(value)) {
        tree_scalar(out, name, value);
        return;
    }
    const char *between = "";
    for (struct json_iter it = json_iter(value); json_next(&it); between = ", ") {
        buf_add_text(out, between);
        tree_scalar(out, name, it.value);
    }
}

static void print_leaf(struct walk *walk, struct json_value value)
{
    struct buf text;
    buf_init(&text, LIMIT_REPLY_LINE * 2);
    const char *path = buf_text(&walk->path);
    add_leaf(&text, path, value);
    int gap = (int)(walk->width - text_width(walk->path.data, walk->path.length));
    const char *colour = "";
    if (walk->ctl->out.has_colour && strcmp(path, "state") == 0)
        colour = output_state_colour(buf_text(&text));
    printf("%s: %*s%s%s%s\n", path, gap, "", colour, buf_text(&text), *colour ? COLOUR_OFF : "");
    buf_free(&text);
}

static void line_leaf(struct walk *walk, struct json_value value)
{
    if (walk->line->length > 0)
        buf_add_byte(walk->line, ' ');
    const char *path = buf_text(&walk->path);
    buf_addf(walk->line, "%s=", path);
    add_leaf(walk->line, path, value);
}

void tree_print(struct ctl *ctl, struct json_value object)
{
    struct walk walk = {.ctl = ctl, .leaf = measure};
    buf_init(&walk.path, PATH_MAX_BYTES);
    visit(&walk, object);
    walk.leaf = print_leaf;
    visit(&walk, object);
    buf_free(&walk.path);
}

void tree_line(struct buf *out, struct json_value object, const char *const *but)
{
    struct walk walk = {.leaf = line_leaf, .line = out, .but = but};
    buf_init(&walk.path, PATH_MAX_BYTES);
    visit(&walk, object);
    buf_free(&walk.path);
}
