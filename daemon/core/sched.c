#include "daemon/core/sched.h"

#include <stdlib.h>

#include "daemon/core/sched_lists.h"
#include "proto/mem.h"

#define BUSY_MS 1000 /* how long the one whose turn it is keeps a job waiting for an answer */

static bool less_delayed(const struct heap_node *a, const struct heap_node *b)
{
    return sched_entry_of((struct heap_node *)(uintptr_t)a)->not_before <
           sched_entry_of((struct heap_node *)(uintptr_t)b)->not_before;
}

struct sched *sched_new(const struct sched_provider *providers, size_t count,
                        unsigned in_flight_max)
{
    struct sched *sched = mem_alloc(sizeof(*sched));
    sched->providers = mem_alloc((count + 1) * sizeof(*sched->providers));
    sched->provider_count = count;
    sched->forget_at = SCHED_PAIRS_MAX;
    heap_init(&sched->delayed, less_delayed);
    sched_set_limits(sched, providers, in_flight_max);
    return sched;
}

void sched_set_limits(struct sched *sched, const struct sched_provider *providers,
                      unsigned in_flight_max)
{
    sched->in_flight_max = in_flight_max;
    for (size_t i = 0; i < sched->provider_count; i++) {
        sched->providers[i].weight = providers[i].weight;
        sched->providers[i].limits = providers[i].limits;
    }
    for (size_t i = 0; i < sched->pair_count; i++)
        sched->pairs[i]->pace.limits = providers[sched->pairs[i]->provider].limits;
}

void sched_free(struct sched *sched)
{
    if (!sched)
        return;
    for (size_t i = 0; i < sched->provider_count; i++)
        free(sched->providers[i].reason);
    heap_free(&sched->delayed);
    sched_free_lists(sched);
    free(sched->providers);
    free(sched);
}

void sched_add(struct sched *sched, struct sched_entry *entry)
{
    entry->delayed = true;
    entry->queue = NULL;
    heap_add(&sched->delayed, &entry->node);
    sched->waiting++;
}

void sched_remove(struct sched *sched, struct sched_entry *entry)
{
    if (entry->node.place == 0)
        return;
    sched->waiting--;
    if (entry->delayed)
        heap_remove(&sched->delayed, &entry->node);
    else
        sched_leave_queue(sched, entry);
}

static void ripen(struct sched *sched, int64_t now)
{
    for (struct heap_node *node; (node = heap_first(&sched->delayed));) {
        struct sched_entry *entry = sched_entry_of(node);
        if (entry->not_before > now)
            return;
        heap_remove(&sched->delayed, node);
        entry->delayed = false;
        sched_join_queue(sched, entry);
    }
}

/* ---- picking ---- */

/* When the pair takes a submission, by time alone. */
static int64_t pair_opens(const struct sched *sched, const struct sched_pair *pair, int64_t now)
{
    const struct provider_state *provider = &sched->providers[pair->provider];
    int64_t opens = provider->unready ? INT64_MAX : pace_opens(&pair->pace, now);
    return provider->gate.shut_until > opens ? provider->gate.shut_until : opens;
}

/* It would be open but for an answer that can't be long in coming: worth waiting for, or the
 * weights would mean nothing as soon as there is much to do. */
static bool is_momentarily_busy(const struct sched *sched, const struct sched_pair *pair,
                                int64_t now)
{
    const struct provider_state *provider = &sched->providers[pair->provider];
    return !provider->unready && provider->gate.shut_until <= now && pace_is_busy(&pair->pace) &&
           pair->pace.gate.shut_until <= now && now - pair->last_news_at < BUSY_MS;
}

static int64_t weight_of(const struct sched *sched, const struct sched_pair *pair)
{
    return sched->providers[pair->provider].weight;
}

/* Whose turn it is among those that could take it; NULL: none could, or he is busy. */
static struct sched_pair *choose(const struct sched *sched, const struct sched_queue *queue,
                                 int64_t now)
{
    struct sched_pair *best = NULL, *fallback = NULL;
    for (size_t i = 0; i < queue->pair_count; i++) {
        struct sched_pair *pair = queue->pairs[i];
        if (pair_opens(sched, pair, now) > now && !is_momentarily_busy(sched, pair, now))
            continue;
        int64_t weight = weight_of(sched, pair);
        if (weight == 0)
            fallback = fallback ? fallback : pair;
        else if (!best || pair->turn + weight > best->turn + weight_of(sched, best))
            best = pair;
    }
    best = best ? best : fallback;
    return best && pair_opens(sched, best, now) <= now ? best : NULL;
}

/* Smooth weighted round robin: all who could have had it come nearer to their turn. */
static void take_turn(const struct sched *sched, const struct sched_queue *queue,
                      struct sched_pair *chosen, int64_t now)
{
    for (size_t i = 0; i < queue->pair_count; i++) {
        struct sched_pair *pair = queue->pairs[i];
        if (pair_opens(sched, pair, now) > now && !is_momentarily_busy(sched, pair, now))
            continue;
        pair->turn += weight_of(sched, pair);
        chosen->turn -= weight_of(sched, pair);
    }
}

static struct sched_entry *best_head(const struct sched *sched, int64_t now,
                                     struct sched_pair **ret_pair)
{
    struct sched_entry *first = NULL;
    for (size_t i = 0; i < sched->queue_count; i++) {
        struct sched_entry *entry = sched_entry_of(heap_first(&sched->queues[i]->ready));
        if (first && !sched_goes_first(entry, first))
            continue;
        struct sched_pair *pair = choose(sched, sched->queues[i], now);
        if (!pair)
            continue;
        first = entry;
        *ret_pair = pair;
    }
    return first;
}

static void put_in_flight(struct sched *sched, struct sched_entry *entry, struct sched_pair *pair)
{
    entry->pair = pair;
    sched->in_flight++;
}

struct sched_entry *sched_pick(struct sched *sched, int64_t now, size_t *ret_provider)
{
    struct sched_pair *pair = NULL;
    ripen(sched, now);
    if (sched->in_flight >= sched->in_flight_max)
        return NULL;
    struct sched_entry *entry = best_head(sched, now, &pair);
    if (!entry)
        return NULL;
    take_turn(sched, entry->queue, pair, now);
    put_in_flight(sched, entry, pair);
    entry->ticket = pace_take(&pair->pace, now);
    entry->is_unanswered = true;
    pair->last_news_at = now;
    sched_remove(sched, entry);
    *ret_provider = pair->provider;
    return entry;
}

void sched_took_off(struct sched *sched, struct sched_entry *entry, size_t provider)
{
    if (entry->pair)
        return;
    put_in_flight(sched, entry, sched_get_pair(sched, provider, entry->model));
    pace_took_off(&entry->pair->pace);
}

void sched_landed(struct sched *sched, struct sched_entry *entry)
{
    if (!entry->pair)
        return;
    sched_answered(sched, entry);
    pace_landed(&entry->pair->pace);
    entry->pair = NULL;
    sched->in_flight--;
}

void sched_put_back(struct sched *sched, struct sched_entry *entry)
{
    if (entry->is_unanswered) {
        entry->is_unanswered = false;
        pace_put_back(&entry->pair->pace);
        entry->pair = NULL;
        sched->in_flight--;
    }
    sched_landed(sched, entry);
}

static int64_t queue_opens(const struct sched *sched, const struct sched_queue *queue, int64_t now)
{
    int64_t next = INT64_MAX;
    if (choose(sched, queue, now))
        return now;
    for (size_t i = 0; i < queue->pair_count; i++) {
        const struct sched_pair *pair = queue->pairs[i];
        int64_t opens = pair_opens(sched, pair, now);
        if (is_momentarily_busy(sched, pair, now))
            opens = pair->last_news_at + BUSY_MS; /* then the others needn't wait for it */
        if (opens > now && opens < next)
            next = opens;
    }
    return next;
}

int64_t sched_next(struct sched *sched, int64_t now)
{
    ripen(sched, now);
    if (sched->in_flight >= sched->in_flight_max)
        return INT64_MAX;
    struct heap_node *node = heap_first(&sched->delayed);
    int64_t next = node ? sched_entry_of(node)->not_before : INT64_MAX;
    for (size_t i = 0; i < sched->queue_count && next > now; i++) {
        int64_t opens = queue_opens(sched, sched->queues[i], now);
        next = opens < next ? opens : next;
    }
    return next;
}

/* ---- answers ---- */

static bool is_answer(struct sched_entry *entry, int64_t now)
{
    bool is_answer = entry->is_unanswered;
    entry->is_unanswered = false;
    if (is_answer && now > entry->pair->last_news_at)
        entry->pair->last_news_at = now;
    return is_answer;
}

void sched_accepted(struct sched *sched, struct sched_entry *entry, int64_t now)
{
    if (!is_answer(entry, now))
        return;
    sched->providers[entry->pair->provider].gate.times = 0;
    pace_accepted(&entry->pair->pace, entry->ticket, now);
}

void sched_answered(struct sched *sched, struct sched_entry *entry)
{
    (void)sched;
    if (is_answer(entry, 0))
        pace_answered(&entry->pair->pace);
}

static void set_reason(char **reason, const char *text)
{
    free(*reason);
    *reason = mem_strdup(text);
}

/* Those that were under way when it was shut come back with the same news. */
static bool shut_provider(struct provider_state *provider, int64_t now,
                          const struct sched_refusal *refusal, const struct backoff *backoff)
{
    bool was_open = provider->gate.shut_until <= now;
    if (!was_open && refusal->delay < 0)
        return false;
    gate_shut(&provider->gate, now, refusal->delay, backoff, refusal->random);
    set_reason(&provider->reason, refusal->reason);
    return was_open;
}

bool sched_turned_away(struct sched *sched, struct sched_entry *entry, int64_t now,
                       const struct sched_refusal *refusal)
{
    if (!is_answer(entry, now))
        return false;
    struct sched_pair *pair = entry->pair;
    if (refusal->is_everywhere) {
        pace_answered(&pair->pace);
        return shut_provider(&sched->providers[pair->provider], now, refusal,
                             &pair->pace.limits.backoff);
    }
    bool was_open = pair->pace.gate.shut_until <= now;
    pace_turned_away(&pair->pace, entry->ticket, now, refusal->delay, refusal->slows,
                     refusal->random);
    set_reason(&pair->reason, refusal->reason);
    return was_open && pair->pace.gate.shut_until > now;
}

void sched_set_ready(struct sched *sched, size_t provider, bool ready)
{
    sched->providers[provider].unready = !ready;
}

/* ---- what there is to see ---- */

size_t sched_waiting(const struct sched *sched)
{
    return sched->waiting;
}

unsigned sched_in_flight(const struct sched *sched)
{
    return sched->in_flight;
}

unsigned sched_in_flight_max(const struct sched *sched)
{
    return sched->in_flight_max;
}

static void look(const struct sched *sched, const struct sched_pair *pair, int64_t now,
                 struct sched_view *ret)
{
    const struct provider_state *provider = &sched->providers[pair->provider];
    bool everywhere = provider->gate.shut_until > pair->pace.gate.shut_until;
    *ret = (struct sched_view){
        .provider = pair->provider,
        .model = pair->model,
        .in_flight = pair->pace.in_flight,
        .in_flight_max = pair->pace.limits.in_flight_max,
        .unanswered = pair->pace.unanswered,
        .per_minute = pace_per_minute(&pair->pace),
        .shut_until = everywhere ? provider->gate.shut_until : pair->pace.gate.shut_until,
        .opens = pair_opens(sched, pair, now),
        .reason = everywhere ? provider->reason : pair->reason,
        .is_ready = !provider->unready,
    };
}

bool sched_look(const struct sched *sched, size_t provider, const char *model, int64_t now,
                struct sched_view *ret)
{
    const struct sched_pair *pair = sched_find_pair(sched, provider, model);
    if (pair)
        look(sched, pair, now, ret);
    return pair != NULL;
}

bool sched_look_at(const struct sched *sched, size_t index, int64_t now, struct sched_view *ret)
{
    if (index >= sched->pair_count)
        return false;
    look(sched, sched->pairs[index], now, ret);
    return true;
}
