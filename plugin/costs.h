/* SPDX-License-Identifier: MIT */
#ifndef PLUGIN_COSTS_H
#define PLUGIN_COSTS_H
/*
 * What was spent today, in all and by each caller, and what of it is left: sums in memory over the rows of
 * memory/charge.h, so that a webhook is decided without a wait. A day is one of costs.voice.time_zone. What to do about
 * it is decided in plugin/call/cost.c. Owner: the app; loop thread.
 */
#include "plugin/base/buf.h"
#include "plugin/base/err.h"
#include "plugin/call/cost.h"

struct app;
struct costs;

/* Begins to read today's rows. ERR_NOMEM; ERR_NOT_FOUND and others of zone_open(). */
int costs_open(struct costs **out, struct app *app, struct err *e);
void costs_close(struct costs *cs); /* the store is closed: no answer is under way */
/* Calls of another run were taken over: what they cost until then is read again. */
void costs_reload(struct costs *cs);
/* False while there is a limit and today's rows are not read yet: nothing can be decided. */
bool costs_ready(const struct costs *cs);

/* Whether a new call with this number ("" withheld) may be taken: a limit that is used up, or COST_CAP_NONE. */
enum cost_cap costs_refusal(struct costs *cs, struct str number);

struct costs_call { /* one live call's part, kept by its owner; zero at first */
    uint64_t day_nano;  /* on `day` */
    uint32_t day;
    uint64_t held;      /* for its goodbye */
};
/* nano: what it cost so far; held: what to keep back for it. */
void costs_budget(struct costs *cs, const struct costs_call *c, struct str number, uint64_t nano, bool known,
                  struct cost_budget *out);
/*
 * It cost so much more; held: what is to be kept back for it now. Fills in c. True: a limit of a day is nearer to its
 * end than other live calls were told (80 %, or reached).
 */
bool costs_add(struct costs *cs, struct costs_call *c, struct str number, uint64_t nano, uint64_t held);
/* Keeps this back for it from now on; 0 when it ends. */
void costs_hold(struct costs *cs, struct costs_call *c, struct str number, uint64_t held);
/* {"day","spent_usd","per_call_usd",...} for /status; limits that are not set are null. */
void costs_write(struct costs *cs, struct buf *out);

#endif
