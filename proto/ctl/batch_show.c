#include <stdlib.h>
#include <string.h>

#include "proto/ctl/batch.h"
#include "proto/ctl/job_view.h"
#include "proto/ctl/money.h"
#include "proto/ctl/progress.h"
#include "proto/ctl/text.h"
#include "proto/jsonw.h"
#include "proto/limits.h"

#define REDRAW_MS 200

/* ---- rows ---- */

static void put_row(struct batch *batch, size_t line, const char *id, const char *state,
                    const char *detail)
{
    struct buf row;
    batch_draw_clear(batch);
    buf_init(&row, LIMIT_REPLY_LINE);
    buf_addf(&row, "%zu\t", line);
    text_clean(&row, id, strlen(id));
    buf_add_byte(&row, '\t');
    text_clean(&row, state, strlen(state));
    if (*detail) {
        buf_add_byte(&row, '\t');
        text_clean(&row, detail, strlen(detail));
    }
    puts(buf_text(&row));
    buf_free(&row);
}

static void put_object(struct batch *batch, size_t line, const char *name, const char *json,
                       size_t length)
{
    batch_draw_clear(batch);
    printf("{\"line\":%zu,\"%s\":%.*s}\n", line, name, (int)length, json);
}

void batch_show_refused(struct batch *batch, size_t line, const char *message)
{
    struct buf text;
    struct jsonw w;
    batch->counts.refused++;
    batch->status = exit_worse(batch->status, EXIT_REFUSED);
    if (!batch->ctl->json) {
        put_row(batch, line, "-", "error", message);
        return;
    }
    buf_init(&text, LIMIT_LINE);
    jsonw_init(&w, &text);
    jsonw_object(&w);
    jsonw_member_string(&w, "code", error_code_name(ERROR_INVALID_ARGUMENT));
    jsonw_member_string(&w, "message", message);
    jsonw_object_end(&w);
    put_object(batch, line, "error", text.data, text.length);
    buf_free(&text);
}

void batch_show_error(struct batch *batch, size_t line, const struct answer *err)
{
    struct buf text;
    batch->counts.refused++;
    batch->status = exit_worse(batch->status, EXIT_REFUSED);
    if (batch->ctl->json) {
        put_object(batch, line, "error", err->json, err->json_length);
        return;
    }
    char *message = job_member(err->value, "message");
    char *code = job_member(err->value, "code");
    buf_init(&text, LIMIT_REPLY_LINE);
    buf_addf(&text, "%s (%s)", message ? message : "refused", code ? code : "no code");
    put_row(batch, line, "-", "error", buf_text(&text));
    buf_free(&text);
    free(message);
    free(code);
}

void batch_show_forgotten(struct batch *batch, const struct batch_job *job,
                          const struct answer *err)
{
    if (batch->ctl->json)
        put_object(batch, job->line, "error", err->json, err->json_length);
    else
        put_row(batch, job->line, job->id, "forgotten", "");
}

void batch_show_end(struct batch *batch, size_t line, struct json_value job, const char *detail)
{
    size_t length;
    const char *raw = json_raw(job, &length);
    if (batch->ctl->json) {
        put_object(batch, line, "job", raw, length);
        return;
    }
    struct buf reason;
    char *id = job_member(job, "id");
    char *state = job_member(job, "state");
    buf_init(&reason, LIMIT_REPLY_LINE);
    job_reason(&reason, job);
    put_row(batch, line, id ? id : "-", state ? state : "-", detail ? detail : buf_text(&reason));
    buf_free(&reason);
    free(id);
    free(state);
}

void batch_show_job(struct batch *batch, size_t line, struct json_value job)
{
    batch_show_end(batch, line, job, NULL);
}

void batch_show_priced(struct batch *batch, size_t line, struct json_value ok)
{
    double usd = 0;
    char cost[MONEY_TEXT];
    size_t length;
    const char *raw = json_raw(ok, &length);
    if (json_double(json_path(ok, "cost.estimate_usd"), 0, 1e9, &usd) < 0)
        batch->counts.unpriced++;
    batch->counts.usd += usd;
    money_of_job(ok, cost);
    if (batch->ctl->json)
        put_object(batch, line, "dry_run", raw, length);
    else
        put_row(batch, line, "-", "not sent", cost);
}

/* ---- how far it is ---- */

static void add_numbers(const struct batch *batch, struct buf *text, bool is_over)
{
    const struct batch_counts *counts = &batch->counts;
    buf_addf(text, "%zu line%s: %zu %s", counts->lines, counts->lines == 1 ? "" : "s",
             counts->accepted, batch->dry_run ? "all right" : "accepted");
    if (counts->existing > 0)
        buf_addf(text, " (%zu known from before)", counts->existing);
    if (counts->refused > 0)
        buf_addf(text, ", %zu refused", counts->refused);
    if (batch->waits && (is_over || counts->ended > 0)) {
        buf_addf(text, "; %zu done", counts->ended - counts->not_done);
        if (counts->not_done > 0)
            buf_addf(text, ", %zu not", counts->not_done);
    }
}

static double share_of(const struct batch *batch)
{
    if (batch->counts.ended > 0)
        return (double)batch->counts.ended / (double)batch->job_count;
    return batch->size > 0 ? (double)batch->read / (double)batch->size : -1;
}

void batch_draw(struct batch *batch)
{
    const struct stream *err = &batch->ctl->err;
    char bar[PROGRESS_BAR] = "";
    struct buf line;
    struct buf cut;
    int64_t now = clock_ms();
    if (!err->can_redraw || batch->ctl->json || now < batch->draw_at)
        return;
    batch->draw_at = now + REDRAW_MS;
    batch->is_drawn = true;
    buf_init(&line, LIMIT_LINE);
    buf_init(&cut, LIMIT_LINE);
    if (share_of(batch) >= 0) {
        progress_bar(share_of(batch), bar);
        buf_addf(&line, "%s  ", bar);
    }
    add_numbers(batch, &line, false);
    text_cut(&cut, line.data, line.length, ctl_columns(err) - 1);
    fflush(stdout);
    fprintf(err->file, "\r\033[K%s", buf_text(&cut));
    fflush(err->file);
    buf_free(&line);
    buf_free(&cut);
}

void batch_draw_clear(struct batch *batch)
{
    if (batch->is_drawn)
        fputs("\r\033[K", batch->ctl->err.file);
    batch->is_drawn = false;
}

void batch_sum_up(struct batch *batch)
{
    struct buf text;
    char usd[MONEY_TEXT];
    batch_draw_clear(batch);
    if (!batch->ctl->err.is_terminal && batch->status == EXIT_ALL_DONE && !batch->dry_run)
        return;
    buf_init(&text, LIMIT_LINE);
    add_numbers(batch, &text, true);
    if (batch->dry_run) {
        money_text(batch->counts.usd, usd);
        buf_addf(&text, "; estimated price: %s", usd);
        if (batch->counts.unpriced > 0)
            buf_addf(&text, " and %zu without a known price", batch->counts.unpriced);
        buf_add_text(&text, "; nothing was sent");
    }
    ctl_complain(batch->ctl, "%s", buf_text(&text));
    buf_free(&text);
}
