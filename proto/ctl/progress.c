#include "proto/ctl/progress.h"

#include <stdlib.h>
#include <string.h>

#include "proto/buf.h"
#include "proto/ctl/job_view.h"
#include "proto/ctl/output.h"
#include "proto/ctl/text.h"
#include "proto/limits.h"
#include "proto/mem.h"
#include "proto/units.h"

#define LINES_MAX 16 /* more would scroll */
#define BAR_CELLS 10

struct entry {
    char *id;
    char *state;
    char *reason;
    int64_t since;       /* clock_ms; when the job was made */
    int64_t running_at;  /* clock_ms; counts with expected_ms */
    int64_t expected_ms; /* 0: unknown */
};

struct progress {
    struct ctl *ctl;
    struct entry *entries;
    size_t count;
    size_t capacity;
    size_t lines; /* on the terminal now */
};

struct progress *progress_new(struct ctl *ctl)
{
    struct progress *progress = mem_alloc(sizeof *progress);
    progress->ctl = ctl;
    return progress;
}

static void free_entry(struct entry *entry)
{
    free(entry->id);
    free(entry->state);
    free(entry->reason);
}

void progress_free(struct progress *progress)
{
    if (!progress)
        return;
    progress_clear(progress);
    for (size_t i = 0; i < progress->count; i++)
        free_entry(&progress->entries[i]);
    free(progress->entries);
    free(progress);
}

bool progress_is_drawn(const struct progress *progress)
{
    return progress->ctl->err.can_redraw && !progress->ctl->json;
}

static struct entry *find(struct progress *progress, const char *id)
{
    for (size_t i = 0; i < progress->count; i++) {
        if (strcmp(progress->entries[i].id, id) == 0)
            return &progress->entries[i];
    }
    if (progress->count == LIMIT_IDS)
        return NULL;
    if (progress->count == progress->capacity) {
        progress->capacity = progress->capacity ? progress->capacity * 2 : 16;
        progress->entries = mem_resize(progress->entries, progress->capacity, sizeof(struct entry));
    }
    struct entry *entry = &progress->entries[progress->count++];
    *entry = (struct entry){.id = mem_strdup(id), .since = clock_ms()};
    return entry;
}

static void take_times(struct entry *entry, struct json_value job)
{
    int64_t created = job_time(job, "created_at");
    int64_t age = clock_unix_ms() - created;
    int64_t elapsed;
    if (created > 0 && age >= 0)
        entry->since = clock_ms() - age;
    if (json_int(json_path(job, "progress.elapsed_ms"), 0, INT64_MAX / 2, &elapsed) == 0)
        entry->running_at = clock_ms() - elapsed;
    else if (entry->running_at == 0 && strcmp(entry->state, "running") == 0)
        entry->running_at = clock_ms();
    json_int(json_path(job, "progress.expected_ms"), 1, INT64_MAX / 2, &entry->expected_ms);
}

static void print_change(struct ctl *ctl, const struct entry *entry)
{
    struct buf line;
    buf_init(&line, LIMIT_REPLY_LINE);
    text_clean(&line, entry->id, strlen(entry->id));
    buf_add_byte(&line, ' ');
    text_clean(&line, entry->state, strlen(entry->state));
    buf_addf(&line, "%s%s", *entry->reason ? ": " : "", entry->reason);
    fprintf(ctl->err.file, "%s\n", buf_text(&line));
    buf_free(&line);
}

void progress_drop(struct progress *progress, const char *id)
{
    size_t at = 0;
    while (at < progress->count && strcmp(progress->entries[at].id, id) != 0)
        at++;
    if (at == progress->count)
        return;
    free_entry(&progress->entries[at]);
    progress->count--;
    memmove(&progress->entries[at], &progress->entries[at + 1],
            (progress->count - at) * sizeof(struct entry));
}

static bool is_same(const char *a, const char *b)
{
    return a && b && strcmp(a, b) == 0;
}

void progress_take(struct progress *progress, struct json_value job)
{
    struct buf reason;
    char *id = job_member(job, "id");
    char *state = job_member(job, "state");
    struct entry *entry = id && state ? find(progress, id) : NULL;
    free(id);
    if (!entry) {
        free(state);
        return;
    }
    bool changed = !is_same(entry->state, state);
    buf_init(&reason, LIMIT_PROMPT);
    job_reason(&reason, job);
    free(entry->state);
    free(entry->reason);
    entry->state = state;
    entry->reason = buf_steal(&reason);
    take_times(entry, job);
    if (!progress->ctl->json && changed && !progress_is_drawn(progress))
        print_change(progress->ctl, entry);
}

void progress_bar(double share, char ret[PROGRESS_BAR])
{
    char cells[BAR_CELLS + 1];
    share = share < 0 ? 0 : share > 1 ? 1 : share;
    size_t full = (size_t)(share * BAR_CELLS);
    memset(cells, '-', BAR_CELLS);
    memset(cells, '#', full);
    cells[BAR_CELLS] = '\0';
    snprintf(ret, PROGRESS_BAR, "[%s] %3d%%", cells, (int)(share * 100));
}

/* An estimate is never complete: past it, the bar stays just below. */
static void add_bar(struct buf *line, const struct entry *entry)
{
    char bar[PROGRESS_BAR];
    char left[UNITS_TEXT];
    if (entry->expected_ms == 0 || strcmp(entry->state, "running") != 0)
        return;
    int64_t elapsed = clock_ms() - entry->running_at;
    double share = (double)elapsed / (double)entry->expected_ms;
    progress_bar(share > 0.99 ? 0.99 : share, bar);
    buf_addf(line, "  %s", bar);
    if (elapsed < entry->expected_ms) {
        int64_t ms = entry->expected_ms - elapsed;
        units_format_duration(ms - ms % 1000, left);
        buf_addf(line, ", ~%s left", left);
    }
}

static void draw_entry(struct progress *progress, const struct entry *entry)
{
    struct buf line;
    struct buf cut;
    char elapsed[UNITS_TEXT];
    int64_t ms = clock_ms() - entry->since;
    units_format_duration(ms - ms % 1000, elapsed);
    buf_init(&line, LIMIT_REPLY_LINE);
    buf_init(&cut, LIMIT_REPLY_LINE);
    buf_addf(&line, "%s  %-10s %6s", entry->id, entry->state, elapsed);
    add_bar(&line, entry);
    if (*entry->reason)
        buf_addf(&line, "  %s", entry->reason);
    text_cut(&cut, line.data, line.length, ctl_columns(&progress->ctl->err) - 1);
    const char *colour = progress->ctl->err.has_colour ? output_state_colour(entry->state) : "";
    fprintf(progress->ctl->err.file, "\r\033[K%s%s%s\n", colour, buf_text(&cut),
            *colour ? COLOUR_OFF : "");
    progress->lines++;
    buf_free(&line);
    buf_free(&cut);
}

void progress_clear(struct progress *progress)
{
    if (progress->lines > 0)
        fprintf(progress->ctl->err.file, "\033[%zuA\r\033[J", progress->lines);
    progress->lines = 0;
    fflush(progress->ctl->err.file);
}

void progress_draw(struct progress *progress)
{
    size_t settled = 0;
    size_t hidden = 0;
    if (!progress_is_drawn(progress))
        return;
    if (progress->lines > 0)
        fprintf(progress->ctl->err.file, "\033[%zuA", progress->lines);
    progress->lines = 0;
    for (size_t i = 0; i < progress->count; i++) {
        bool is_settled = job_is_settled(progress->entries[i].state);
        settled += is_settled;
        if (progress->count <= LINES_MAX || (!is_settled && progress->lines < LINES_MAX))
            draw_entry(progress, &progress->entries[i]);
        else if (!is_settled)
            hidden++;
    }
    if (progress->count > LINES_MAX) {
        fprintf(progress->ctl->err.file, "\r\033[K%zu of %zu ended, %zu more to come\n", settled,
                progress->count, hidden);
        progress->lines++;
    }
    fputs("\033[J", progress->ctl->err.file);
    fflush(progress->ctl->err.file);
}
