#include "daemon/core/job_money.h"

void job_book(struct job *job, int64_t amount, bool presumed, int64_t now)
{
    job->charged += amount - job->attempt_charge;
    job->attempt_charge = amount;
    job->presumed = presumed && amount > 0;
    if (amount > 0 && job->charged_at == 0)
        job->charged_at = now;
}

void job_presume(struct job *job, int64_t now)
{
    job->attempts_counted = job->attempt; /* what is booked keeps its number */
    if (job->attempt_charge == 0)
        job_book(job, job->estimate, true, now);
}

void job_settle_for_nothing(struct job *job, int64_t now)
{
    if (job->presumed)
        job_book(job, 0, false, now);
}

int64_t job_reserved(const struct job *job)
{
    int64_t open = job->estimate - job->attempt_charge;
    switch (job->state) {
    case JOB_QUEUED: /* a charge is of an earlier attempt */
        return job->estimate;
    case JOB_SUBMITTING:
    case JOB_RUNNING:
    case JOB_UNCERTAIN:
        return open > 0 ? open : 0;
    default:
        return 0;
    }
}

void job_give_up(struct job *job, int64_t now)
{
    if (job->state == JOB_UNCERTAIN)
        job_presume(job, now);
}
