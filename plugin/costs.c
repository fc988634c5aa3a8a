/* SPDX-License-Identifier: MIT */
#include "plugin/costs.h"

#include "memory/charge.h"
#include "plugin/app.h"
#include "plugin/base/clock.h"
#include "plugin/base/id.h"
#include "plugin/base/json.h"
#include "plugin/base/mem.h"
#include "plugin/base/zone.h"
#include "plugin/config/config.h"

#include <stdio.h>
#include <time.h>

#define FIRST_SLOTS 64u
#define CALLERS_MAX 65536u /* those beyond it count for the day alone */

struct spender { /* a caller; key 0: the place is free */
    uint64_t key;
    uint64_t spent, since, held; /* since: of spent, after the reading began that is under way */
    unsigned stage;
};

struct costs {
    struct app *app;
    struct zone *zone; /* NULL: this machine's */
    struct cost_caps caps;
    uint64_t seed;
    uint32_t day;
    bool ready, loading, again;
    uint64_t spent, since, held;
    unsigned stage;
    struct spender *v;
    unsigned n, cap;
};

/* ---- Callers ---- */

static uint64_t key_of(const struct costs *cs, struct str number)
{
    uint64_t key = id_hash(number, cs->seed);

    return key ? key : 1;
}

static struct spender *place(struct spender *v, unsigned cap, uint64_t key)
{
    unsigned at = (unsigned)key & (cap - 1);

    while (v[at].key != 0 && v[at].key != key)
        at = (at + 1) & (cap - 1);
    return &v[at];
}

static bool grow(struct costs *cs)
{
    unsigned cap = cs->cap > 0 ? 2 * cs->cap : FIRST_SLOTS;
    struct spender *v = mem_zalloc(cap * sizeof *v);

    if (v == NULL)
        return false;
    for (unsigned i = 0; i < cs->cap; i++)
        if (cs->v[i].key != 0)
            *place(v, cap, cs->v[i].key) = cs->v[i];
    mem_free(cs->v);
    cs->v = v;
    cs->cap = cap;
    return true;
}

/* NULL: not known, or with `make` no place for it. */
static struct spender *find(struct costs *cs, struct str number, bool make)
{
    uint64_t key = key_of(cs, number);
    struct spender *s;

    if (cs->cap > 0 && (s = place(cs->v, cs->cap, key))->key == key)
        return s;
    if (!make || cs->n == CALLERS_MAX || (cs->n * 2 >= cs->cap && !grow(cs)))
        return NULL;
    s = place(cs->v, cs->cap, key);
    s->key = key;
    cs->n++;
    return s;
}

/* ---- Days ---- */

static uint32_t day_now(const struct costs *cs)
{
    time_t at = (time_t)(clock_wall_ms() / 1000);
    struct tm tm = {0};

    if (cs->zone == NULL) {
        (void)localtime_r(&at, &tm);
    } else {
        at += zone_offset_s(cs->zone, at);
        (void)gmtime_r(&at, &tm);
    }
    return (uint32_t)(tm.tm_year + 1900) * 10000u + (uint32_t)(tm.tm_mon + 1) * 100u + (uint32_t)tm.tm_mday;
}

static void on_day(void *arg, int rc, uint64_t total, const struct charge_sum *sums, unsigned n)
{
    struct costs *cs = arg;

    cs->loading = false;
    if (cs->again) { /* meanwhile there was a reason to read anew */
        cs->again = false;
        costs_reload(cs);
        return;
    }
    cs->ready = true;
    if (rc < 0) {
        log_error(&cs->app->log, "what calls cost today could not be read (%s): limits count from now on",
                  err_name(rc));
        return;
    }
    cs->spent = total + cs->since;
    for (unsigned i = 0; i < cs->cap; i++)
        cs->v[i].spent = cs->v[i].since;
    for (unsigned i = 0; i < n; i++) {
        struct spender *s = find(cs, sums[i].number, true);

        if (s != NULL)
            s->spent += sums[i].nano;
    }
}

void costs_reload(struct costs *cs)
{
    if (cs->loading) {
        cs->again = true;
        return;
    }
    cs->since = 0;
    for (unsigned i = 0; i < cs->cap; i++)
        cs->v[i].since = 0;
    cs->loading = true;
    if (cs->app->store != NULL && charge_day(cs->app->store, cs->day, on_day, cs) == 0)
        return;
    cs->loading = false;
    cs->ready = true;
    log_error(&cs->app->log, "what calls cost today cannot be read: limits count from now on");
}

/* What is held for live calls stays held. A clock that jumps back finds the rows of that day again. */
static void look_at_day(struct costs *cs)
{
    uint32_t day = day_now(cs);

    if (day == cs->day)
        return;
    cs->day = day;
    cs->spent = cs->stage = 0;
    for (unsigned i = 0; i < cs->cap; i++)
        cs->v[i].spent = cs->v[i].stage = 0;
    costs_reload(cs);
}

int costs_open(struct costs **out, struct app *app, struct err *e)
{
    const struct config *c = app->config;
    struct costs *cs = MEM_NEW(struct costs);
    int rc = cs == NULL ? ERR_NOMEM : id_random(&cs->seed, sizeof cs->seed);

    if (rc == 0 && c->costs.time_zone[0] != '\0')
        rc = zone_open(&cs->zone, c->costs.time_zone, e);
    if (rc < 0) {
        mem_free(cs);
        return rc;
    }
    cs->app = app;
    cs->caps = c->costs.caps;
    cs->day = day_now(cs);
    costs_reload(cs);
    *out = cs;
    return 0;
}

void costs_close(struct costs *cs)
{
    if (cs == NULL)
        return;
    zone_free(cs->zone);
    mem_free(cs->v);
    mem_free(cs);
}

bool costs_ready(const struct costs *cs)
{
    return cs->ready || !cost_capped(&cs->caps);
}

/* ---- Deciding ---- */

static void spent_of(struct costs *cs, struct str number, uint64_t own_held, struct cost_spent *out)
{
    const struct spender *s = find(cs, number, false);

    *out = (struct cost_spent){.day = cs->spent, .day_held = cs->held - own_held};
    if (s != NULL) {
        out->caller_day = s->spent;
        out->caller_held = s->held > own_held ? s->held - own_held : 0;
    }
}

enum cost_cap costs_refusal(struct costs *cs, struct str number)
{
    struct cost_spent spent;

    look_at_day(cs);
    spent_of(cs, number, 0, &spent);
    return cost_refusal(&cs->caps, &spent);
}

void costs_budget(struct costs *cs, const struct costs_call *c, struct str number, uint64_t nano, bool known,
                  struct cost_budget *out)
{
    struct cost_spent spent;

    look_at_day(cs);
    spent_of(cs, number, c->held, &spent);
    spent.call = nano;
    cost_budget_of(out, &cs->caps, &spent, known);
}

/* 0, 1: the others are to be warned, 2: they are to end. */
static unsigned stage_of(uint64_t cap, uint64_t spent, uint64_t held)
{
    return cap == COST_NONE ? 0 : spent + held > cap ? 2 : spent >= cap / 5 * 4 ? 1 : 0;
}

void costs_hold(struct costs *cs, struct costs_call *c, struct str number, uint64_t held)
{
    struct spender *s = find(cs, number, held > 0);

    cs->held = cs->held - c->held + held;
    if (s != NULL)
        s->held = (s->held > c->held ? s->held - c->held : 0) + held;
    c->held = held;
}

bool costs_add(struct costs *cs, struct costs_call *c, struct str number, uint64_t nano, uint64_t held)
{
    struct spender *s = find(cs, number, true);
    unsigned day, caller = 0;
    bool nearer;

    look_at_day(cs);
    if (c->day != cs->day) {
        c->day = cs->day;
        c->day_nano = 0;
    }
    c->day_nano += nano;
    cs->spent += nano;
    cs->since += nano;
    costs_hold(cs, c, number, held);
    day = stage_of(cs->caps.day, cs->spent, cs->held);
    nearer = day > cs->stage;
    cs->stage = day > cs->stage ? day : cs->stage;
    if (s == NULL)
        return nearer;
    s->spent += nano;
    s->since += nano;
    caller = stage_of(cs->caps.caller_day, s->spent, s->held);
    nearer = nearer || caller > s->stage;
    s->stage = caller > s->stage ? caller : s->stage;
    return nearer;
}

/* ---- Showing ---- */

static void put_usd(struct buf *out, const char *key, uint64_t nano)
{
    char text[32];

    cost_usd_write(text, sizeof text, nano);
    jw_kraw(out, key, nano == COST_NONE ? STR("null") : str_of(text));
}

void costs_write(struct costs *cs, struct buf *out)
{
    char day[24];

    look_at_day(cs);
    (void)snprintf(day, sizeof day, "%04u-%02u-%02u", cs->day / 10000, cs->day / 100 % 100, cs->day % 100);
    jw_open(out, '{');
    jw_kstrc(out, "day", day);
    put_usd(out, "spent_usd", cs->spent);
    put_usd(out, "per_call_usd", cs->caps.call);
    put_usd(out, "per_caller_day_usd", cs->caps.caller_day);
    put_usd(out, "per_day_usd", cs->caps.day);
    jw_close(out, '}');
}
