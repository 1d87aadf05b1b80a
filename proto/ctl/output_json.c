#include "proto/ctl/output.h"

#include "proto/ctl/text.h"
#include "proto/jsonw.h"
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

static void show_blob(struct ctl *ctl, const char *blob, const char *path)
{
    struct buf text;
    struct jsonw w;
    (void)ctl;
    buf_init(&text, LIMIT_LINE);
    jsonw_init(&w, &text);
    jsonw_object(&w);
    jsonw_member_string(&w, "file", path);
    jsonw_member_string(&w, "blob", blob);
    jsonw_object_end(&w);
    puts(buf_text(&text));
    fflush(stdout);
    buf_free(&text);
}

static void show_pong(struct ctl *ctl, const struct answer *answer, int64_t round_trip_us)
{
    (void)round_trip_us;
    show(ctl, answer);
}

const struct output output_json = {
    .accepted = show,
    .dry_run = show,
    .blob = show_blob,
    .job = show,
    .job_row = show_row,
    .waited = show,
    .changed = show,
    .event = show,
    .why = show,
    .details = show,
    .reloaded = show,
    .pong = show_pong,
    .refused = show,
};
