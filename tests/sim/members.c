#include "tests/sim/members.h"

#include <stdlib.h>

#include "tests/sim/reply.h"

#define INVALID(exchange, ...) reply_error(exchange, 400, "invalid_request", __VA_ARGS__)

static bool unknown_member(struct exchange *exchange, struct json_value name)
{
    char *text = json_strdup(name, NULL);
    reply_error(exchange, 400, "parameter_unknown", "Unknown parameter: '%s'.", text ? text : "");
    free(text);
    return false;
}

static bool check_member(struct exchange *exchange, const struct member_rule *rule,
                         struct json_value value)
{
    if (rule->unsupported) {
        return INVALID(exchange, "'%s' is not supported by this model.", rule->name);
    }
    if (rule->type != JSON_NONE && json_type(value) != rule->type) {
        return INVALID(exchange, "'%s' must be of type %s, not %s.", rule->name,
                       json_type_name(rule->type), json_type_name(json_type(value)));
    }
    return true;
}

bool members_check(struct exchange *exchange, struct json_value object,
                   const struct member_rule *rules)
{
    for (struct json_iter it = json_iter(object); json_next(&it);) {
        const struct member_rule *rule = rules;
        while (rule->name && !json_equals(it.name, rule->name)) {
            rule++;
        }
        if (!rule->name) {
            return unknown_member(exchange, it.name);
        }
        if (!check_member(exchange, rule, it.value)) {
            return false;
        }
    }
    return true;
}
