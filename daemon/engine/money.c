/* What jobs may cost, and do. */
#include <string.h>

#include "daemon/engine/task.h"

const struct model *engine_model(const struct engine *engine, const char *name)
{
    return model_table_find(engine->config.models, name);
}

/* A model that Google has shut down may live on behind another provider. */
static int check_state(const struct engine *engine, const struct model *model,
                       const struct request *request, struct error *error)
{
    int status = 0;
    for (size_t i = 0; i < engine->config.provider_count; i++) {
        const struct provider *provider = &engine->config.providers[i].provider;
        if ((request->provider && strcmp(request->provider, provider->name) != 0) ||
            !provider_takes(provider, request->model))
            continue;
        if (model_check_state(model, request, provider->base_url, error) == 0)
            return 0;
        status = -1;
    }
    return status;
}

int engine_check_model(const struct engine *engine, const struct request *request,
                       struct error *error)
{
    const struct model *model = engine_model(engine, request->model);
    if (check_state(engine, model, request, error) < 0)
        return -1;
    return model_check(model, request, error);
}

bool money_admits(const struct task *task, size_t provider)
{
    (void)task;
    (void)provider;
    return true;
}

void money_hold(struct task *task)
{
    struct job_event event = {
        .type = JOB_HOLD,
        .error = {.code = "budget-exceeded", .message = "the day's budget is used up"},
    };
    task_event(task, &event, false, NULL, NULL);
}
