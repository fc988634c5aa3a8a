/* SPDX-License-Identifier: MIT */
#ifndef PLUGIN_REALTIME_RT_SIDEBAND_H
#define PLUGIN_REALTIME_RT_SIDEBAND_H
/*
 * The control channel of one call: a WebSocket to {base}/realtime?call_id=..., Bearer key, no beta
 * header, never model=. Reads events into struct call_event. Loop thread. It does not reconnect:
 * the call decides that.
 */
#include "plugin/call/event.h"

struct rt_api;
struct rt_sideband;

struct rt_sideband_handler {
    /* One event; ev is borrowed. Not for CALL_EV_NONE. May call rt_sideband_send and _close. */
    void (*event)(void *arg, const struct call_event *ev);
    /*
     * Gone, or never opened: CALL_EV_SIDEBAND_LOST. Fires once, not after rt_sideband_close(). The
     * handle is gone when this returns (forget it here); rt_sideband_close() inside is allowed.
     */
    void (*lost)(void *arg, const struct call_event *ev);
};

/*
 * Connects (10 s at most). Pings after 10 s and counts as lost after 25 s without a byte.
 * ERR_INVALID, ERR_NOMEM; everything else comes by lost(), later. Close it before rt_api_close().
 */
int rt_sideband_open(struct rt_sideband **out, struct rt_api *api, struct str call_id,
                     const struct rt_sideband_handler *h, void *arg);
/*
 * Queues a client event (JSON text, copied). ERR_CLOSED (also before the connection is up; wait for
 * CALL_EV_SESSION), ERR_FULL (1 MiB waits already), ERR_NOMEM.
 */
int rt_sideband_send(struct rt_sideband *s, struct str json);
/* Closes with 1000; no callback fires any more; memory goes later by itself. NULL is fine. */
void rt_sideband_close(struct rt_sideband *s);

#endif
