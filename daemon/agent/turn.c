#include "daemon/agent/turn.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/mem.h"

#define FOREVER      1000000
#define LEAST_WAIT   1000 /* ms */
#define SPREAD_MAX   5000 /* ms that are added to what the server asks for */
#define MESSAGE_SIZE 512

/* What becomes of a turn whose model answers so. */
static const struct rule {
    int again;             /* it is asked so often once more, in a row */
    enum turn_finish then; /* the turn's end after that */
} rules[CHAT_KINDS] = {
    [CHAT_ANSWER] = {0, TURN_ANSWER},      [CHAT_CALLS] = {0, TURN_OPEN},
    [CHAT_TRUNCATED] = {1, TURN_LENGTH},   [CHAT_EMPTY] = {2, TURN_FAILED},
    [CHAT_REFUSED] = {0, TURN_REFUSED},    [CHAT_MALFORMED] = {2, TURN_FAILED},
    [CHAT_AGAIN] = {FOREVER, TURN_FAILED}, [CHAT_FAILED] = {0, TURN_FAILED},
};

void turn_free(struct turn *turn)
{
    free(turn->text);
    free(turn->message);
    free(turn->trouble);
    free(turn->jobs);
    free(turn->peer.groups);
    free(turn->directory);
    free(turn->model);
    *turn = (struct turn){0};
}

void turn_end(struct turn *turn, enum turn_finish finish, const char *format, ...)
{
    turn->state = TURN_ENDED;
    turn->finish = finish;
    free(turn->message);
    turn->message = NULL;
    if (!format)
        return;
    char text[MESSAGE_SIZE];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    turn->message = mem_strdup(text);
}

static void set_trouble(struct turn *turn, const char *trouble)
{
    free(turn->trouble);
    turn->trouble = mem_strdup(trouble);
}

void turn_end_by_time(struct turn *turn)
{
    if (turn->trouble)
        turn_end(turn, TURN_FAILED, "%s; the turn's time is over", turn->trouble);
    else
        turn_end(turn, TURN_TIME, "the turn's time is over, which is [agent] time");
}

void turn_think(struct turn *turn, const struct turn_bounds *bounds, int64_t left_ms, size_t bytes)
{
    if (left_ms <= 0)
        turn_end_by_time(turn);
    else if (turn->tokens >= bounds->tokens)
        turn_end(turn, TURN_TOKENS, "%lld tokens were used, and [agent] tokens allows a turn %lld",
                 (long long)turn->tokens, (long long)bounds->tokens);
    else if (bytes > bounds->session_bytes)
        turn_end(turn, TURN_TOKENS,
                 "the conversation has %zu bytes, and [agent] session_bytes allows %zu; "
                 "start a new one",
                 bytes, bounds->session_bytes);
    else
        turn->state = TURN_THINKING;
}

bool turn_must_answer(const struct turn *turn, const struct turn_bounds *bounds)
{
    return turn->rounds + 1 >= bounds->rounds;
}

int64_t turn_max_tokens(const struct turn *turn, const struct turn_bounds *bounds)
{
    return turn->again[CHAT_TRUNCATED] > 0 ? 2 * bounds->max_tokens : bounds->max_tokens;
}

static void set_text(struct turn *turn, const char *text)
{
    free(turn->text);
    turn->text = mem_strdup(text);
}

static void end_at_last_round(struct turn *turn, const struct turn_bounds *bounds)
{
    turn_end(turn, TURN_ROUNDS,
             "the model had to answer after %lld requests, which is [agent] rounds",
             (long long)bounds->rounds);
}

/* The server's wish comes first; a little more, so that not all come back at once. One that is
 * shorter than LEAST_WAIT makes no wait shorter: a server may always say so. */
static int64_t next_wait(struct turn *turn, const struct turn_bounds *bounds,
                         const struct chat_reply *reply, int64_t left_ms, double random)
{
    int64_t delay = backoff_delay(&bounds->backoff, turn->waits++, random);
    if (reply->wait_ms < LEAST_WAIT)
        return backoff_within(delay > reply->wait_ms ? delay : reply->wait_ms, left_ms, LEAST_WAIT);
    int64_t spread = reply->wait_ms < SPREAD_MAX ? reply->wait_ms : SPREAD_MAX;
    return reply->wait_ms + (int64_t)(random * (double)spread);
}

static void wait_or_end(struct turn *turn, const struct turn_bounds *bounds,
                        const struct chat_reply *reply, int64_t left_ms, double random)
{
    set_trouble(turn, reply->error ? reply->error : "the model can't answer now");
    turn->wait_ms = next_wait(turn, bounds, reply, left_ms, random);
    turn->state = TURN_WAITING;
    if (turn->wait_ms >= left_ms)
        turn_end(turn, TURN_FAILED, "%s; the turn's time ends before the model can be asked again",
                 turn->trouble);
}

static bool take_calls(struct turn *turn, const struct turn_bounds *bounds,
                       const struct chat_reply *reply, size_t bytes)
{
    turn_think(turn, bounds, INT64_MAX, bytes + strlen(reply->message));
    if (turn->state == TURN_ENDED) {
        set_text(turn, reply->text);
        return false;
    }
    if (turn->rounds >= bounds->rounds) {
        set_text(turn, reply->text);
        end_at_last_round(turn, bounds);
        return false;
    }
    turn->state = TURN_CALLING;
    return true;
}

/* A history that is asked on must not have calls without results. */
static bool is_worth_keeping(const struct chat_reply *reply)
{
    struct chat_call *calls = NULL;
    if (!reply->message || !reply->text)
        return false;
    size_t count = chat_read_calls(reply->message, &calls);
    chat_calls_free(calls, count);
    return count == 0;
}

static bool take_last_words(struct turn *turn, const struct turn_bounds *bounds,
                            const struct chat_reply *reply)
{
    enum turn_finish finish = rules[reply->kind].then;
    set_text(turn, reply->text);
    if (reply->kind == CHAT_ANSWER && turn->rounds >= bounds->rounds)
        end_at_last_round(turn, bounds);
    else if (finish == TURN_LENGTH)
        turn_end(turn, finish, "the answer was cut at [agent] max_tokens = %lld, twice over",
                 (long long)bounds->max_tokens);
    else if (finish == TURN_ANSWER)
        turn_end(turn, finish, NULL);
    else
        turn_end(turn, finish, "%s", reply->error ? reply->error : "the model answered nothing");
    return (finish == TURN_ANSWER || finish == TURN_LENGTH) && is_worth_keeping(reply);
}

bool turn_take(struct turn *turn, const struct turn_bounds *bounds, const struct chat_reply *reply,
               int64_t left_ms, size_t bytes, double random)
{
    const struct rule *rule = &rules[reply->kind];
    turn->tokens += reply->tokens;
    if (turn->again[reply->kind]++ < rule->again) {
        turn->wait_ms = 0;
        turn->state = TURN_WAITING;
        if (reply->kind == CHAT_AGAIN)
            wait_or_end(turn, bounds, reply, left_ms, random);
        return false;
    }
    if (rule->then != TURN_FAILED) {
        turn->rounds++;
        memset(turn->again, 0, sizeof(turn->again));
        turn->waits = 0;
        set_trouble(turn, NULL);
    }
    if (reply->kind == CHAT_CALLS)
        return take_calls(turn, bounds, reply, bytes);
    return take_last_words(turn, bounds, reply);
}

void turn_called(struct turn *turn, size_t count)
{
    turn->calls += (int64_t)count;
    memset(turn->begun, 0, sizeof(turn->begun));
}

bool turn_add_job(struct turn *turn, const char *id)
{
    for (size_t i = 0; i < turn->job_count; i++)
        if (strcmp(turn->jobs[i], id) == 0)
            return false;
    turn->jobs = mem_resize(turn->jobs, turn->job_count + 1, sizeof(*turn->jobs));
    snprintf(turn->jobs[turn->job_count++], JOB_ID_SIZE, "%s", id);
    return true;
}
