/* Who may be asked now: a provider without a token is left alone until it has one. A failing source
 * of tokens never fails a job. */
#include <stdlib.h>

#include "daemon/engine/task.h"

void access_look(struct engine *engine)
{
    if (sched_waiting(engine->sched) == 0)
        return;
    for (size_t i = 0; i < engine->config.provider_count; i++)
        sched_set_ready(engine->sched, i, token_value(engine->config.providers[i].token) != NULL);
}

bool access_given(struct task *task)
{
    struct token *token = task->provider->token;
    task->waits_for_token = token_value(token) == NULL;
    if (task->waits_for_token)
        task_set_trouble(task, "waits for a token: %s", token_why(token));
    return !task->waits_for_token;
}

bool access_refused(struct task *task, const struct http_reply *reply)
{
    if (reply->end != HTTP_ANSWERED ||
        !token_judge(task->provider->token, task->token_generation, reply->status))
        return false;
    task_set_trouble(task, "the provider refused the token; it is renewed");
    return true;
}

static void tell_tasks(struct engine *engine, const struct token *token, bool given)
{
    struct task **tasks = engine_list_tasks(engine);
    size_t count = engine->task_count;
    for (size_t i = 0; i < count; i++) {
        struct task *task = tasks[i];
        if (!task->waits_for_token || !task->provider || task->provider->token != token)
            continue;
        task->waits_for_token = !given;
        if (given)
            task_wake_at(task, engine_steady_ms());
        else
            task_set_trouble(task, "waits for a token: %s", token_why(token));
    }
    free(tasks);
}

static void on_changed(void *arg)
{
    struct engine_provider *provider = arg;
    struct engine *engine = provider->engine;
    if (engine->over)
        return;
    bool given = token_value(provider->token) != NULL;
    tell_tasks(engine, provider->token, given);
    submit_tokens_changed(engine, provider, given);
    ask_tokens_changed(engine, provider, given);
    submit_schedule(engine);
}

void access_listen(struct engine *engine)
{
    for (size_t i = 0; i < engine->config.provider_count; i++) {
        struct engine_provider *provider = &engine->config.providers[i];
        provider->engine = engine;
        token_listen(provider->token, on_changed, provider);
    }
}
