/* What jobs may cost, and do. */
#include "daemon/engine/task.h"

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
