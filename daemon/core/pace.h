/* How fast submissions may go to one model of one provider, so that they find its quota by
 * themselves and hardly ever exceed it. Pure: times are the caller's steady clock in ms.
 *
 * Submissions without an answer yet are held within a window that grows with each one accepted;
 * no rate is known until the provider turns one away (429). From two such moments the quota is
 * known: what was accepted between them, by the time between them. A little less is then the rate,
 * and it rises again, slowly at first, the faster the longer nothing happens. A gate that opens
 * lets one submission through before the others. Whoever stays below his means is soon without a
 * rate again. */
#ifndef VEO_PACE_H
#define VEO_PACE_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/core/backoff.h"

/* Shut for a while, the longer the more often in a row. */
struct gate {
    int64_t shut_until; /* 0: never was */
    int times;          /* in a row */
};
/* For `delay` ms, or with delay < 0 as long as the back-off says. A delay that proved too short
 * several times in a row is no longer believed. Never opens it earlier. */
void gate_shut(struct gate *gate, int64_t now, int64_t delay, const struct backoff *backoff,
               double random);

struct pace_limits {
    double per_minute;       /* submissions, the ceiling; 0: none */
    unsigned in_flight_max;  /* 0: none */
    unsigned unanswered_max; /* submissions between request and answer */
    struct backoff backoff;  /* of the gate */
};

struct pace {
    struct pace_limits limits;
    struct gate gate;
    unsigned epoch; /* one more with each gate */
    bool probing;   /* nothing was accepted since the gate */
    unsigned in_flight;
    unsigned unanswered;
    double window; /* how many may be unanswered */

    double rate;   /* learned, a ms; 0: none */
    double base;   /* what it was when it was measured */
    double rises;  /* submissions accepted since then */
    double round;  /* as many as were accepted before the first was turned away: the quota's size */
    bool is_guess; /* measured from the first submission only */
    double tokens;
    int64_t filled_at;

    int64_t last_at;   /* of a submission; 0: none yet */
    int64_t opened_at; /* the first submission since a gate or a pause */
    int64_t begun_at;  /* of those counted here; 0: they don't count */
    double accepted;
    bool from_gate;     /* begun_at is the end of a gate */
    bool is_cut;        /* turned away since */
    double sum, sum_ms; /* of such measures, the older for less */
};

/* Given to whoever submits, so that old news are known as such. */
struct pace_ticket {
    unsigned epoch;
};

void pace_init(struct pace *pace, const struct pace_limits *limits);

/* When the next may go, if nothing else happens than time: at once if not after `now`;
 * INT64_MAX: only an answer or an ending makes room. */
int64_t pace_opens(const struct pace *pace, int64_t now);
/* As long as it lasts, it is room for an answer only that is missing. */
bool pace_is_busy(const struct pace *pace);

/* One goes. It is in flight until pace_landed, and unanswered until one of those below. */
struct pace_ticket pace_take(struct pace *pace, int64_t now);
void pace_took_off(struct pace *pace); /* it is in flight since before a restart */
void pace_landed(struct pace *pace);
/* It was not sent after all: as if it had never been taken. */
void pace_put_back(struct pace *pace);

void pace_accepted(struct pace *pace, struct pace_ticket ticket, int64_t now);
/* Neither accepted nor turned away, or never sent. */
void pace_answered(struct pace *pace);
/* `slows`: there were too many of them (429), and not only too many of everybody's (503). `delay`
 * as in gate_shut. */
void pace_turned_away(struct pace *pace, struct pace_ticket ticket, int64_t now, int64_t delay,
                      bool slows, double random);

/* Submissions a minute; 0: no bound is known. */
double pace_per_minute(const struct pace *pace);

#endif
