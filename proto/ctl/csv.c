#include "proto/ctl/csv.h"

#include <string.h>

void csv_add(struct buf *record, const char *text)
{
    if (record->length > 0)
        buf_add_byte(record, ',');
    if (*text && !strpbrk(text, ",\"\r\n")) {
        buf_add_text(record, text);
        return;
    }
    buf_add_byte(record, '"');
    for (; *text; text++) {
        if (*text == '"')
            buf_add_byte(record, '"');
        buf_add_byte(record, *text);
    }
    buf_add_byte(record, '"');
}
