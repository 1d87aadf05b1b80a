/* Amounts of money, as people read them. */
#ifndef VEO_CTL_MONEY_H
#define VEO_CTL_MONEY_H

#include "proto/json.h"

#define MONEY_TEXT 40

/* "$12.50"; fractions of a cent are shown as far as there are any: "$0.0042". */
void money_text(double usd, char ret[MONEY_TEXT]);

/* What a job costs: "$0.40" once it is charged, "~$0.40" while it is estimated, "" if unknown. */
void money_of_job(struct json_value job, char ret[MONEY_TEXT]);

#endif
