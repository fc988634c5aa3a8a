/* SPDX-License-Identifier: MIT */
#include "sessions/destination.h"

#include "plugin/base/mem.h"
#include "sessions/number.h"

#define DAY_S (24 * 60 * 60)
#define LOOK_AHEAD_S (2 * DAY_S)
#define STEPS_MAX 1024u

struct places {
    struct zone *v[NUMBER_ZONES_MAX];
    const char *names[NUMBER_ZONES_MAX];
    unsigned n;
};

static int places_open(struct places *p, struct str number, struct err *e)
{
    unsigned n = number_zones(number, p->names, NUMBER_ZONES_MAX);
    int rc = 0;

    for (p->n = 0; rc == 0 && p->n < n; p->n += rc == 0)
        rc = zone_open(&p->v[p->n], p->names[p->n], e);
    return rc;
}

static void places_close(struct places *p)
{
    for (unsigned i = 0; i < p->n; i++)
        zone_free(p->v[i]);
}

/* Seconds until the quiet hours around t end there by today's clock; 0: it is not quiet. */
static int64_t quiet_left_s(const struct zone *zone, int64_t t, const struct zone_hours *hours)
{
    int64_t local = t + zone_offset_s(zone, t);
    int64_t second = ((local % DAY_S) + DAY_S) % DAY_S, left, ahead;

    if (!zone_hours_has(hours, (int)(second / 60)))
        return 0;
    left = (int64_t)hours->to_min * 60 - second;
    left = left > 0 ? left : left + DAY_S;
    /* A clock that is put forward on the way gets there sooner. */
    ahead = zone_offset_s(zone, t + left) - zone_offset_s(zone, t);
    return ahead > 0 && ahead < left ? left - ahead : left;
}

/* The first zone that is quiet at t, or -1; *left until it is not any more. */
static int quiet_at(const struct places *p, int64_t t, const struct zone_hours *hours, int64_t *left)
{
    for (unsigned i = 0; i < p->n; i++) {
        *left = quiet_left_s(p->v[i], t, hours);
        if (*left > 0)
            return (int)i;
    }
    return -1;
}

/* Where a clock was put back on the way, the next step looks again. */
static uint64_t quiet_end_ms(const struct places *p, int64_t now, const struct zone_hours *hours)
{
    int64_t t = now, left;

    for (unsigned i = 0; i < STEPS_MAX && t - now <= LOOK_AHEAD_S; i++) {
        if (quiet_at(p, t, hours, &left) < 0)
            return (uint64_t)t * 1000;
        t += left;
    }
    return 0;
}

int destination_quiet_ask(struct destination_quiet *out, struct str number, uint64_t wall_ms,
                          const struct zone_hours *hours, struct err *e)
{
    struct places places = {.n = 0};
    int64_t now = (int64_t)(wall_ms / 1000), left;
    int at, rc;

    *out = (struct destination_quiet){.quiet = false};
    if (!hours->set)
        return 0;
    rc = places_open(&places, number, e);
    at = rc == 0 ? quiet_at(&places, now, hours, &left) : -1;
    if (at >= 0) {
        out->quiet = true;
        out->zone = places.names[at];
        out->until_ms = quiet_end_ms(&places, now, hours);
    }
    places_close(&places);
    return rc;
}
