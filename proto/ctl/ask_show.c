#include "proto/ctl/ask_show.h"

#include <langinfo.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>

#include "proto/ctl/ask_line.h"
#include "proto/ctl/job_view.h"
#include "proto/ctl/output.h"
#include "proto/ctl/progress.h"
#include "proto/ctl/text.h"
#include "proto/limits.h"
#include "proto/mem.h"
#include "proto/units.h"

#define CALLS_MAX 1024 /* of one turn; more are shown without their jobs */

struct called {
    int64_t number;
    char *job; /* NULL: not known yet */
    bool is_told;
    bool has_result;
    bool is_over; /* the job is */
};

struct ask_show {
    struct ctl *ctl;
    struct progress *progress;
    struct called *calls;
    size_t call_count;
    size_t call_capacity;
    int64_t thinking_since; /* clock_ms; 0: it isn't */
    bool status_is_drawn;   /* the line below the jobs */
    bool picks_up;          /* words that were said elsewhere, and not shown yet */
    bool has_utf8;          /* the user's terminal, as far as the locale tells */
};

static const struct {
    const char *utf8;
    const char *ascii;
    const char *colour;
} marks[] = {
    [ASK_MARK_NONE] = {"", "", ""},
    [ASK_MARK_CALL] = {"▸ ", "> ", "\033[36m"},
    [ASK_MARK_DONE] = {"✓ ", "+ ", "\033[32m"},
    [ASK_MARK_GOING] = {"· ", ". ", "\033[36m"},
    [ASK_MARK_BAD] = {"✗ ", "x ", "\033[31m"},
    [ASK_MARK_AGAIN] = {"↻ ", "~ ", "\033[33m"},
};

/* The program's own locale is always UTF-8: this is the user's. */
static bool locale_has_utf8(void)
{
    locale_t locale = newlocale(LC_CTYPE_MASK, "", (locale_t)0);
    if (!locale)
        return false;
    bool yes = strcmp(nl_langinfo_l(CODESET, locale), "UTF-8") == 0;
    freelocale(locale);
    return yes;
}

struct ask_show *ask_show_new(struct ctl *ctl, bool picks_up)
{
    struct ask_show *show = mem_alloc(sizeof *show);
    show->ctl = ctl;
    show->progress = progress_new(ctl);
    show->picks_up = picks_up;
    show->has_utf8 = locale_has_utf8();
    return show;
}

void ask_show_free(struct ask_show *show)
{
    if (!show)
        return;
    ask_show_clear(show);
    progress_free(show->progress);
    for (size_t i = 0; i < show->call_count; i++)
        free(show->calls[i].job);
    free(show->calls);
    free(show);
}

bool ask_show_is_drawn(const struct ask_show *show)
{
    return progress_is_drawn(show->progress);
}

/* ---- what is drawn in place ---- */

static void erase_status(struct ask_show *show)
{
    if (show->status_is_drawn)
        fputs("\r\033[K", show->ctl->err.file);
    show->status_is_drawn = false;
}

void ask_show_clear(struct ask_show *show)
{
    erase_status(show);
    progress_clear(show->progress);
}

static void draw_status(struct ask_show *show)
{
    char elapsed[UNITS_TEXT] = "";
    const struct stream *err = &show->ctl->err;
    int64_t ms = clock_ms() - show->thinking_since;
    if (ms >= 1000)
        units_format_duration(ms - ms % 1000, elapsed);
    fprintf(err->file, "%sthinking%s %s%s", err->has_colour ? "\033[2m" : "",
            show->has_utf8 ? "…" : "...", elapsed, err->has_colour ? COLOUR_OFF : "");
    fflush(err->file);
    show->status_is_drawn = true;
}

void ask_show_draw(struct ask_show *show)
{
    if (!ask_show_is_drawn(show))
        return;
    erase_status(show);
    progress_draw(show->progress);
    if (show->thinking_since > 0)
        draw_status(show);
}

/* ---- lines ---- */

static size_t line_columns(const struct ask_show *show)
{
    return ask_show_is_drawn(show) ? ctl_columns(&show->ctl->err) - 1 : LIMIT_REPLY_LINE;
}

/* Frees the line. What went wrong is told in full. */
static void put_line(struct ask_show *show, enum ask_mark mark, struct buf *line)
{
    const struct stream *err = &show->ctl->err;
    const char *sign = show->has_utf8 ? marks[mark].utf8 : marks[mark].ascii;
    const char *colour = err->has_colour ? marks[mark].colour : "";
    bool is_whole = mark == ASK_MARK_BAD || mark == ASK_MARK_AGAIN;
    size_t columns = is_whole ? LIMIT_REPLY_LINE : line_columns(show);
    struct buf cut;
    buf_init(&cut, 2 * LIMIT_REPLY_LINE);
    text_cut(&cut, buf_text(line), line->length, columns - text_width(sign, strlen(sign)));
    ask_show_clear(show);
    fflush(stdout);
    fprintf(err->file, "%s%s%s%s\n", colour, sign, *colour ? COLOUR_OFF : "", buf_text(&cut));
    fflush(err->file);
    buf_free(&cut);
    buf_free(line);
}

static void start_line(struct buf *line)
{
    buf_init(line, 2 * LIMIT_REPLY_LINE);
}

/* ---- calls and their jobs ---- */

static struct called *find_call(struct ask_show *show, struct json_value event)
{
    int64_t number;
    if (json_int(json_get(event, "call"), 0, INT64_MAX, &number) < 0)
        return NULL;
    for (size_t i = 0; i < show->call_count; i++) {
        if (show->calls[i].number == number)
            return &show->calls[i];
    }
    if (show->call_count == CALLS_MAX)
        return NULL;
    if (show->call_count == show->call_capacity) {
        show->call_capacity = show->call_capacity ? show->call_capacity * 2 : 16;
        show->calls = mem_resize(show->calls, show->call_capacity, sizeof(struct called));
    }
    struct called *call = &show->calls[show->call_count++];
    *call = (struct called){.number = number};
    return call;
}

static void end_job(struct ask_show *show, struct called *call)
{
    if (call->job)
        progress_drop(show->progress, call->job);
    call->is_over = true;
}

/* A job that settles while its call waits is told of by the result. */
static void show_change(struct ask_show *show, struct json_value event)
{
    struct called *call = find_call(show, event);
    char *state = job_member(event, "state");
    if (call && state && !call->is_over) {
        if (!call->job)
            call->job = job_member(event, "id");
        progress_take(show->progress, event);
        if (job_is_settled(state)) {
            end_job(show, call);
            if (call->has_result && ask_show_is_drawn(show)) {
                struct buf line;
                start_line(&line);
                enum ask_mark mark = ask_line_job(&line, event);
                put_line(show, mark, &line);
            }
        }
    }
    free(state);
}

void ask_show_job(struct ask_show *show, struct json_value job)
{
    for (size_t i = 0; i < show->call_count; i++) {
        const struct called *call = &show->calls[i];
        if (call->job && !call->is_over && json_equals(json_get(job, "id"), call->job))
            progress_take(show->progress, job);
    }
}

/* ---- the steps ---- */

static void show_asked(struct ask_show *show, struct json_value event)
{
    struct buf line;
    char *words = job_member(event, "text");
    if (show->picks_up && words) {
        start_line(&line);
        buf_addf(&line, "asked: %s", words);
        put_line(show, ASK_MARK_NONE, &line);
    }
    show->picks_up = false;
    free(words);
}

static void show_thinking(struct ask_show *show, struct json_value event)
{
    struct buf line;
    int64_t round = 1;
    show->thinking_since = clock_ms();
    if (ask_show_is_drawn(show))
        return;
    json_int(json_get(event, "round"), 1, INT32_MAX, &round);
    start_line(&line);
    buf_addf(&line, "thinking (round %d)", (int)round);
    put_line(show, ASK_MARK_NONE, &line);
}

static void show_retrying(struct ask_show *show, struct json_value event)
{
    struct buf line;
    char delay[UNITS_TEXT];
    double seconds = 0;
    char *message = job_member(event, "message");
    json_double(json_get(event, "delay_seconds"), 0, 1e9, &seconds);
    units_format_duration((int64_t)(seconds * 1000), delay);
    start_line(&line);
    buf_addf(&line, "%s; trying again in %s", message ? message : "the model can't answer now",
             delay);
    put_line(show, ASK_MARK_AGAIN, &line);
    free(message);
}

static void show_text(struct ask_show *show, struct json_value event)
{
    struct buf text;
    char *words = job_member(event, "text");
    show->thinking_since = 0;
    if (!words)
        return;
    buf_init(&text, 2 * LIMIT_REPLY_LINE);
    text_clean_lines(&text, words, strlen(words));
    ask_show_clear(show);
    fflush(stdout);
    fprintf(show->ctl->err.file, "%s\n", buf_text(&text));
    fflush(show->ctl->err.file);
    buf_free(&text);
    free(words);
}

/* After a break the calls that wait are told again. */
static void show_calling(struct ask_show *show, struct json_value event)
{
    struct buf line;
    struct called *call = find_call(show, event);
    show->thinking_since = 0;
    if (call && call->is_told)
        return;
    if (call)
        call->is_told = true;
    start_line(&line);
    ask_line_call(&line, event, line_columns(show) - strlen("> "));
    put_line(show, ASK_MARK_CALL, &line);
}

static void show_result(struct ask_show *show, struct json_value event)
{
    struct buf line;
    struct called *call = find_call(show, event);
    start_line(&line);
    enum ask_mark mark = ask_line_result(&line, event);
    if (call) {
        call->has_result = true;
        if (mark != ASK_MARK_GOING)
            end_job(show, call);
    }
    put_line(show, mark, &line);
}

static const struct {
    const char *step;
    void (*show)(struct ask_show *show, struct json_value event);
} steps[] = {
    {"asked", show_asked},   {"thinking", show_thinking}, {"retrying", show_retrying},
    {"text", show_text},     {"calling", show_calling},   {"job", show_change},
    {"result", show_result},
};

void ask_show_step(struct ask_show *show, const struct answer *event)
{
    struct json_value step = json_get(event->value, "step");
    if (show->ctl->json) {
        show->ctl->output->event(show->ctl, event);
        return;
    }
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        if (json_equals(step, steps[i].step))
            steps[i].show(show, event->value);
    }
    ask_show_draw(show);
}
