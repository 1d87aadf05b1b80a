/* The end of an ASK: what became of the turn, and of its jobs. */
#include <stdlib.h>
#include <string.h>

#include "daemon/agent/conversation.h"
#include "proto/line.h"
#include "proto/mem.h"

#define CUT_MAX (128 * 1024) /* bytes of a text that fit into a line, however they are escaped */

/* ---- the jobs ---- */

struct gathering {
    struct agent *agent;
    const struct turn *turn;
    gathered_fn *done;
    void *arg;
    struct seek *seek;
    struct job **jobs;
    size_t count;
    size_t at;
};

void gathering_free(struct gathering *gathering)
{
    if (!gathering)
        return;
    seek_abandon(gathering->seek);
    free_jobs(gathering->jobs, gathering->count);
    free(gathering);
}

static void seek_next(struct gathering *gathering);

static void on_found(void *arg, struct sought *found)
{
    struct gathering *gathering = arg;
    gathering->seek = NULL;
    if (!found->error)
        gathering->jobs[gathering->count++] = found->job;
    if (gathering->at < gathering->turn->job_count) {
        seek_next(gathering);
        return;
    }
    gathering->done(gathering->arg, gathering->jobs, gathering->count);
    gathering_free(gathering);
}

static void seek_next(struct gathering *gathering)
{
    const struct turn *turn = gathering->turn;
    const char *id = turn->jobs[gathering->at++];
    struct commands *commands = gathering->agent->commands;
    bool admin = turn->admin && clients_trust(commands->clients, &turn->peer);
    gathering->seek =
        seek_job(commands, admin ? -1 : (int64_t)turn->peer.uid, id, on_found, gathering);
}

struct gathering *gathering_start(struct agent *agent, const struct turn *turn, gathered_fn *done,
                                  void *arg)
{
    if (turn->job_count == 0) {
        done(arg, NULL, 0);
        return NULL;
    }
    struct gathering *gathering = mem_alloc(sizeof(*gathering));
    gathering->agent = agent;
    gathering->turn = turn;
    gathering->done = done;
    gathering->arg = arg;
    gathering->jobs = mem_alloc(turn->job_count * sizeof(*gathering->jobs));
    seek_next(gathering);
    return gathering;
}

/* ---- the lines ---- */

enum detail { FULL, BRIEF, CUT };

static void write_jobs(struct call *call, struct job *const *jobs, size_t count, enum detail detail,
                       struct jsonw *w)
{
    jsonw_name(w, "jobs");
    jsonw_array(w);
    for (size_t i = 0; i < count; i++) {
        jsonw_object(w);
        if (detail > FULL) {
            jsonw_member_string(w, "id", jobs[i]->id);
            jsonw_member_string(w, "state", job_state_name(jobs[i]->state));
        } else {
            write_job(call, jobs[i], w);
        }
        jsonw_object_end(w);
    }
    jsonw_array_end(w);
}

static const char *or_none(const char *text)
{
    return text && text[0] ? text : NULL;
}

static void write_cut(const char *text, struct jsonw *w)
{
    size_t length = text ? strlen(text) : 0;
    char *cut = mem_strndup(text ? text : "", length < CUT_MAX ? length : CUT_MAX);
    cut[utf8_valid_prefix(cut, strlen(cut))] = '\0';
    jsonw_member_string(w, "text", or_none(cut));
    free(cut);
}

static void write_ok(struct call *call, const char *session, const struct turn *turn,
                     struct job *const *jobs, size_t count, enum detail detail)
{
    struct jsonw *w = call_reply(call, REPLY_OK);
    if (detail == CUT)
        write_cut(turn->text, w);
    else
        jsonw_member_string(w, "text", or_none(turn->text));
    jsonw_member_string(w, "session", session);
    write_jobs(call, jobs, count, detail, w);
    jsonw_member_string(w, "finish", turn_finish_name(turn->finish));
    jsonw_member_string(w, "message", or_none(turn->message));
    jsonw_member_int(w, "rounds", turn->rounds);
    jsonw_member_int(w, "tokens", turn->tokens);
}

static void write_failure(struct call *call, const char *session, const struct turn *turn)
{
    struct jsonw *w = call_reply(call, REPLY_ERR);
    jsonw_member_string(w, "code", error_code_name(ERROR_UNAVAILABLE));
    jsonw_member_string(w, "message", turn->message);
    jsonw_member_string(w, "session", session);
    jsonw_name(w, "jobs");
    jsonw_array(w);
    for (size_t i = 0; i < turn->job_count; i++)
        jsonw_string(w, turn->jobs[i]);
    jsonw_array_end(w);
}

void answer_turn(struct call *call, const char *session, const struct turn *turn,
                 struct job *const *jobs, size_t count)
{
    if (turn->finish == TURN_FAILED)
        write_failure(call, session, turn);
    else
        write_ok(call, session, turn, jobs, count, FULL);
    for (enum detail detail = BRIEF; call->commands->line.failed && detail <= CUT; detail++)
        write_ok(call, session, turn, jobs, count, detail);
    call_send(call);
    call_end(call);
}

void answer_cancel(struct call *call, const char *session, bool cancelled)
{
    struct jsonw *w = call_reply(call, REPLY_OK);
    jsonw_member_string(w, "session", session);
    jsonw_member_bool(w, "cancelled", cancelled);
    call_send(call);
    call_end(call);
}
