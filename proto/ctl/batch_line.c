#include <stdlib.h>
#include <string.h>

#include "proto/ctl/batch.h"
#include "proto/ctl/media.h"
#include "proto/limits.h"
#include "proto/mem.h"

#define SEEN_FIRST 1024 /* places; a power of 2 */
#define TAG_ROOM   64   /* of a line, for what stands before the object */

/* ---- what came already ---- */

struct place {
    uint64_t hash;
    uint32_t times; /* 0: free */
};

struct seen {
    struct place *places;
    size_t count;
    size_t capacity;
};

static struct place *find(struct place *places, size_t capacity, uint64_t hash)
{
    size_t at = (size_t)hash & (capacity - 1);
    while (places[at].times > 0 && places[at].hash != hash)
        at = (at + 1) & (capacity - 1);
    return &places[at];
}

static void grow(struct seen *seen)
{
    size_t capacity = seen->capacity ? seen->capacity * 2 : SEEN_FIRST;
    struct place *places = mem_alloc(capacity * sizeof *places);
    for (size_t i = 0; i < seen->capacity; i++) {
        if (seen->places[i].times > 0)
            *find(places, capacity, seen->places[i].hash) = seen->places[i];
    }
    free(seen->places);
    seen->places = places;
    seen->capacity = capacity;
}

/* How often it came, this time included. */
static uint32_t seen_count(struct seen *seen, uint64_t hash)
{
    if (seen->count * 2 >= seen->capacity)
        grow(seen);
    struct place *place = find(seen->places, seen->capacity, hash);
    if (place->times == 0)
        seen->count++;
    place->hash = hash;
    return ++place->times;
}

void batch_seen_free(struct seen *seen)
{
    if (!seen)
        return;
    free(seen->places);
    free(seen);
}

/* ---- keys ---- */

/* FNV-1a. Two contents of one hash are a conflict of keys, which the daemon refuses: nothing is
 * lost by it, nor bought. */
static uint64_t hash_of(const char *bytes, size_t length)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    for (size_t i = 0; i < length; i++)
        hash = (hash ^ (unsigned char)bytes[i]) * UINT64_C(0x100000001b3);
    return hash;
}

/* The content's own, so that lines may move; counted, since who says the same twice wants two. */
static void write_key(struct batch *batch, struct jsonw *w)
{
    if (!batch->seen)
        batch->seen = mem_alloc(sizeof *batch->seen);
    uint64_t hash = hash_of(w->out->data, w->out->length);
    char *key = mem_format("%.*s-%016llx-%u", BATCH_NAME_MAX, batch->name, (unsigned long long)hash,
                           seen_count(batch->seen, hash));
    jsonw_member_string(w, "key", key);
    free(key);
}

/* ---- members ---- */

static void write_raw(struct jsonw *w, struct json_value value)
{
    size_t length;
    const char *raw = json_raw(value, &length);
    jsonw_raw(w, raw, length);
}

static int write_medium(struct batch *batch, struct jsonw *w, struct json_value value,
                        char why[UPLOAD_TEXT])
{
    char *word = json_strdup(value, NULL);
    int status = EXIT_ALL_DONE;
    if (word)
        status = media_write(batch->uploads, &batch->side, word, w, why);
    else
        write_raw(w, value);
    free(word);
    return status;
}

static int write_references(struct batch *batch, struct jsonw *w, struct json_value value,
                            char why[UPLOAD_TEXT])
{
    int status = EXIT_ALL_DONE;
    if (json_type(value) != JSON_ARRAY) {
        write_raw(w, value);
        return status;
    }
    jsonw_array(w);
    for (struct json_iter it = json_iter(value); json_next(&it) && status == EXIT_ALL_DONE;)
        status = write_medium(batch, w, it.value, why);
    jsonw_array_end(w);
    return status;
}

static bool is_medium(const char *name)
{
    return strcmp(name, "image") == 0 || strcmp(name, "last_frame") == 0 ||
           strcmp(name, "video") == 0;
}

static int write_member(struct batch *batch, struct jsonw *w, const struct json_iter *it,
                        char why[UPLOAD_TEXT])
{
    char text[UPLOAD_TEXT] = "";
    char *name = json_strdup(it->name, NULL);
    int status = EXIT_ALL_DONE;
    if (!name || strcmp(name, "dry_run") == 0) {
        snprintf(text, sizeof text, "a batch takes --dry-run for all of its lines");
        status = EXIT_USAGE;
    } else {
        jsonw_name(w, name);
        if (is_medium(name))
            status = write_medium(batch, w, it->value, text);
        else if (strcmp(name, "reference_images") == 0)
            status = write_references(batch, w, it->value, text);
        else
            write_raw(w, it->value);
    }
    if (status != EXIT_ALL_DONE)
        snprintf(why, UPLOAD_TEXT, "%.64s: %.440s", name ? name : "", text);
    free(name);
    return status;
}

/* A string is a prompt. */
static int write_job(struct batch *batch, struct json_value root, struct buf *out,
                     char why[UPLOAD_TEXT])
{
    struct jsonw w;
    int status = EXIT_ALL_DONE;
    jsonw_init(&w, out);
    jsonw_object(&w);
    if (json_type(root) == JSON_STRING) {
        jsonw_name(&w, "prompt");
        write_raw(&w, root);
    }
    for (struct json_iter it = json_iter(root); status == EXIT_ALL_DONE && json_next(&it);)
        status = write_member(batch, &w, &it, why);
    if (batch->dry_run)
        jsonw_member_bool(&w, "dry_run", true);
    else if (json_type(json_get(root, "key")) == JSON_NONE)
        write_key(batch, &w);
    jsonw_object_end(&w);
    return status;
}

int batch_line_make(struct batch *batch, const char *text, size_t length, struct buf *ret,
                    char why[UPLOAD_TEXT])
{
    struct error error;
    int status = EXIT_USAGE;
    struct json *doc = json_parse(text, length, (struct json_limits){0}, &error);
    struct json_value root = json_root(doc);
    buf_init(ret, LIMIT_LINE - TAG_ROOM);
    if (!doc)
        snprintf(why, UPLOAD_TEXT, "%s", error.message);
    else if (json_type(root) != JSON_OBJECT && json_type(root) != JSON_STRING)
        snprintf(why, UPLOAD_TEXT, "expected an object or a string, got %s",
                 json_type_name(json_type(root)));
    else
        status = write_job(batch, root, ret, why);
    if (status == EXIT_ALL_DONE && ret->failed) {
        snprintf(why, UPLOAD_TEXT, "the job has more than %d bytes", LIMIT_LINE - TAG_ROOM);
        status = EXIT_REFUSED;
    }
    json_free(doc);
    return status;
}
