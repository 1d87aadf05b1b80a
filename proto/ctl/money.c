#include "proto/ctl/money.h"

#include <stdio.h>
#include <string.h>

#define USD_MAX 1e12

void money_text(double usd, char ret[MONEY_TEXT])
{
    snprintf(ret, MONEY_TEXT, "%s$%.6f", usd < 0 ? "-" : "", usd < 0 ? -usd : usd);
    size_t least = (size_t)(strchr(ret, '.') - ret) + strlen(".00");
    for (size_t length = strlen(ret); length > least && ret[length - 1] == '0'; length--)
        ret[length - 1] = '\0';
}

void money_of_job(struct json_value job, char ret[MONEY_TEXT])
{
    double usd;
    char text[MONEY_TEXT];
    *ret = '\0';
    if (json_double(json_path(job, "cost.charged_usd"), 0, USD_MAX, &usd) == 0) {
        money_text(usd, ret);
    } else if (json_double(json_path(job, "cost.estimate_usd"), 0, USD_MAX, &usd) == 0) {
        money_text(usd, text);
        snprintf(ret, MONEY_TEXT, "~%.*s", MONEY_TEXT - 2, text);
    }
}
