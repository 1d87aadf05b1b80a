/* CANCEL, RETRY, HOLD, RELEASE, FORGET: moving jobs by hand. */
#include <stdlib.h>
#include <string.h>

#include "daemon/cmd/call.h"
#include "proto/limits.h"
#include "proto/mem.h"

#define REFUSALS_SHOWN 20

/* Several jobs are changed at once; the answer tells what became of each. */
struct one {
    struct call *call;
    char id[JOB_ID_SIZE];
};

struct changing {
    struct one *ones;
    size_t left;
    size_t changed;
    size_t refused;
    struct error first;
    struct buf jobs;     /* elements of an array */
    struct buf refusals; /* likewise */
    struct jsonw w;
    bool many;
};

static void free_changing(struct call *call)
{
    struct changing *changing = call->state;
    buf_free(&changing->jobs);
    buf_free(&changing->refusals);
    free(changing->ones);
    free(changing);
}

static void answer(struct call *call)
{
    struct changing *changing = call->state;
    if (changing->changed == 0) {
        call_error(call, &changing->first);
        return;
    }
    struct jsonw *w = call_reply(call, REPLY_OK);
    if (!changing->many) {
        jsonw_raw(w, changing->jobs.data + 1, changing->jobs.length - 2);
    } else {
        jsonw_member_uint(w, "count", changing->changed);
        jsonw_name(w, "jobs");
        jsonw_array(w);
        jsonw_raw(w, changing->jobs.data, changing->jobs.length);
        jsonw_array_end(w);
    }
    if (changing->refused > 0) {
        jsonw_member_uint(w, "refused", changing->refused);
        jsonw_name(w, "errors");
        jsonw_array(w);
        jsonw_raw(w, changing->refusals.data, changing->refusals.length);
        jsonw_array_end(w);
    }
    call_send(call);
    call_end(call);
}

static void note_job(struct call *call, const struct job *job)
{
    struct changing *changing = call->state;
    struct jsonw w;
    if (changing->changed++ > 0)
        buf_add_byte(&changing->jobs, ',');
    jsonw_init(&w, &changing->jobs);
    jsonw_object(&w);
    if (changing->many) {
        jsonw_member_string(&w, "id", job->id);
        jsonw_member_string(&w, "state", job_state_name(job->state));
    } else {
        write_job(call, job, &w);
    }
    jsonw_object_end(&w);
}

static void note_refusal(struct changing *changing, const char *id, const struct error *error)
{
    struct jsonw w;
    if (changing->refused++ == 0)
        changing->first = *error;
    if (changing->refused > REFUSALS_SHOWN)
        return;
    if (changing->refused > 1)
        buf_add_byte(&changing->refusals, ',');
    jsonw_init(&w, &changing->refusals);
    jsonw_object(&w);
    jsonw_member_string(&w, "id", id);
    jsonw_member_string(&w, "code", error_code_name(error->code));
    jsonw_member_string(&w, "message", error->message);
    jsonw_object_end(&w);
}

static void on_changed(void *arg, const struct job *job, const struct error *error)
{
    struct one *one = arg;
    struct call *call = one->call;
    struct changing *changing = call->state;
    if (job && call->session)
        note_job(call, job);
    else if (error)
        note_refusal(changing, one->id, error);
    changing->left--;
    if (call_arrived(call) && changing->left == 0)
        answer(call);
}

static struct one *begin(struct call *call, struct job *const *jobs, size_t count)
{
    struct changing *changing = mem_alloc(sizeof(*changing));
    changing->left = count;
    changing->ones = mem_alloc(count * sizeof(*changing->ones));
    for (size_t i = 0; i < count; i++) {
        changing->ones[i].call = call;
        memcpy(changing->ones[i].id, jobs[i]->id, JOB_ID_SIZE);
    }
    changing->many = json_type(json_get(call->args, "ids")) != JSON_NONE;
    buf_init(&changing->jobs, LIMIT_REPLY_LINE - LIMIT_LINE);
    buf_init(&changing->refusals, LIMIT_LINE);
    call->state = changing;
    call->free_state = free_changing;
    return changing->ones;
}

static enum job_event_type event_of(enum verb verb)
{
    switch (verb) {
    case VERB_RETRY:
        return JOB_RETRY;
    case VERB_HOLD:
        return JOB_HOLD;
    case VERB_RELEASE:
        return JOB_RELEASE;
    default:
        return JOB_CANCEL;
    }
}

static void change_all(struct call *call, struct job **jobs, size_t count)
{
    struct engine *engine = call->commands->engine;
    enum job_event_type type = event_of(call->verb);
    char reason[80];
    snprintf(reason, sizeof(reason), "%s by uid %u", type == JOB_HOLD ? "held" : "cancelled",
             (unsigned)call->uid);
    struct one *ones = begin(call, jobs, count);
    /* The last answer may end the call while the loop still runs: this keeps it. */
    call_expect(call);
    for (size_t i = 0; i < count; i++) {
        call_expect(call);
        engine_change(engine, jobs[i], type, reason, on_changed, &ones[i]);
    }
    free(jobs);
    (void)call_arrived(call);
}

static void change(struct call *call)
{
    static const char *const members[] = {"id", "ids", NULL};
    if (call_check_members(call, members) == 0)
        call_resolve(call, change_all);
}

void cmd_cancel(struct call *call)
{
    change(call);
}

void cmd_retry(struct call *call)
{
    change(call);
}

void cmd_hold(struct call *call)
{
    change(call);
}

void cmd_release(struct call *call)
{
    change(call);
}

static bool may_be_forgotten(const struct job *job)
{
    return (job_state_flags(job->state) & JOB_ENDED) || job->state == JOB_UNCERTAIN;
}

static void forget_all(struct call *call, struct job **jobs, size_t count)
{
    bool files = false;
    (void)json_bool(json_get(call->args, "files"), &files);
    struct one *ones = begin(call, jobs, count);
    call_expect(call);
    for (size_t i = 0; i < count; i++) {
        call_expect(call);
        if (may_be_forgotten(jobs[i])) {
            engine_forget(call->commands->engine, jobs[i], files, on_changed, &ones[i]);
            continue;
        }
        struct error error;
        error_set(&error, ERROR_CONFLICT, NULL,
                  "job %s is %s: only jobs that have ended, or are uncertain, can be forgotten",
                  jobs[i]->id, job_state_name(jobs[i]->state));
        job_free(jobs[i]);
        on_changed(&ones[i], NULL, &error);
    }
    free(jobs);
    (void)call_arrived(call);
}

void cmd_forget(struct call *call)
{
    static const char *const members[] = {"id", "ids", "files", NULL};
    bool files;
    if (call_check_members(call, members) == 0 && call_flag(call, "files", &files) == 0)
        call_resolve(call, forget_all);
}
