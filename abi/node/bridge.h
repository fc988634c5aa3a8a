/* SPDX-License-Identifier: MIT */
#ifndef OPENCLAW_NODE_BRIDGE_H
#define OPENCLAW_NODE_BRIDGE_H
/*
 * One plugin instance as a single-threaded host sees it: what the plugin's threads call is copied
 * into one bounded queue, which the owner's thread empties. Knows nothing of JavaScript.
 *
 * Owner: whoever opened it, one thread; only bridge_wait() and the functions called by the plugin
 * are for others. Counted references: the owner's and that of the thread that destroys.
 *
 * The queue when full: log lines go first (at half of it), then events; both are counted, and one
 * warning line says how many when the queue has been emptied. Requests are refused with OC_EBUSY.
 * Answers and cancellations are always taken: as many as there are operations and requests.
 */
#include <stdbool.h>

#include "abi/openclaw_plugin.h"

#define BRIDGE_QUEUE_BYTES ((size_t)16 << 20)
#define BRIDGE_OPS_MAX 4096u

enum bridge_kind {
    BRIDGE_LOG,     /* code: level, json: the line */
    BRIDGE_EVENT,   /* name, call, json */
    BRIDGE_REQUEST, /* token, name, call, json; to be answered by bridge_reply() */
    BRIDGE_CANCEL,  /* token */
    BRIDGE_DONE,    /* cookie, code, json: the answer to bridge_start, _command or _stop */
    BRIDGE_GONE     /* the instance is destroyed; the last message */
};

/* Which host functions the plugin is offered. */
enum bridge_wants { BRIDGE_WANTS_LOG = 1, BRIDGE_WANTS_EVENT = 2, BRIDGE_WANTS_REQUEST = 4 };

struct bridge_msg {
    struct bridge_msg *next, *prev;
    struct bridge *bridge;
    enum bridge_kind kind;
    int code;
    uint64_t token;
    void *cookie;
    struct oc_str name, call, json; /* into `text` */
    char *text;
    size_t bytes; /* what it counts for in the queue */
};

struct bridge_stats {
    size_t queued, queued_bytes, ops;
    uint64_t dropped_logs, dropped_events, refused_requests;
};

/* Tells the owner that bridge_take() has something. Any thread, under the bridge's lock. */
typedef void bridge_wake_fn(void *arg);

/*
 * Creates an instance of `plugin`. *err is filled by the plugin. OC_OK or what oc_plugin.create()
 * answered; OC_ENOMEM.
 */
int bridge_open(struct bridge **out, const struct oc_plugin *plugin, struct oc_str config,
                unsigned wants, bridge_wake_fn *wake, void *wake_arg, struct oc_error *err);

/*
 * The plugin's functions of the same name. OC_OK: one BRIDGE_DONE with this cookie will come.
 * OC_ESTATE once bridge_destroy() was called, OC_EBUSY with BRIDGE_OPS_MAX of them under way.
 */
int bridge_start(struct bridge *b, void *cookie);
int bridge_command(struct bridge *b, struct oc_str name, struct oc_str call, struct oc_str json,
                   void *cookie);
int bridge_stop(struct bridge *b, int how, uint32_t grace_ms, void *cookie);
int bridge_reply(struct bridge *b, uint64_t token, int code, struct oc_str json);
int bridge_progress(struct bridge *b, uint64_t token, struct oc_str json);

/* The next message, owned by the caller, or NULL. */
struct bridge_msg *bridge_take(struct bridge *b);
void bridge_msg_free(struct bridge_msg *m);
/* Whether bridge_take() has something. */
bool bridge_pending(struct bridge *b);
void bridge_stats(struct bridge *b, struct bridge_stats *out);

/*
 * Destroys the instance on a thread of its own, in every state; idempotent, does not wait. Every
 * operation under way is answered, then BRIDGE_GONE comes.
 */
void bridge_destroy(struct bridge *b);
/* From now on nothing is queued and `wake` is not called. */
void bridge_mute(struct bridge *b);
/* Waits until the instance is destroyed or CLOCK_MONOTONIC passes deadline_ms; whether it is. */
bool bridge_wait(struct bridge *b, uint64_t deadline_ms);
uint64_t bridge_now_ms(void);
/* Gives the owner's reference back. The instance must be destroyed or being destroyed. */
void bridge_close(struct bridge *b);

#endif
