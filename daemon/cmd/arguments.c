#include <stdlib.h>
#include <string.h>

#include "daemon/cmd/call.h"
#include "daemon/cmd/seek.h"
#include "proto/limits.h"
#include "proto/mem.h"
#include "proto/units.h"

static bool has_blank(const struct command *command)
{
    return memchr(command->argument, ' ', command->argument_length) ||
           memchr(command->argument, '\t', command->argument_length);
}

static void write_ids(struct jsonw *w, const struct command *command)
{
    char *words = mem_strndup(command->argument, command->argument_length);
    char *position = NULL;
    jsonw_name(w, "ids");
    jsonw_array(w);
    for (char *word = strtok_r(words, " \t", &position); word;
         word = strtok_r(NULL, " \t", &position))
        jsonw_string(w, word);
    jsonw_array_end(w);
    free(words);
}

/* A number that is none becomes a string, which is refused as one. */
static void write_size(struct jsonw *w, const struct command *command)
{
    char *text = mem_strndup(command->argument, command->argument_length);
    size_t digits = strspn(text, "0123456789"), end = strcspn(text, " \t");
    if (end > 0) {
        jsonw_name(w, "bytes");
        if (digits == end && (digits == 1 || text[0] != '0'))
            jsonw_raw(w, text, digits);
        else
            jsonw_string_n(w, text, end);
    }
    const char *type = text + end + strspn(text + end, " \t");
    jsonw_member_string(w, "mime_type", *type ? type : NULL);
    free(text);
}

char *call_argument(const struct command *command)
{
    enum verb_argument kind = verb_info(command->verb)->argument;
    struct buf out;
    struct jsonw w;
    if (command->is_json && kind != VERB_ANY_TOKEN)
        return mem_strndup(command->argument, command->argument_length);
    buf_init(&out, 8 * LIMIT_LINE);
    jsonw_init(&w, &out);
    jsonw_object(&w);
    if (kind == VERB_BYTES) {
        write_size(&w, command);
    } else if (kind == VERB_ID && has_blank(command)) {
        write_ids(&w, command);
    } else if (command->argument_length > 0) {
        jsonw_name(&w, kind == VERB_PROMPT ? "prompt" : kind == VERB_ID ? "id" : "text");
        jsonw_string_n(&w, command->argument, command->argument_length);
    }
    jsonw_object_end(&w);
    return buf_steal(&out);
}

int call_check_members(struct call *call, const char *const *members)
{
    for (struct json_iter it = json_iter(call->args); json_next(&it);) {
        const char *const *member = members;
        while (*member && !json_equals(it.name, *member))
            member++;
        if (*member)
            continue;
        char *name = json_strdup(it.name, NULL);
        call_fail(call, ERROR_INVALID_ARGUMENT, name, "%s has no member \"%s\"",
                  verb_info(call->verb)->name, name ? name : "");
        free(name);
        return -1;
    }
    return 0;
}

static int wrong(struct call *call, const char *name, const char *expected)
{
    size_t length;
    const char *raw = json_raw(json_get(call->args, name), &length);
    return call_fail(call, ERROR_INVALID_ARGUMENT, name, "%s must be %s, not %.*s", name, expected,
                     length > 60 ? 60 : (int)length, raw);
}

int call_int(struct call *call, const char *name, int64_t min, int64_t max, int64_t *value)
{
    struct json_value given = json_get(call->args, name);
    char expected[80];
    if (json_type(given) == JSON_NONE || json_int(given, min, max, value) == 0)
        return 0;
    snprintf(expected, sizeof(expected), "a whole number from %lld to %lld", (long long)min,
             (long long)max);
    return wrong(call, name, expected);
}

int call_double(struct call *call, const char *name, double min, double max, double *value)
{
    struct json_value given = json_get(call->args, name);
    char expected[80];
    if (json_type(given) == JSON_NONE || json_double(given, min, max, value) == 0)
        return 0;
    snprintf(expected, sizeof(expected), "a number from %g to %g", min, max);
    return wrong(call, name, expected);
}

int call_flag(struct call *call, const char *name, bool *value)
{
    struct json_value given = json_get(call->args, name);
    if (json_type(given) == JSON_NONE || json_bool(given, value) == 0)
        return 0;
    return wrong(call, name, "true or false");
}

/* ---- filters ---- */

static int read_one_state(struct call *call, struct json_value value, struct filter *ret)
{
    char *name = json_strdup(value, NULL);
    enum job_state state = name ? job_state_from_name(name) : JOB_STATE_COUNT;
    free(name);
    if (state == JOB_STATE_COUNT)
        return wrong(call, "state", "the name of a state or an array of such");
    ret->store.states |= 1u << state;
    return 0;
}

static int read_states(struct call *call, struct filter *ret)
{
    struct json_value given = json_get(call->args, "state");
    if (json_type(given) == JSON_NONE)
        return 0;
    if (json_type(given) != JSON_ARRAY)
        return read_one_state(call, given, ret);
    for (struct json_iter it = json_iter(given); json_next(&it);)
        if (read_one_state(call, it.value, ret) < 0)
            return -1;
    return 0;
}

static int read_text(struct call *call, const char *name, char **ret)
{
    struct json_value given = json_get(call->args, name);
    if (json_type(given) == JSON_NONE)
        return 0;
    *ret = json_strdup(given, NULL);
    return *ret ? 0 : wrong(call, name, "a string");
}

static int read_time(struct call *call, const char *name, int64_t *ret)
{
    char *text = NULL;
    if (read_text(call, name, &text) < 0)
        return -1;
    int status = text ? units_parse_time(text, ret) : 0;
    free(text);
    return status < 0 ? wrong(call, name, "a time such as 2026-11-22T18:00:00Z") : 0;
}

/* Others' jobs are not there for whoever is no admin. */
static int read_owner(struct call *call, struct filter *ret)
{
    int64_t owner = -1;
    if (call_int(call, "owner", 0, UINT32_MAX - 1, &owner) < 0)
        return -1;
    if (!call->admin && owner >= 0 && owner != call->uid)
        return call_fail(call, ERROR_NOT_FOUND, "owner", "only an admin sees the jobs of others");
    ret->store.owner = call->admin ? owner : call->uid;
    return 0;
}

static void split_label(struct filter *filter)
{
    char *equals = filter->label ? strchr(filter->label, '=') : NULL;
    if (equals)
        *equals = '\0';
    filter->store.label_name = filter->label;
    filter->store.label_value = equals ? equals + 1 : NULL;
}

int filter_read(struct call *call, struct filter *ret)
{
    int64_t limit = 100;
    *ret = (struct filter){0};
    if (read_states(call, ret) < 0 || read_text(call, "model", &ret->model) < 0 ||
        read_text(call, "label", &ret->label) < 0 || read_text(call, "after", &ret->after) < 0 ||
        read_time(call, "since", &ret->store.since) < 0 ||
        read_time(call, "until", &ret->store.until) < 0 || read_owner(call, ret) < 0 ||
        call_int(call, "limit", 1, LIMIT_LIST, &limit) < 0) {
        filter_free(ret);
        return -1;
    }
    ret->store.limit = (size_t)limit;
    ret->store.model = ret->model;
    ret->store.after = ret->after;
    split_label(ret);
    return 0;
}

void filter_free(struct filter *filter)
{
    free(filter->model);
    free(filter->label);
    free(filter->after);
    *filter = (struct filter){0};
}

static bool has_label(const struct request *request, const char *name, const char *value)
{
    for (size_t i = 0; i < request->label_count; i++)
        if (strcmp(request->labels[i].name, name) == 0)
            return !value || strcmp(request->labels[i].value, value) == 0;
    return false;
}

bool filter_takes(const struct filter *filter, enum job_state state, uid_t owner,
                  const struct request *request)
{
    const struct store_filter *wanted = &filter->store;
    return (!wanted->states || (wanted->states & (1u << state))) &&
           (wanted->owner < 0 || wanted->owner == owner) &&
           (!wanted->model || strcmp(wanted->model, request->model) == 0) &&
           (!wanted->label_name || has_label(request, wanted->label_name, wanted->label_value));
}

/* ---- the jobs that ids name ---- */

struct resolving {
    resolved_fn *done;
    asked_fn *asked;
    char **names;
    size_t count;
    size_t at;
    struct job **jobs;
    struct seek *seek;
};

void free_jobs(struct job **jobs, size_t count)
{
    for (size_t i = 0; i < count; i++)
        job_free(jobs[i]);
    free(jobs);
}

static void free_resolving(struct call *call)
{
    struct resolving *resolving = call->state;
    for (size_t i = 0; i < resolving->count; i++)
        free(resolving->names[i]);
    free(resolving->names);
    free_jobs(resolving->jobs, resolving->count);
    free(resolving);
}

static void abandon_resolving(struct call *call)
{
    const struct resolving *resolving = call->state;
    seek_abandon(resolving->seek);
}

static void go_on(struct call *call);

static void on_sought(void *arg, struct sought *found)
{
    struct call *call = arg;
    struct resolving *resolving = call->state;
    resolving->seek = NULL;
    if (found->error) {
        call_error(call, found->error);
    } else if (found->outcome) {
        resolving->asked(call, resolving->names[resolving->at], found);
    } else {
        resolving->jobs[resolving->at++] = found->job;
        go_on(call);
    }
}

/* The call's state is the verb's from then on. */
static void end_resolving(struct call *call)
{
    struct resolving *resolving = call->state;
    resolved_fn *done = resolving->done;
    struct job **jobs = resolving->jobs;
    size_t count = resolving->count;
    resolving->jobs = mem_alloc((count + 1) * sizeof(*jobs));
    free_resolving(call);
    call->state = NULL;
    call->free_state = NULL;
    call->abandoned = NULL;
    done(call, jobs, count);
}

static void go_on(struct call *call)
{
    struct resolving *resolving = call->state;
    for (; resolving->at < resolving->count; resolving->at++) {
        const char *name = resolving->names[resolving->at];
        int64_t owner = call->admin ? -1 : (int64_t)call->uid;
        const struct job *job = engine_job(call->commands->engine, name);
        if (job && (call->admin || job->owner == call->uid)) {
            resolving->jobs[resolving->at] = job_copy(job);
            continue;
        }
        resolving->seek = (resolving->asked ? seek_start : seek_job)(call->commands, owner, name,
                                                                     on_sought, call);
        return;
    }
    end_resolving(call);
}

static int add_name(struct call *call, struct json_value value)
{
    struct resolving *resolving = call->state;
    struct error error;
    char *name = json_strdup(value, NULL);
    if (seek_check_name(name, &error) < 0) {
        free(name);
        call_error(call, &error);
        return -1;
    }
    resolving->names[resolving->count++] = name;
    return 0;
}

static int add_names(struct call *call)
{
    struct resolving *resolving = call->state;
    struct json_value id = json_get(call->args, "id"), ids = json_get(call->args, "ids");
    bool has_id = json_type(id) != JSON_NONE, has_ids = json_type(ids) != JSON_NONE;
    size_t count = has_ids ? json_size(ids) : 1;
    if (has_id == has_ids || (has_ids && json_type(ids) != JSON_ARRAY))
        return call_fail(call, ERROR_INVALID_ARGUMENT, "id",
                         "%s takes an id, or \"id\", or \"ids\" with an array",
                         verb_info(call->verb)->name);
    if (count == 0 || count > LIMIT_IDS)
        return call_fail(call, ERROR_INVALID_ARGUMENT, "ids", "ids must have 1 to %d elements",
                         LIMIT_IDS);
    resolving->names = mem_alloc(count * sizeof(char *));
    resolving->jobs = mem_alloc((count + 1) * sizeof(struct job *));
    if (has_id)
        return add_name(call, id);
    resolving->asked = NULL;
    for (struct json_iter it = json_iter(ids); json_next(&it);)
        if (add_name(call, it.value) < 0)
            return -1;
    return 0;
}

void call_resolve_or(struct call *call, resolved_fn *done, asked_fn *asked)
{
    struct resolving *resolving = mem_alloc(sizeof(*resolving));
    resolving->done = done;
    resolving->asked = asked;
    call->state = resolving;
    call->free_state = free_resolving;
    call->abandoned = abandon_resolving;
    if (add_names(call) == 0)
        go_on(call);
}

void call_resolve(struct call *call, resolved_fn *done)
{
    call_resolve_or(call, done, NULL);
}
