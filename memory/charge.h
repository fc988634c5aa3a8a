/* SPDX-License-Identifier: MIT */
#ifndef MEMORY_CHARGE_H
#define MEMORY_CHARGE_H
/*
 * What calls cost, as rows: one for each call and day, with what the call has cost on that day so far. Written over
 * at each response, so a write that is repeated changes nothing; a day's sums are read, never kept. Loop thread;
 * answers come like the journal's. A row outlives its call by a day, so that a limit cannot be emptied by forgetting.
 */
#include "memory/store.h"

struct charge {
    struct str call, number; /* number: E.164, or "" */
    uint32_t day;            /* 20261123, in the zone of costs.voice.time_zone */
    uint64_t nano;           /* nano-dollars (plugin/call/cost.h), of the call on this day */
    struct str response;     /* what was counted last */
};
/* If this instance drives the call; else nothing is written, and nobody told. STORE_RETRY. */
int charge_put(struct store *s, const struct charge *c);

struct charge_sum {
    struct str number; /* borrowed for the callback; "" all callers without one together */
    uint64_t nano;
};
#define CHARGE_SUMS_MAX 65536u /* callers of a day, the dearest first */
typedef void charge_day_fn(void *arg, int rc, uint64_t total, const struct charge_sum *sums, unsigned n);
/* What was spent on a day, in all and by each caller. Drops rows of days before `day` whose calls are gone. */
int charge_day(struct store *s, uint32_t day, charge_day_fn *fn, void *arg);

#endif
