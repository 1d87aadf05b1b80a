#include "tests/sim/chat.h"

#include <stdlib.h>
#include <string.h>

#include "proto/mem.h"
#include "tests/sim/chat_sign.h"
#include "tests/sim/check.h"
#include "tests/sim/reply.h"
#include "tests/sim/sim.h"

#define TYPE_JSON         "application/json; charset=UTF-8"
#define LETTERS_PER_TOKEN 4

static void answer_status(struct exchange *exchange, const struct chat_thought *thought)
{
    reply_problem(exchange, SHAPE_DIALECT,
                  &(struct reply_problem){.status = (unsigned)thought->status,
                                          .message = thought->text,
                                          .retry_delay = thought->retry_info});
    if (thought->retry_after) {
        reply_header(&exchange->reply, "Retry-After", mem_strdup(thought->retry_after));
    }
}

void chat_answer(struct exchange *exchange, const struct chat_talk *talk,
                 void (*write)(struct exchange *exchange, const struct chat_talk *talk,
                               const struct chat_thought *thought))
{
    exchange->sim->stats.chat_admitted++;
    if (rules_intercept(exchange, talk->user)) {
        return;
    }
    struct chat_thought thought;
    chat_think(exchange->sim, talk, &thought);
    switch (thought.kind) {
    case CHAT_STATUS:
        answer_status(exchange, &thought);
        break;
    case CHAT_RESET:
        exchange->reply.drop = true;
        break;
    case CHAT_MALFORMED:
        reply_text(&exchange->reply, 200, TYPE_JSON, thought.text);
        break;
    default:
        write(exchange, talk, &thought);
    }
    exchange->reply.hold_ms = thought.delay_ms;
    chat_thought_free(&thought);
}

static int64_t count_tokens(size_t letters)
{
    return (int64_t)(letters / LETTERS_PER_TOKEN) + 1;
}

struct chat_mint chat_mint(struct exchange *exchange, const struct chat_talk *talk,
                           const struct chat_thought *thought)
{
    struct chat_mint mint;
    int64_t drawn = operations_random(&exchange->sim->operations, 0, INT32_MAX);
    char *what = mem_format("%s %lld", talk->digest, (long long)drawn);
    chat_digest(what, strlen(what), mint.nonce);
    free(what);
    size_t letters = thought->text ? strlen(thought->text) : 0;
    for (size_t i = 0; i < thought->call_count; i++) {
        letters += strlen(thought->calls[i].arguments);
    }
    mint.answer_tokens = count_tokens(letters);
    mint.prompt_tokens = count_tokens(talk->bytes);
    if (thought->tokens > 0) {
        mint.answer_tokens = mint.answer_tokens < thought->tokens ? mint.answer_tokens : 1;
        mint.prompt_tokens = thought->tokens - mint.answer_tokens;
    }
    return mint;
}

static void serve(struct exchange *exchange, bool google)
{
    struct chat_ask ask = {.google = google, .note.route = google ? "google" : "litellm"};
    struct json *doc = check_body(exchange);
    chat_talk_init(&ask.talk);
    if (doc) {
        ask.body = json_root(doc);
        if (chat_check(exchange, &ask)) {
            chat_answer(exchange, &ask.talk, google ? chat_write_google : chat_write_litellm);
        }
    }
    exchange->sim->stats.chat_altered += ask.note.altered;
    chat_log_add(exchange, &ask.note, &ask.talk);
    chat_talk_free(&ask.talk);
    json_free(doc);
}

void chat_serve_google(struct exchange *exchange)
{
    serve(exchange, true);
}

void chat_serve_litellm(struct exchange *exchange)
{
    serve(exchange, false);
}
