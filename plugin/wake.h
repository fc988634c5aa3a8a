/* SPDX-License-Identifier: MIT */
#ifndef PLUGIN_WAKE_H
#define PLUGIN_WAKE_H
/*
 * How the threads of store and index reach the loop, and when the store begins: what the loop hands over in one burst
 * of work is committed together. Owner: the app, longer than store, index and loop.
 */
#include "plugin/app.h"

/* `poll` runs on the loop thread when something is finished. ERR_NOMEM. */
int wake_open(struct wake **out, struct app *app, void (*poll)(struct app *app));
void wake_close(struct wake *w); /* NULL is fine */
/* Any thread; ctx is the struct wake. One message at a time is enough. */
void wake_loop(void *ctx);
/* `gather` of struct store_config: begins at the loop's next lull. Loop thread. */
void wake_gather(void *ctx);

#endif
