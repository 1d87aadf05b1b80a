/* WATCH: a stream of events. It replays from the store until it has caught up with the present,
 * then tells what happens as it happens. A client that reads too slowly falls back to the replay:
 * nothing is lost, and nothing piles up here. */
#include <stdlib.h>
#include <string.h>

#include "daemon/cmd/call.h"
#include "proto/mem.h"

#define WATCH_PAGE 128

struct watching {
    struct engine_observer observer; /* attached while live */
    struct call *call;
    struct filter filter;
    struct store_read read;
    int64_t cursor; /* the newest event that was told or passed over */
    int64_t newest; /* when the last replay began */
    bool reading;
};

static void replay(struct call *call);

void write_event(struct jsonw *w, int64_t number, const char *id, enum job_state state, int64_t at,
                 const char *detail)
{
    jsonw_member_int(w, "event", number);
    jsonw_member_string(w, "id", id);
    jsonw_member_string(w, "state", job_state_name(state));
    jsonw_member_time(w, "at", at);
    size_t length = detail ? strlen(detail) : 0;
    if (length > 2)
        jsonw_raw(w, detail + 1, length - 2);
}

static void stop(struct call *call)
{
    struct watching *watching = call->state;
    engine_unobserve(call->commands->engine, &watching->observer);
}

static void free_watching(struct call *call)
{
    struct watching *watching = call->state;
    stop(call);
    store_read_free(&watching->read);
    filter_free(&watching->filter);
    free(watching);
}

static void on_changed(struct engine_observer *observer, const struct job *job, int64_t event,
                       const char *detail)
{
    struct watching *watching = (struct watching *)observer;
    struct call *call = watching->call;
    if (event <= watching->cursor)
        return; /* the replay found it before the engine told it */
    if (call_is_full(call)) {
        stop(call); /* `drained` goes on from the cursor */
        return;
    }
    watching->cursor = event;
    if (!filter_takes(&watching->filter, job->state, job->owner, job->request))
        return;
    write_event(call_reply(call, REPLY_EVENT), event, job->id, job->state, job->updated_at, detail);
    call_send(call);
}

static void tell_page(struct call *call, const struct store_read *read)
{
    struct watching *watching = call->state;
    for (size_t i = 0; i < read->event_count && !call_is_full(call); i++) {
        const struct store_event *event = &read->events[i];
        watching->cursor = event->number;
        if (!filter_takes(&watching->filter, event->state, event->owner, event->request))
            continue;
        write_event(call_reply(call, REPLY_EVENT), event->number, event->job, event->state,
                    event->at, event->detail);
        call_send(call);
    }
}

static void on_page(struct store_read *read)
{
    struct call *call = read->context;
    struct watching *watching = call->state;
    watching->reading = false;
    if (!call_arrived(call))
        return;
    call_page_end(call);
    if (read->status < 0) {
        call_store_failed(call, read->status);
        return;
    }
    tell_page(call, read);
    bool was_last = read->event_count < WATCH_PAGE;
    store_read_free(read);
    if (call_is_full(call))
        return;
    /* Those up to there that were not found were forgotten, with their jobs. */
    if (was_last && watching->cursor < watching->newest)
        watching->cursor = watching->newest;
    if (was_last && watching->cursor >= store_last_event(call->commands->store))
        engine_observe(call->commands->engine, &watching->observer);
    else
        replay(call);
}

static void replay(struct call *call)
{
    struct watching *watching = call->state;
    if (watching->reading || watching->observer.attached || !call_page_begin(call))
        return;
    watching->read = (struct store_read){.kind = STORE_EVENTS,
                                         .filter.owner = -1,
                                         .filter.limit = WATCH_PAGE,
                                         .from = watching->cursor,
                                         .done = on_page,
                                         .context = call};
    watching->reading = true;
    watching->newest = store_last_event(call->commands->store);
    call_expect(call);
    store_read(call->commands->store, &watching->read);
}

void cmd_watch(struct call *call)
{
    static const char *const members[] = {"from", "state", "model", "owner", "label", NULL};
    int64_t last = store_last_event(call->commands->store), from = last;
    struct filter filter;
    if (call_check_members(call, members) < 0 || call_int(call, "from", 0, INT64_MAX, &from) < 0 ||
        filter_read(call, &filter) < 0)
        return;
    struct watching *watching = mem_alloc(sizeof(*watching));
    watching->call = call;
    watching->filter = filter;
    watching->cursor = from < last ? from : last;
    watching->observer.changed = on_changed;
    call->state = watching;
    call->free_state = free_watching;
    call->drained = replay;
    call->abandoned = stop;
    jsonw_member_int(call_reply(call, REPLY_OK), "from", watching->cursor);
    call_send(call);
    call_answered(call);
    replay(call);
}
