/* What a job's steps book: for daemon/core/job.c alone. */
#ifndef VEO_JOB_MONEY_H
#define VEO_JOB_MONEY_H

#include "daemon/core/job.h"

/* In the place of what was booked for the current attempt, and on the same day. */
void job_book(struct job *job, int64_t amount, bool presumed, int64_t now);

/* It was sent, and what becomes of it at the provider will not be known. */
void job_presume(struct job *job, int64_t now);

/* It came to nothing. What was made once, and was booked as such, stays. */
void job_settle_for_nothing(struct job *job, int64_t now);

#endif
