/* SPDX-License-Identifier: MIT */
#ifndef PLUGIN_NET_LOOP_H
#define PLUGIN_NET_LOOP_H
/*
 * The event loop of an instance: one libuv loop on one thread of its own, with a mailbox for other
 * threads, timers, and name resolution on a helper thread (libuv's pool belongs to the host). Nothing
 * here uses uv_signal, uv_spawn or the thread pool. The thread blocks all signals.
 */
#include "plugin/base/err.h"
#include "plugin/base/fifo.h"
#include "plugin/base/log.h"

#include <stdint.h>

struct loop;
struct timer;

/* A message to the loop; embedded in what the sender owns, which `run` takes over. */
struct loop_msg {
    struct fifo_item item; /* first; the loop's */
    void (*run)(struct loop_msg *m); /* loop thread */
};

/* Makes a loop, no thread yet. ERR_NOMEM, uv codes. */
int loop_open(struct loop **out, const struct log *log, struct err *e);
/*
 * Starts the thread. `on_exit` (may be NULL) runs on it as its very last act, after all handles are
 * closed. Name of the thread: "oc-voice".
 */
int loop_start(struct loop *l, void (*on_exit)(void *arg), void *arg, struct err *e);
/* Any thread. ERR_CLOSED: the loop takes no messages any more and `run` will not be called. */
int loop_post(struct loop *l, struct loop_msg *m);
/*
 * Runs m when what has arrived by now is handled: after the first turn that brings no bytes and no message, but at most
 * 1 ms after the first that waits so. For work that is cheaper done once for many. Loop thread; a message that waits
 * already must not be given again. ERR_CLOSED: the loop stops and `run` will not be called.
 */
int loop_lull(struct loop *l, struct loop_msg *m);
/*
 * Writes out now what was written in this turn, which otherwise happens at its end. For bytes that somebody waits for,
 * before work that can follow them. Owners of streams may hear of failures meanwhile. Loop thread.
 */
void loop_flush(struct loop *l);
bool loop_is_current(const struct loop *l); /* called on the loop's thread? */
uint64_t loop_now_ms(const struct loop *l); /* monotonic, as clock_mono_ms(); loop thread */
/*
 * Loop thread: closes mailbox and resolver; messages posted before are still run. The thread ends when
 * the last other handle is closed by its owner.
 */
void loop_stop(struct loop *l);
/*
 * Joins the thread (if started) and frees. Not on the loop thread. uv_loop_close()'s code: 0, or UV_EBUSY
 * when a handle leaked.
 */
int loop_close(struct loop *l);

typedef void timer_fn(void *arg);
/* A one-shot timer. Loop thread, all of them. */
int timer_open(struct timer **out, struct loop *l, timer_fn *fn, void *arg);
void timer_set(struct timer *t, uint64_t at_ms); /* monotonic; in the past = at once, not from inside */
void timer_stop(struct timer *t);
void timer_close(struct timer *t); /* NULL is fine; fn will not fire any more */

#endif
