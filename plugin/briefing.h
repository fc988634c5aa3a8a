/* SPDX-License-Identifier: MIT */
#ifndef PLUGIN_BRIEFING_H
#define PLUGIN_BRIEFING_H
/*
 * What the model should know when it first speaks: gathered while the phone rings from the caller's history
 * and the mirrored memory files, as far as the caller's level opens them, within context_max_tokens. Loop thread.
 */
#include "plugin/base/str.h"
#include "sessions/access.h"

struct app;
struct briefing;

/* The block (borrowed, may be empty), once; not after briefing_cancel(). Not from inside briefing_start(). */
typedef void briefing_fn(void *arg, struct str block);

struct briefing_ask { /* borrowed */
    struct str number; /* E.164, or empty: no history */
    struct access access;
};
/* NULL in *out and 0: this caller's level opens nothing, fn will not fire. ERR_NOMEM. */
int briefing_start(struct briefing **out, struct app *app, const struct briefing_ask *ask, briefing_fn *fn,
                   void *arg);
void briefing_cancel(struct briefing *b); /* NULL is fine */

#endif
