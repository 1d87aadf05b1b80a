/* COST: what was charged, and what is left of the day's budgets. */
#include <stdlib.h>
#include <string.h>

#include "daemon/cmd/call.h"
#include "proto/mem.h"

struct costing {
    struct filter filter;
    struct store_read read;
    char *by;
};

static void free_costing(struct call *call)
{
    struct costing *costing = call->state;
    store_read_free(&costing->read);
    filter_free(&costing->filter);
    free(costing->by);
    free(costing);
}

static const char label[] = "label:";

static int read_by(struct call *call, struct costing *costing)
{
    static const char *const words[] = {[STORE_BY_DAY] = "day",
                                        [STORE_BY_OWNER] = "owner",
                                        [STORE_BY_PROVIDER] = "provider",
                                        [STORE_BY_MODEL] = "model"};
    struct json_value given = json_get(call->args, "by");
    if (json_type(given) == JSON_NONE)
        return 0;
    costing->by = json_strdup(given, NULL);
    if (costing->by && strncmp(costing->by, label, strlen(label)) == 0 &&
        costing->by[strlen(label)]) {
        costing->read.by = STORE_BY_LABEL;
        costing->read.name = costing->by + strlen(label);
        return 0;
    }
    for (size_t i = 0; costing->by && i < sizeof(words) / sizeof(words[0]); i++) {
        if (strcmp(words[i], costing->by) != 0)
            continue;
        costing->read.by = (enum store_cost_by)i;
        return 0;
    }
    return call_fail(call, ERROR_INVALID_ARGUMENT, "by",
                     "by must be day, owner, provider, model or label:NAME, not \"%.80s\"",
                     costing->by ? costing->by : "");
}

static void write_key(struct jsonw *w, const struct store_read *read, const char *key)
{
    switch (read->by) {
    case STORE_BY_DAY:
        jsonw_member_string(w, "day", key);
        break;
    case STORE_BY_OWNER:
        jsonw_member_int(w, "owner", key ? strtoll(key, NULL, 10) : -1);
        break;
    case STORE_BY_PROVIDER:
        jsonw_member_string(w, "provider", key);
        break;
    case STORE_BY_MODEL:
        jsonw_member_string(w, "model", key);
        break;
    case STORE_BY_LABEL:
        jsonw_member_string(w, "label", read->name);
        jsonw_member_string(w, "value", key && *key ? key : NULL);
        break;
    }
}

static void write_sums(struct jsonw *w, const struct store_cost *cost)
{
    jsonw_member_uint(w, "jobs", cost->jobs);
    jsonw_member_usd(w, "charged_usd", cost->charged);
    jsonw_member_usd(w, "presumed_usd", cost->presumed);
}

/* ---- what is left ---- */

static void write_budget(struct call *call, struct jsonw *w, const struct budget_state *state,
                         uid_t owner)
{
    static const char *const names[] = {
        [BUDGET_ALL] = "all", [BUDGET_OWNER] = "owner", [BUDGET_PROVIDER] = "provider"};
    const struct engine_config *config = engine_config(call->commands->engine);
    int64_t left = state->limit - state->charged - state->reserved;
    if (state->limit < 0)
        return;
    jsonw_object(w);
    jsonw_member_string(w, "for", names[state->scope]);
    if (state->scope == BUDGET_OWNER)
        jsonw_member_uint(w, "owner", owner);
    if (state->scope == BUDGET_PROVIDER)
        jsonw_member_string(w, "provider", config->providers[state->provider].provider.name);
    jsonw_member_usd(w, "daily_usd", state->limit);
    jsonw_member_usd(w, "charged_usd", state->charged);
    jsonw_member_usd(w, "reserved_usd", state->reserved);
    jsonw_member_usd(w, "left_usd", left > 0 ? left : 0);
    jsonw_object_end(w);
}

static void write_budgets(struct call *call, struct jsonw *w, uid_t owner)
{
    struct budget *budget = engine_budget(call->commands->engine);
    struct budget_state state;
    jsonw_name(w, "budgets");
    jsonw_array(w);
    if (call->admin) {
        budget_all(budget, &state);
        write_budget(call, w, &state, owner);
    }
    budget_owner(budget, owner, &state);
    write_budget(call, w, &state, owner);
    for (size_t i = 0; call->admin && i < engine_config(call->commands->engine)->provider_count;
         i++) {
        budget_provider(budget, i, &state);
        write_budget(call, w, &state, owner);
    }
    jsonw_array_end(w);
}

static void write_end(struct call *call, const struct costing *costing)
{
    int64_t owner = costing->filter.store.owner; /* -1: all, which only an admin may ask for */
    struct budget *budget = engine_budget(call->commands->engine);
    struct budget_state state;
    if (owner < 0)
        budget_all(budget, &state);
    else
        budget_owner(budget, (uid_t)owner, &state);
    struct jsonw *w = call_reply(call, REPLY_OK);
    jsonw_member_uint(w, "count", costing->read.cost_count);
    write_sums(w, &costing->read.cost);
    jsonw_member_usd(w, "reserved_usd", state.reserved);
    write_budgets(call, w, owner < 0 ? call->uid : (uid_t)owner);
    call_send(call);
}

static void on_costs(struct store_read *read)
{
    struct call *call = read->context;
    struct costing *costing = call->state;
    if (!call_arrived(call))
        return;
    if (read->status < 0) {
        call_store_failed(call, read->status);
        return;
    }
    for (size_t i = 0; i < read->cost_count; i++) {
        struct jsonw *w = call_reply(call, REPLY_ITEM);
        write_key(w, read, read->costs[i].key);
        write_sums(w, &read->costs[i]);
        call_send(call);
    }
    write_end(call, costing);
    call_end(call);
}

void cmd_cost(struct call *call)
{
    static const char *const members[] = {"by", "since", "until", "owner", NULL};
    struct filter filter;
    if (call_check_members(call, members) < 0 || filter_read(call, &filter) < 0)
        return;
    struct costing *costing = mem_alloc(sizeof(*costing));
    costing->filter = filter;
    costing->read = (struct store_read){
        .kind = STORE_COSTS, .filter = filter.store, .done = on_costs, .context = call};
    call->state = costing;
    call->free_state = free_costing;
    if (read_by(call, costing) < 0)
        return;
    call_expect(call);
    store_read(call->commands->store, &costing->read);
}
