#include "daemon/io/blob.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/io/blob_internal.h"
#include "daemon/io/log.h"
#include "proto/mem.h"

#define SWEEP_EVERY (5 * 60 * 1000) /* ms */
#define NAME_PREFIX "sha256-"

void blobs_set_limits(struct blobs *blobs, const struct blobs_config *config)
{
    blobs->config.blob_bytes = config->blob_bytes;
    blobs->config.total_bytes = config->total_bytes;
    blobs->config.age_ms = config->age_ms;
}

uint64_t blobs_total(const struct blobs *blobs)
{
    return blobs->total;
}

const struct blobs_config *blobs_config(const struct blobs *blobs)
{
    return &blobs->config;
}

bool blob_is_name(const char *name)
{
    size_t prefix = strlen(NAME_PREFIX);
    return strncmp(name, NAME_PREFIX, prefix) == 0 && strlen(name + prefix) == 64 &&
           strspn(name + prefix, "0123456789abcdef") == 64;
}

static char *path_of(const struct blobs *blobs, const char *name)
{
    return mem_format("%s/%s", blobs->config.directory, name);
}

/* ---- the sweep ---- */

static void begin_sweep(struct blobs *blobs);

static void end_sweep(struct blobs *blobs, bool again)
{
    blobs->sweeping = false;
    blob_puts_go_on(blobs);
    if (!blobs->closing)
        uv_timer_start(&blobs->timer, blobs->timer.timer_cb, again ? 0 : SWEEP_EVERY, 0);
    blobs_maybe_closed(blobs);
}

/* Their records are gone: should the process die before this, the next start does it. */
static void unlink_stale(uv_work_t *work)
{
    const struct blobs *blobs = work->data;
    for (size_t i = 0; i < blobs->sweep.blob_count; i++) {
        char *path = path_of(blobs, blobs->stale[i].name);
        if (unlink(path) < 0 && errno != ENOENT)
            log_warning("blob", "cannot remove %s: %s", path, strerror(errno));
        free(path);
    }
}

static void on_unlinked(uv_work_t *work, int status)
{
    struct blobs *blobs = work->data;
    (void)status;
    for (size_t i = 0; i < blobs->sweep.blob_count; i++)
        blobs->total -= blobs->stale[i].bytes;
    end_sweep(blobs, blobs->sweep.blob_count == SWEEP_AT_ONCE);
}

static void on_swept(struct store_write *write)
{
    struct blobs *blobs = write->context;
    if (write->status < 0 || write->blob_count == 0) {
        end_sweep(blobs, false);
        return;
    }
    blobs->unlinking.data = blobs;
    uv_queue_work(blobs->loop, &blobs->unlinking, unlink_stale, on_unlinked);
}

static void begin_sweep(struct blobs *blobs)
{
    uv_timeval64_t now;
    (void)uv_gettimeofday(&now);
    blobs->wants_sweep = false;
    blobs->sweeping = true;
    blobs->sweep = (struct store_write){
        .kind = STORE_SWEEP_BLOBS,
        .blobs = blobs->stale,
        .count = SWEEP_AT_ONCE,
        .at = now.tv_sec * 1000 + now.tv_usec / 1000 - blobs->config.age_ms,
        .done = on_swept,
        .context = blobs,
    };
    store_write(blobs->store, &blobs->sweep);
}

static void on_timer(uv_timer_t *timer)
{
    struct blobs *blobs = timer->data;
    if (blobs->total == 0)
        uv_timer_start(timer, on_timer, SWEEP_EVERY, 0);
    else if (blobs->keepers == 0)
        begin_sweep(blobs);
    else
        blobs->wants_sweep = true;
}

void blobs_keeper_left(struct blobs *blobs)
{
    if (--blobs->keepers == 0 && blobs->wants_sweep)
        begin_sweep(blobs);
}

/* ---- the beginning ---- */

struct names {
    char (*list)[STORE_BLOB_NAME];
    size_t count;
    uint64_t bytes;
};

static void add_name(void *arg, const struct store_blob *blob)
{
    struct names *names = arg;
    if ((names->count & (names->count - 1)) == 0)
        names->list =
            mem_resize(names->list, names->count ? 2 * names->count : 1, sizeof(*names->list));
    memcpy(names->list[names->count++], blob->name, sizeof(blob->name));
    names->bytes += blob->bytes;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(a, b);
}

static bool is_leftover(const struct names *names, const char *name)
{
    size_t length = strlen(name);
    if (name[0] == '.' && length > 5 && strcmp(name + length - 5, ".part") == 0)
        return true;
    return blob_is_name(name) &&
           (names->count == 0 ||
            !bsearch(name, names->list, names->count, sizeof(*names->list), compare_names));
}

static int remove_leftovers(const struct blobs *blobs, const struct names *names,
                            struct error *error)
{
    DIR *folder = opendir(blobs->config.directory);
    if (!folder)
        return error_set(error, ERROR_UNAVAILABLE, NULL, "cannot read %s: %s",
                         blobs->config.directory, strerror(errno));
    for (const struct dirent *entry; (entry = readdir(folder));)
        if (is_leftover(names, entry->d_name))
            (void)unlinkat(dirfd(folder), entry->d_name, 0);
    closedir(folder);
    return 0;
}

static int make_directory(const char *path, struct error *error)
{
    if (mkdir(path, 0700) < 0 && errno != EEXIST)
        return error_set(error, ERROR_UNAVAILABLE, NULL, "cannot make %s: %s", path,
                         strerror(errno));
    char *parent = mem_format("%s/..", path);
    int fd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int status = fd < 0 || fsync(fd) < 0
                     ? error_set(error, ERROR_UNAVAILABLE, NULL, "cannot sync the folder of %s: %s",
                                 path, strerror(errno))
                     : 0;
    if (fd >= 0)
        close(fd);
    free(parent);
    return status;
}

int blobs_open(uv_loop_t *loop, struct store *store, const struct blobs_config *config,
               struct blobs **ret, struct error *error)
{
    struct names names = {0};
    struct blobs *blobs = mem_alloc(sizeof(*blobs));
    blobs->loop = loop;
    blobs->store = store;
    blobs->config = *config;
    blobs->waiting_end = &blobs->waiting;
    blobs->copies_end = &blobs->copies;
    int status = make_directory(config->directory, error);
    if (status == 0)
        status = store_each_blob(store, add_name, &names, error);
    if (status == 0)
        status = remove_leftovers(blobs, &names, error);
    blobs->total = names.bytes;
    free(names.list);
    if (status < 0) {
        free(blobs);
        return -1;
    }
    uv_timer_init(loop, &blobs->timer);
    blobs->timer.data = blobs;
    uv_timer_start(&blobs->timer, on_timer, 0, 0);
    *ret = blobs;
    return 0;
}

/* ---- the end ---- */

static void on_timer_closed(uv_handle_t *handle)
{
    struct blobs *blobs = handle->data;
    void (*closed)(void *) = blobs->closed;
    void *arg = blobs->closed_arg;
    free(blobs);
    closed(arg);
}

void blobs_maybe_closed(struct blobs *blobs)
{
    if (!blobs->closing || blobs->timer_closed || blobs->busy > 0 || blobs->sweeping)
        return;
    blobs->timer_closed = true;
    uv_close((uv_handle_t *)&blobs->timer, on_timer_closed);
}

void blobs_leave(struct blobs *blobs)
{
    blobs->busy--;
    blobs_maybe_closed(blobs);
}

void blobs_close(struct blobs *blobs, void (*closed)(void *), void *arg)
{
    blobs->closing = true;
    blobs->closed = closed;
    blobs->closed_arg = arg;
    uv_timer_stop(&blobs->timer);
    if (blobs->wants_sweep) {
        blobs->wants_sweep = false;
        blob_puts_go_on(blobs);
    }
    blobs_maybe_closed(blobs);
}
