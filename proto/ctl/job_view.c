#include "proto/ctl/job_view.h"

#include <stdlib.h>
#include <string.h>

#include "proto/ctl/exit.h"
#include "proto/ctl/text.h"
#include "proto/units.h"

char *job_member(struct json_value job, const char *path)
{
    return json_strdup(json_path(job, path), NULL);
}

int64_t job_time(struct json_value job, const char *path)
{
    char *text = job_member(job, path);
    int64_t at = 0;
    if (text && units_parse_time(text, &at) < 0)
        at = 0;
    free(text);
    return at;
}

static void add_member(struct buf *out, struct json_value job, const char *path, const char *before,
                       const char *after)
{
    char *text = job_member(job, path);
    if (!text)
        return;
    buf_add_text(out, before);
    text_clean(out, text, strlen(text));
    buf_add_text(out, after);
    free(text);
}

void job_reason(struct buf *out, struct json_value job)
{
    size_t before = out->length;
    add_member(out, job, "error.message", "", "");
    add_member(out, job, "error.code", out->length > before ? " (" : "(", ")");
}

void job_line(struct buf *out, struct json_value job)
{
    add_member(out, job, "id", "", "");
    add_member(out, job, "state", " ", "");
    if (json_type(json_get(job, "error")) == JSON_OBJECT) {
        buf_add_text(out, ": ");
        job_reason(out, job);
    }
}

void job_each(struct json_value ok, void (*each)(void *arg, struct json_value job), void *arg)
{
    struct json_value jobs = json_get(ok, "jobs");
    if (json_type(jobs) != JSON_ARRAY) {
        if (json_type(json_get(ok, "id")) == JSON_STRING)
            each(arg, ok);
        return;
    }
    for (struct json_iter it = json_iter(jobs); json_next(&it);)
        each(arg, it.value);
}

static void add_status(void *arg, struct json_value job)
{
    enum exit_status *status = arg;
    char *state = job_member(job, "state");
    *status = exit_worse(*status, state ? exit_of_state(state) : EXIT_PROTOCOL);
    free(state);
}

int job_exit_status(struct json_value ok)
{
    enum exit_status status = EXIT_ALL_DONE;
    job_each(ok, add_status, &status);
    return (int)status;
}

bool job_is_settled(const char *state)
{
    return exit_of_state(state) != EXIT_TIMED_OUT;
}
