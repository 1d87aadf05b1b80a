#include "daemon/core/budget.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "proto/mem.h"

#define DAY_MS (24LL * 60 * 60 * 1000)

struct account {
    int64_t charged;
    int64_t reserved;
};

struct owner {
    uid_t uid;
    struct account account;
};

/* Those that are held for the same owner and want the same providers. */
struct budget_lane {
    uid_t owner;
    uint64_t providers;
    struct heap held;
};

struct budget {
    int64_t day;   /* whose charges these are */
    int64_t today; /* the clock's: before `day` if it was set back */
    int64_t all_limit;
    int64_t owner_limit;
    struct account all;
    struct owner *owners; /* in order of uid */
    size_t owner_count;
    struct account providers[BUDGET_PROVIDERS_MAX];
    int64_t provider_limits[BUDGET_PROVIDERS_MAX];
    size_t provider_count;
    struct budget_lane **lanes;
    size_t lane_count;
    size_t held;
};

struct budget *budget_new(size_t providers)
{
    struct budget *budget = mem_alloc(sizeof(*budget));
    assert(providers <= BUDGET_PROVIDERS_MAX);
    budget->day = budget->today = -1;
    budget->all_limit = -1;
    budget->owner_limit = -1;
    budget->provider_count = providers;
    for (size_t i = 0; i < providers; i++)
        budget->provider_limits[i] = -1;
    return budget;
}

void budget_free(struct budget *budget)
{
    if (!budget)
        return;
    for (size_t i = 0; i < budget->lane_count; i++) {
        heap_free(&budget->lanes[i]->held);
        free(budget->lanes[i]);
    }
    free(budget->lanes);
    free(budget->owners);
    free(budget);
}

void budget_set_limits(struct budget *budget, int64_t all, int64_t each_owner)
{
    budget->all_limit = all;
    budget->owner_limit = each_owner;
}

void budget_set_provider_limit(struct budget *budget, size_t provider, int64_t limit)
{
    budget->provider_limits[provider] = limit;
}

/* ---- days ---- */

static int64_t day_of(int64_t ms)
{
    return ms >= 0 ? ms / DAY_MS : -1;
}

int64_t budget_day_begin(int64_t now)
{
    return day_of(now) * DAY_MS;
}

int64_t budget_day_end(int64_t now)
{
    return (day_of(now) + 1) * DAY_MS;
}

/* A clock that was set back doesn't give the day's money out a second time. */
bool budget_turn(struct budget *budget, int64_t now)
{
    budget->today = day_of(now);
    if (day_of(now) <= budget->day)
        return false;
    budget->day = day_of(now);
    budget->all.charged = 0;
    for (size_t i = 0; i < budget->owner_count; i++)
        budget->owners[i].account.charged = 0;
    for (size_t i = 0; i < budget->provider_count; i++)
        budget->providers[i].charged = 0;
    return true;
}

/* ---- accounts ---- */

static struct account *account_of(struct budget *budget, uid_t uid)
{
    size_t low = 0, high = budget->owner_count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (budget->owners[middle].uid < uid)
            low = middle + 1;
        else
            high = middle;
    }
    if (low < budget->owner_count && budget->owners[low].uid == uid)
        return &budget->owners[low].account;
    budget->owners = mem_resize(budget->owners, budget->owner_count + 1, sizeof(*budget->owners));
    memmove(&budget->owners[low + 1], &budget->owners[low],
            (budget->owner_count++ - low) * sizeof(*budget->owners));
    budget->owners[low] = (struct owner){.uid = uid};
    return &budget->owners[low].account;
}

void budget_charge(struct budget *budget, uid_t owner, size_t provider, int64_t amount, int64_t at)
{
    if (amount == 0 || day_of(at) < budget->today)
        return;
    budget->all.charged += amount;
    account_of(budget, owner)->charged += amount;
    if (provider < budget->provider_count)
        budget->providers[provider].charged += amount;
}

static void add_reserved(struct budget *budget, const struct budget_entry *entry, int64_t amount)
{
    if (amount == 0)
        return;
    budget->all.reserved += amount;
    account_of(budget, entry->owner)->reserved += amount;
    if (entry->provider < budget->provider_count)
        budget->providers[entry->provider].reserved += amount;
}

void budget_reserve(struct budget *budget, struct budget_entry *entry, int64_t amount,
                    size_t provider)
{
    add_reserved(budget, entry, -entry->reserved);
    entry->reserved = amount;
    entry->provider = provider;
    add_reserved(budget, entry, amount);
}

void budget_all(const struct budget *budget, struct budget_state *ret)
{
    *ret = (struct budget_state){.scope = BUDGET_ALL,
                                 .limit = budget->all_limit,
                                 .charged = budget->all.charged,
                                 .reserved = budget->all.reserved};
}

void budget_owner(struct budget *budget, uid_t owner, struct budget_state *ret)
{
    const struct account *account = account_of(budget, owner);
    *ret = (struct budget_state){.scope = BUDGET_OWNER,
                                 .limit = budget->owner_limit,
                                 .charged = account->charged,
                                 .reserved = account->reserved};
}

void budget_provider(const struct budget *budget, size_t provider, struct budget_state *ret)
{
    const struct account *account = &budget->providers[provider];
    *ret = (struct budget_state){.scope = BUDGET_PROVIDER,
                                 .provider = provider,
                                 .limit = budget->provider_limits[provider],
                                 .charged = account->charged,
                                 .reserved = account->reserved};
}

/* ---- does it fit? ---- */

static bool has_room(const struct budget_state *state, int64_t amount)
{
    return state->limit < 0 || state->charged + state->reserved + amount <= state->limit;
}

bool budget_provider_fits(const struct budget *budget, size_t provider, int64_t amount)
{
    struct budget_state state;
    budget_provider(budget, provider, &state);
    return amount == 0 || has_room(&state, amount);
}

/* The first provider of the set with room; BUDGET_NOWHERE: none. An empty set wants none. */
static size_t roomy_provider(const struct budget *budget, uint64_t providers, int64_t amount)
{
    for (size_t i = 0; i < budget->provider_count; i++)
        if ((providers & (1ULL << i)) && budget_provider_fits(budget, i, amount))
            return i;
    return BUDGET_NOWHERE;
}

static size_t first_provider(uint64_t providers)
{
    return providers ? (size_t)__builtin_ctzll(providers) : BUDGET_NOWHERE;
}

bool budget_fits(struct budget *budget, uid_t owner, uint64_t providers, int64_t amount,
                 struct budget_state *ret)
{
    struct budget_state state;
    bool fits = true;
    if (amount == 0)
        return true;
    budget_all(budget, &state);
    if (has_room(&state, amount)) {
        budget_owner(budget, owner, &state);
        fits = has_room(&state, amount);
        if (fits && providers && roomy_provider(budget, providers, amount) == BUDGET_NOWHERE) {
            budget_provider(budget, first_provider(providers), &state);
            fits = false;
        }
    } else {
        fits = false;
    }
    if (!fits && ret)
        *ret = state;
    return fits;
}

static bool is_enough(int64_t limit, int64_t amount)
{
    return limit < 0 || amount <= limit;
}

bool budget_can_ever_fit(struct budget *budget, uint64_t providers, int64_t amount,
                         struct budget_state *ret)
{
    bool somewhere = providers == 0;
    for (size_t i = 0; i < budget->provider_count; i++)
        if ((providers & (1ULL << i)) && is_enough(budget->provider_limits[i], amount))
            somewhere = true;
    if (amount == 0)
        return true;
    if (!is_enough(budget->all_limit, amount))
        budget_all(budget, ret);
    else if (!is_enough(budget->owner_limit, amount))
        *ret = (struct budget_state){.scope = BUDGET_OWNER, .limit = budget->owner_limit};
    else if (!somewhere)
        budget_provider(budget, first_provider(providers), ret);
    else
        return true;
    return false;
}

bool budget_is_over(struct budget *budget, uid_t owner, size_t provider, struct budget_state *ret)
{
    budget_all(budget, ret);
    if (!has_room(ret, 0))
        return true;
    budget_owner(budget, owner, ret);
    if (!has_room(ret, 0))
        return true;
    if (provider >= budget->provider_count)
        return false;
    budget_provider(budget, provider, ret);
    return !has_room(ret, 0);
}

/* ---- those that wait ---- */

static bool goes_first(const struct budget_entry *a, const struct budget_entry *b)
{
    if (a->priority != b->priority)
        return a->priority > b->priority;
    return strcmp(a->id, b->id) < 0;
}

static bool less_held(const struct heap_node *a, const struct heap_node *b)
{
    return goes_first(heap_entry((void *)(uintptr_t)a, struct budget_entry, node),
                      heap_entry((void *)(uintptr_t)b, struct budget_entry, node));
}

static struct budget_lane *lane_for(struct budget *budget, uid_t owner, uint64_t providers)
{
    for (size_t i = 0; i < budget->lane_count; i++)
        if (budget->lanes[i]->owner == owner && budget->lanes[i]->providers == providers)
            return budget->lanes[i];
    struct budget_lane *lane = mem_alloc(sizeof(*lane));
    lane->owner = owner;
    lane->providers = providers;
    heap_init(&lane->held, less_held);
    budget->lanes = mem_resize(budget->lanes, budget->lane_count + 1, sizeof(lane));
    budget->lanes[budget->lane_count++] = lane;
    return lane;
}

void budget_hold(struct budget *budget, struct budget_entry *entry, uint64_t providers)
{
    budget_unhold(budget, entry);
    entry->lane = lane_for(budget, entry->owner, providers);
    heap_add(&entry->lane->held, &entry->node);
    budget->held++;
}

void budget_unhold(struct budget *budget, struct budget_entry *entry)
{
    if (!entry->lane)
        return;
    heap_remove(&entry->lane->held, &entry->node);
    entry->lane = NULL;
    budget->held--;
}

static struct budget_entry *first_of(const struct budget_lane *lane)
{
    struct heap_node *node = heap_first(&lane->held);
    return node ? heap_entry(node, struct budget_entry, node) : NULL;
}

static bool fits_but_for_all(struct budget *budget, const struct budget_lane *lane, int64_t amount)
{
    struct budget_state state;
    budget_owner(budget, lane->owner, &state);
    return amount == 0 || (has_room(&state, amount) &&
                           (!lane->providers ||
                            roomy_provider(budget, lane->providers, amount) != BUDGET_NOWHERE));
}

struct budget_entry *budget_next(struct budget *budget, size_t *ret_provider)
{
    struct budget_entry *next = NULL;
    struct budget_state all;
    for (size_t i = 0; i < budget->lane_count; i++) {
        struct budget_entry *first = first_of(budget->lanes[i]);
        if (first && (!next || goes_first(first, next)) &&
            fits_but_for_all(budget, budget->lanes[i], first->wants))
            next = first;
    }
    budget_all(budget, &all);
    if (!next || (next->wants > 0 && !has_room(&all, next->wants)))
        return NULL;
    *ret_provider = roomy_provider(budget, next->lane->providers, next->wants);
    budget_unhold(budget, next);
    return next;
}

size_t budget_held(const struct budget *budget)
{
    return budget->held;
}
