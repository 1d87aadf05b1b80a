/* Keeps the output directory to [output] max_age and max_bytes: now and then the oldest results go,
 * a few at a time. What a job still needs stays, and so does what others have put there. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/engine/task.h"
#include "daemon/io/log.h"
#include "daemon/io/sink.h"
#include "proto/mem.h"
#include "proto/units.h"

#define RETAIN_EVERY_MS 60000
#define RETAIN_FIRST_MS 1000
#define RETAIN_AT_ONCE  64
#define RETAIN_SLACK_MS 2000 /* between a file's last write and its job's end */

/* rest ─ look (too old) ─ remove ─ note ─ look … ─ look (too many bytes) ─ remove ─ note ─ … ─ rest
 */
struct retain {
    struct engine *engine;
    uv_timer_t timer;
    uv_work_t work;
    struct store_read read;
    struct store_write write;
    char *folder;             /* output_directory with a slash at its end; for the pool as well */
    struct store_file *files; /* to be removed, or noted as removed: the read's */
    size_t count;
    int *statuses;
    size_t kept; /* that couldn't be removed in this round */
    bool by_age; /* the round's first part */
    bool busy;
    bool over;   /* nothing more is to be done */
    bool closed; /* the timer */
};

static void look(struct retain *retain);

static void free_retain(struct retain *retain)
{
    free(retain->folder);
    free(retain);
}

static void rest(struct retain *retain)
{
    retain->busy = false;
    if (retain->closed)
        free_retain(retain);
}

/* ---- removing, on the pool ---- */

static void on_noted(struct store_write *write)
{
    struct retain *retain = write->context;
    bool worked = write->status == 0;
    store_read_free(&retain->read);
    if (worked && !retain->over)
        look(retain);
    else
        rest(retain);
}

static void note(struct retain *retain)
{
    retain->write = (struct store_write){
        .kind = STORE_REMOVE,
        .files = retain->files,
        .count = retain->count,
        .at = engine_wall_ms(),
        .done = on_noted,
        .context = retain,
    };
    store_write(retain->engine->store, &retain->write);
}

static void remove_files(uv_work_t *work)
{
    struct retain *retain = heap_entry(work, struct retain, work);
    size_t root = strlen(retain->folder);
    for (size_t i = 0; i < retain->count; i++) {
        const struct store_file *file = &retain->files[i];
        retain->statuses[i] = sink_remove_own(retain->folder, file->path + root, file->bytes,
                                              file->ended_at + RETAIN_SLACK_MS);
    }
}

static bool is_removed(struct retain *retain, size_t index)
{
    const struct store_file *file = &retain->files[index];
    int status = retain->statuses[index];
    if (status == 0 || status == -ENOENT || status == -ESTALE) {
        log_info("retain", "%s: %s %s", file->job, file->path,
                 status == -ESTALE ? "is another file now; it stays, and is no result any more"
                                   : "removed, to keep to [output]");
        return true;
    }
    log_warning("retain", "%s: cannot remove %s: %s", file->job, file->path, strerror(-status));
    return false;
}

static void on_removed(uv_work_t *work, int status)
{
    struct retain *retain = heap_entry(work, struct retain, work);
    (void)status;
    size_t removed = 0;
    for (size_t i = 0; i < retain->count; i++) {
        struct store_file file = retain->files[i];
        if (!is_removed(retain, i))
            continue;
        retain->files[i] = retain->files[removed];
        retain->files[removed++] = file;
    }
    retain->kept += retain->count - removed;
    retain->count = removed;
    free(retain->statuses);
    retain->statuses = NULL;
    if (retain->over) {
        store_read_free(&retain->read);
        rest(retain);
    } else {
        note(retain);
    }
}

/* ---- looking for what is too old, then for what is too much ---- */

/* How many of the files, which are the oldest, must go. */
static size_t count_surplus(const struct retain *retain)
{
    if (retain->by_age)
        return retain->read.file_count;
    uint64_t bytes = retain->read.bytes;
    size_t count = 0;
    while (count < retain->read.file_count && bytes > retain->engine->config.output_bytes)
        bytes -= retain->read.files[count++].bytes;
    return count;
}

static void next_part(struct retain *retain)
{
    bool was_by_age = retain->by_age;
    store_read_free(&retain->read);
    retain->by_age = false;
    retain->kept = 0;
    if (was_by_age && retain->engine->config.output_bytes > 0)
        look(retain);
    else
        rest(retain);
}

static void on_looked(struct store_read *read)
{
    struct retain *retain = read->context;
    retain->files = read->files;
    retain->count = read->status == 0 && !retain->over ? count_surplus(retain) : 0;
    if (retain->over) {
        store_read_free(read);
        rest(retain);
        return;
    }
    if (retain->count == 0) {
        next_part(retain);
        return;
    }
    retain->statuses = mem_alloc(retain->count * sizeof(*retain->statuses));
    uv_queue_work(retain->engine->loop, &retain->work, remove_files, on_removed);
}

static void look(struct retain *retain)
{
    const struct engine_config *config = &retain->engine->config;
    retain->read = (struct store_read){
        .kind = STORE_FILES,
        .name = retain->folder,
        .filter = {.limit = RETAIN_AT_ONCE,
                   .until = retain->by_age ? engine_wall_ms() - config->output_age_ms : 0},
        .from = (int64_t)retain->kept,
        .done = on_looked,
        .context = retain,
    };
    store_read(retain->engine->store, &retain->read);
}

static void on_timer(uv_timer_t *timer)
{
    struct retain *retain = timer->data;
    const struct engine_config *config = &retain->engine->config;
    if (retain->busy || (config->output_age_ms == 0 && config->output_bytes == 0))
        return;
    retain->busy = true;
    retain->kept = 0;
    retain->by_age = config->output_age_ms > 0;
    look(retain);
}

void retain_start(struct engine *engine)
{
    struct retain *retain = mem_alloc(sizeof(*retain));
    retain->engine = engine;
    retain->folder = mem_format("%s/", engine->config.output_directory);
    uv_timer_init(engine->loop, &retain->timer);
    retain->timer.data = retain;
    uv_timer_start(&retain->timer, on_timer, RETAIN_FIRST_MS, RETAIN_EVERY_MS);
    engine->retain = retain;
}

static void on_closed(uv_handle_t *handle)
{
    struct retain *retain = handle->data;
    retain->closed = true;
    if (!retain->busy)
        free_retain(retain);
}

void retain_stop(struct engine *engine)
{
    engine->retain->over = true;
    uv_close((uv_handle_t *)&engine->retain->timer, on_closed);
    engine->retain = NULL;
}
