#include "daemon/core/pace.h"

#include <math.h>
#include <stddef.h>

#define MINUTE_MS    60000
#define WINDOW_START 2
#define BUCKET_MS    2000 /* what may be saved up */
#define PAUSE_MS     5000 /* without a submission: there was nothing to submit */
#define FORGET_MS    (10 * MINUTE_MS)
#define SAFETY       0.97 /* of what was measured */
#define CUT          0.95 /* of the rate, at least, when it proved too high */
#define RISE         0.01 /* of the measured rate, in the first round */
#define RISE_MORE    0.02 /* with the square of the rounds */
#define ROUND_LEAST  10   /* submissions */
#define RISE_GUESS   0.2  /* a round, while it is a guess */
#define SURE         8    /* submissions that make a measure more than a guess */
#define BELIEVED     3    /* delays in a row that were too short */

void gate_shut(struct gate *gate, int64_t now, int64_t delay, const struct backoff *backoff,
               double random)
{
    int doubts = delay < 0 ? gate->times : gate->times - BELIEVED;
    int64_t waits = doubts >= 0 ? backoff_delay(backoff, doubts, random) : 0;
    delay = waits > delay ? waits : delay;
    gate->times++;
    if (now + delay > gate->shut_until)
        gate->shut_until = now + delay;
}

void pace_init(struct pace *pace, const struct pace_limits *limits)
{
    *pace =
        (struct pace){.limits = *limits, .window = WINDOW_START, .round = ROUND_LEAST, .tokens = 1};
}

/* A ms; 0: none. */
static double bound(const struct pace *pace)
{
    double ceiling = pace->limits.per_minute / MINUTE_MS;
    return ceiling > 0 && (pace->rate <= 0 || ceiling < pace->rate) ? ceiling : pace->rate;
}

static double tokens_at(const struct pace *pace, int64_t now)
{
    double depth = fmax(1, bound(pace) * BUCKET_MS);
    return fmin(depth, pace->tokens + bound(pace) * (double)(now - pace->filled_at));
}

static unsigned unanswered_max(const struct pace *pace)
{
    if (pace->probing)
        return 1;
    unsigned window = (unsigned)pace->window;
    return window < pace->limits.unanswered_max ? window : pace->limits.unanswered_max;
}

static bool is_capped(const struct pace *pace)
{
    return pace->limits.in_flight_max > 0 && pace->in_flight >= pace->limits.in_flight_max;
}

bool pace_is_busy(const struct pace *pace)
{
    return pace->unanswered >= unanswered_max(pace) && !is_capped(pace);
}

int64_t pace_opens(const struct pace *pace, int64_t now)
{
    if (is_capped(pace) || pace->unanswered >= unanswered_max(pace))
        return INT64_MAX;
    int64_t opens = pace->gate.shut_until;
    double rate = bound(pace);
    double tokens = tokens_at(pace, now);
    if (rate > 0 && tokens < 1) {
        int64_t filled = now + (int64_t)ceil((1 - tokens) / rate);
        opens = filled > opens ? filled : opens;
    }
    return opens;
}

static void begin_measure(struct pace *pace, int64_t at, bool from_gate)
{
    pace->begun_at = at;
    pace->accepted = 0;
    pace->from_gate = from_gate;
    pace->is_cut = false;
}

/* What was accepted in a time that had pauses says nothing of the quota. */
static void notice_pause(struct pace *pace, int64_t now)
{
    double rate = bound(pace);
    double usual = PAUSE_MS + (rate > 0 ? 2 / rate : 0);
    int64_t since = pace->last_at > pace->gate.shut_until ? pace->last_at : pace->gate.shut_until;
    int64_t pause = now - since;
    if (pace->last_at > 0 && (double)pause <= usual)
        return;
    begin_measure(pace, pace->probing ? 0 : now, false);
    pace->opened_at = 0;
    if (pace->last_at == 0 || pause < FORGET_MS)
        return;
    pace->rate = pace->sum = pace->sum_ms = 0;
    pace->round = ROUND_LEAST;
    pace->window = WINDOW_START;
}

struct pace_ticket pace_take(struct pace *pace, int64_t now)
{
    notice_pause(pace, now);
    pace->tokens = fmax(0, tokens_at(pace, now) - 1);
    pace->filled_at = now;
    pace->last_at = now;
    pace->in_flight++;
    pace->unanswered++;
    return (struct pace_ticket){pace->epoch};
}

void pace_took_off(struct pace *pace)
{
    pace->in_flight++;
}

void pace_landed(struct pace *pace)
{
    pace->in_flight--;
}

void pace_put_back(struct pace *pace)
{
    pace->in_flight--;
    pace->unanswered--;
    pace->tokens++;
}

void pace_answered(struct pace *pace)
{
    pace->unanswered--;
}

static void set_rate(struct pace *pace, double rate, bool is_guess)
{
    pace->rate = pace->base = pace->rate > 0 && rate > pace->rate ? pace->rate : rate;
    pace->rises = 0;
    pace->is_guess = is_guess;
}

/* What was measured with few submissions can be far off, so it takes as few to leave it behind. */
static void rise(struct pace *pace)
{
    bool is_unsure = pace->sum > 0 && pace->sum < SURE;
    double round = is_unsure ? 2 * pace->sum : pace->round;
    round = fmin(round, pace->base * MINUTE_MS);
    double rounds = pace->rises++ / round;
    double slope = pace->is_guess ? RISE_GUESS : RISE + 2 * RISE_MORE * rounds;
    pace->rate += pace->base * slope / round;
}

/* The first is accepted after a gate that was shut for too many. */
static void measure(struct pace *pace, int64_t now)
{
    double time = fmax(1, (double)(now - pace->begun_at));
    if (pace->begun_at == 0 || pace->accepted < 1)
        return;
    if (!pace->from_gate) {
        pace->round = fmax(pace->round, pace->accepted);
        set_rate(pace, SAFETY * pace->accepted / time, true);
        return;
    }
    pace->sum = pace->sum / 2 + pace->accepted;
    pace->sum_ms = pace->sum_ms / 2 + time;
    set_rate(pace, SAFETY * pace->sum / pace->sum_ms, pace->sum < SURE);
}

static void reopen(struct pace *pace, int64_t now)
{
    if (pace->is_cut) {
        measure(pace, now);
        begin_measure(pace, now, pace->begun_at != 0);
    }
    pace->probing = false;
    pace->opened_at = 0;
}

void pace_accepted(struct pace *pace, struct pace_ticket ticket, int64_t now)
{
    pace->unanswered--;
    if (ticket.epoch == pace->epoch && pace->probing)
        reopen(pace, now);
    pace->accepted++;
    if (ticket.epoch != pace->epoch)
        return;
    pace->gate.times = 0;
    if (pace->opened_at == 0)
        pace->opened_at = now;
    if (pace->rate > 0)
        rise(pace);
    pace->window = fmin(pace->window + 1 / pace->window, pace->limits.unanswered_max);
}

static void cut(struct pace *pace)
{
    pace->is_cut = true;
    pace->rate *= CUT;
    pace->base = pace->rate;
    pace->rises = 0;
}

void pace_turned_away(struct pace *pace, struct pace_ticket ticket, int64_t now, int64_t delay,
                      bool slows, double random)
{
    pace->unanswered--;
    if (ticket.epoch != pace->epoch) {
        if (delay > 0 && pace->gate.shut_until > now && now + delay > pace->gate.shut_until)
            pace->gate.shut_until = now + delay;
        return;
    }
    if (!slows)
        begin_measure(pace, 0, false);
    else if (!pace->probing)
        cut(pace);
    gate_shut(&pace->gate, now, delay, &pace->limits.backoff, random);
    int64_t minute = pace->opened_at + MINUTE_MS;
    if (slows && delay < 0 && pace->opened_at > 0 && minute > now && minute < pace->gate.shut_until)
        pace->gate.shut_until = minute;
    pace->window = slows ? 1 : fmax(WINDOW_START, pace->window / 2);
    pace->tokens = 0;
    pace->filled_at = now;
    pace->probing = true;
    pace->epoch++;
}

double pace_per_minute(const struct pace *pace)
{
    return bound(pace) * MINUTE_MS;
}
