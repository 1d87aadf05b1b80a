/* What is kept of a turn. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/agent/turn.h"
#include "proto/mem.h"

#define JOBS_MAX   65536
#define GROUPS_MAX 65536

static const char *const names[TURN_FINISH_COUNT] = {
#define X(name, text) [TURN_##name] = (text),
    TURN_FINISHES(X)
#undef X
};

const char *turn_finish_name(enum turn_finish finish)
{
    return names[finish];
}

static void write_groups(const struct peer *peer, struct jsonw *w)
{
    jsonw_name(w, "groups");
    jsonw_array(w);
    for (size_t i = 0; i < peer->group_count; i++)
        jsonw_uint(w, peer->groups[i]);
    jsonw_array_end(w);
}

static void write_jobs(const struct turn *turn, struct jsonw *w)
{
    jsonw_name(w, "jobs");
    jsonw_array(w);
    for (size_t i = 0; i < turn->job_count; i++)
        jsonw_string(w, turn->jobs[i]);
    jsonw_array_end(w);
}

static void write_begun(const struct turn *turn, struct jsonw *w)
{
    size_t count = CHAT_CALLS_MAX;
    while (count > 0 && !turn->begun[count - 1][0])
        count--;
    jsonw_name(w, "begun");
    jsonw_array(w);
    for (size_t i = 0; i < count; i++)
        jsonw_string(w, turn->begun[i]);
    jsonw_array_end(w);
}

void turn_write(const struct turn *turn, struct jsonw *w)
{
    jsonw_object(w);
    jsonw_member_string(w, "finish", names[turn->finish]);
    jsonw_member_int(w, "started_at", turn->started_at);
    jsonw_member_int(w, "rounds", turn->rounds);
    jsonw_member_int(w, "tokens", turn->tokens);
    jsonw_member_int(w, "spent", turn->spent);
    jsonw_member_int(w, "calls", turn->calls);
    jsonw_member_uint(w, "first", turn->first);
    jsonw_member_string(w, "text", turn->text);
    jsonw_member_string(w, "message", turn->message);
    write_jobs(turn, w);
    jsonw_member_uint(w, "uid", turn->peer.uid);
    write_groups(&turn->peer, w);
    jsonw_member_bool(w, "admin", turn->admin);
    jsonw_member_string(w, "directory", turn->directory);
    jsonw_member_string(w, "model", turn->model);
    write_begun(turn, w);
    jsonw_object_end(w);
}

static int read_finish(struct json_value value, enum turn_finish *ret)
{
    for (int i = 0; i < TURN_FINISH_COUNT; i++)
        if (json_equals(value, names[i])) {
            *ret = (enum turn_finish)i;
            return 0;
        }
    return -1;
}

static int read_jobs(struct json_value jobs, struct turn *turn)
{
    if (json_type(jobs) != JSON_ARRAY || json_size(jobs) > JOBS_MAX)
        return -1;
    for (struct json_iter it = json_iter(jobs); json_next(&it);) {
        char *id = json_strdup(it.value, NULL);
        bool good = id && strlen(id) == JOB_ID_LENGTH;
        if (good)
            turn_add_job(turn, id);
        free(id);
        if (!good)
            return -1;
    }
    return 0;
}

static int read_begun(struct json_value begun, struct turn *turn)
{
    size_t count = json_size(begun);
    if (json_type(begun) != JSON_ARRAY || count > CHAT_CALLS_MAX)
        return -1;
    for (size_t i = 0; i < count; i++) {
        char *id = json_strdup(json_at(begun, i), NULL);
        bool good = id && strlen(id) < JOB_ID_SIZE;
        if (good)
            strcpy(turn->begun[i], id);
        free(id);
        if (!good)
            return -1;
    }
    return 0;
}

static int read_peer(struct json_value root, struct turn *turn)
{
    struct json_value groups = json_get(root, "groups");
    struct peer *peer = &turn->peer;
    int64_t uid;
    if (json_int(json_get(root, "uid"), 0, UINT32_MAX, &uid) < 0 ||
        json_bool(json_get(root, "admin"), &turn->admin) < 0 || json_type(groups) != JSON_ARRAY ||
        json_size(groups) > GROUPS_MAX)
        return -1;
    peer->uid = (uid_t)uid;
    peer->groups = mem_alloc((json_size(groups) + 1) * sizeof(*peer->groups));
    for (struct json_iter it = json_iter(groups); json_next(&it);) {
        int64_t gid;
        if (json_int(it.value, 0, UINT32_MAX, &gid) < 0)
            return -1;
        peer->groups[peer->group_count++] = (gid_t)gid;
    }
    return 0;
}

static int read_numbers(struct json_value root, struct turn *turn)
{
    int64_t first;
    if (json_int(json_get(root, "started_at"), 0, INT64_MAX, &turn->started_at) < 0 ||
        json_int(json_get(root, "rounds"), 0, INT64_MAX, &turn->rounds) < 0 ||
        json_int(json_get(root, "tokens"), 0, INT64_MAX, &turn->tokens) < 0 ||
        json_int(json_get(root, "spent"), 0, INT64_MAX, &turn->spent) < 0 ||
        json_int(json_get(root, "calls"), 0, INT64_MAX, &turn->calls) < 0 ||
        json_int(json_get(root, "first"), 0, INT32_MAX, &first) < 0)
        return -1;
    turn->first = (size_t)first;
    return 0;
}

static int read_members(struct json_value root, struct turn *turn)
{
    turn->text = json_strdup(json_get(root, "text"), NULL);
    turn->message = json_strdup(json_get(root, "message"), NULL);
    turn->directory = json_strdup(json_get(root, "directory"), NULL);
    turn->model = json_strdup(json_get(root, "model"), NULL);
    return read_finish(json_get(root, "finish"), &turn->finish) < 0 ||
                   read_numbers(root, turn) < 0 || read_jobs(json_get(root, "jobs"), turn) < 0 ||
                   read_begun(json_get(root, "begun"), turn) < 0 || read_peer(root, turn) < 0
               ? -1
               : 0;
}

int turn_read(const char *record, struct turn *ret, struct error *error)
{
    struct error cause;
    struct json *doc = json_parse(record, strlen(record),
                                  (struct json_limits){.tokens = 4 * JSON_DEFAULT_TOKENS}, &cause);
    *ret = (struct turn){0};
    if (!doc)
        return error_set(error, ERROR_INTERNAL, NULL, "the session's record is damaged: %s",
                         cause.message);
    int status = read_members(json_root(doc), ret);
    json_free(doc);
    if (status < 0) {
        turn_free(ret);
        return error_set(error, ERROR_INTERNAL, NULL, "the session's record is damaged");
    }
    ret->state = ret->finish == TURN_OPEN ? TURN_THINKING : TURN_ENDED;
    return 0;
}
