/* SPDX-License-Identifier: MIT */
#ifndef PLUGIN_DRAIN_H
#define PLUGIN_DRAIN_H
/*
 * The time before a stop in which new calls are refused and live ones may finish: asked for by the host (OC_CMD_DRAIN)
 * or the API (POST /drain). A call that comes in is refused as SIP 480 and stands in the database as refused_draining;
 * calls that wait in the queue are not dialled and wait for the next instance; legs and actions of live calls go on.
 * What is still live when the time is up is left to the next instance, as by any stop. Owner: the app; loop thread.
 */
#include "plugin/base/buf.h"
#include "plugin/base/err.h"
#include "plugin/base/str.h"
#include "plugin/routes.h"

#define DRAIN_MAX_S 3600u
#define DRAIN_SIP_STATUS 480 /* Temporarily Unavailable, RFC 3261 section 21.4.18 */

struct app;
struct drain;

int drain_open(struct drain **out, struct app *app);
/* Whoever waits is told ERR_CANCELED. NULL is fine. */
void drain_close(struct drain *d);
/* live: calls that are still on. rc: 0, or ERR_CANCELED (calls are taken again, or the instance stops). */
typedef void drain_fn(void *arg, int rc, unsigned live);
/*
 * Takes no new calls from now on. fn fires once, maybe at once, when no call is live any more or after `seconds`
 * (at most DRAIN_MAX_S) at the latest; fn may be NULL. Asked again it counts anew, for all who wait. ERR_NOMEM, and
 * then nothing has changed and fn does not fire.
 */
int drain_begin(struct drain *d, uint32_t seconds, drain_fn *fn, void *arg);
/* Calls are taken again. */
void drain_end(struct drain *d);
/* New calls are refused; it stays so when the time is over, until drain_end(). NULL: false. */
bool drain_active(const struct drain *d);
/* "draining": {"live", "left_ms"} into the open object, if it drains. */
void drain_write(const struct drain *d, struct buf *out);
/* POST and DELETE /drain. false: the path is another. */
bool drain_route(const struct route_ask *ask);

#endif
