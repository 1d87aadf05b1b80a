#include "tests/sim/chat_mind.h"

#include <stdlib.h>

#include "proto/mem.h"
#include "tests/sim/chat_log.h"
#include "tests/sim/chat_talk.h"
#include "tests/sim/sim.h"

void chat_thought_free(struct chat_thought *thought)
{
    for (size_t i = 0; i < thought->call_count; i++) {
        free(thought->calls[i].id);
        free(thought->calls[i].name);
        free(thought->calls[i].arguments);
    }
    free(thought->calls);
    free(thought->text);
    free(thought->finish);
    free(thought->retry_after);
    free(thought->retry_info);
    *thought = (struct chat_thought){0};
}

/* The step with this number, or one before it that is for ever; absent past the end. */
static struct json_value find_step(struct json_value steps, size_t number)
{
    struct json_value found = json_at(steps, number);
    for (struct json_iter it = json_iter(steps); number-- > 0 && json_next(&it);) {
        bool repeat = false;
        if (json_bool(json_get(it.value, "repeat"), &repeat) == 0 && repeat) {
            return it.value;
        }
    }
    return found;
}

/* Which of a step's errors is due, if it has been asked for `served` times. */
static bool find_error(struct json_value errors, int64_t served, struct chat_thought *ret)
{
    for (struct json_iter it = json_iter(errors); json_next(&it);) {
        if (chat_script_read(it.value, ret, NULL) < 0) {
            return false;
        }
        if (served < ret->times) {
            return true;
        }
        served -= ret->times;
        chat_thought_free(ret);
    }
    return false;
}

static bool think_error(struct sim *sim, const struct chat_talk *talk, struct json_value step,
                        struct chat_thought *ret)
{
    struct json_value errors = json_get(step, "errors");
    if (json_size(errors) == 0) {
        return false;
    }
    int64_t *served = chat_log_served(&sim->chats, talk->digest);
    bool found = find_error(errors, *served, ret);
    *served += found;
    return found;
}

static void think_past_the_end(const struct chat_talk *talk, struct chat_thought *ret)
{
    char *results = chat_results(talk);
    *ret = (struct chat_thought){.text = mem_format("Done.%s%s", *results ? " " : "", results)};
    free(results);
}

static void add_results(const struct chat_talk *talk, struct chat_thought *thought)
{
    char *text = thought->text;
    char *results = chat_results(talk);
    thought->text = text ? mem_format("%s %s", text, results) : mem_strdup(results);
    free(text);
    free(results);
}

/* What the script says; a model that may not call tools comes to its end. */
static void think_step(const struct chat_talk *talk, struct json_value step,
                       struct chat_thought *ret)
{
    if (chat_script_read(step, ret, NULL) < 0) {
        think_past_the_end(talk, ret);
        return;
    }
    if (ret->call_count > 0 && !talk->may_call) {
        chat_thought_free(ret);
        think_past_the_end(talk, ret);
    }
    if (ret->say_results) {
        add_results(talk, ret);
    }
}

void chat_think(struct sim *sim, const struct chat_talk *talk, struct chat_thought *ret)
{
    *ret = (struct chat_thought){0};
    if (!talk->script) {
        chat_default(talk, ret);
        return;
    }
    int64_t stall_ms = 0;
    struct json_value step = find_step(json_root(talk->script), talk->step);
    if (think_error(sim, talk, step, ret)) {
        stall_ms = ret->stall_ms;
        if (stall_ms == 0) {
            return;
        }
        chat_thought_free(ret);
    }
    think_step(talk, step, ret);
    ret->delay_ms += stall_ms;
}
