#include "proto/ctl/pretty.h"

#include "proto/ctl/text.h"

#define INDENT 2

static void begin_line(struct buf *out, int depth)
{
    buf_addf(out, "\n%*s", depth * INDENT, "");
}

static void add_raw(struct buf *out, struct json_value value)
{
    size_t length;
    const char *raw = json_raw(value, &length);
    text_json(out, raw ? raw : "", length);
}

static void add(struct buf *out, struct json_value value, int depth)
{
    bool is_object = json_type(value) == JSON_OBJECT;
    if ((!is_object && json_type(value) != JSON_ARRAY) || json_size(value) == 0) {
        add_raw(out, value);
        return;
    }
    const char *before = "";
    buf_add_byte(out, is_object ? '{' : '[');
    for (struct json_iter it = json_iter(value); json_next(&it); before = ",") {
        buf_add_text(out, before);
        begin_line(out, depth + 1);
        if (is_object) {
            add_raw(out, it.name);
            buf_add_text(out, ": ");
        }
        add(out, it.value, depth + 1);
    }
    begin_line(out, depth);
    buf_add_byte(out, is_object ? '}' : ']');
}

void pretty_json(struct buf *out, struct json_value value)
{
    add(out, value, 0);
}
