#include "tests/sim/operations.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "proto/mem.h"
#include "tests/sim/exchange.h"

#define BODY_BYTES_MAX ((size_t)1 << 30) /* of all that are kept */

static uint64_t next_random(struct operations *operations)
{
    uint64_t x = operations->random += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

static void random_text(struct operations *operations, const char *letters, char *to, size_t length)
{
    size_t count = strlen(letters);
    for (size_t i = 0; i < length; i++) {
        to[i] = letters[next_random(operations) % count];
    }
    to[length] = '\0';
}

/* As older gateways made them: base64 with '/' and '+' in it, which must be percent-encoded. */
static char *new_video_id(struct operations *operations)
{
    static const char base64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    char id[42];
    random_text(operations, base64, id, 41);
    id[7] = '/';
    id[19] = '+';
    return mem_format("video_bGl0ZWxsbTpjdXN0b21fbGxtX3Byb3ZpZGVyOmdlbWluaTt2aWRlb19pZDpt%sQ==",
                      id);
}

static char *new_name(struct operations *operations, const struct operation_plan *plan)
{
    static const char base36[] = "abcdefghijklmnopqrstuvwxyz0123456789";
    static const char base64url[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    char id[64];
    if (plan->parent) {
        random_text(operations, base36, id, 12);
        return mem_format("%s/operations/%s", plan->parent, id);
    }
    if (plan->dialect == DIALECT_VIDEOS) {
        return new_video_id(operations);
    }
    random_text(operations, base64url, id, 44);
    return mem_format("v1_Chd%s", id);
}

static void name_it(struct operations *operations, struct operation *operation,
                    const struct operation_plan *plan)
{
    operation->name = new_name(operations, plan);
    while (index_find(&operations->by_name, operation->name)) {
        free(operation->name);
        operation->name = new_name(operations, plan);
    }
    index_add(&operations->by_name, operation->name, operation);
}

static void name_object(struct operations *operations, struct file *file, unsigned number,
                        const char *storage_uri)
{
    const char *folder = storage_uri + strlen("gs://");
    const char *id = strrchr(file->operation->name, '/');
    bool slash = folder[strlen(folder) - 1] == '/';
    file->object = mem_format("%s%s%s/sample_%u.mp4", folder, slash ? "" : "/",
                              id ? id + 1 : file->operation->name, number);
    index_add(&operations->by_object, file->object, file);
}

static void name_files(struct operations *operations, struct operation *operation,
                       const char *storage_uri)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789";
    for (unsigned i = 0; i < operation->samples; i++) {
        struct file *file = &operation->files[i];
        file->operation = operation;
        do {
            random_text(operations, letters, file->id, FILE_ID_LENGTH);
        } while (index_find(&operations->by_file, file->id));
        index_add(&operations->by_file, file->id, file);
        if (storage_uri) {
            name_object(operations, file, i, storage_uri);
        }
    }
}

static void note_prompt(struct operations *operations, struct operation *operation)
{
    struct operation *first = index_find(&operations->by_prompt, operation->prompt);
    if (!first) {
        index_add(&operations->by_prompt, operation->prompt, operation);
        return;
    }
    operation->same_prompt = first;
    operation->serial = ++first->same_prompt_count;
    operations->duplicates += !operation->directives.again;
}

static void wake_waiting(struct operation *operation, bool gone)
{
    while (operation->waiting) {
        exchange_wake(operation->waiting, gone);
    }
}

static void end(struct operation *operation)
{
    operation->ended = true;
    operation->finished_at = unix_now_ms();
    operation->owner->running--;
    wake_waiting(operation, false);
}

static void on_end(struct timer *timer)
{
    end((struct operation *)((char *)timer - offsetof(struct operation, timer)));
}

static void keep_body(struct operations *operations, struct operation *operation,
                      const struct operation_plan *plan)
{
    operation->body_bytes = plan->body_bytes;
    if (plan->shown) {
        operation->body = mem_strdup(plan->shown);
        operation->body_length = strlen(plan->shown);
    } else if (plan->body_length <= BODY_BYTES_MAX - operations->body_bytes) {
        operation->body =
            inputs_shorten(&plan->inputs, plan->body, plan->body_length, &operation->body_length);
    }
    operations->body_bytes += operation->body_length;
}

static void append(struct operations *operations, struct operation *operation)
{
    if (operations->count == operations->capacity) {
        operations->capacity = operations->capacity ? operations->capacity * 2 : 64;
        operations->all =
            mem_resize(operations->all, operations->capacity, sizeof(*operations->all));
    }
    operations->all[operations->count++] = operation;
}

static void operation_free(struct operation *operation)
{
    wake_waiting(operation, true);
    timer_cancel(operation->owner->timers, &operation->timer);
    free(operation->name);
    free(operation->prompt);
    free(operation->model);
    free(operation->path);
    free(operation->body);
    inputs_free(&operation->inputs);
    for (unsigned i = 0; i < operation->samples; i++) {
        free(operation->files[i].object);
    }
    free(operation);
}

int64_t unix_now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void operations_init(struct operations *operations, struct timers *timers, uint64_t seed)
{
    *operations = (struct operations){.timers = timers, .random = seed};
}

void operations_free(struct operations *operations)
{
    for (size_t i = 0; i < operations->count; i++) {
        operation_free(operations->all[i]);
    }
    free(operations->all);
    index_free(&operations->by_name);
    index_free(&operations->by_prompt);
    index_free(&operations->by_file);
    index_free(&operations->by_object);
}

void operations_reset(struct operations *operations)
{
    operations_free(operations);
    operations_init(operations, operations->timers, operations->random);
}

int64_t operations_random(struct operations *operations, int64_t low, int64_t high)
{
    return low + (int64_t)(next_random(operations) % (uint64_t)(high - low + 1));
}

struct operation *operation_start(struct operations *operations, struct operation_plan *plan)
{
    struct operation *operation = mem_alloc(sizeof(*operation));
    operation->owner = operations;
    operation->dialect = plan->dialect;
    operation->on_vertex = plan->on_vertex;
    operation->prompt = mem_strdup(plan->prompt);
    operation->model = mem_strdup(plan->model);
    operation->path = mem_strdup(plan->path);
    operation->directives = plan->directives;
    operation->portrait = plan->portrait;
    operation->deliver_uri = plan->deliver_uri;
    operation->stored = plan->stored;
    operation->resolution = plan->resolution;
    operation->seconds = plan->seconds;
    operation->samples = plan->samples;
    operation->submitted_at = unix_now_ms();
    keep_body(operations, operation, plan);
    operation->inputs = plan->inputs;
    plan->inputs = (struct inputs){0};
    name_it(operations, operation, plan);
    name_files(operations, operation, plan->storage_uri);
    note_prompt(operations, operation);
    append(operations, operation);
    if (++operations->running > operations->max_running) {
        operations->max_running = operations->running;
    }
    timer_set(operations->timers, &operation->timer, timer_now_ms() + plan->latency_ms + 1, on_end);
    return operation;
}

struct operation *operation_find(struct operations *operations, const char *name)
{
    struct operation *operation = index_find(&operations->by_name, name);
    return operation && !operation->deleted ? operation : NULL;
}

static struct file *if_made(struct file *file)
{
    bool made = file && file->operation->ended && !file->operation->cancelled;
    return made && !file->operation->directives.gone ? file : NULL;
}

struct file *operation_file(struct operations *operations, const char *file_id)
{
    return if_made(index_find(&operations->by_file, file_id));
}

struct file *operation_object(struct operations *operations, const char *object)
{
    return if_made(index_find(&operations->by_object, object));
}

void operation_cancel(struct operation *operation)
{
    if (!operation->ended) {
        operation->cancelled = true;
        timer_cancel(operation->owner->timers, &operation->timer);
        end(operation);
    }
}

void operation_polled(struct operation *operation)
{
    operation->polls++;
    if (operation->first_poll_at == 0) {
        operation->first_poll_at = unix_now_ms();
    }
}

bool operation_misfortune(const struct operation *operation)
{
    int64_t fails = operation->directives.fails;
    return fails < 0 || operation->serial < fails;
}
