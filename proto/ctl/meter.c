#include "proto/ctl/meter.h"

#include <string.h>

#include "proto/ctl/progress.h"
#include "proto/ctl/text.h"
#include "proto/limits.h"
#include "proto/units.h"

#define REDRAW_MS 200

void meter_show(struct meter *meter, uint64_t done, uint64_t total)
{
    char bar[PROGRESS_BAR];
    char done_text[UNITS_TEXT];
    char total_text[UNITS_TEXT];
    struct buf line;
    struct buf cut;
    int64_t now = clock_ms();
    if (!meter->ctl->err.can_redraw || now < meter->due_at)
        return;
    meter->due_at = now + REDRAW_MS;
    meter->is_drawn = true;
    progress_bar(total ? (double)done / (double)total : 1, bar);
    units_format_size(done, done_text);
    units_format_size(total, total_text);
    buf_init(&line, LIMIT_LINE);
    buf_init(&cut, LIMIT_LINE);
    buf_addf(&line, "%s  %s of %s%s%s", bar, done_text, total_text, meter->what ? "  " : "",
             meter->what ? meter->what : "");
    text_cut(&cut, line.data, line.length, ctl_columns(&meter->ctl->err) - 1);
    fprintf(meter->ctl->err.file, "\r\033[K%s", buf_text(&cut));
    fflush(meter->ctl->err.file);
    buf_free(&line);
    buf_free(&cut);
}

void meter_end(struct meter *meter)
{
    if (meter->is_drawn)
        fputs("\r\033[K", meter->ctl->err.file);
    meter->is_drawn = false;
}
