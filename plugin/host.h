/* SPDX-License-Identifier: MIT */
#ifndef PLUGIN_HOST_H
#define PLUGIN_HOST_H
/*
 * The host as this instance sees it: the only file that calls struct oc_host. Owner: the app. Loop
 * thread, but for host_log_sink (any thread).
 */
#include "abi/openclaw_plugin.h"
#include "plugin/base/log.h"

struct host;

/* The answer to a request, once; code is an enum oc_result. */
typedef void host_reply_fn(void *arg, int code, struct str json);
typedef void host_progress_fn(void *arg, struct str json);

/* Copies the table as far as its author filled it. ERR_NOMEM. */
int host_open(struct host **out, const struct oc_host *table);
/* Requests that are still open are answered with OC_ESTATE, so that their makers can free. */
void host_close(struct host *h);
/* For log_init(): ctx is the struct host. Any thread. */
void host_log_sink(void *ctx, enum log_level level, struct str line);
/* json: one object on one line. */
void host_event(struct host *h, const char *name, struct str call, struct str json);
/* Can it be asked for anything? */
bool host_serves(const struct host *h);
/*
 * Asks the host; `token` names the request. fn fires once, later, unless forgotten; progress (may be
 * NULL) any number of times before. ERR_BAD_STATE: the host has no services or refused; ERR_NOMEM, ERR_FULL.
 */
int host_request(struct host *h, const char *name, struct str call, struct str json,
                 host_reply_fn *fn, host_progress_fn *progress, void *arg, uint64_t *token);
/* The answer is wanted no more, the host should stop the work; fn still fires. */
void host_cancel(struct host *h, uint64_t token);
/* fn will not fire any more. */
void host_forget(struct host *h, uint64_t token);

/* From the ABI: what the host answered. false: no such request, or answered before. */
bool host_on_reply(struct host *h, uint64_t token, int code, struct str json);
bool host_on_progress(struct host *h, uint64_t token, struct str json);

static inline struct oc_str to_oc(struct str s)
{
    return (struct oc_str){s.p, s.n};
}

static inline struct str from_oc(struct oc_str s)
{
    return (struct str){s.p, s.n};
}

#endif
