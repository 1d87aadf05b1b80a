/* STATUS, LIST, WHY: looking at jobs. */
#include <stdlib.h>
#include <string.h>

#include "daemon/cmd/call.h"
#include "daemon/cmd/seek.h"
#include "proto/mem.h"

#define LIST_PAGE   50
#define EXPLAIN_MAX 8192

void write_job(struct call *call, const struct job *job, struct jsonw *w)
{
    engine_write_job(call->commands->engine, job, w);
}

struct showing {
    struct job **jobs;
    size_t count;
    size_t shown;
    bool many;
};

static void free_showing(struct call *call)
{
    struct showing *showing = call->state;
    free_jobs(showing->jobs, showing->count);
    free(showing);
}

/* As many as the client reads; `drained` goes on. */
static void show_more(struct call *call)
{
    struct showing *showing = call->state;
    for (; showing->shown < showing->count && !call_is_full(call); showing->shown++) {
        write_job(call, showing->jobs[showing->shown],
                  call_reply(call, showing->many ? REPLY_ITEM : REPLY_OK));
        call_send(call);
    }
    if (showing->shown < showing->count)
        return;
    if (showing->many) {
        jsonw_member_uint(call_reply(call, REPLY_OK), "count", showing->count);
        call_send(call);
    }
    call_end(call);
}

static void show_jobs(struct call *call, struct job **jobs, size_t count)
{
    struct showing *showing = mem_alloc(sizeof(*showing));
    *showing = (struct showing){
        .jobs = jobs, .count = count, .many = json_type(json_get(call->args, "ids")) != JSON_NONE};
    call->state = showing;
    call->free_state = free_showing;
    call->drained = show_more;
    show_more(call);
}

static void show_operation(struct call *call, const char *name, const struct sought *found)
{
    struct error error;
    if (seek_write_operation(name, found->provider, found->outcome, call_reply(call, REPLY_OK),
                             &error) < 0) {
        call_error(call, &error);
        return;
    }
    call_send(call);
    call_end(call);
}

void cmd_status(struct call *call)
{
    static const char *const members[] = {"id", "ids", NULL};
    if (call_check_members(call, members) == 0)
        call_resolve_or(call, show_jobs, show_operation);
}

/* ---- LIST: a page at a time, as fast as the client reads ---- */

struct listing {
    struct filter filter;
    size_t left;
    size_t sent;
    char last[JOB_ID_SIZE];
    bool more; /* there may be */
    bool reading;
    struct store_read read;
};

static void free_listing(struct call *call)
{
    struct listing *listing = call->state;
    store_read_free(&listing->read);
    filter_free(&listing->filter);
    free(listing);
}

static void next_page(struct call *call);

static void end_list(struct call *call)
{
    struct listing *listing = call->state;
    struct jsonw *w = call_reply(call, REPLY_OK);
    jsonw_member_uint(w, "count", listing->sent);
    if (listing->more)
        jsonw_member_string(w, "after", listing->last);
    call_send(call);
    call_end(call);
}

static void on_page(struct store_read *read)
{
    struct call *call = read->context;
    struct listing *listing = call->state;
    listing->reading = false;
    if (!call_arrived(call))
        return;
    call_page_end(call);
    if (read->status < 0) {
        call_store_failed(call, read->status);
        return;
    }
    size_t sent = 0;
    for (; sent < read->job_count && !call_is_full(call); sent++) {
        write_job(call, read->jobs[sent], call_reply(call, REPLY_ITEM));
        call_send(call);
        memcpy(listing->last, read->jobs[sent]->id, JOB_ID_SIZE);
    }
    listing->sent += sent;
    listing->left -= sent;
    listing->more = sent < read->job_count || read->job_count == read->filter.limit;
    store_read_free(read);
    if (listing->left == 0 || !listing->more)
        end_list(call);
    else
        next_page(call);
}

static void next_page(struct call *call)
{
    struct listing *listing = call->state;
    if (listing->reading || !call_page_begin(call))
        return;
    listing->read = (struct store_read){
        .kind = STORE_LIST, .filter = listing->filter.store, .done = on_page, .context = call};
    listing->read.filter.limit = listing->left < LIST_PAGE ? listing->left : LIST_PAGE;
    if (listing->last[0])
        listing->read.filter.after = listing->last;
    listing->reading = true;
    call_expect(call);
    store_read(call->commands->store, &listing->read);
}

void cmd_list(struct call *call)
{
    struct filter filter;
    static const char *const members[] = {"state", "model", "owner", "label", "since",
                                          "until", "limit", "after", NULL};
    if (call_check_members(call, members) < 0 || filter_read(call, &filter) < 0)
        return;
    struct listing *listing = mem_alloc(sizeof(*listing));
    listing->filter = filter;
    listing->left = filter.store.limit;
    call->state = listing;
    call->free_state = free_listing;
    call->drained = next_page;
    next_page(call);
}

/* ---- WHY ---- */

struct why {
    struct job *job;
    struct store_read read;
};

static void free_why(struct call *call)
{
    struct why *why = call->state;
    store_read_free(&why->read);
    job_free(why->job);
    free(why);
}

static void write_attempts(struct jsonw *w, const struct store_read *read)
{
    jsonw_name(w, "attempts");
    jsonw_array(w);
    for (size_t i = 0; i < read->attempt_count; i++) {
        const struct store_attempt *attempt = &read->attempts[i];
        jsonw_object(w);
        jsonw_member_int(w, "number", attempt->number);
        jsonw_member_string(w, "provider", attempt->provider);
        jsonw_member_string(w, "operation_name", attempt->operation);
        jsonw_member_time(w, "started_at", attempt->started_at);
        jsonw_member_time(w, "ended_at", attempt->ended_at);
        jsonw_member_string(w, "outcome", attempt->outcome);
        jsonw_member_string(w, "message", attempt->message);
        jsonw_object_end(w);
    }
    jsonw_array_end(w);
}

static void on_attempts(struct store_read *read)
{
    struct call *call = read->context;
    struct why *why = call->state;
    struct buf text;
    if (!call_arrived(call))
        return;
    if (read->status < 0) {
        call_store_failed(call, read->status);
        return;
    }
    buf_init(&text, EXPLAIN_MAX);
    engine_explain(call->commands->engine, why->job, &text);
    struct jsonw *w = call_reply(call, REPLY_OK);
    jsonw_member_string(w, "id", why->job->id);
    jsonw_member_string(w, "state", job_state_name(why->job->state));
    jsonw_member_string(w, "text", buf_text(&text));
    write_attempts(w, read);
    call_send(call);
    buf_free(&text);
    call_end(call);
}

static void explain(struct call *call, struct job **jobs, size_t count)
{
    struct why *why = mem_alloc(sizeof(*why));
    why->job = jobs[0];
    jobs[0] = NULL;
    free_jobs(jobs, count);
    why->read = (struct store_read){
        .kind = STORE_ATTEMPTS, .name = why->job->id, .done = on_attempts, .context = call};
    call->state = why;
    call->free_state = free_why;
    call_expect(call);
    store_read(call->commands->store, &why->read);
}

void cmd_why(struct call *call)
{
    static const char *const members[] = {"id", NULL};
    if (call_check_members(call, members) == 0)
        call_resolve(call, explain);
}
