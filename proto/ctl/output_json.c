#include "proto/ctl/output.h"

#include "proto/ctl/text.h"
#include "proto/limits.h"

static void show(struct ctl *ctl, const struct answer *answer)
{
    if (ctl->out.is_terminal) {
        struct buf safe;
        buf_init(&safe, 6 * LIMIT_REPLY_LINE);
        text_json(&safe, answer->json, answer->json_length);
        fwrite(safe.data, 1, safe.length, stdout);
        buf_free(&safe);
    } else {
        fwrite(answer->json, 1, answer->json_length, stdout);
    }
    putchar('\n');
    fflush(stdout);
}

static void show_row(struct ctl *ctl, struct table *table, const struct answer *answer)
{
    (void)table;
    show(ctl, answer);
}

static void show_pong(struct ctl *ctl, const struct answer *answer, int64_t round_trip_us)
{
    (void)round_trip_us;
    show(ctl, answer);
}

const struct output output_json = {
    .accepted = show,
    .job = show,
    .job_row = show_row,
    .model_row = show_row,
    .waited = show,
    .changed = show,
    .event = show,
    .why = show,
    .details = show,
    .pong = show_pong,
    .refused = show,
};
